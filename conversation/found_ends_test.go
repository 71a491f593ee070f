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

// TestAClaimFromBeforeTheEndOpensNothing: a run is claimed, and stopped before
// its new writer has begun. The end reaches the log as SQL tells it, and not
// from whoever committed it: the writer must still be too late.
func TestAClaimFromBeforeTheEndOpensNothing(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		ctx := t.Context()
		n := newNode(t, db, addr, &model{words: 1}, o)
		n.dead()
		id := newChat(t, n)
		acc := send(t, n, id, "c", "go")
		live, err := n.keeper.Active(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		ep := live.Epoch
		claim := func() conversation.Claim {
			t.Helper()
			cands, err := n.store.Claimable(ctx, nil, id, 1)
			if err != nil || len(cands) != 1 {
				t.Fatalf("%+v (%v)", cands, err)
			}
			cl, err := n.store.Claim(ctx, cands[0], n.members.Self().ID)
			if err != nil {
				t.Fatal(err)
			}
			return cl
		}
		first := claim()
		if _, err := n.log.Begin(ctx, id, ep, conversation.Begin{Run: first.Run, Fence: first.Fence, How: conversation.BeginRestart}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.log.Append(ctx, id, ep, conversation.Append{Run: first.Run, Fence: first.Fence, Len: 5, Text: "half "}); err != nil {
			t.Fatal(err)
		}
		if err := n.store.Release(ctx, id, acc.Run, first.Fence); err != nil {
			t.Fatal(err)
		}
		second := claim()
		b, err := n.log.Stop(ctx, id, ep, acc.Run)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.store.Finish(ctx, conversation.Finishing{ID: id, Run: acc.Run, State: conversation.RunStopped, Text: b.Text, Base: b.Base, Log: b.Epoch}, nil); err != nil {
			t.Fatal(err)
		}
		if err := n.keeper.CatchUp(ctx, id, 0); err != nil {
			t.Fatal(err)
		}
		for _, how := range []conversation.BeginHow{conversation.BeginContinue, conversation.BeginRestart, conversation.BeginRebuild} {
			if got, err := n.log.Begin(ctx, id, ep, conversation.Begin{Run: second.Run, Fence: second.Fence, How: how}); !errors.Is(err, conversation.ErrFenced) {
				t.Errorf("%s: %+v (%v), want to be fenced", how, got, err)
			}
		}
		if st := snapshot(t, n, id); st.Open != nil || lastTurn(st).Text != "half " {
			t.Errorf("open %+v, last turn %+v", st.Open, lastTurn(st))
		}
	})
}

