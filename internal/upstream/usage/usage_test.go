package usage_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/upstream/usage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func engines(t *testing.T, f func(t *testing.T, db *sqldb.DB)) {
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); f(t, sqldbtest.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); f(t, sqldbtest.Postgres(t)) })
}

func TestBudgetsHoldAgainstEveryNodeAtOnce(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db *sqldb.DB) {
		limits := usage.Limits{Learner: usage.Amount{Tokens: 500}, Total: usage.Amount{Tokens: 800, Micros: 1000}}
		var ok, learner, total atomic.Int64
		var wg sync.WaitGroup
		for node := range 4 { // each with its own Ledger, as nodes have
			l := usage.New(db)
			wg.Go(func() {
				for i := range 10 {
					switch err := l.Reserve(t.Context(), "2026-11-23", []string{"ann", "bob"}[(node+i)%2], usage.Amount{Tokens: 100, Micros: 1}, limits); {
					case err == nil:
						ok.Add(1)
					case errors.Is(err, usage.ErrLearner):
						learner.Add(1)
					case errors.Is(err, usage.ErrTotal):
						total.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if ok.Load() != 8 || learner.Load()+total.Load() != 32 {
			t.Fatalf("%d reserved, %d refused for the learner, %d for all", ok.Load(), learner.Load(), total.Load())
		}
		l := usage.New(db)
		all, calls, err := l.Spent(t.Context(), "2026-11-23", "")
		ann, _, err2 := l.Spent(t.Context(), "2026-11-23", "ann")
		bob, _, err3 := l.Spent(t.Context(), "2026-11-23", "bob")
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		if all.Tokens != 800 || all.Micros != 8 || calls != 0 || ann.Tokens+bob.Tokens != 800 || ann.Tokens > 500 || bob.Tokens > 500 {
			t.Fatalf("all %+v, ann %+v, bob %+v", all, ann, bob)
		}
	})
}

func TestSettlingGivesBackWhatWasNotUsed(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db *sqldb.DB) {
		l, ctx := usage.New(db), context.Background()
		limits := usage.Limits{Learner: usage.Amount{Tokens: 100}}
		day := usage.Day(time.Date(2026, 11, 23, 23, 59, 0, 0, time.FixedZone("", -7200)))
		if day != "2026-11-24" {
			t.Fatalf("the budget day is %s, not UTC's", day)
		}
		if err := l.Reserve(ctx, day, "ann", usage.Amount{Tokens: 90}, limits); err != nil {
			t.Fatal(err)
		}
		if err := l.Reserve(ctx, day, "ann", usage.Amount{Tokens: 11}, limits); !errors.Is(err, usage.ErrLearner) {
			t.Fatalf("over the limit: %v", err)
		}
		if err := l.Settle(ctx, day, "ann", usage.Amount{Tokens: 30}.Minus(usage.Amount{Tokens: 90})); err != nil {
			t.Fatal(err)
		}
		if err := l.Reserve(ctx, day, "ann", usage.Amount{Tokens: 70}, limits); err != nil {
			t.Fatal(err)
		}
		if a, calls, err := l.Spent(ctx, day, "ann"); err != nil || a.Tokens != 100 || calls != 1 {
			t.Fatalf("%+v %d %v", a, calls, err)
		}
		if err := l.Reserve(ctx, "2026-11-25", "ann", usage.Amount{Tokens: 100}, limits); err != nil {
			t.Fatalf("a new day has a new budget: %v", err)
		}
	})
}
