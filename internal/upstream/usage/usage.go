// Package usage keeps in SQL what the calls to models have cost, by learner
// and day, so that budgets hold over all nodes and restarts.
//
// A call reserves what it may cost at most before it begins and settles the
// difference when it ends. A node that dies in between leaves the reservation
// standing: a budget may then end early, it is never overdrawn.
package usage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Amount is what calls cost.
type Amount struct {
	// Tokens of prompts and answers together.
	Tokens int64
	// Micros is money in millionths of the unit that prices are in.
	Micros int64
}

// Zero says that nothing was spent.
func (a Amount) Zero() bool { return a == Amount{} }

// Minus is a without b.
func (a Amount) Minus(b Amount) Amount { return Amount{a.Tokens - b.Tokens, a.Micros - b.Micros} }

// within says whether a is inside limit; a zero limit has no bound.
func (a Amount) within(limit Amount) bool {
	return (limit.Tokens <= 0 || a.Tokens <= limit.Tokens) && (limit.Micros <= 0 || a.Micros <= limit.Micros)
}

// Limits bound a day; zeros have no bound.
type Limits struct {
	Learner, Total Amount
}

// None says that nothing is bounded.
func (l Limits) None() bool { return l == Limits{} }

// The two ways a budget can be used up.
var (
	ErrLearner = errors.New("the learner's budget of the day is used up")
	ErrTotal   = errors.New("the budget of the day is used up")
)

// Ledger is the account book.
type Ledger struct{ db *sqldb.DB }

// New makes a Ledger over a migrated database.
func New(db *sqldb.DB) *Ledger { return &Ledger{db} }

// Day names the budget day of a moment: the calendar day in UTC.
func Day(at time.Time) string { return at.UTC().Format(time.DateOnly) }

// Reserve books an amount if it fits into the limits, else it books nothing
// and returns ErrLearner or ErrTotal.
func (l *Ledger) Reserve(ctx context.Context, day, learner string, a Amount, limits Limits) error {
	return l.book(ctx, day, learner, a, 0, limits)
}

// Settle books the difference between what was reserved and what it cost, and
// counts the call. It has no limit: what was spent was spent.
func (l *Ledger) Settle(ctx context.Context, day, learner string, difference Amount) error {
	return l.book(ctx, day, learner, difference, 1, Limits{})
}

func (l *Ledger) book(ctx context.Context, day, learner string, a Amount, calls int64, limits Limits) error {
	return l.db.InTx(ctx, func(ctx context.Context) error {
		if learner != "" {
			have, err := l.add(ctx, day, learner, a, calls)
			if err != nil {
				return err
			}
			if !have.within(limits.Learner) {
				return ErrLearner
			}
		}
		// The common row comes last, so that it is locked for the shortest time.
		have, err := l.add(ctx, day, "", a, calls)
		if err != nil {
			return err
		}
		if !have.within(limits.Total) {
			return ErrTotal
		}
		return nil
	})
}

func (l *Ledger) add(ctx context.Context, day, learner string, a Amount, calls int64) (Amount, error) {
	var out Amount
	err := l.db.Conn(ctx).QueryRowContext(ctx, `INSERT INTO upstream_usage (day, learner, tokens, micros, calls, updated_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (day, learner) DO UPDATE SET tokens = upstream_usage.tokens + excluded.tokens, micros = upstream_usage.micros + excluded.micros,
		calls = upstream_usage.calls + excluded.calls, updated_at = excluded.updated_at RETURNING tokens, micros`,
		day, learner, a.Tokens, a.Micros, calls, time.Now().UnixMicro()).Scan(&out.Tokens, &out.Micros)
	if err != nil {
		return out, fmt.Errorf("book usage: %w", err)
	}
	return out, nil
}

// Spent is what a learner ("" for all) has spent on a day, reservations
// included, and how many calls were settled.
func (l *Ledger) Spent(ctx context.Context, day, learner string) (a Amount, calls int64, err error) {
	err = l.db.Conn(ctx).QueryRowContext(ctx, "SELECT coalesce(sum(tokens), 0), coalesce(sum(micros), 0), coalesce(sum(calls), 0) FROM upstream_usage WHERE day = ? AND learner = ?",
		day, learner).Scan(&a.Tokens, &a.Micros, &calls)
	if err != nil {
		return a, 0, fmt.Errorf("read usage: %w", err)
	}
	return a, calls, nil
}
