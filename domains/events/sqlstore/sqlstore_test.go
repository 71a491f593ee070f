package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func registered(id string) events.Event {
	return events.New(id, events.LearnerRegistered{LearnerID: id})
}

func record(t *testing.T, s *sqlstore.Store, evs ...events.Event) {
	t.Helper()
	if err := s.Record(t.Context(), evs...); err != nil {
		t.Fatal(err)
	}
}

// seal gives every event its position.
func seal(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	for {
		n, err := s.Seal(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func read(t *testing.T, s *sqlstore.Store, q events.Query) []events.Event {
	t.Helper()
	evs, err := s.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return evs
}

func count(t *testing.T, db *sqldb.DB, table string) (n int) {
	t.Helper()
	if err := db.Conn(t.Context()).QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReadByAggregateTypeTimeAndPosition(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
		s := sqlstore.New(db, sqlstore.Options{Now: func() time.Time { return now }})
		ctx := correlation.With(t.Context(), "req-1")
		if err := s.Record(ctx, registered("a"), registered("b"), events.New("a", events.EmailVerified{LearnerID: "a"})); err != nil {
			t.Fatal(err)
		}
		if got := read(t, s, events.Query{}); len(got) != 0 {
			t.Fatalf("got %d events without a position", len(got))
		}
		a := read(t, s, events.Query{Aggregate: events.Aggregate{Kind: "learner", ID: "a"}})
		if len(a) != 2 || a[0].Sequence != 1 || a[1].Sequence != 2 || a[1].Type != "learner.email_verified" {
			t.Fatalf("got %+v", a)
		}
		if a[0].Correlation != "req-1" || !a[0].At.Equal(now) || a[0].Actor != "a" || string(a[0].Data) != `{"learner_id":"a"}` {
			t.Fatalf("got %+v", a[0])
		}
		seal(t, s)
		now = now.Add(time.Hour)
		record(t, s, registered("c"))
		seal(t, s)
		for name, c := range map[string]struct {
			q    events.Query
			want string
		}{
			"all":            {events.Query{}, "1 2 3 4"},
			"after":          {events.Query{AfterPosition: 2}, "3 4"},
			"type":           {events.Query{Type: "learner.registered"}, "1 2 4"},
			"since":          {events.Query{Since: now}, "4"},
			"until":          {events.Query{Until: now}, "1 2 3"},
			"kind and limit": {events.Query{Aggregate: events.Aggregate{Kind: "learner"}, Limit: 2}, "1 2"},
			"aggregate":      {events.Query{Aggregate: events.Aggregate{Kind: "learner", ID: "a"}, AfterSequence: 1}, "3"},
			"nothing":        {events.Query{Type: "learner.erased"}, ""},
		} {
			var got []string
			for _, e := range read(t, s, c.q) {
				got = append(got, fmt.Sprint(e.Position))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: got %v, want %s", name, got, c.want)
			}
		}
	})
}

func TestExpectedSequence(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := sqlstore.New(db, sqlstore.Options{})
		e := registered("a")
		e.Sequence = 1
		record(t, s, e)
		for _, wrong := range []int64{1, 3} {
			e := events.New("a", events.EmailVerified{LearnerID: "a"})
			e.Sequence = wrong
			if err := s.Record(t.Context(), e); fault.CodeOf(err) != fault.Conflict {
				t.Fatalf("sequence %d: got %v, want a conflict", wrong, err)
			}
		}
		if err := s.Record(t.Context(), events.Event{Type: "Nonsense"}); !errors.Is(err, events.ErrEvent) {
			t.Fatalf("got %v, want ErrEvent", err)
		}
		again := registered("b")
		again.ID = read(t, s, events.Query{Aggregate: events.Aggregate{Kind: "learner", ID: "a"}})[0].ID
		if err := s.Record(t.Context(), again); fault.CodeOf(err) != fault.Conflict {
			t.Fatalf("an id used twice: got %v, want a conflict", err)
		}
		if n := count(t, db, "events"); n != 1 {
			t.Fatalf("got %d events, want 1", n)
		}
	})
}

