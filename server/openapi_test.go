package server

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write api/openapi.json anew")

const golden = "../api/openapi.json"

// The committed document is the served one. Run
// go test ./server -run OpenAPI -update after a change of routes.
func TestOpenAPIIsCommitted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(d *Deps) { d.Version = "2" })
	got := f.OpenAPI()
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatalf("%s is not what the routes say; run: go test ./server -run OpenAPI -update", golden)
	}
	w := f.call(t, "GET", Prefix+"/openapi.json", "")
	if w.Code != 200 || w.Body.String() != string(want) || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("served: %d %.80s", w.Code, w.Body)
	}
}

var (
	segment = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	param   = regexp.MustCompile(`^:[a-z]+$`)
	opID    = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`)
	inPath  = regexp.MustCompile(`\{(\w+)\}`)
	// notPlural are path words that name no collection: verbs, states, singletons.
	notPlural = map[string]bool{"auth": true, "sign-up": true, "login": true, "logout": true, "refresh": true, "me": true,
		"onboarding": true, "complete": true, "cancel": true, "log": true, "transcript": true, "ws": true, "openapi.json": true, "server-info": true,
		"password": true, "email": true, "deactivate": true, "reactivate": true, "erase": true, "export": true, "forgot-password": true,
		"reset-password": true, "verify-email": true, "role": true, "edit": true, "regenerate": true, "branch": true}
)

// foreignPath reports a path that other people's clients chose.
func foreignPath(path string) bool {
	return path == "/agui" || path == "/api/chat" || strings.HasPrefix(path, "/api/chat/")
}

func TestRouteTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, r := range f.engine.Routes() {
		rest, ok := strings.CutPrefix(r.Path, Prefix+"/")
		if !ok {
			if r.Path != "/livez" && r.Path != "/readyz" && r.Path != "/.well-known/jwks.json" && !foreignPath(r.Path) && !strings.HasPrefix(r.Path, DocsPath) {
				t.Errorf("%s %s is outside %s", r.Method, r.Path, Prefix)
			}
			continue
		}
		for _, s := range strings.Split(rest, "/") {
			switch {
			case param.MatchString(s), notPlural[s]:
			case !segment.MatchString(s):
				t.Errorf("%s %s: %q is not kebab-case", r.Method, r.Path, s)
			case !strings.HasSuffix(s, "s") && !strings.HasSuffix(s, "es"):
				t.Errorf("%s %s: %q is not a plural noun", r.Method, r.Path, s)
			}
		}
	}
}

func TestDocumentIsWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string                     `json:"operationId"`
			Summary     string                     `json:"summary"`
			Tags        []string                   `json:"tags"`
			Responses   map[string]json.RawMessage `json:"responses"`
			Parameters  []struct{ Name, In string }
		} `json:"paths"`
	}
	if err := json.Unmarshal(f.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("OpenAPI %q", doc.OpenAPI)
	}
	seen := map[string]bool{}
	documented := 0
	for path, ops := range doc.Paths {
		for method, op := range ops {
			documented++
			if !opID.MatchString(op.OperationID) || seen[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			seen[op.OperationID] = true
			// A field that huma does not see is documented nowhere and empty always.
			for _, name := range inPath.FindAllStringSubmatch(path, -1) {
				if !slices.Contains(op.Parameters, struct{ Name, In string }{name[1], "path"}) {
					t.Errorf("%s %s: {%s} is no parameter", method, path, name[1])
				}
			}
			want := "application/problem+json"
			if foreignPath(path) {
				want = "#/components/schemas/Refusal"
			}
			if !strings.Contains(string(op.Responses["500"]), want) {
				t.Errorf("%s %s: errors are not described", method, path)
			}
			for status := range op.Responses {
				if status == "default" {
					t.Errorf("%s %s: has a default response", method, path)
				}
			}
		}
	}
	mounted := 0
	for _, r := range f.engine.Routes() {
		if (strings.HasPrefix(r.Path, Prefix) || foreignPath(r.Path)) && !strings.HasSuffix(r.Path, "openapi.json") {
			mounted++
		}
	}
	if mounted != documented {
		t.Errorf("%d routes are mounted, %d documented", mounted, documented)
	}
}
