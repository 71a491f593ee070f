package conversation_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// errCut is what a driver says of a connection that was cut.
var errCut = errors.New("driver: bad connection")

// brittle is a Store that fails some times in a row, as SQL does while it
// restarts; so does what its prompts are made from.
type brittle struct {
	conversation.Store
	prompts, checkpoints, ends, claims atomic.Int64 // how many more are to fail
	failed                             atomic.Int64
}

func (b *brittle) fails(left *atomic.Int64) bool {
	if left.Add(-1) < 0 {
		return false
	}
	b.failed.Add(1)
	return true
}

// asking is the Script that reads from it.
type asking struct {
	script
	b *brittle
}

func (a asking) Prompt(ctx context.Context, st conversation.State, run conversation.Run) (conversation.Prompt, error) {
	if a.b.fails(&a.b.prompts) {
		return conversation.Prompt{}, errCut
	}
	return a.script.Prompt(ctx, st, run)
}

func (b *brittle) Checkpoint(ctx context.Context, cs []conversation.Checkpoint) error {
	if b.fails(&b.checkpoints) {
		return errCut
	}
	return b.Store.Checkpoint(ctx, cs)
}

func (b *brittle) Finish(ctx context.Context, f conversation.Finishing, also func(context.Context) ([]conversation.NewFact, error)) (conversation.Finished, error) {
	if b.fails(&b.ends) {
		return conversation.Finished{}, errCut
	}
	return b.Store.Finish(ctx, f, also)
}

// Claim is committed, and its answer lost.
func (b *brittle) Claim(ctx context.Context, c conversation.Candidate, node string) (conversation.Claim, error) {
	cl, err := b.Store.Claim(ctx, c, node)
	if err == nil && b.fails(&b.claims) {
		return conversation.Claim{}, errCut
	}
	return cl, err
}

// An error of SQL that passes is no attempt of the run, wherever between the
// claim and the end it strikes and however often: the model was not asked, or
// has answered well.
func TestPassingErrorsOfSQLAreNoAttempts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		embedded bool // only where text is checkpointed
		arm      func(b *brittle)
	}{
		{"while the prompt is built", false, func(b *brittle) { b.prompts.Store(5) }},
		{"while text is checkpointed", true, func(b *brittle) { b.checkpoints.Store(5) }},
		{"at the end", false, func(b *brittle) { b.ends.Store(5) }},
		{"after the claim was committed", false, func(b *brittle) { b.claims.Store(5) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
				if c.embedded && !o.checkpoint {
					return // nothing is checkpointed here
				}
				b := &brittle{}
				o.script = asking{b: b}
				o.store = func(s conversation.Store) conversation.Store { b.Store = s; return b }
				m := &model{words: 12}
				n := newNode(t, db, addr, m, o)
				id := newChat(t, n)
				c.arm(b)
				acc := send(t, n, id, "c", "go")
				var row conversation.RunRow
				eventually(t, "the end of the run", func() bool {
					var err error
					row, err = n.store.RunState(t.Context(), owner, id, acc.Run)
					return err == nil && row.Ended()
				})
				if row.State != conversation.RunCompleted || row.Text != answer(12) {
					t.Errorf("the run ended as %s (%s) with %q", row.State, row.Finish, row.Text)
				}
				if tries := row.Attempt - row.Handoffs; tries != 1 || m.Calls() != 1 {
					t.Errorf("%d counted attempts and %d calls of the model, want one of each", tries, m.Calls())
				}
				if b.failed.Load() != 5 {
					t.Errorf("%d errors struck, want 5", b.failed.Load())
				}
			})
		})
	}
}

// SQL that goes on failing where it is read, and answers otherwise, uses the
// attempts up: such a run must not wait for ever, nor hold up what comes after.
func TestErrorsThatStayEndTheRun(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		b := &brittle{}
		b.prompts.Store(1 << 40)
		o.script, o.patience = asking{b: b}, 100*time.Millisecond
		m := &model{words: 3}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		acc := send(t, n, id, "c", "go")
		eventually(t, "the failure", func() bool { return snapshot(t, n, id).Failure != nil })
		row, err := n.store.RunState(t.Context(), owner, id, acc.Run)
		if err != nil || row.Finish != "storage_unavailable" || row.Attempt-row.Handoffs != 3 || m.Calls() != 0 {
			t.Fatalf("ended as %s after %d attempts and %d calls (%v)", row.Finish, row.Attempt-row.Handoffs, m.Calls(), err)
		}
	})
}

// A run that takes its node down with it is tried three times, each time from
// the text that stands, and ends then: as failed, with its text.
func TestARunThatKillsItsNodesEnds(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	var id conversation.ID
	var acc conversation.Accepted
	for i := range 3 {
		m := &model{words: 60, gate: make(chan struct{})}
		n := newNode(t, db, r.Addr, m, rigOptions{})
		if i == 0 {
			id = newChat(t, n)
			acc = send(t, n, id, "c", "go")
		}
		eventually(t, "the node has the run", func() bool { return n.runner.Has(id) })
		for range 5 {
			m.gate <- struct{}{}
		}
		eventually(t, "five words more", func() bool {
			a, err := n.log.Active(t.Context(), id)
			return err == nil && a.State.Open != nil && a.State.Open.Text == answer(5*(i+1))
		})
		n.dead()
		defer close(m.gate)
	}
	last := &model{words: 60}
	n := newNode(t, db, r.Addr, last, rigOptions{})
	eventually(t, "the failure", func() bool { return snapshot(t, n, id).Failure != nil })
	row, err := n.store.RunState(t.Context(), owner, id, acc.Run)
	if err != nil || row.State != conversation.RunFailed || row.Finish != "attempts_exhausted" || row.Text != answer(15) {
		t.Fatalf("ended as %s (%s) with %q (%v)", row.State, row.Finish, row.Text, err)
	}
	if last.Calls() != 0 {
		t.Errorf("the fourth node asked the model")
	}
	if f := string(snapshot(t, n, id).Failure); !strings.Contains(f, `"retryable":true`) {
		t.Errorf("the learner is told %s", f)
	}
	// What comes after it is answered.
	send(t, n, id, "d", "still there?")
	eventually(t, "the next reply", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(60) })
}

// Planned hand-overs are no attempts, however many.
func TestHandOversAreNoAttempts(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 40, gate: make(chan struct{})}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		acc := send(t, n, id, "c", "go")
		for i := range 6 {
			m.gate <- struct{}{}
			row, err := n.store.RunState(t.Context(), owner, id, acc.Run)
			if err != nil {
				t.Fatal(err)
			}
			if err := n.store.Release(t.Context(), id, acc.Run, row.Fence); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is claimed again", func() bool { return m.Calls() == i+2 })
		}
		close(m.gate)
		eventually(t, "the reply", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(40) })
		row, err := n.store.RunState(t.Context(), owner, id, acc.Run)
		if err != nil || row.Attempt-row.Handoffs != 1 || row.Handoffs != 6 {
			t.Fatalf("%d attempts, %d of them handed over (%v)", row.Attempt, row.Handoffs, err)
		}
	})
}
