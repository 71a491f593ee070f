package configs

import (
	"strings"
	"testing"
)

// otherRoles are rows of TestEveryKeyHasAVariable.
var otherRoles = map[string]string{
	"roles.match": "words", "roles.azure.endpoint": "https://s.search.windows.net", "roles.azure.key": "k3", "roles.azure.index": "other",
}

func TestRoleMatchingIsChosen(t *testing.T) {
	t.Parallel()
	const (
		upstream = "FLUENTPRO_UPSTREAM_BASE_URL=http://127.0.0.1:1/v1"
		model    = "FLUENTPRO_UPSTREAM_EMBEDDING_MODEL=e"
		endpoint = "FLUENTPRO_ROLES_AZURE_ENDPOINT=https://s.search.windows.net"
		key      = "FLUENTPRO_ROLES_AZURE_KEY=k"
	)
	for _, c := range []struct {
		want string
		env  []string
	}{
		{MatchWords, nil},
		{MatchWords, []string{model}}, // the scripted partner has none
		{MatchWords, []string{upstream}},
		{MatchEmbeddings, []string{upstream, model}},
		{MatchAzure, []string{upstream, model, endpoint, key}},
		{MatchWords, []string{endpoint, key, "FLUENTPRO_ROLES_MATCH=words"}},
		{MatchEmbeddings, []string{upstream, model, endpoint, key, "FLUENTPRO_ROLES_MATCH=embeddings"}},
	} {
		if got := load(t, c.env...).RoleMatching(); got != c.want {
			t.Errorf("%v: got %s, want %s", c.env, got, c.want)
		}
	}
	for _, c := range []struct {
		want string
		env  []string
	}{
		{"needs FLUENTPRO_UPSTREAM_BASE_URL", []string{"FLUENTPRO_ROLES_MATCH=embeddings", model}},
		{"needs FLUENTPRO_UPSTREAM_EMBEDDING_MODEL", []string{"FLUENTPRO_ROLES_MATCH=embeddings", upstream}},
		{"needs FLUENTPRO_ROLES_AZURE_ENDPOINT", []string{"FLUENTPRO_ROLES_MATCH=azure"}},
		{"none of auto", []string{"FLUENTPRO_ROLES_MATCH=magic"}},
		{"ROLES_AZURE_KEY is needed", []string{endpoint}},
		{"white space", []string{endpoint, "FLUENTPRO_ROLES_AZURE_KEY=hunter2 x"}},
		{"lower-case letters", []string{"FLUENTPRO_ROLES_AZURE_INDEX=My_Index"}},
		{"must be like https", []string{"FLUENTPRO_ROLES_AZURE_ENDPOINT=s.search.windows.net", key}},
		{"plain http", []string{"FLUENTPRO_ROLES_AZURE_ENDPOINT=http://s.example", key}},
		{"scheme and host only", []string{"FLUENTPRO_ROLES_AZURE_ENDPOINT=https://s.example/indexes?k=hunter2", key}},
	} {
		if got := problems(t, Input{Env: c.env}); !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%v: %s", c.env, got)
		}
	}
}
