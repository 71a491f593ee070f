package configs

import (
	"net/url"
	"regexp"
	"strings"
)

// The words of roles.match.
const (
	MatchWords      = "words"
	MatchEmbeddings = "embeddings"
	MatchAzure      = "azure"
)

// Roles is how a learner's job is matched to the roles we know.
type Roles struct {
	Match string      `yaml:"match" oneof:"auto|words|embeddings|azure" doc:"who finds roles for a job: shared words, embeddings of the upstream, or Azure AI Search; auto takes Azure where it is set, else embeddings where the upstream has a model for them, else words, which also stand in when another fails"`
	Azure AzureSearch `yaml:"azure"`
}

// AzureSearch is an index of Azure AI Search.
type AzureSearch struct {
	Endpoint string `yaml:"endpoint" doc:"https://<service>.search.windows.net; none set: not used"`
	Key      Secret `yaml:"key" doc:"query key to serve; fluentpro roles index create and fill want an admin key"`
	Index    string `yaml:"index" doc:"name of the index with our roles"`
}

// RoleMatching is who finds roles: words, embeddings or azure.
func (c *Config) RoleMatching() string {
	switch {
	case c.Roles.Match != auto:
		return c.Roles.Match
	case c.Roles.Azure.Endpoint != "":
		return MatchAzure
	case c.Upstream.EmbeddingModel != "" && !c.EmbeddedUpstream():
		return MatchEmbeddings
	}
	return MatchWords
}

var azureIndex = regexp.MustCompile(`^[a-z0-9](?:-?[a-z0-9]){1,127}$`)

func (v *validator) roles() {
	r := &v.c.Roles
	if r.Match == MatchEmbeddings && v.c.EmbeddedUpstream() {
		v.bad("roles.match", "%s needs %s: the scripted partner's embeddings mean nothing", r.Match, v.env["upstream.base_url"])
	} else if r.Match == MatchEmbeddings && v.c.Upstream.EmbeddingModel == "" {
		v.bad("roles.match", "%s needs %s", r.Match, v.env["upstream.embedding_model"])
	}
	if !azureIndex.MatchString(r.Azure.Index) || len(r.Azure.Index) > 128 {
		v.bad("roles.azure.index", "%q must be 2 to 128 lower-case letters, digits and single dashes", r.Azure.Index)
	}
	if r.Azure.Endpoint == "" {
		if r.Match == MatchAzure {
			v.bad("roles.match", "%s needs %s", r.Match, v.env["roles.azure.endpoint"])
		}
		return
	}
	u, err := url.Parse(r.Azure.Endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.bad("roles.azure.endpoint", "must be like https://<service>.search.windows.net")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		v.bad("roles.azure.endpoint", "must be scheme and host only; the key goes into %s", v.env["roles.azure.key"])
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.bad("roles.azure.endpoint", "would send the key over plain http; use https")
	}
	if r.Azure.Key.Reveal() == "" {
		v.bad("roles.azure.key", "is needed for %s", v.env["roles.azure.endpoint"])
	}
	if strings.ContainsAny(r.Azure.Key.Reveal(), "\r\n\t ") {
		v.bad("roles.azure.key", "contains white space")
	}
}
