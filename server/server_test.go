package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestScenarioIsRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	w := f.call(t, "GET", Prefix+"/scenarios/"+annsID, "", ann)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), exampleScenario.Title) {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if strings.Contains(w.Body.String(), "$schema") || w.Header().Get("Link") != "" {
		t.Fatal("huma's schema links are on")
	}
	wantProblem(t, f.call(t, "GET", Prefix+"/scenarios/"+annsID, ""), fault.Unauthenticated)
}
