package events

import (
	"context"
	"errors"
	"time"
)

// Errors of Outbox.Deliver that a consumer acts on.
var (
	// ErrSettled says that the group is finished with this event.
	ErrSettled = errors.New("event is settled")
	// ErrEarlier says that an earlier event of the aggregate is still open for
	// this group, so this one must wait.
	ErrEarlier = errors.New("an earlier event is open")
	// ErrNotYet says that the group failed a moment ago, at this event or an
	// earlier one of its aggregate, and tries later.
	ErrNotYet = errors.New("not yet")
)

// Outcome is how far a group is with an event.
type Outcome string

// The outcomes. An event without one is open.
const (
	// Failing will be tried again.
	Failing Outcome = "failing"
	// Done is handled.
	Done Outcome = "done"
	// Dead failed too often; an operator may replay or drop it.
	Dead Outcome = "dead"
	// Replay was dead and is tried again at an operator's word.
	Replay Outcome = "replay"
	// Dropped was dead and is given up.
	Dropped Outcome = "dropped"
)

// Letter is an event that a group could not handle.
type Letter struct {
	Group   string    `json:"group"`
	Outcome Outcome   `json:"outcome"`
	Tries   int       `json:"tries"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
	Event   Event     `json:"event"`
}

// Lag is how far behind a group is.
type Lag struct {
	Group string `json:"group"`
	// Open counts recorded events that the group wants and has not settled.
	Open int64 `json:"open"`
	// Oldest is the age of the oldest of them, in seconds.
	Oldest float64 `json:"oldest_seconds"`
	// Failing and Dead count its letters.
	Failing int64 `json:"failing"`
	Dead    int64 `json:"dead"`
}

// Wants maps each group to the types it handles.
type Wants map[string][]string

// Retry is how a group repeats what failed.
type Retry struct {
	// Tries is how often an event is tried before it is dead.
	Tries int
	// First is the wait after the first failure; it doubles up to Longest.
	First, Longest time.Duration
}

func (r Retry) wait(tries int) time.Duration {
	d := r.First
	for ; tries > 1 && d < r.Longest; tries-- {
		d *= 2
	}
	return min(d, r.Longest)
}

// Due is when an event that failed so often, last at that time, is tried again.
func (r Retry) Due(tries int, last time.Time) time.Time { return last.Add(r.wait(tries)) }

// Outbox is what SQL knows of the way of events, for the relay and the groups.
type Outbox interface {
	// Seal gives positions to events that have none, at most limit, and tells
	// how many. Nodes may call it at once; one works.
	Seal(ctx context.Context, limit int) (int, error)
	// Unsent lists what lies in the outbox behind a position, in order.
	Unsent(ctx context.Context, after int64, limit int) ([]Event, error)
	// Last is the newest position, 0 when there is none.
	Last(ctx context.Context) (int64, error)
	// Settle removes from the outbox, up to a position, what every group that
	// wants it has settled, and returns the lowest position that is left (0
	// when none is).
	Settle(ctx context.Context, upTo int64, wants Wants) (int64, error)
	// Deliver calls fn in a transaction that also notes that the group has
	// handled e, so that both happen once however often e comes. types are
	// those the group wants. Errors: ErrSettled, ErrEarlier, ErrNotYet, those
	// of fn, and storage_unavailable.
	Deliver(ctx context.Context, group string, types []string, e Event, retry Retry, fn func(context.Context) error) error
	// Fail notes a failure of a group and tells whether the event is dead now.
	Fail(ctx context.Context, group string, e Event, retry Retry, reason string) (Outcome, error)
	// Stuck lists what a group should see again: replays, failures that are
	// due, and what was sealed before a time and is still open.
	Stuck(ctx context.Context, group string, types []string, retry Retry, sealedBefore time.Time, limit int) ([]Event, error)
	// Lags tells how far behind each group is.
	Lags(ctx context.Context, wants Wants) ([]Lag, error)
	// Letters lists failing and dead events of a group ("" for all), newest
	// first.
	Letters(ctx context.Context, group string, limit int) ([]Letter, error)
	// Reopen lets a group try a dead event again; not_found when it is none.
	Reopen(ctx context.Context, group, event string) error
	// Drop gives a dead event up; not_found when it is none.
	Drop(ctx context.Context, group, event string) error
	// Forget removes what groups settled before a time, and tells how much.
	Forget(ctx context.Context, before time.Time) (int64, error)
}
