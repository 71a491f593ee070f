package sqlstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/domains/practice/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

type chosen map[string]practice.Profile

func (c chosen) Profile(_ context.Context, learner string) (practice.Profile, error) {
	return c[learner], nil
}

func partner(name string, situations ...string) practice.ProfilePartner {
	p := practice.ProfilePartner{Choice: practice.Choice{ID: name, Label: name}}
	for _, s := range situations {
		p.Situations = append(p.Situations, practice.Choice{ID: s, Label: s})
	}
	return p
}

func TestRecommendations(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store := sqlstore.New(db)
		now := time.UnixMilli(1000)
		profiles := chosen{
			"open": {},
			"ann": {Complete: true, Level: "B1", JobRole: "Nurse", Partners: []practice.ProfilePartner{
				partner("patients", "advice", "bad news"), partner("doctors", "handover", "rounds", "phone", "night", "audit")}},
			"bob": {Complete: true, Level: "A2", Partners: []practice.ProfilePartner{partner("clients", "meetings")}},
		}
		r := practice.NewRecommender(profiles, store, func() time.Time { return now })
		list := func(learner string) practice.Recommendations {
			t.Helper()
			got, err := r.List(t.Context(), learner)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		stored := func(learner string) int64 {
			t.Helper()
			got, basis, err := store.Recommendations(t.Context(), learner)
			if err != nil {
				t.Fatal(err)
			}
			if basis == "" {
				return 0
			}
			return got.MadeAt
		}
		refresh := func(learner string) {
			t.Helper()
			if err := r.Refresh(t.Context(), learner); err != nil {
				t.Fatal(err)
			}
		}
		pairs := func(l practice.Recommendations) (out []string) {
			for _, s := range l.Suggestions {
				out = append(out, fmt.Sprintf("%s/%s", s.Partner.ID, s.Situation.ID))
			}
			return out
		}
		if _, err := r.List(t.Context(), "open"); fault.CodeOf(err) != fault.OnboardingOpen {
			t.Fatalf("got %v, want onboarding_incomplete", err)
		}
		refresh("open")
		if stored("open") != 0 {
			t.Fatal("a list for a learner whose onboarding is open")
		}
		// Before the job has run the list is there already, and it is the same.
		first := list("ann")
		refresh("ann")
		if stored("ann") != 1000 || cmp.Diff(first, list("ann")) != "" {
			t.Fatal("the stored list is another one")
		}
		want := []string{"patients/advice", "doctors/handover", "patients/bad news", "doctors/rounds", "doctors/phone", "doctors/night"}
		if got := pairs(first); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		var codes []string
		for _, reason := range first.Suggestions[1].Reasons {
			codes = append(codes, reason.Code)
			if reason.Text == "" {
				t.Errorf("%s says nothing", reason.Code)
			}
		}
		if !slices.Equal(codes, []string{"partner_priority", "situation_priority", "level", "role"}) {
			t.Fatalf("got reasons %v", codes)
		}
		// Stable while the choices are the same, new when they change.
		now = time.UnixMilli(2000)
		refresh("ann")
		if stored("ann") != 1000 {
			t.Fatal("made anew without a reason")
		}
		a := profiles["ann"]
		a.Partners = []practice.ProfilePartner{a.Partners[1], a.Partners[0]}
		profiles["ann"] = a
		if got := pairs(list("ann")); got[0] != "doctors/handover" {
			t.Fatalf("got %v right after the change", got)
		}
		refresh("ann")
		if stored("ann") != 2000 || pairs(list("ann"))[0] != "doctors/handover" {
			t.Fatal("not made anew after a change")
		}
		if got := pairs(list("bob")); !slices.Equal(got, []string{"clients/meetings"}) {
			t.Fatalf("bob got %v", got)
		}
		exported := 0
		if err := store.ExportPersonal(t.Context(), "ann", func(kind string, _ any) error {
			if kind == "recommendations" {
				exported++
			}
			return nil
		}); err != nil || exported != 1 {
			t.Fatalf("exported %d lists, %v", exported, err)
		}
		if err := store.ErasePersonal(t.Context(), "ann"); err != nil || stored("ann") != 0 {
			t.Fatalf("not erased: %v", err)
		}
	})
}
