package sqlstore_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/fluentpro/fluentpro/domains/events"
	eventsql "github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// walks has more than one for each step, so that a walk over them changes
// and drops what was said before.
var walks = map[string][]string{
	"language":   {`{"language":"zh_Hant"}`, `{"language":"de"}`},
	"industry":   {`{"industry":"banking_finance"}`, `{"other":"Bell founding"}`},
	"job":        {`{"title":"Relationship manager","description":"I look after corporate clients and their loans."}`, `{"title":"Analyst","description":"I write reports on loans for the board."}`},
	"role":       {`{"custom":{"title":"Bell founder","description":"I cast bells and sell them to churches."}}`},
	"partners":   {`{"partners":[{"partner":"clients"}]}`, `{"partners":[{"partner":"clients"},{"custom":"The bishop"}]}`},
	"situations": {`{"situations":[{"partner":"clients","situations":[{"situation":"meetings"}]}]}`, `{"situations":[{"partner":"clients","situations":[{"situation":"meetings"}]},{"partner":"custom:The bishop","situations":[{"custom":"Blessing"}]}]}`},
	"level":      {`{"level":"B1"}`, `{"level":"C1"}`},
	"summary":    {`{"confirmed":true}`},
}

// TestRebuiltFromEventsEqualsStored walks at random through onboarding, many
// refusals included, and compares after each step.
func TestRebuiltFromEventsEqualsStored(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		trail := eventsql.New(db, eventsql.Options{})
		store := sqlstore.New(db).Recording(trail)
		s := onboarding.New(store, nil, nil)
		luck := rand.New(rand.NewPCG(1, 2))
		steps := []string{"language", "industry", "job", "role", "partners", "situations", "level", "summary"}
		changed, completed := 0, 0
		read := func() []events.Event {
			evs, err := trail.Read(t.Context(), events.Query{Aggregate: events.Aggregate{Kind: "onboarding", ID: "ann"}})
			if err != nil {
				t.Fatal(err)
			}
			return evs
		}
		walk := func(step, answer string) {
			before := len(read())
			if step == "complete" {
				if o, err := s.Complete(t.Context(), "ann"); err == nil && o.Complete {
					completed++
				}
			} else {
				_, _ = s.Answer(t.Context(), "ann", step, json.RawMessage(answer)) // a refusal must leave no event
			}
			evs := read()
			if len(evs) > before {
				changed++
			}
			got, err := onboarding.Rebuild(evs)
			if err != nil {
				t.Fatal(err)
			}
			p, err := store.Get(t.Context(), "ann")
			if err != nil {
				t.Fatal(err)
			}
			want, err := json.Marshal(p.Record())
			if err != nil {
				t.Fatal(err)
			}
			if have, err := json.Marshal(got); err != nil || string(have) != string(want) {
				t.Fatalf("after %s %s rebuilt\n%s, %v, stored\n%s", step, answer, have, err, want)
			}
		}
		for _, st := range steps {
			walk(st, walks[st][0])
		}
		walk("complete", "")
		for range 120 {
			st := steps[luck.IntN(len(steps))]
			walk(st, walks[st][luck.IntN(len(walks[st]))])
			walk("complete", "")
		}
		if changed < 30 || completed < 10 {
			t.Fatalf("%d changes and %d completions: the walk went nowhere", changed, completed)
		}
		r, err := trail.Verify(t.Context(), "")
		if err != nil || len(r.Findings) != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if err := trail.Erase(t.Context(), events.Aggregate{Kind: "onboarding", ID: "ann"}); err != nil {
			t.Fatal(err)
		}
		if _, err := onboarding.Rebuild(read()); !errors.Is(err, events.ErrErased) {
			t.Fatalf("got %v, want ErrErased", err)
		}
	})
}

func TestCompletionIsToldOnce(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	trail := eventsql.New(db, eventsql.Options{})
	s := onboarding.New(sqlstore.New(db).Recording(trail), nil, nil)
	for _, st := range []string{"language", "industry", "job", "role", "partners", "situations", "level", "summary"} {
		if _, err := s.Answer(t.Context(), "ann", st, json.RawMessage(walks[st][0])); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := s.Complete(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
	}
	evs, err := trail.Read(t.Context(), events.Query{Aggregate: events.Aggregate{Kind: "onboarding", ID: "ann"}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range evs {
		if e.Type == "onboarding.completed" {
			n++
		}
	}
	if n != 1 || len(evs) != 10 || evs[0].Actor != "ann" {
		t.Fatalf("completed %d times in %d events by %s", n, len(evs), evs[0].Actor)
	}
}
