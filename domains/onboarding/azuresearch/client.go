// Package azuresearch matches a job to reference roles in an index of Azure AI
// Search: its word forms and its ranking in place of ours. It speaks the REST
// API, version 2024-07-01; there is no SDK for Go.
//
// The index holds our reference roles and nothing of any learner. It is made
// and filled by a command (Create, Fill, Status); serving only searches, so a
// query key is enough there. What is found is a list of names: texts and
// strengths come from our own data, so an index that is out of date can make a
// match worse and never wrong.
package azuresearch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

// apiVersion is the one this package was written for.
const apiVersion = "2024-07-01"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// IndexName is what an index may be called: 2 to 128 lower-case letters,
// digits and single dashes.
var IndexName = regexp.MustCompile(`^[a-z0-9](?:-?[a-z0-9]){1,127}$`)

// Config says where the index is.
type Config struct {
	// Endpoint is https://<service>.search.windows.net.
	Endpoint string
	// Key is a query key to search, an admin key to make and fill the index.
	Key string
	// Index is its name.
	Index string
	// Guard holds the rules of every call.
	Guard *resilience.Guard
	// Transport makes the connections; nil for http.DefaultTransport.
	Transport http.RoundTripper
}

// Client is one index. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

// New makes a Client; an error names what is wrong with cfg.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("azure search: the endpoint must be like https://<service>.search.windows.net")
	}
	if !IndexName.MatchString(cfg.Index) || len(cfg.Index) > 128 {
		return nil, fmt.Errorf("azure search: %q cannot be the name of an index", cfg.Index)
	}
	return &Client{cfg: cfg, base: u, http: &http.Client{
		Transport: cfg.Guard.Transport(cfg.Transport),
		// A key must not follow a redirect to a host nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Error is an answer that is no success. It holds Azure's code and none of its
// words, which quote what was asked.
type Error struct {
	Status int
	Code   string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("azure search answers %d %s", e.Status, e.Code)
	}
	return fmt.Sprintf("azure search answers %d", e.Status)
}

var plainCode = regexp.MustCompile(`^[A-Za-z0-9_.\-]{1,64}$`)

// call sends one request about the index and reads its answer into out, unless
// out is nil. Every call here may be made twice: they read, or they set things
// to what they say.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	u := *c.base.JoinPath("indexes", c.cfg.Index, path)
	u.RawQuery = url.Values{"api-version": {apiVersion}}.Encode()
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("azure search: encode: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(resilience.Repeatable(ctx), method, u.String(), body)
	if err != nil {
		return fmt.Errorf("azure search: %w", err)
	}
	req.Header.Set("Api-Key", c.cfg.Key)
	req.Header.Set("Accept", "application/json;odata.metadata=none")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("azure search: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fault.Wrap(fmt.Errorf("azure search: %w", err), fault.DependencyUnavailable, "A service that this needs does not answer just now.")
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.failed(resp, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fault.Wrap(fmt.Errorf("azure search: decode: %w", err), fault.DependencyUnavailable, "A service that this needs does not answer as it should.")
	}
	return nil
}

func (c *Client) failed(resp *http.Response, body []byte) error {
	e := &Error{Status: resp.StatusCode}
	var said struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &said) == nil && plainCode.MatchString(said.Error.Code) {
		e.Code = said.Error.Code
	}
	f := fault.Wrap(e, fault.DependencyUnavailable, "A service that this needs does not answer as it should.")
	if d := resilience.NewStatus(resp).RetryAfter; d > 0 {
		f.RetryAfterMS = d.Milliseconds()
	}
	return f
}

// literal is a string as OData writes it in a filter.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
