package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

// Timeouts are the clocks of one request; a zero takes its default.
type Timeouts struct {
	// Connect bounds dialling and the TLS handshake, each; 5 s.
	Connect time.Duration
	// FirstContent bounds the wait from the request to the first content; 20 s.
	FirstContent time.Duration
	// Idle bounds the wait between two contents; 15 s.
	Idle time.Duration
	// Total bounds the whole answer; 90 s.
	Total time.Duration
	// Tail bounds the wait for usage and done marker behind a finish reason; 2 s.
	Tail time.Duration
}

func (t Timeouts) orDefaults() Timeouts {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Connect, 5*time.Second)
	set(&t.FirstContent, 20*time.Second)
	set(&t.Idle, 15*time.Second)
	set(&t.Total, 90*time.Second)
	set(&t.Tail, 2*time.Second)
	return t
}

// Options set up a Doer; the zero value is good.
type Options struct {
	Timeouts Timeouts
	// MaxLine caps one line and one event of a stream; 1 MiB.
	MaxLine int
	// MaxBody caps the raw body; 4 MiB.
	MaxBody int
	// CommentsAreLife lets comments of the stream push the content clocks on.
	CommentsAreLife bool
	// Secrets are removed from every text that is kept of an upstream.
	Secrets []string
	// Transport makes the connections; nil for one of our own.
	Transport http.RoundTripper
}

// Doer sends requests for go-openai (it is its HTTPDoer) and normalises the
// answers. It is safe for concurrent use.
type Doer struct {
	o      Options
	client *http.Client
}

// maxErrorBody is read of a failed answer before cutting it down.
const maxErrorBody = 64 << 10

// New makes a Doer.
func New(o Options) *Doer {
	o.Timeouts = o.Timeouts.orDefaults()
	if o.MaxLine <= 0 {
		o.MaxLine = 1 << 20
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 4 << 20
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: o.Timeouts.Connect, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:    o.Timeouts.Connect,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           512,
			MaxIdleConnsPerHost:    512,
			IdleConnTimeout:        60 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			// A compressed event stream only adds delay, and a bomb.
			DisableCompression: true,
		}
	}
	return &Doer{o: o, client: &http.Client{Transport: o.Transport, CheckRedirect: sameHost}}
}

// CloseIdleConnections closes connections that nobody uses.
func (d *Doer) CloseIdleConnections() { d.client.CloseIdleConnections() }

var errRedirect = errors.New("redirect refused")

// sameHost keeps prompts and keys from being sent on to a host nobody named.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme || req.Method != first.Method {
		return errRedirect
	}
	return nil
}

// Do sends the request. Its errors, and those of the body it returns, are
// *fault.Error with an *Error as cause, except that the end of the request's
// own context is returned as that context's cause. A request that accepts an
// event stream gets a normalised one; others get their body, capped.
func (d *Doer) Do(req *http.Request) (*http.Response, error) {
	parent := req.Context()
	call := callOf(parent)
	ctx, cancel := context.WithCancelCause(parent)
	ck := newClocks(d.o.Timeouts, d.o.CommentsAreLife, cancel)
	out := req.Clone(ctx)
	if err := d.prepare(out, call); err != nil {
		ck.stop()
		return nil, err
	}
	resp, err := d.client.Do(out)
	if err != nil {
		defer ck.stop()
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return nil, d.unsent(parent, ctx, call, err)
	}
	// What the header took counts for the first content too.
	ck.pause()
	call.Status, call.Header = resp.StatusCode, resp.Header
	call.RequestID = requestID(resp.Header)
	call.Scripted = resp.Header.Get("X-Fluentpro-Scripted") == "1"
	if resp.StatusCode < 200 || resp.StatusCode >= 300 {
		defer ck.stop()
		defer resp.Body.Close()
		return nil, d.refused(parent, ctx, call, ck, resp)
	}
	s := &stream{
		call: call, src: resp.Body, ctx: ctx, parent: parent, clocks: ck, secrets: d.o.Secrets,
		maxLine: d.o.MaxLine, maxBody: d.o.MaxBody,
	}
	if !strings.Contains(req.Header.Get("Accept"), "text/event-stream") {
		resp.Body = &plain{Reader: io.LimitReader(resp.Body, int64(d.o.MaxBody)), s: s}
		return resp, nil
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		s.fail(broken(fault.UpstreamInvalid, "encoded_body", false), EndInvalid)
	} else if !isStream(resp.Header) {
		s.whole()
	}
	resp.Body = s
	return resp, nil
}

