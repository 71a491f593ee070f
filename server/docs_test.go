package server

import (
	"net/http"
	"strings"
	"testing"

	v1 "github.com/fluentpro/fluentpro/server/v1"
	"github.com/fluentpro/fluentpro/web"
)

func TestDocsAreServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(d *Deps) { d.Static = web.Handler() })
	for _, path := range []string{DocsPath, DocsPath + "/"} {
		w := f.call(t, "GET", path, "")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/docs/docs.js") || w.Header().Get("Content-Security-Policy") != web.Policy {
			t.Fatalf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	w := f.call(t, "GET", v1.Guide, "")
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "# From v1 to v2") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/markdown") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
}
