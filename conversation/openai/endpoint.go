package openai

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/fluentpro/fluentpro/internal/upstream"
)

// apiVersion is asked of classic Azure when the address names none.
const apiVersion = "2024-10-21"

// endpoint knows where requests go and what every one carries. go-openai
// builds a path of its own; only the end of it is used.
type endpoint struct {
	next    *upstream.Doer
	base    *url.URL // no query
	query   string
	azure   bool
	headers http.Header
}

// newEndpoint reads the base URL. Classic Azure may be written as the
// resource alone, with /openai, or with the deployment; its api-version is the
// only query an address may have.
func newEndpoint(raw string, p Profile) (*endpoint, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("upstream base URL must be http:// or https:// with a host")
	}
	if u.User != nil || u.Fragment != "" {
		return nil, errors.New("upstream base URL must carry neither user nor fragment; use the API key or headers")
	}
	q := u.Query()
	version := q.Get("api-version")
	q.Del("api-version")
	if len(q) > 0 {
		return nil, errors.New("upstream base URL must carry no query but api-version; use the API key or headers")
	}
	e := &endpoint{azure: p.Path == PathAzure, headers: http.Header{}}
	e.base = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + strings.Trim(u.Path, "/")}
	if e.azure {
		if version == "" {
			version = apiVersion
		}
		if i := strings.Index(e.base.Path, "/openai"); i >= 0 {
			rest := e.base.Path[i+len("/openai"):]
			if rest != "" && !strings.HasPrefix(rest, "/deployments") {
				return nil, errors.New("upstream base URL of preset azure must end in /openai or /openai/deployments/<name>; for /openai/v1 use the preset azure-v1")
			}
		} else {
			e.base = e.base.JoinPath("openai")
		}
		e.base.Path = strings.TrimSuffix(e.base.Path, "/deployments")
	}
	if version != "" {
		e.query = url.Values{"api-version": {version}}.Encode()
	}
	return e, nil
}

type modelKey struct{}

// withModel tells the endpoint which model a request is for.
func withModel(ctx context.Context, model string) context.Context {
	return context.WithValue(ctx, modelKey{}, model)
}

// url is the address for the end of a path ("/chat/completions").
func (e *endpoint) url(ctx context.Context, suffix string) *url.URL {
	u := *e.base
	model, _ := ctx.Value(modelKey{}).(string)
	if e.azure && model != "" && !strings.Contains(u.Path, "/deployments/") {
		u = *u.JoinPath("deployments", url.PathEscape(model))
	}
	u = *u.JoinPath(suffix)
	u.RawQuery = e.query
	return &u
}

// libraryBase is the base that go-openai believes in.
const libraryBase = "http://upstream.invalid"

// Do implements goopenai.HTTPDoer.
func (e *endpoint) Do(r *http.Request) (*http.Response, error) {
	r.URL = e.url(r.Context(), r.URL.Path)
	r.Host = ""
	for k, v := range e.headers {
		r.Header[k] = v
	}
	return e.next.Do(r)
}
