package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/conversation"
)

type fakeInspector struct{}

func (fakeInspector) List(_ context.Context, q url.Values) (any, error) {
	return map[string]string{"state": q.Get("state")}, nil
}

func (fakeInspector) Get(_ context.Context, id string) (any, error) {
	if id != annsID {
		return nil, conversation.ErrNotFound
	}
	return map[string]string{"id": id}, nil
}

type fakeCalls struct{}

func (fakeCalls) List(_ context.Context, q url.Values) (any, error) {
	return map[string]string{"purpose": q.Get("purpose")}, nil
}

func TestOpsDoors(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	m.Request("/x", "GET", 200, time.Second)
	const token = "Authorization: Bearer operator-token"
	with := func(tok string) *fixtureOps {
		return &fixtureOps{NewOps(OpsDeps{Logger: slog.New(slog.DiscardHandler), Inspector: fakeInspector{}, Calls: fakeCalls{}, Gatherer: reg, Token: tok})}
	}
	h, open := with("operator-token"), with("")
	for _, c := range []struct {
		name, peer, path string
		headers          []string
		ops              *fixtureOps
		status           int
		want             string
	}{
		{"local list", "127.0.0.1:1", "/ops/v1/state?state=open", nil, h, 200, `"state":"open"`},
		{"local get", "[::1]:1", "/ops/v1/state/" + annsID, nil, h, 200, annsID},
		{"calls", "127.0.0.1:1", "/ops/v1/calls?purpose=partner", nil, h, 200, `"purpose":"partner"`},
		{"calls from elsewhere", "10.0.0.1:1", "/ops/v1/calls", nil, h, 401, "unauthenticated"},
		{"missing", "127.0.0.1:1", "/ops/v1/state/" + noID, nil, h, 404, "not_found"},
		{"bad id", "127.0.0.1:1", "/ops/v1/state/xyz", nil, h, 404, "not_found"},
		{"unknown", "127.0.0.1:1", "/ops/v2", nil, h, 404, "not_found"},
		{"metrics", "127.0.0.1:1", "/metrics", nil, h, 200, "fluentpro_http_request_seconds"},
		{"rebound host", "127.0.0.1:1", "/ops/v1/state", []string{"Host: evil.example"}, h, 401, "unauthenticated"},
		{"page on this machine", "127.0.0.1:1", "/ops/v1/state", []string{"Origin: http://127.0.0.1:9"}, h, 401, "unauthenticated"},
		{"proxied", "127.0.0.1:1", "/metrics", []string{"X-Forwarded-For: 198.51.100.7"}, h, 401, "unauthenticated"},
		{"remote", "198.51.100.7:1", "/ops/v1/state", nil, h, 401, "unauthenticated"},
		{"remote claims to be local", "198.51.100.7:1", "/metrics", []string{"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"}, h, 401, "unauthenticated"},
		{"remote with token", "198.51.100.7:1", "/ops/v1/state", []string{token}, h, 200, "state"},
		{"remote, wrong token", "198.51.100.7:1", "/ops/v1/state", []string{token + "x"}, h, 401, "unauthenticated"},
		{"remote, no token set", "198.51.100.7:1", "/ops/v1/state", []string{"Authorization: Bearer "}, open, 401, "unauthenticated"},
		{"pprof remote", "198.51.100.7:1", "/debug/pprof/", nil, h, 401, "unauthenticated"},
		{"pprof local", "127.0.0.1:1", "/debug/pprof/", nil, h, 200, "goroutine"},
		{"live remote", "198.51.100.7:1", "/livez", []string{"Host: node-1"}, h, 200, "alive"},
		{"health remote", "198.51.100.7:1", "/healthz", nil, h, 200, "alive"},
		{"ready remote", "198.51.100.7:1", "/readyz", nil, h, 200, "ready"},
	} {
		status, body := c.ops.get(t, c.peer, c.path, c.headers...)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: got %d %.200s, want %d with %s", c.name, status, body, c.status, c.want)
		}
	}
}

type fixtureOps struct {
	h http.Handler
}

func (f *fixtureOps) get(t *testing.T, peer, path string, headers ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = peer, "localhost:9000"
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		if k == "Host" {
			r.Host = v
			continue
		}
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	f.h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	good := func(context.Context) error { return nil }
	bad := func(context.Context) error { return errors.New("dial 10.0.0.7: refused") }
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name   string
		checks []Check
		want   string
	}{
		{"none", nil, "ready"},
		{"all good", []Check{{"sql", good, true}, {"redis", good, false}}, "ready"},
		{"optional bad", []Check{{"sql", good, true}, {"redis", bad, false}}, "degraded"},
		{"required bad", []Check{{"sql", bad, true}, {"redis", bad, false}}, "unready"},
		{"optional hangs", []Check{{"sql", good, true}, {"redis", hangs, false}}, "degraded"},
		{"all hang", []Check{{"sql", hangs, true}, {"redis", hangs, false}}, "unready"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				got := runChecks(t.Context(), c.checks)
				if got.Status != c.want || len(got.Checks) != len(c.checks) {
					t.Fatalf("got %+v, want %s", got, c.want)
				}
				if took := time.Since(start); took > checkTimeout {
					t.Fatalf("took %v", took)
				}
			})
		})
	}
	f := newFixture(t, func(d *Deps) { d.Checks = []Check{{"sql", bad, true}, {"redis", good, false}} })
	w := f.call(t, "GET", "/readyz?verbose", "")
	if body := w.Body.String(); w.Code != 503 || strings.Contains(body, "sql") {
		t.Fatalf("in public: got %d %s, want the word alone", w.Code, body)
	}
	ops := &fixtureOps{NewOps(OpsDeps{Logger: slog.New(slog.DiscardHandler), Checks: []Check{{"sql", bad, true}, {"redis", good, false}}})}
	code, body := ops.get(t, "127.0.0.1:9", "/readyz?verbose")
	if code != 503 || !strings.Contains(body, `"name":"sql","ok":false`) || strings.Contains(body, "10.0.0.7") {
		t.Fatalf("for operators: got %d %s", code, body)
	}
	if w := f.call(t, "GET", "/livez", ""); w.Code != 200 {
		t.Fatal("a failing check makes the process look dead")
	}
}