func TestOneOfManyWithTheSameExpectation(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := sqlstore.New(db, sqlstore.Options{})
		var wg sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			wg.Go(func() {
				e := registered("a")
				e.Sequence = 1
				errs[i] = s.Record(context.WithoutCancel(t.Context()), e)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case fault.CodeOf(err) != fault.Conflict:
				t.Errorf("got %v, want a conflict", err)
			}
		}
		if won != 1 || count(t, db, "events") != 1 {
			t.Fatalf("%d won, want 1", won)
		}
	})
}

func TestConcurrentAppendsKeepOneChain(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := sqlstore.New(db, sqlstore.Options{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 5 {
					if err := s.Record(context.WithoutCancel(t.Context()), registered([]string{"a", "b"}[i%2])); err != nil {
						t.Error(err)
					}
					if _, err := s.Seal(context.WithoutCancel(t.Context()), 3); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		seal(t, s)
		all := read(t, s, events.Query{})
		next := map[string]int64{}
		for i, e := range all {
			next[e.Aggregate.ID]++
			if e.Position != int64(i+1) || e.Sequence != next[e.Aggregate.ID] {
				t.Fatalf("place %d: position %d, sequence %d of %s, want %d", i, e.Position, e.Sequence, e.Aggregate.ID, next[e.Aggregate.ID])
			}
		}
		if len(all) != 40 {
			t.Fatalf("got %d events, want 40", len(all))
		}
		r, err := s.Verify(t.Context(), "")
		if err != nil || len(r.Findings) != 0 || r.Events != 40 || r.Aggregates != 2 {
			t.Fatalf("got %+v, %v", r, err)
		}
	})
}

// TestRecordIsPartOfTheTransaction kills the unit of work after each of its
// writes and wants nothing of it left.
func TestRecordIsPartOfTheTransaction(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var told []string
		s := sqlstore.New(db, sqlstore.Options{Recorded: func(types []string) { told = append(told, types...) }})
		killed := errors.New("killed")
		dieIn := 0
		write := func(ctx context.Context, id string) error {
			_, err := db.Conn(ctx).ExecContext(ctx, "INSERT INTO mails (key, state, at) VALUES (?, 'x', 0)", id)
			return err
		}
		s.Subscribe("learner.registered", func(ctx context.Context, e events.Event) error {
			if err := write(ctx, "sub-"+e.ID); err != nil {
				return err
			}
			if dieIn == 3 {
				return killed
			}
			return nil
		})
		unit := func() error {
			return db.InTx(t.Context(), func(ctx context.Context) error {
				if err := write(ctx, "own"); err != nil {
					return err
				}
				if dieIn == 1 {
					return killed
				}
				if err := s.Record(ctx, events.New("a", events.EmailVerified{LearnerID: "a"})); err != nil {
					return err
				}
				if dieIn == 2 {
					return killed
				}
				if err := s.Record(ctx, registered("a")); err != nil {
					return err
				}
				if dieIn == 4 {
					return killed
				}
				return nil
			})
		}
		for dieIn = 1; dieIn <= 4; dieIn++ {
			if err := unit(); !errors.Is(err, killed) {
				t.Fatalf("step %d: got %v", dieIn, err)
			}
			for _, table := range []string{"mails", "events", "event_heads", "event_outbox"} {
				if n := count(t, db, table); n != 0 {
					t.Fatalf("killed at step %d, %d rows of %s are left", dieIn, n, table)
				}
			}
		}
		if len(told) != 0 {
			t.Fatalf("told %q of what was taken back", told)
		}
		if err := unit(); err != nil {
			t.Fatal(err)
		}
		if count(t, db, "mails") != 2 || count(t, db, "events") != 2 || count(t, db, "event_outbox") != 2 {
			t.Fatal("the unit of work is not whole")
		}
		if got := strings.Join(told, " "); got != "learner.email_verified learner.registered" {
			t.Fatalf("told %q", got)
		}
	})
}
