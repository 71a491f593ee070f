package riverqueue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/domains/jobs/riverqueue"
	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestEnqueuedWithItsCause(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var got []jobs.Job
		var ids []string
		var mu sync.Mutex
		r := open(t, db, riverqueue.Config{}, kind("test.work", jobs.Base, func(ctx context.Context, j jobs.Job) error {
			mu.Lock()
			defer mu.Unlock()
			got, ids = append(got, j), append(ids, correlation.From(ctx))
			return nil
		}))
		boom := errors.New("boom")
		if err := db.InTx(t.Context(), func(ctx context.Context) error {
			if err := r.q.Enqueue(ctx, jobs.Order{Kind: "test.work", Args: "taken back"}); err != nil {
				return err
			}
			return boom
		}); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if err := db.InTx(correlation.With(t.Context(), "req-7"), func(ctx context.Context) error {
			return r.q.Enqueue(ctx, jobs.Order{Kind: "test.work", Args: map[string]int{"n": 7}, Key: "k"})
		}); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.eventually("the job is done", r.state(jobs.Done, 1))
		mu.Lock()
		defer mu.Unlock()
		if len(got) != 1 || got[0].Kind != "test.work" || compact(t, got[0].Args) != `{"n":7}` || got[0].Try != 1 || got[0].Key != "k" || ids[0] != "req-7" {
			t.Fatalf("got %+v %q", got, ids)
		}
		if n := len(r.list(jobs.Filter{})); n != 1 {
			t.Fatalf("%d jobs, want only the committed one", n)
		}
	})
}

// TestPoliciesUnderAFakeClock fails every try and moves the clock to just
// before and to the moment at which each next one is due.
func TestPoliciesUnderAFakeClock(t *testing.T) {
	t.Parallel()
	for _, policy := range []jobs.Policy{jobs.Base, jobs.Critical, jobs.Quick} {
		t.Run(policy.Name, func(t *testing.T) {
			t.Parallel()
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				clock := newClock()
				var tries atomic.Int64
				r := open(t, db, riverqueue.Config{Now: clock.now, Luck: func() float64 { return 0.5 }},
					kind("test.fail", policy, func(context.Context, jobs.Job) error {
						tries.Add(1)
						return errors.New("no luck")
					}))
				r.enqueue(jobs.Order{Kind: "test.fail", Args: 1})
				r.start()
				for failed := 1; failed < min(policy.Tries, 4); failed++ {
					var due time.Time
					r.eventually(fmt.Sprintf("failure %d is noted", failed), func() bool {
						rows := r.list(jobs.Filter{State: jobs.Retrying})
						if len(rows) != 1 || rows[0].Tries != failed {
							return false
						}
						due = rows[0].Due
						return true
					})
					want, _ := policy.Next(failed, clock.now(), 0.5)
					if d := due.Sub(want).Abs(); d > time.Millisecond {
						t.Fatalf("after failure %d due at %v, want %v", failed, due, want)
					}
					if tries.Load() != int64(failed) {
						t.Fatalf("%d tries before the time had come, want %d", tries.Load(), failed)
					}
					clock.advance(want.Sub(clock.now()) + time.Second)
				}
				if policy.Tries <= 4 {
					r.eventually("the job is dead", r.state(jobs.Dead, 1))
					if tries.Load() != int64(policy.Tries) {
						t.Fatalf("%d tries, want %d", tries.Load(), policy.Tries)
					}
				}
			})
		})
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		clock := newClock()
		var ran atomic.Int64
		r := open(t, db, riverqueue.Config{Now: clock.now}, kind("test.work", jobs.Quick, func(_ context.Context, j jobs.Job) error {
			if string(j.Args) == "2" && ran.Load() == 0 {
				t.Error("the delayed job ran first")
			}
			ran.Add(1)
			return nil
		}))
		r.enqueue(jobs.Order{Kind: "test.work", Args: 2, At: clock.now().Add(time.Hour)})
		r.enqueue(jobs.Order{Kind: "test.work", Args: 1})
		r.start()
		r.eventually("the other is done", r.state(jobs.Done, 1))
		if rows := r.list(jobs.Filter{State: jobs.Scheduled}); len(rows) != 1 {
			t.Fatalf("got %+v, want the delayed job scheduled", rows)
		}
		clock.advance(time.Hour + time.Second)
		r.eventually("the delayed job is done", r.state(jobs.Done, 2))
	})
}

