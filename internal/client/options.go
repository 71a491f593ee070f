package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Options say where and as whom to connect.
type Options struct {
	// Bases are the nodes ("http://127.0.0.1:8080"); each connect takes the
	// next one.
	Bases []string
	// Token returns the access token of the moment; nil connects without one.
	Token func() string
	// Name is told in hello ["fluentpro-go/1"].
	Name string
	// HTTP is the client to use [one without a time-out].
	HTTP *http.Client
	// Backoff bounds the pause between two tries of Follow [20 ms … 1 s].
	MinBackoff, MaxBackoff time.Duration

	next atomic.Uint64
}

func (o *Options) base() string {
	n := o.next.Add(1) - 1
	return strings.TrimSuffix(o.Bases[n%uint64(len(o.Bases))], "/")
}

func (o *Options) client() *http.Client {
	if o.HTTP != nil {
		return o.HTTP
	}
	return http.DefaultClient
}

func (o *Options) name() string {
	if o.Name != "" {
		return o.Name
	}
	return "fluentpro-go/1"
}

func (o *Options) token() string {
	if o.Token == nil {
		return ""
	}
	return o.Token()
}

// Problem is a failure that the server told.
type Problem struct {
	Status    int
	Code      string `json:"code"`
	Message   string `json:"message"`
	Detail    string `json:"detail"`
	Retryable bool   `json:"retryable"`
	RetryMS   int64  `json:"retry_ms"`
}

// Error implements error.
func (p *Problem) Error() string {
	return fmt.Sprintf("server says %s (status %d): %s%s", p.Code, p.Status, p.Message, p.Detail)
}

// CodeOf is the code of a Problem in err, "" when there is none.
func CodeOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// ErrEnded says that the conversation has ended and everything was delivered.
var ErrEnded = errors.New("conversation has ended")

// ErrResume says that something was missed: attach again from the cursor.
var ErrResume = errors.New("resume from the cursor")

// getAt starts a request.
func (o *Options) getAt(ctx context.Context, node, path string, header http.Header) (*http.Response, error) {
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if t := o.token(); t != "" {
		h.Set("Authorization", "Bearer "+t)
	}
	h.Set("X-Conv-Client", o.name())
	return o.do(ctx, node+path, h)
}

// getAsBrowser starts a request as a page's EventSource does.
func (o *Options) getAsBrowser(ctx context.Context, node, path string, header http.Header) (*http.Response, error) {
	h := header.Clone()
	h.Set("Cookie", "fp_access="+o.token())
	h.Set("Cache-Control", "no-cache")
	h.Set("Sec-Fetch-Site", "same-origin")
	return o.do(ctx, node+path, h)
}

func (o *Options) do(ctx context.Context, address string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	return o.client().Do(req)
}

// problemOf reads an error answer and closes it.
func problemOf(res *http.Response) error {
	defer func() { _ = res.Body.Close() }()
	p := &Problem{Status: res.StatusCode}
	raw, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("status %d: %w", res.StatusCode, err)
	}
	if err := json.Unmarshal(raw, p); err != nil || p.Code == "" {
		p.Code = "http_" + res.Status
	}
	return p
}

// backoff waits before try n, with full jitter.
func (o *Options) backoff(ctx context.Context, n int) error {
	low, high := o.MinBackoff, o.MaxBackoff
	if low <= 0 {
		low = 20 * time.Millisecond
	}
	if high <= 0 {
		high = time.Second
	}
	t := time.NewTimer(rand.N(min(high, low<<min(n, 10))) + time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