// prepare adds what go-openai's request type has no place for.
func (d *Doer) prepare(req *http.Request, call *Call) error {
	if call.Correlation != "" {
		req.Header.Set("X-Request-Id", call.Correlation)
	}
	if len(call.Set) == 0 || req.Body == nil {
		return nil
	}
	b, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return fmt.Errorf("read request body: %w", err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &fields); err != nil {
		return errors.New("request body is no JSON object")
	}
	for k, v := range call.Set {
		fields[k] = v
	}
	if b, err = json.Marshal(fields); err != nil {
		return fmt.Errorf("encode request body: %w", err)
	}
	req.Body = io.NopCloser(bytes.NewReader(b))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	req.ContentLength = int64(len(b))
	return nil
}

// unsent names a failure before any answer. The url.Error around it is dropped
// because it prints the URL.
func (d *Doer) unsent(parent, ctx context.Context, call *Call, err error) error {
	if parent.Err() != nil {
		call.End = EndCancelled
		return context.Cause(parent)
	}
	if cause := context.Cause(ctx); cause != nil {
		call.End = EndTimeout
		return cause
	}
	call.End = EndError
	if errors.Is(err, errRedirect) {
		return broken(fault.UpstreamRejected, "redirect", false)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return broken(fault.UpstreamTimeout, "connect", true)
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return broken(fault.UpstreamUnavailable, "unknown_host", false)
	}
	return broken(fault.UpstreamUnavailable, "connect", true)
}

// refused reads a non-2xx answer.
func (d *Doer) refused(parent, ctx context.Context, call *Call, ck *clocks, resp *http.Response) error {
	call.End = EndError
	ck.resume()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		if parent.Err() != nil {
			call.End = EndCancelled
			return context.Cause(parent)
		}
		if cause := context.Cause(ctx); cause != nil {
			call.End = EndTimeout
			return cause
		}
	}
	return errorFrom(body, &Error{
		Kind: "status", Status: resp.StatusCode, RequestID: call.RequestID,
		RetryAfter: resilience.RetryAfter(resp.Header, time.Now()),
	}, d.o.Secrets)
}

// requestID finds the upstream's name for the request.
func requestID(h http.Header) string {
	for _, k := range [...]string{"X-Request-Id", "Apim-Request-Id", "X-Ms-Request-Id", "X-Litellm-Call-Id", "Cf-Ray"} {
		if v := word(h.Get(k)); v != "" {
			return v
		}
	}
	return ""
}

// isStream is generous: some servers send events as text/plain or unlabelled.
func isStream(h http.Header) bool {
	mt, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return true
	}
	return mt != "application/json" && mt != "text/html" && mt != "application/problem+json"
}

// whole handles a 200 that is no stream: an error object, an HTML page, or the
// whole answer of a server that does not stream.
func (s *stream) whole() {
	s.clocks.resume()
	b, err := io.ReadAll(io.LimitReader(s.src, int64(s.maxBody)+1))
	s.clocks.pause()
	switch {
	case err != nil:
		s.lost(err)
		return
	case len(b) > s.maxBody:
		s.fail(broken(fault.UpstreamInvalid, "body_too_large", false), EndInvalid)
		return
	}
	s.eof = true
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '{' {
		s.fail(broken(fault.UpstreamInvalid, "not_a_stream", true), EndInvalid)
		return
	}
	s.frame(b)
	switch {
	case s.err != nil:
	case s.call.Finish != "":
		s.complete(EndFinish)
	case s.call.ContentBytes == 0:
		// Some servers put a flat error into a 200.
		s.fail(errorFrom(b, s.newError("body"), s.secrets), EndError)
	default:
		s.fail(broken(fault.UpstreamTruncated, "cut", true), EndTruncated)
	}
}

// plain is a body that is not a stream; closing it stops the clocks.
type plain struct {
	io.Reader
	s *stream
}

// Close implements io.Closer.
func (p *plain) Close() error {
	err := p.s.src.Close()
	p.s.clocks.stop()
	return err
}
