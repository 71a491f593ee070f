package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/conversation"
)

type fakeFindings struct{}

func (fakeFindings) Findings(context.Context) (any, error) { return map[string]any{}, nil }

// Every route of the operators' listener, taken from its mux, asked from
// another machine: without a token, with that of a learner or an admin of the
// public listener and with a wrong one it is 401 and nothing happens; the
// operators' token passes.
func TestEveryOpsRouteWantsTheToken(t *testing.T) {
	t.Parallel()
	work, open := &fakeWork{}, &fakeOpen{}
	h, mux := newOps(OpsDeps{Logger: slog.New(slog.DiscardHandler), Inspector: fakeInspector{}, Calls: fakeCalls{}, Findings: fakeFindings{}, Connections: open, Work: work,
		Damages:  func(context.Context, int) ([]conversation.Damage, error) { return nil, nil },
		Gatherer: prometheus.NewRegistry(), Token: "operator-token"})
	ask := func(method, path, token string) int {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(`{"code":"soon"}`))
		r.RemoteAddr, r.Host = "198.51.100.7:1", "localhost:9000"
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Cookie", "fp_access="+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	asked := 0
	for _, pattern := range mux.patterns {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = http.MethodGet, pattern
		}
		path = strings.NewReplacer("{conversation}", annsID, "{learner}", "ann", "{id}", "1", "{group}", "g", "{event}", "e").Replace(path)
		if strings.Contains(path, "{") {
			t.Fatalf("%s: say what its parameter is", pattern)
		}
		for _, token := range []string{"", "tok-ann", "tok-admin", "operator-token2", "operator-toke"} {
			if got := ask(method, path, token); got != http.StatusUnauthorized {
				t.Errorf("%s with token %q: %d, want 401", pattern, token, got)
			}
		}
		asked++
	}
	if len(work.asked)+len(open.wishes) > 0 {
		t.Errorf("who was refused did %v %v", work.asked, open.wishes)
	}
	for _, pattern := range mux.patterns {
		method, path, _ := strings.Cut(pattern, " ")
		if !strings.HasPrefix(path, "/ops/") {
			continue
		}
		path = strings.NewReplacer("{conversation}", annsID, "{learner}", "ann", "{id}", "1", "{group}", "g", "{event}", "e").Replace(path)
		if got := ask(method, path, "operator-token"); got != http.StatusOK {
			t.Errorf("%s with the token: %d", pattern, got)
		}
	}
	if asked < 25 {
		t.Errorf("only %d routes", asked)
	}
}
