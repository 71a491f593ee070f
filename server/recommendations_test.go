package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/domains/practice"
)

type fakeRecommender struct{ asked []string }

func (f *fakeRecommender) List(_ context.Context, learner string) (practice.Recommendations, error) {
	f.asked = append(f.asked, learner)
	if learner != "ann" {
		return practice.Recommendations{}, practice.ErrOnboarding
	}
	return practice.Recommendations{MadeAt: 7, Suggestions: []practice.Suggestion{{Partner: practice.Choice{ID: "clients", Label: "Clients"},
		Reasons: []practice.Reason{{Code: "level", Text: "why"}}}}}, nil
}

func TestRecommendationsAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	rec := &fakeRecommender{}
	f := newFixture(t, func(d *Deps) { d.Recommendations = rec })
	for _, c := range []struct {
		token  string
		status int
		want   string
	}{
		{"ann", 200, `"suggestions":[{"partner":{"id":"clients","label":"Clients"}`},
		{"bob", 409, `"onboarding_incomplete"`},
		{"", 401, `"unauthenticated"`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Prefix+"/recommendations?learner=ann", nil)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer tok-"+c.token)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%q: got %d %s, want %d %s", c.token, w.Code, w.Body, c.status, c.want)
		}
	}
	if got := strings.Join(rec.asked, " "); got != "ann bob" {
		t.Errorf("asked for %q", got)
	}
}
