package resilience

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

type repeatableKey struct{}

// Repeatable marks the requests of ctx as safe to make twice whatever their
// method: a search that is sent by POST, a write with a key of its own.
func Repeatable(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatableKey{}, true)
}

// Transport puts the guard around an http.RoundTripper (nil for
// http.DefaultTransport): GET, HEAD, OPTIONS, PUT, DELETE and Repeatable
// requests are repeated, others only when they were never sent. The answer of
// the last try is returned whatever its status, so that the caller can read
// it; the deadline of a try includes the reading of its body.
func (g *Guard) Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &transport{g, next}
}

type transport struct {
	guard *Guard
	next  http.RoundTripper
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var last *http.Response
	tries := 0
	err := t.guard.run(req.Context(), canRepeat(req), func(ctx context.Context) error {
		if last != nil {
			discard(last)
			last = nil
		}
		tries++
		resp, err := t.try(ctx, req, tries > 1) //nolint:bodyclose // the caller of RoundTrip closes the last one, discard the others
		if err != nil {
			if !replayable(req) {
				err = &final{err}
			}
			return err
		}
		last = resp
		if s := NewStatus(resp); s.verdict().Transient {
			return s
		}
		return nil
	})
	if tries == 0 && req.Body != nil {
		_ = req.Body.Close() // as a RoundTripper must
	}
	switch {
	case last == nil:
		return nil, err
	case err != nil && req.Context().Err() != nil:
		discard(last)
		return nil, err
	}
	return last, nil
}

// try sends the request once. The answer outlives it, so the clock goes on
// until the body is closed.
func (t *transport) try(ctx context.Context, req *http.Request, again bool) (*http.Response, error) {
	live, cancel := context.WithCancelCause(req.Context())
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	out := req.Clone(live)
	if again && req.GetBody != nil {
		var err error
		if out.Body, err = req.GetBody(); err != nil {
			stop()
			cancel(nil)
			return nil, err
		}
	}
	resp, err := t.next.RoundTrip(out)
	ended := !stop()
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if ended { // the try's time ran out as the answer came
		_ = resp.Body.Close()
		cancel(nil)
		return nil, context.Cause(ctx)
	}
	end, _ := ctx.Deadline()
	timer := time.AfterFunc(time.Until(end), func() { cancel(errTry) })
	resp.Body = &guarded{resp.Body, sync.OnceFunc(func() { timer.Stop(); cancel(nil) })}
	return resp, nil
}

// replayable says whether the request's body can be had a second time.
func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

func canRepeat(req *http.Request) bool {
	if !replayable(req) {
		return false
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Context().Value(repeatableKey{}) != nil
}

// discard frees a connection for the next try; what is long is not worth it.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

// guarded ends a try's clock when its answer is closed.
type guarded struct {
	io.ReadCloser
	release func()
}

func (g *guarded) Close() error {
	err := g.ReadCloser.Close()
	g.release()
	return err
}
