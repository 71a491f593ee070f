package conversation_test

import (
	"errors"
	"testing"

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
