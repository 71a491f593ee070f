package azuresearch_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/azuresearch"
	"github.com/fluentpro/fluentpro/domains/onboarding/azuresearch/standin"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const indexName = "roles-test"

type rig struct {
	service *standin.Service
	url     string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s := &standin.Service{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return &rig{s, srv.URL}
}

func (r *rig) client(t *testing.T, key, index string) *azuresearch.Client {
	t.Helper()
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	c, err := azuresearch.New(azuresearch.Config{Endpoint: r.url, Key: key, Index: index, Transport: base,
		Guard: resilience.New(resilience.Config{Service: "azure_search", Base: time.Nanosecond})})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// filled is a service with our roles and a client that may only search.
func filled(t *testing.T) (*rig, *azuresearch.Client) {
	t.Helper()
	r := newRig(t)
	admin := r.client(t, standin.AdminKey, indexName)
	if err := admin.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := admin.Fill(t.Context(), onboarding.Reference().Roles); err != nil {
		t.Fatal(err)
	}
	return r, r.client(t, standin.QueryKey, indexName)
}

func question(title, description, industry string) onboarding.Question {
	return onboarding.Question{Learner: "ana", Job: onboarding.Job{Title: title, Description: description}, Industry: industry,
		Candidates: onboarding.Reference().RolesOf(industry)}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	r, c := filled(t)
	got, err := c.Match(t.Context(), question("Underwriter", "Brokers send me risks; I decide on the premium of a policy.", "insurance"))
	if err != nil || len(got) == 0 || len(got) > 5 || got[0].Role != "underwriter" || got[0].Strength != onboarding.Strong {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, m := range got {
		role, ok := onboarding.Reference().Role(m.Role)
		if !ok || role.Industry != "insurance" || m.Title != role.Title || m.Description != role.Description {
			t.Fatalf("got %+v", m)
		}
		if m.Strength != onboarding.Strong && m.Strength != onboarding.Possible {
			t.Fatalf("strength %q", m.Strength)
		}
	}
	q := r.service.Queries()
	last := q[len(q)-1]
	if last.Filter != "industry eq 'insurance'" || last.QueryType != "simple" || last.SearchMode != "any" || *last.Top != 5 || last.Select != "id" {
		t.Fatalf("asked %+v", last)
	}
	// Any industry asks without a filter; nothing shared finds nothing.
	got, err = c.Match(t.Context(), question("Beekeeper", "Honey, hives, swarms.", ""))
	if err != nil || got == nil || len(got) != 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if q := r.service.Queries(); q[len(q)-1].Filter != "" {
		t.Fatalf("asked %+v", q[len(q)-1])
	}
}

// TestFilterValuesAreEscaped: the stand-in parses what it is sent and refuses
// a literal that is not one.
func TestFilterValuesAreEscaped(t *testing.T) {
	t.Parallel()
	r, c := filled(t)
	for _, industry := range []string{"O'x", "' or industry ne '", "''", "it's 'quoted'", "x' eq 'x"} {
		q := question("Underwriter", "I decide on the premium of a policy.", "insurance")
		q.Industry = industry
		got, err := c.Match(t.Context(), q)
		if err != nil || len(got) != 0 {
			t.Errorf("%q: got %+v, %v, want none", industry, got, err)
		}
		r.service.Put(indexName, map[string]any{"id": "underwriter", "title": "underwriter", "industry": industry})
		if got, err = c.Match(t.Context(), q); err != nil || len(got) != 1 || got[0].Role != "underwriter" {
			t.Errorf("%q: got %+v, %v, want the one of that industry", industry, got, err)
		}
	}
}

// TestWordsAreNoOperators: a dash in a job must not exclude what follows.
func TestWordsAreNoOperators(t *testing.T) {
	t.Parallel()
	r, c := filled(t)
	got, err := c.Match(t.Context(), question(`"Underwriter" (risk)`, `-premium +policy | terms* ~brokers -- "unfinished`, "insurance"))
	if err != nil || len(got) == 0 || got[0].Role != "underwriter" {
		t.Fatalf("got %+v, %v", got, err)
	}
	q := r.service.Queries()
	if s := q[len(q)-1].Search; strings.ContainsAny(s, `"+-|*~()\`) {
		t.Fatalf("asked for %q", s)
	}
	if got, err := c.Match(t.Context(), question("--", "!!! ??? ***", "insurance")); err != nil || len(got) != 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := c.Match(t.Context(), question("Underwriter", strings.Repeat("word ", 200)+"policy", "insurance")); err != nil {
		t.Fatal(err)
	}
	q = r.service.Queries()
	if n := len(strings.Fields(q[len(q)-1].Search)); n != 200 {
		t.Fatalf("%d words were sent", n)
	}
}

// TestAnOldIndexShowsNothingThatIsGone: names that we do not have are dropped.
func TestAnOldIndexShowsNothingThatIsGone(t *testing.T) {
	t.Parallel()
	r, c := filled(t)
	r.service.Put(indexName, map[string]any{"id": "lamp_lighter", "title": "underwriter underwriter", "industry": "insurance"})
	got, err := c.Match(t.Context(), question("Underwriter", "I decide on the premium of a policy.", "insurance"))
	if err != nil || slices.ContainsFunc(got, func(m onboarding.RoleMatch) bool { return m.Role == "lamp_lighter" }) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestFillAndStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	roles := onboarding.Reference().Roles
	c := r.client(t, standin.AdminKey, indexName)
	status := func() azuresearch.Status {
		t.Helper()
		s, err := c.Status(t.Context(), roles)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := status(); s.Exists || s.Good() || s.Roles != len(roles) {
		t.Fatalf("got %+v before create", s)
	}
	if err := c.Fill(t.Context(), roles); fault.CodeOf(err) != fault.DependencyUnavailable {
		t.Fatalf("got %v without an index", err)
	}
	for range 2 { // both may be repeated
		if err := c.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := status(); !s.Exists || s.Documents != 0 || s.Good() {
		t.Fatalf("got %+v before fill", s)
	}
	for range 2 {
		if err := c.Fill(t.Context(), roles); err != nil {
			t.Fatal(err)
		}
	}
	if s := status(); !s.Good() || s.Documents != len(roles) {
		t.Fatalf("got %+v after fill", s)
	}

	// Other data: one role fewer, one changed.
	fewer := slices.Clone(roles[1:])
	fewer[0].Title = "Changed"
	if s, err := c.Status(t.Context(), fewer); err != nil || s.Good() || s.Current != 0 {
		t.Fatalf("got %+v, %v for other data", s, err)
	}
	// While searches lag behind, nothing that was just written is taken out.
	r.service.SetLag(true)
	if err := c.Fill(t.Context(), fewer); err != nil {
		t.Fatal(err)
	}
	r.service.SetLag(false)
	if got := r.service.Keys(indexName); len(got) != len(fewer) || slices.Contains(got, roles[0].Slug) {
		t.Fatalf("%d documents, want the %d there should be", len(got), len(fewer))
	}
	if s, err := c.Status(t.Context(), fewer); err != nil || !s.Good() {
		t.Fatalf("got %+v, %v", s, err)
	}
}

func TestWhatAzureRefuses(t *testing.T) {
	t.Parallel()
	r, reader := filled(t)
	roles := onboarding.Reference().Roles
	// A query key may search and nothing else.
	for name, err := range map[string]error{"create": reader.Create(t.Context()), "fill": reader.Fill(t.Context(), roles)} {
		var e *azuresearch.Error
		if !errors.As(err, &e) || e.Status != http.StatusForbidden {
			t.Errorf("%s with a query key: %v", name, err)
		}
	}
	if _, err := r.client(t, "wrong", indexName).Match(t.Context(), question("Underwriter", "policy", "")); fault.CodeOf(err) != fault.DependencyUnavailable || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong key: %v", err)
	}
	// Documents that were not taken are told, and the next try makes it good.
	admin := r.client(t, standin.AdminKey, indexName)
	r.service.Refuse("lawyer", "concierge")
	if err := admin.Fill(t.Context(), roles); err == nil || !strings.Contains(err.Error(), "documents") || !strings.Contains(err.Error(), "422") {
		t.Errorf("got %v", err)
	}
	r.service.Refuse()
	if err := admin.Fill(t.Context(), roles); err != nil {
		t.Error(err)
	}
}

func TestWordsStandInWhenAzureIsDown(t *testing.T) {
	t.Parallel()
	r, c := filled(t)
	var heard error
	m := onboarding.Or(c, onboarding.WordMatcher{}, func(err error) { heard = err })
	q := question("Underwriter", "I decide on the premium of a policy.", "insurance")
	r.service.SetDown(true)
	got, err := m.Match(t.Context(), q)
	if err != nil || got[0].Role != "underwriter" || fault.CodeOf(heard) != fault.DependencyUnavailable {
		t.Fatalf("got %+v, %v, heard %v", got, err, heard)
	}
	r.service.SetDown(false)
	// An index without documents is no dead end either, and no failure.
	empty := r.client(t, standin.AdminKey, "empty")
	if err := empty.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	heard = nil
	if got, err = onboarding.Or(empty, onboarding.WordMatcher{}, func(err error) { heard = err }).Match(t.Context(), q); err != nil || got[0].Role != "underwriter" || heard != nil {
		t.Fatalf("got %+v, %v, heard %v", got, err, heard)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>secret")) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				t.Error("the key was carried on")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"an error in words": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"code":"secret words","message":"secret"}}`))
		},
	} {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		c := (&rig{url: srv.URL}).client(t, "k", indexName)
		if _, err := c.Match(t.Context(), question("Underwriter", "policy", "")); fault.CodeOf(err) != fault.DependencyUnavailable || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	g := resilience.New(resilience.Config{Service: "x"})
	for _, c := range []struct{ endpoint, index string }{
		{"", "roles"}, {"search.windows.net", "roles"}, {"ftp://h", "roles"}, {"https://u:p@h", "roles"}, {"https://h/indexes", "roles"},
		{"https://h?x=1", "roles"}, {"https://h", ""}, {"https://h", "r"}, {"https://h", "Roles"}, {"https://h", "a--b"}, {"https://h", "a/b"},
		{"https://h", "-ab"}, {"https://h", "ab-"}, {"https://h", strings.Repeat("a", 129)},
	} {
		if _, err := azuresearch.New(azuresearch.Config{Endpoint: c.endpoint, Index: c.index, Guard: g}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q %q: %v", c.endpoint, c.index, err)
		}
	}
	for _, index := range []string{"ro", "roles", "roles-2", strings.Repeat("a", 128)} {
		if _, err := azuresearch.New(azuresearch.Config{Endpoint: "https://h/", Index: index, Guard: g}); err != nil {
			t.Error(err)
		}
	}
}
