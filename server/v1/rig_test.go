package v1_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/authentication"
	authsql "github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	onboardingsql "github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/server"
	v1 "github.com/fluentpro/fluentpro/server/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden answers anew")

// rig is the surface on the real server, over the real use cases on SQLite.
// Only the engine behind the interview is a stand-in; the end-to-end tests of
// the binary have the real one.
type rig struct {
	t       *testing.T
	handler http.Handler
	api     *v1.API
	talk    *talk
	sick    atomic.Bool
	// names are what stands in the golden files for values made at random.
	names map[string]string
	cases map[string][]golden
}

// golden is one exchange as it stands in a file.
type golden struct {
	Case    string          `json:"case"`
	Request string          `json:"request"`
	Body    json.RawMessage `json:"body,omitempty"`
	Status  int             `json:"status"`
	Answer  json.RawMessage `json:"answer"`
}

func newRig(t *testing.T) *rig { return newRigWith(t, slog.New(slog.DiscardHandler)) }

func newRigWith(t *testing.T, log *slog.Logger) *rig {
	t.Helper()
	db := sqldbtest.SQLite(t)
	auth, err := authentication.New(t.Context(), authsql.New(db), authentication.Config{
		Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, talk: &talk{}, names: map[string]string{}, cases: map[string][]golden{}}
	onb := onboarding.New(onboardingsql.New(db), matcher{}, nil)
	r.api, err = v1.New(v1.Deps{Authentication: auth, Onboarding: onb, Interviews: r.talk,
		Healthy: func(context.Context) bool { return !r.sick.Load() }, Version: "1.2.3", Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r.handler, err = server.New(server.Deps{Logger: log, Authenticator: server.NewAuthenticator(auth),
		Authentication: auth, Onboarding: onb, V1: r.api})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// call asks the server; out is the decoded answer.
func (r *rig) call(method, path, token, body string) (*httptest.ResponseRecorder, map[string]any) {
	r.t.Helper()
	q := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	q.Host = "127.0.0.1"
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, q)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		r.t.Fatalf("%s %s: %d %q", method, path, w.Code, w.Body)
	}
	return w, out
}

// does asks and keeps the exchange for the golden file of its route.
func (r *rig) does(name, route, method, path, token, body string, status int) map[string]any {
	r.t.Helper()
	w, out := r.call(method, path, token, body)
	if w.Code != status {
		r.t.Fatalf("%s, %s: got %d %s, want %d", route, name, w.Code, w.Body, status)
	}
	ok := status < 300
	if out["success"] != ok {
		r.t.Fatalf("%s, %s: success is %v at %d", route, name, out["success"], status)
	}
	if !ok {
		r.wantError(w, out)
	}
	g := golden{Case: name, Request: method + " " + r.mask(path), Status: status, Answer: json.RawMessage(r.mask(w.Body.String()))}
	if json.Valid([]byte(body)) {
		g.Body = json.RawMessage(r.mask(body))
	}
	r.cases[route] = append(r.cases[route], g)
	return out
}

// wantError checks the whole shape of an error.
func (r *rig) wantError(w *httptest.ResponseRecorder, out map[string]any) {
	r.t.Helper()
	code, _ := out["error_code"].(string)
	text, _ := out["error"].(string)
	if text == "" || string(fault.SpecOf(fault.Code(code)).Code) != code || w.Header().Get("Deprecation") == "" {
		r.t.Fatalf("%d: no error of v1: %s", w.Code, w.Body)
	}
	for k := range out {
		if k != "success" && k != "error" && k != "error_code" && k != "details" {
			r.t.Fatalf("an error of v1 has no %q: %s", k, w.Body)
		}
	}
}

var (
	masks = []struct {
		what *regexp.Regexp
		by   string
	}{
		{regexp.MustCompile(`"(access|refresh)_token":"[^"]{20,}"`), `"${1}_token":"<token>"`},
		{regexp.MustCompile(`"(created|updated)_at":"[^"]+"`), `"${1}_at":"<time>"`},
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "<learner>"},
	}
)

func (r *rig) mask(s string) string {
	for value, name := range r.names {
		s = strings.ReplaceAll(s, value, name)
	}
	for _, m := range masks {
		s = m.what.ReplaceAllString(s, m.by)
	}
	return s
}

// compare holds every exchange against its file.
func (r *rig) compare() {
	r.t.Helper()
	for route, list := range r.cases {
		got, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			r.t.Fatal(err)
		}
		file := filepath.Join("testdata", route+".json")
		if *update {
			if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
				r.t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)+"\n"); d != "" {
			r.t.Errorf("%s differs from %s; if that is meant, run go test ./server/v1 -update\n%s", route, file, d)
		}
	}
	for _, route := range r.api.Routes() {
		good, bad := false, false
		for _, g := range r.cases[route.Name] {
			good, bad = good || g.Status < 300, bad || g.Status >= 400
		}
		if !good || !bad {
			r.t.Errorf("%s: has a good case %v, a bad one %v", route.Name, good, bad)
		}
	}
}

// matcher finds the same two roles for a job that is told in English: how well
// roles are found is tested where that is done.
type matcher struct{}

func (matcher) Match(_ context.Context, q onboarding.Question) ([]onboarding.RoleMatch, error) {
	if !strings.Contains(q.Job.Title, "analyst") {
		return nil, nil
	}
	return []onboarding.RoleMatch{{Role: "credit_analyst", Strength: onboarding.Strong}, {Role: "loan_officer", Strength: onboarding.Possible}}, nil
}

// talk stands in for the engine: it repeats what it was told.
type talk struct {
	mu   sync.Mutex
	said []string
	err  error
}

func (k *talk) Start(context.Context, string, string) (string, error) { return "c1", nil }

func (k *talk) Say(_ context.Context, _, conversation, clientID, text string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.said = append(k.said, clientID+" "+text)
	if conversation != "c1" {
		return "", fault.New(fault.NotFound, "There is no such conversation.")
	}
	return "I see. What else?", k.err
}

var errBroken = errors.New("pq: secret host 10.0.0.7 refused")