// TestATakeoverReadsWhatRedisStillShows: the writer dies while Redis is read
// and takes no writes, for longer than a takeover waits. Viewers have the text
// from a log that can still be read, so the reply goes on from it.
func TestATakeoverReadsWhatRedisStillShows(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	am, bm := &model{words: 30, gate: make(chan struct{})}, &model{words: 30, gate: make(chan struct{})}
	a := newNode(t, db, r.Addr, am, rigOptions{})
	id := newChat(t, a)
	acc := send(t, a, id, "c", "go")
	eventually(t, "the first node has the run", func() bool { return a.runner.Has(id) })
	for range 10 {
		am.gate <- struct{}{}
	}
	b := newNode(t, db, r.Addr, bm, rigOptions{waitLog: 200 * time.Millisecond})
	v := watch(t, b, id)
	eventually(t, "ten words shown", func() bool { return v.has(acc.Run) == answer(10) })
	writes := func(replicas string) {
		t.Helper()
		if _, err := r.Do("CONFIG", "SET", "min-replicas-to-write", replicas); err != nil {
			t.Fatal(err)
		}
	}
	writes("1")
	a.dead()
	for range 10 {
		bm.gate <- struct{}{} // the model is called and heard while nothing can be written
	}
	bm.mu.Lock()
	kept := bm.calls[0].Kept
	bm.mu.Unlock()
	if kept != answer(10) {
		t.Errorf("the second node went on from %q", kept)
	}
	writes("0")
	for range 10 {
		bm.gate <- struct{}{}
	}
	eventually(t, "the viewer has it all", func() bool { return v.has(acc.Run) == answer(30) })
	eventually(t, "the reply is stored", func() bool { return lastTurn(snapshot(t, b, id)).Text == answer(30) })
	row, err := b.store.RunState(t.Context(), owner, id, acc.Run)
	if err != nil || row.Base != 1 || row.Attempt != 2 {
		t.Errorf("attempt %d, base %d (%v): the text began anew", row.Attempt, row.Base, err)
	}
	live, err := b.keeper.Active(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.log.Read(t.Context(), id, live.Epoch, 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range page.Events {
		if strings.HasSuffix(ev.Type, ".restarted") {
			t.Errorf("viewers were told to begin anew: %+v", ev)
		}
	}
}

// stoppedInBegin calls back at the first Begin, and counts them.
type stoppedInBegin struct {
	conversation.Log
	first func()
	calls atomic.Int64
}

func (l *stoppedInBegin) Begin(ctx context.Context, id conversation.ID, ep conversation.Epoch, b conversation.Begin) (conversation.Began, error) {
	if l.calls.Add(1) == 1 {
		l.first()
	}
	return l.Log.Begin(ctx, id, ep, b)
}

// TestAStopWaitsForTheLog: a takeover that is stopped while Redis takes no
// writes was cut off, let go and claimed again every second and a half. It
// waits now, for longer than one that would write, and ends with the text that
// viewers have.
func TestAStopWaitsForTheLog(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	am, bm := &model{words: 30, gate: make(chan struct{})}, &model{words: 30}
	a := newNode(t, db, r.Addr, am, rigOptions{})
	id := newChat(t, a)
	acc := send(t, a, id, "c", "go")
	for range 10 {
		am.gate <- struct{}{}
	}
	log := &stoppedInBegin{first: func() {
		if err := a.store.AskCancel(context.WithoutCancel(t.Context()), id, acc.Run); err != nil {
			t.Error(err)
		}
	}}
	b := newNode(t, db, r.Addr, bm, rigOptions{waitLog: 4 * time.Second, lossy: func(l conversation.Log) conversation.Log { log.Log = l; return log }})
	v := watch(t, b, id)
	eventually(t, "ten words shown", func() bool { return v.has(acc.Run) == answer(10) })
	writes := func(replicas string) {
		t.Helper()
		if _, err := r.Do("CONFIG", "SET", "min-replicas-to-write", replicas); err != nil {
			t.Fatal(err)
		}
	}
	writes("1")
	a.dead()
	eventually(t, "it waited for longer than a takeover does", func() bool { return log.calls.Load() >= 30 })
	row, err := b.store.RunState(t.Context(), owner, id, acc.Run)
	if err != nil || row.Ended() || row.Attempt != 2 {
		t.Errorf("%s in attempt %d (%v), want the second one to wait", row.State, row.Attempt, err)
	}
	writes("0")
	eventually(t, "the run has ended", func() bool {
		row, err = b.store.RunState(t.Context(), owner, id, acc.Run)
		return err == nil && row.Ended()
	})
	if row.State != conversation.RunStopped || row.Text != answer(10) || row.Attempt != 2 || bm.Calls() != 0 {
		t.Errorf("ended as %s in attempt %d with %q after %d model calls", row.State, row.Attempt, row.Text, bm.Calls())
	}
	eventually(t, "the viewer is told", func() bool { return lastTurn(snapshot(t, b, id)).Text == answer(10) })
	if breach := v.breaches(); len(breach) > 0 || v.has(acc.Run) != answer(10) {
		t.Errorf("the viewer objects: %v, and has %q", breach, v.has(acc.Run))
	}
}
