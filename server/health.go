package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// checkTimeout bounds one readiness check.
const checkTimeout = 300 * time.Millisecond

// Check is one thing that readiness asks. A failing Required check makes the
// node unready; another only degrades it.
type Check struct {
	Name     string
	Probe    func(ctx context.Context) error
	Required bool
}

// checkResult is one line of the verbose answer. The cause stays in the logs:
// error texts of drivers name hosts and users.
type checkResult struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`
	TookMS   int64  `json:"took_ms"`
}

type readiness struct {
	Status string        `json:"status"` // ready, degraded, unready
	Checks []checkResult `json:"checks,omitempty"`
}

// runChecks asks all checks at once. A check that ignores its context cannot
// hold the answer: it counts as failed after the timeout.
func runChecks(ctx context.Context, checks []Check) readiness {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	res := make([]checkResult, len(checks))
	var mu sync.Mutex
	done := make(chan struct{}, len(checks))
	start := time.Now()
	for i, c := range checks {
		res[i] = checkResult{Name: c.Name, Required: c.Required, TookMS: checkTimeout.Milliseconds()}
		go func() {
			err := c.Probe(ctx)
			mu.Lock()
			res[i].OK, res[i].TookMS = err == nil, time.Since(start).Milliseconds()
			mu.Unlock()
			done <- struct{}{}
		}()
	}
wait:
	for range checks {
		select {
		case <-done:
		case <-ctx.Done():
			break wait
		}
	}
	mu.Lock()
	defer mu.Unlock()
	out := readiness{Status: "ready", Checks: append([]checkResult(nil), res...)}
	for _, r := range out.Checks {
		switch {
		case r.OK:
		case r.Required:
			out.Status = "unready"
		case out.Status == "ready":
			out.Status = "degraded"
		}
	}
	return out
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// serveLive says that the process answers; it asks nothing else, so that a
// hanging Redis does not get the node killed.
func serveLive(w http.ResponseWriter) {
	writeJSON(w, http.StatusOK, readiness{Status: "alive"})
}

// serveReady says whether the node should get traffic. Details are for
// operators, so verbose is theirs to ask.
func serveReady(w http.ResponseWriter, r *http.Request, checks []Check, verbose bool) {
	out := runChecks(r.Context(), checks)
	if !verbose {
		out.Checks = nil
	}
	status := http.StatusOK
	if out.Status == "unready" {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, out)
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { serveLive(w) }

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	serveReady(w, r, s.deps.Checks, false)
}

// Ready says whether the node should get traffic, as /readyz does.
func Ready(checks []Check) func(ctx context.Context) bool {
	return func(ctx context.Context) bool { return runChecks(ctx, checks).Status != "unready" }
}
