package conversation_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// The tests of this file are what the simulation found, each as small as it
// gets, on the real stores.

// TestStopOfAHandedOverReply: a run that was handed over waits, but its text
// stands in the log and viewers have it: a stop ends it there, not at nothing.
func TestStopOfAHandedOverReply(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	m := &model{words: 30, gate: make(chan struct{})}
	a := newNode(t, db, r.Addr, m, rigOptions{})
	b := newNode(t, db, r.Addr, m, rigOptions{})
	b.dead() // it claims nothing
	id := newChat(t, a)
	acc := send(t, a, id, "c", "go")
	for range 10 {
		m.gate <- struct{}{}
	}
	eventually(t, "ten words", func() bool { st := snapshot(t, b, id); return st.Open != nil && st.Open.Text == answer(10) })
	a.loops() // SIGTERM: the run is handed over, nobody takes it
	stop, err := b.engine.Cancel(t.Context(), owner, id, acc.Run)
	if err != nil || stop.State != conversation.RunStopped || stop.TextLen != conversation.UTF16Len(answer(10)) {
		t.Fatalf("got %+v (%v), want the ten words that were shown", stop, err)
	}
	if got := lastTurn(snapshot(t, b, id)); got.Text != answer(10) || got.Finish != "stopped" {
		t.Fatalf("got %+v", got)
	}
}

// TestNewLogWaitsForItsWriter: between the making of a log and the writer's
// beginning in it a snapshot would show no open text, and so take it back.
func TestNewLogWaitsForItsWriter(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 1}, o)
		id := conversation.NewID()
		h := conversation.Header{ID: id, Kind: conversation.KindChat, Owner: owner, State: conversation.StateActive}
		run := conversation.Run{Conversation: id, No: 2, Purpose: "partner", MessageID: "m", Attempt: 1}
		for counter, ends := range []bool{false, true} {
			ep, err := n.log.Create(t.Context(), id, int64(counter)+1, conversation.Seed{Header: h, Running: 2})
			if err != nil {
				t.Fatal(err)
			}
			if a, err := n.log.Active(t.Context(), id); !errors.Is(err, conversation.ErrLogMissing) {
				t.Fatalf("before the writer has begun: %+v (%v)", a, err)
			}
			if ends {
				_, _, err = n.log.PutFact(t.Context(), id, ep, conversation.Fact{N: 1, Type: "partner.failed", Run: 2, Data: []byte("{}")})
			} else {
				_, err = n.log.Begin(t.Context(), id, ep, conversation.Begin{Run: run, Fence: 1, How: conversation.BeginRebuild, Text: "shown ", Base: 1})
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.log.Active(t.Context(), id); err != nil {
				t.Fatalf("after it: %v", err)
			}
		}
	})
}

// TestFirstLookFindsTheNewestFacts: a node that comes to know a log sees to it
// that nothing is missing which viewers may have got from another one.
func TestFirstLookFindsTheNewestFacts(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 1}, o)
		n.dead()
		id := newChat(t, n)
		snapshot(t, n, id)
		if _, _, err := n.store.Accept(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "c", Text: "hello?"}, 4, "", nil); err != nil {
			t.Fatal(err)
		}
		fresh := conversation.NewKeeper(n.store, n.log, nil)
		a, err := fresh.Active(t.Context(), id)
		if err != nil || lastTurn(a.State).Text != "hello?" {
			t.Fatalf("got %+v (%v), want the message that SQL has", a.State.Turns, err)
		}
	})
}

// TestNobodyIsLedBackToAnOlderLog: while a replaced primary answers, a viewer
// that comes from the newer log waits.
func TestNobodyIsLedBackToAnOlderLog(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 1}, o)
		n.dead()
		id := newChat(t, n)
		a, err := n.keeper.Active(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.keeper.ActiveFrom(t.Context(), id, a.Epoch.Counter+7); err != nil {
			t.Fatalf("a log that never was: %v", err)
		}
		// Elsewhere, on the new primary, the next log has been named.
		ep := conversation.Epoch{Counter: a.Epoch.Counter + 1, Nonce: "elsewhere"}
		if _, _, err := n.store.NameLog(t.Context(), id, a.Epoch.Counter, a.Fence); err != nil {
			t.Fatal(err)
		}
		if err := n.store.RecordNonce(t.Context(), id, ep, a.Fence); err != nil {
			t.Fatal(err)
		}
		if got, err := n.keeper.ActiveFrom(t.Context(), id, ep.Counter); !errors.Is(err, conversation.ErrLogMissing) {
			t.Fatalf("led back to %s (%v)", got.Epoch, err)
		}
	})
}

// slowCreate lets something happen between naming a log and making it.
type slowCreate struct {
	conversation.Log
	meanwhile func()
}

func (s slowCreate) Create(ctx context.Context, id conversation.ID, counter int64, seed conversation.Seed) (conversation.Epoch, error) {
	s.meanwhile()
	return s.Log.Create(ctx, id, counter, seed)
}

// TestNewLogHasWhatCameMeanwhile: a message that is accepted while a new log
// is being made went into the old one, where viewers saw it.
func TestNewLogHasWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 1}, o)
		n.dead()
		id := newChat(t, n)
		var err error
		keeper := conversation.NewKeeper(n.store, slowCreate{n.log, func() {
			_, _, err = n.store.Accept(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "c", Text: "hello?"}, 4, "", nil)
		}}, nil)
		a, aerr := keeper.Active(t.Context(), id)
		if err != nil || aerr != nil || lastTurn(a.State).Text != "hello?" {
			t.Fatalf("got %+v (%v, %v), want the message", a.State.Turns, err, aerr)
		}
	})
}

// TestFactsFollowTheLog: a node that knows the old log's name only puts what
// it commits into the new one.
func TestFactsFollowTheLog(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 1}, o)
		n.dead()
		id := newChat(t, n)
		a, err := n.keeper.Active(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		other := conversation.NewKeeper(n.store, n.log, nil)
		if err := other.Renew(t.Context(), id, a.Epoch); err != nil {
			t.Fatal(err)
		}
		_, facts, err := n.store.Accept(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "c", Text: "hello?"}, 4, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		n.keeper.Publish(t.Context(), id, facts)
		got, err := n.log.Active(t.Context(), id)
		if err != nil || got.Epoch == a.Epoch || lastTurn(got.State).Text != "hello?" {
			t.Fatalf("log %s after %s has %+v (%v)", got.Epoch, a.Epoch, got.State.Turns, err)
		}
	})
}

// TestLateStopOfAWaitingMessage: the command to end a message that nobody has
// claimed arrives when the reply was written for a while and handed over.
func TestLateStopOfAWaitingMessage(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 1}, o)
		n.dead()
		id := newChat(t, n)
		acc := send(t, n, id, "c", "go")
		cands, err := n.store.Claimable(t.Context(), nil, id, 1)
		if err != nil || len(cands) != 1 {
			t.Fatalf("%+v (%v)", cands, err)
		}
		cl, err := n.store.Claim(t.Context(), cands[0], n.members.Self().ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.store.Release(t.Context(), id, acc.Run, cl.Fence); err != nil {
			t.Fatal(err)
		}
		_, err = n.store.Finish(t.Context(), conversation.Finishing{ID: id, Run: acc.Run, State: conversation.RunStopped}, nil)
		if !errors.Is(err, conversation.ErrClaimLost) {
			t.Fatalf("got %v, want to be told to look again", err)
		}
	})
}