func TestUniqueJobs(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		nop := func(context.Context, jobs.Job) error { return nil }
		r := open(t, db, riverqueue.Config{}, kind("test.a", jobs.Quick, nop), kind("test.b", jobs.Quick, nop))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := r.q.Enqueue(context.Background(), jobs.Order{Kind: "test.a", Args: 1, Key: "one"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		r.enqueue(jobs.Order{Kind: "test.b", Args: 1, Key: "one"})
		r.enqueue(jobs.Order{Kind: "test.a", Args: 1, Key: "two"})
		r.enqueue(jobs.Order{Kind: "test.a", Args: 1})
		r.enqueue(jobs.Order{Kind: "test.a", Args: 1})
		if n := len(r.list(jobs.Filter{})); n != 5 {
			t.Fatalf("%d jobs, want 5", n)
		}
		r.start()
		r.eventually("all are done", r.state(jobs.Done, 5))
		r.enqueue(jobs.Order{Kind: "test.a", Args: 1, Key: "one"})
		if n := len(r.list(jobs.Filter{})); n != 5 {
			t.Fatalf("%d jobs, want no second one of a key that is done", n)
		}
	})
}

func TestPriorities(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var mu sync.Mutex
		var order []string
		note := func(_ context.Context, j jobs.Job) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, j.Kind)
			return nil
		}
		low, urgent, normal := kind("test.low", jobs.Quick, note), kind("test.urgent", jobs.Quick, note), kind("test.normal", jobs.Quick, note)
		low.Priority, urgent.Priority = jobs.Low, jobs.Urgent
		r := open(t, db, riverqueue.Config{Workers: map[string]int{jobs.Default: 1}}, low, urgent, normal)
		for _, k := range []string{"test.low", "test.normal", "test.urgent"} {
			r.enqueue(jobs.Order{Kind: k, Args: 1})
		}
		r.start()
		r.eventually("all are done", r.state(jobs.Done, 3))
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(order, []string{"test.urgent", "test.normal", "test.low"}) {
			t.Fatalf("ran as %v", order)
		}
	})
}

func TestConcurrencyPerQueue(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var now, most, other atomic.Int64
		release := make(chan struct{})
		slow := kind("test.slow", jobs.Base, func(ctx context.Context, _ jobs.Job) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		})
		slow.Queue = jobs.Mail
		r := open(t, db, riverqueue.Config{Workers: map[string]int{jobs.Mail: 2, jobs.Upkeep: -1}}, slow,
			kind("test.quick", jobs.Quick, func(context.Context, jobs.Job) error { other.Add(1); return nil }))
		for range 6 {
			r.enqueue(jobs.Order{Kind: "test.slow", Args: 1})
		}
		r.enqueue(jobs.Order{Kind: "test.quick", Args: 1})
		r.start()
		r.eventually("two run", func() bool { return now.Load() == 2 })
		r.eventually("another queue does not wait for them", func() bool { return other.Load() == 1 })
		queues, err := r.q.Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(queues, func(s jobs.QueueState) bool { return s.Queue == jobs.Mail })
		if s := queues[i]; s.Workers != 2 || s.Counts[jobs.Running] != 2 || s.Counts[jobs.Available] != 4 {
			t.Fatalf("got %+v", s)
		}
		close(release)
		r.eventually("all are done", r.state(jobs.Done, 7))
		if most.Load() != 2 {
			t.Fatalf("%d ran at once, want 2", most.Load())
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		never := make(chan struct{})
		once := jobs.Policy{Name: "once", Tries: 1, Limit: 20 * time.Millisecond, Grace: 20 * time.Millisecond}
		r := open(t, db, riverqueue.Config{},
			kind("test.obeys", once, func(ctx context.Context, _ jobs.Job) error { <-ctx.Done(); return ctx.Err() }),
			kind("test.deaf", once, func(context.Context, jobs.Job) error { <-never; return nil }),
			kind("test.panics", once, func(context.Context, jobs.Job) error { panic("a bad day") }))
		for _, k := range []string{"test.obeys", "test.deaf", "test.panics"} {
			r.enqueue(jobs.Order{Kind: k, Args: 1})
		}
		r.start()
		r.eventually("all are dead", r.state(jobs.Dead, 3))
		close(never)
		for k, want := range map[string]string{"test.obeys": "context deadline exceeded", "test.deaf": "did not end in time and was abandoned", "test.panics": "panic: a bad day"} {
			rows := r.list(jobs.Filter{Kind: k})
			if len(rows) != 1 || rows[0].LastError != want {
				t.Errorf("%s: got %+v, want %q", k, rows, want)
			}
		}
	})
}

func TestPermanentErrorIsDeadAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := open(t, db, riverqueue.Config{}, kind("test.gone", jobs.Critical, func(context.Context, jobs.Job) error {
			return jobs.Permanent(errors.New("no such learner"))
		}))
		r.enqueue(jobs.Order{Kind: "test.gone", Args: 1})
		r.start()
		r.eventually("it is dead", r.state(jobs.Dead, 1))
		if row := r.list(jobs.Filter{})[0]; row.Tries != 1 || row.Finished == nil {
			t.Fatalf("got %+v", row)
		}
	})
}

func TestRecurringJobsAreOnePerSpan(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		clock := newClock()
		every := kind("test.tidy", jobs.Quick, func(context.Context, jobs.Job) error { return nil })
		every.Every = time.Hour
		for i := range 3 {
			open(t, db, riverqueue.Config{Node: fmt.Sprint("n", i), Now: clock.now}, every).start()
		}
		r := open(t, db, riverqueue.Config{Node: "looks", Now: clock.now}, every)
		r.eventually("one is done", r.state(jobs.Done, 1))
		clock.advance(time.Hour)
		r.eventually("one more is done", r.state(jobs.Done, 2))
		if n := len(r.list(jobs.Filter{})); n != 2 {
			t.Fatalf("%d jobs of three nodes in two hours, want 2", n)
		}
	})
}

func TestOperatorsRetryAndDrop(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var broken atomic.Bool
		broken.Store(true)
		once := jobs.Policy{Name: "once", Tries: 1, Limit: time.Minute}
		r := open(t, db, riverqueue.Config{}, kind("test.work", once, func(context.Context, jobs.Job) error {
			if broken.Load() {
				return errors.New("no luck")
			}
			return nil
		}))
		for n := range 3 {
			r.enqueue(jobs.Order{Kind: "test.work", Args: map[string]int{"n": n}})
		}
		r.start()
		r.eventually("all are dead", r.state(jobs.Dead, 3))
		dead := r.list(jobs.Filter{State: jobs.Dead})
		row, err := r.q.Get(t.Context(), dead[0].ID)
		if err != nil || compact(t, row.Args) != `{"n":2}` || len(row.Errors) != 1 || row.Errors[0].Error != "no luck" {
			t.Fatalf("got %+v, %v", row, err)
		}
		broken.Store(false)
		if _, err := r.q.Retry(t.Context(), dead[0].ID); err != nil {
			t.Fatal(err)
		}
		r.eventually("the retried one is done", r.state(jobs.Done, 1))
		if _, err := r.q.Drop(t.Context(), dead[1].ID); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			do   func(context.Context, int64) (jobs.Row, error)
			id   int64
			want fault.Code
		}{
			"retry what is done":    {r.q.Retry, dead[0].ID, fault.Conflict},
			"drop what is done":     {r.q.Drop, dead[0].ID, fault.Conflict},
			"read what was dropped": {r.q.Get, dead[1].ID, fault.NotFound},
			"retry what is gone":    {r.q.Retry, dead[1].ID, fault.NotFound},
			"drop what never was":   {r.q.Drop, 1 << 40, fault.NotFound},
		} {
			if _, err := c.do(t.Context(), c.id); fault.CodeOf(err) != c.want {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
		}
		if rows := r.list(jobs.Filter{State: jobs.Dead, Queue: jobs.Default, Kind: "test.work", Limit: 10}); len(rows) != 1 || rows[0].ID != dead[2].ID {
			t.Fatalf("got %+v", rows)
		}
		if rows := r.list(jobs.Filter{Before: dead[2].ID}); len(rows) != 0 {
			t.Fatalf("got %+v before the first", rows)
		}
	})
}

func TestBadKindsAndOrders(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	nop := func(context.Context, jobs.Job) error { return nil }
	for name, kinds := range map[string][]jobs.Kind{
		"no work":   {{Name: "test.work", Policy: jobs.Base}},
		"no policy": {{Name: "test.work", Work: nop}},
		"twice":     {kind("test.work", jobs.Base, nop), kind("test.work", jobs.Base, nop)},
	} {
		if _, err := riverqueue.New(db, kinds, riverqueue.Config{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	r := open(t, db, riverqueue.Config{}, kind("test.work", jobs.Base, nop))
	for name, o := range map[string]jobs.Order{
		"unknown kind":   {Kind: "test.other"},
		"no JSON":        {Kind: "test.work", Args: func() {}},
		"too much to do": {Kind: "test.work", Args: make([]int, jobs.MaxArgs)},
	} {
		if err := r.q.Enqueue(t.Context(), o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
