package sqlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var answers = []struct{ step, value string }{
	{"language", `{"language":"pt-BR"}`},
	{"industry", `{"other":"Beekeeping ? ' \" \\ ''; --"}`},
	{"job", `{"title":"Beekeeper 蜂","description":"I keep bees.\nAnd sell honey."}`},
	{"role", `{"custom":{"title":"Bee guide","description":"I show guests around."}}`},
	{"partners", `{"partners":[{"custom":"Bees"},{"partner":"customers"}]}`},
	{"situations", `{"situations":[{"partner":"customers","situations":[{"situation":"negotiations"},{"custom":"Honey tasting"}]},{"partner":"custom:Bees","situations":[{"situation":"informal_chats"}]}]}`},
	{"level", `{"level":"B2"}`},
	{"summary", `{"confirmed":true}`},
}

func TestWalkAndResume(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var last onboarding.Overview
		for i, a := range answers {
			// A new service each time: nothing lives in memory.
			s := onboarding.New(sqlstore.New(db), nil, nil)
			o, err := s.Get(t.Context(), "ana")
			if err != nil || string(o.CurrentStep) != a.step {
				t.Fatalf("stands at %s, %v, want %s", o.CurrentStep, err, a.step)
			}
			if last, err = s.Answer(t.Context(), "ana", a.step, json.RawMessage(a.value)); err != nil {
				t.Fatal(err)
			}
			if !last.Steps[i].Done {
				t.Fatalf("%s is not done", a.step)
			}
		}
		s := onboarding.New(sqlstore.New(db), nil, nil)
		done, err := s.Complete(t.Context(), "ana")
		if err != nil || !done.Complete {
			t.Fatalf("got %+v, %v", done, err)
		}
		got, err := s.Get(t.Context(), "ana")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(done, got); d != "" {
			t.Fatal(d)
		}
		last.Complete = true
		if d := cmp.Diff(last, got); d != "" {
			t.Fatal(d)
		}
		p, err := sqlstore.New(db).Get(t.Context(), "ana")
		if err != nil || p.Record().Version != int64(len(answers)+1) || time.Since(p.Record().CompletedAt).Abs() > time.Minute {
			t.Fatalf("got %+v, %v", p.Record(), err)
		}
		if p.View().Partners[0].Slug != "custom:Bees" || p.View().Industry != "Beekeeping ? ' \" \\ ''; --" {
			t.Fatalf("got %+v", p.View())
		}
	})
}

func TestRefusedAnswerStoresNothing(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := onboarding.New(sqlstore.New(db), nil, nil)
		if _, err := s.Answer(t.Context(), "ana", "level", json.RawMessage(`{"level":"B1"}`)); fault.CodeOf(err) != fault.StepOutOfOrder {
			t.Fatalf("got %v, want step_out_of_order", err)
		}
		var n int
		if err := db.Conn(t.Context()).QueryRowContext(t.Context(), "SELECT count(*) FROM onboarding_profiles").Scan(&n); err != nil || n != 0 {
			t.Fatalf("%d rows, %v, want none", n, err)
		}
	})
}

// TestConcurrentEdits has fifty writers change every step at once. Each edit
// that was taken is in the version; whatever order they came in, the profile
// that is left keeps every rule.
func TestConcurrentEdits(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := onboarding.New(sqlstore.New(db), nil, nil)
		for _, a := range answers {
			if _, err := s.Answer(t.Context(), "ana", a.step, json.RawMessage(a.value)); err != nil {
				t.Fatal(err)
			}
		}
		edits := []struct{ step, value string }{
			{"industry", `{"industry":"insurance"}`},
			{"role", `{"role":"underwriter"}`},
			{"industry", `{"industry":"real_estate"}`},
			{"role", `{"role":"commercial_broker"}`},
			{"partners", `{"partners":[{"partner":"clients"},{"partner":"customers"}]}`},
			{"partners", `{"partners":[{"partner":"customers"}]}`},
			{"situations", `{"situations":[{"partner":"customers","situations":[{"situation":"meetings"}]}]}`},
			{"level", `{"level":"C1"}`},
			{"summary", `{"confirmed":true}`},
			{"language", `{"language":"de"}`},
		}
		var taken atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				e := edits[i%len(edits)]
				_, err := s.Answer(t.Context(), "ana", e.step, json.RawMessage(e.value))
				switch fault.CodeOf(err) {
				case "":
					taken.Add(1)
				case fault.StepOutOfOrder, fault.Invalid:
				default:
					t.Errorf("%s: got %v", e.step, err)
				}
			})
		}
		wg.Wait()
		p, err := sqlstore.New(db).Get(t.Context(), "ana")
		if err != nil {
			t.Fatal(err)
		}
		r := p.Record()
		if want := int64(len(answers)) + taken.Load(); r.Version != want {
			t.Fatalf("version %d, want %d: an edit was lost", r.Version, want)
		}
		if role, ok := onboarding.Reference().Role(r.Role.Slug); ok && role.Industry != r.Industry.Slug {
			t.Fatalf("role %s in industry %s", r.Role.Slug, r.Industry.Slug)
		}
		if len(r.Partners) == 0 {
			t.Fatal("no partners are left")
		}
		chosen := map[string]bool{}
		for _, c := range r.Partners {
			chosen[c.Key()] = true
		}
		for _, e := range r.Situations {
			if !chosen[e.Partner] || len(e.Situations) == 0 {
				t.Fatalf("situations of %q: %+v", e.Partner, e.Situations)
			}
		}
		if r.Confirmed && p.Open() != onboarding.StepComplete {
			t.Fatalf("confirmed, and yet %s is open", p.Open())
		}
	})
}

func TestFirstAnswersAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := onboarding.New(sqlstore.New(db), nil, nil)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := s.Answer(t.Context(), onboarding.LearnerID(fmt.Sprint("l", i%4)), "language", json.RawMessage(`{"language":"de"}`)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range 4 {
			p, err := sqlstore.New(db).Get(t.Context(), onboarding.LearnerID(fmt.Sprint("l", i)))
			if err != nil || p.Record().Version != 5 {
				t.Fatalf("version %d, %v, want 5", p.Record().Version, err)
			}
		}
	})
}

// TestLostRace changes the row behind Update's back, as only a store without
// the lock could: the change is not overwritten.
func TestLostRace(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store := sqlstore.New(db)
		calls := 0
		err := db.InTx(t.Context(), func(ctx context.Context) error {
			return store.Update(ctx, "ana", func(*onboarding.Profile) error {
				calls++
				_, err := db.Conn(ctx).ExecContext(ctx, "UPDATE onboarding_profiles SET version = version + 1 WHERE learner_id = 'ana'")
				return err
			})
		})
		if fault.CodeOf(err) != fault.Conflict || calls != 5 {
			t.Fatalf("got %v after %d calls, want a conflict after 5", err, calls)
		}
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	store := sqlstore.New(db)
	boom := errors.New("boom")
	if err := store.Update(t.Context(), "ana", func(*onboarding.Profile) error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("got %v, want %v", err, boom)
	}
	if _, err := db.Conn(t.Context()).ExecContext(t.Context(),
		"INSERT INTO onboarding_profiles (learner_id, version, complete, document, created_at, updated_at) VALUES ('bad', 1, 0, 'no json', 0, 0)"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), "bad"); fault.CodeOf(err) != fault.StorageUnavailable {
		t.Fatalf("got %v, want storage_unavailable", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), "ana"); fault.CodeOf(err) != fault.StorageUnavailable {
		t.Fatalf("got %v, want storage_unavailable", err)
	}
}
