package sqlstore_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestCreateOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		in := conversation.CreateInput{Owner: owner, Kind: conversation.KindChat, ClientID: "k", Title: "A", Opening: "Hi 😀"}
		ids := make([]conversation.ID, 10)
		made := make([]bool, 10)
		errs := parallel(10, func(i int) error {
			rec, created, err := e.Create(e.ctx(), in)
			ids[i], made[i] = rec.Header.ID, created
			return err
		})
		n := 0
		for i := range ids {
			if made[i] {
				n++
			}
			if ids[i] != ids[0] || ids[i] == "" {
				t.Errorf("ids %q and %q", ids[i], ids[0])
			}
		}
		if won(t, errs, nil) != 10 || n != 1 {
			t.Errorf("%d created, errors %v", n, errs)
		}
		rec := e.load(ids[0])
		if len(rec.Turns) != 1 || rec.Turns[0].Text != "Hi 😀" || rec.Turns[0].Run != 1 || rec.Running != nil || rec.Waiting != 0 || string(rec.Header.Meta) != "{}" {
			t.Errorf("opened with %+v", rec)
		}
		if got := kinds(e.gapless(ids[0])); got != "1:conversation.created 2:partner.completed " {
			t.Errorf("facts %s", got)
		}
		// The key belongs to owner and kind.
		in.Kind, in.Opening, in.Run = conversation.KindScenario, "", true
		rec, created, err := e.Create(e.ctx(), in)
		if err != nil || !created || rec.Header.ID == ids[0] || rec.Waiting != 1 {
			t.Errorf("another kind: %+v (%v)", rec, err)
		}
		in.Owner = stranger
		if other, created, err := e.Create(e.ctx(), in); err != nil || !created || other.Header.ID == rec.Header.ID {
			t.Errorf("another owner: %+v (%v)", other, err)
		}
	})
}

func TestAccept(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("Hello.")
		in := conversation.SendInput{Conversation: id, Learner: owner, ClientID: "c1", Text: "naïve 😀\n"}
		acc, facts, err := e.Accept(e.ctx(), in, 4, "corr", nil)
		if want := (conversation.Accepted{MessageID: acc.MessageID, Turn: 2, Run: 2}); err != nil || acc != want || acc.MessageID == "" {
			t.Fatalf("got %+v (%v), want %+v", acc, err, want)
		}
		var turn conversation.Turn
		if len(facts) != 1 || facts[0].Type != conversation.TypeAccepted || facts[0].N != 3 || json.Unmarshal(facts[0].Data, &turn) != nil || turn != *facts[0].Turn || turn.Text != in.Text {
			t.Fatalf("facts %+v", facts)
		}
		row := e.runState(id, 2)
		if row.Correlation != "corr" || row.Parent != 2 || row.State != conversation.RunPending || row.Purpose != "partner" {
			t.Errorf("run %+v", row)
		}
		// The same again, however often, is the same answer and adds nothing.
		for range 3 {
			again, facts, err := e.Accept(e.ctx(), in, 4, "other", nil)
			acc.Duplicate = true
			if again != acc || len(facts) != 0 || err != nil {
				t.Errorf("again: %+v %v (%v)", again, facts, err)
			}
		}
		bad := in
		bad.Text += " "
		_, _, err = e.Accept(e.ctx(), bad, 4, "", nil)
		code(t, "other text", err, fault.IdempotencyMismatch)
		bad = in
		bad.Learner = stranger
		_, _, err = e.Accept(e.ctx(), bad, 4, "", nil)
		is(t, "foreign owner", err, conversation.ErrNotFound)
		bad = in
		bad.Conversation = conversation.NewID()
		_, _, err = e.Accept(e.ctx(), bad, 4, "", nil)
		is(t, "unknown conversation", err, conversation.ErrNotFound)
		// The same client id in another conversation is another message.
		in.Conversation = e.chat("")
		if acc, _, err := e.Accept(e.ctx(), in, 4, "", nil); err != nil || acc.Duplicate || acc.Turn != 1 {
			t.Errorf("other conversation: %+v (%v)", acc, err)
		}
		if got := len(e.gapless(id)); got != 3 {
			t.Errorf("%d facts", got)
		}
	})
}

func TestAcceptPolicies(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		reject := conversation.SendInput{Conversation: id, Learner: owner, ClientID: "r", Text: "r", Policy: "reject"}
		if _, _, err := e.Accept(e.ctx(), reject, 4, "", nil); err != nil {
			t.Fatalf("reject with nothing open: %v", err)
		}
		reject.ClientID = "r2"
		_, _, err := e.Accept(e.ctx(), reject, 4, "", nil)
		code(t, "reject while a run waits", err, fault.RunActive)
		for i := range 4 {
			if acc := e.accept(id, fmt.Sprint("q", i)); acc.Position != int64(i)+1 {
				t.Errorf("position %d of message %d", acc.Position, i+1)
			}
		}
		_, _, err = e.Accept(e.ctx(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "q9", Text: "x"}, 4, "", nil)
		code(t, "a full queue", err, fault.QueueFull)
		// What was accepted is still answered as before.
		if acc := e.accept(id, "q3"); !acc.Duplicate {
			t.Errorf("repeat in a full queue: %+v", acc)
		}
		e.sql("UPDATE conversations SET state = 'ended' WHERE id = ?", id)
		_, _, err = e.Accept(e.ctx(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "z", Text: "x"}, 40, "", nil)
		code(t, "an ended conversation", err, fault.ConversationEnded)
		if acc := e.accept(id, "q3"); !acc.Duplicate {
			t.Errorf("repeat in an ended conversation: %+v", acc)
		}
		rec, _, err := e.Create(e.ctx(), conversation.CreateInput{Owner: owner, Kind: conversation.KindScenario, ClientID: "s", Run: true})
		is(t, "create", err, nil)
		_, _, err = e.Accept(e.ctx(), conversation.SendInput{Conversation: rec.Header.ID, Learner: owner, ClientID: "z", Text: "x"}, 4, "", nil)
		code(t, "a scenario", err, fault.ConversationEnded)
	})
}

func TestThirtyAcceptsAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("Hello.")
		accs := make([]conversation.Accepted, 30)
		errs := parallel(30, func(i int) error {
			var err error
			// Each message is sent by two devices at once.
			accs[i], _, err = e.Accept(e.ctx(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: fmt.Sprint("c", i/2), Text: fmt.Sprint("t", i/2)}, 40, "", nil)
			return err
		})
		if won(t, errs, nil) != 30 {
			t.Fatal("not all accepted")
		}
		fresh := 0
		for i, a := range accs {
			if !a.Duplicate {
				fresh++
			}
			if b := accs[i^1]; a.MessageID != b.MessageID || a.Turn != b.Turn || a.Run != b.Run || a.Duplicate == b.Duplicate {
				t.Errorf("message %d: %+v and %+v", i/2, a, b)
			}
		}
		if fresh != 15 {
			t.Errorf("%d fresh, want 15", fresh)
		}
		facts := e.gapless(id)
		rec := e.load(id)
		if len(facts) != 17 || len(rec.Turns) != 16 || rec.Waiting != 15 {
			t.Errorf("%d facts, %d turns, %d waiting", len(facts), len(rec.Turns), rec.Waiting)
		}
		for i, turn := range rec.Turns[1:] {
			if turn.Run != int64(i)+2 {
				t.Errorf("turn %d has run %d", turn.N, turn.Run)
			}
		}
	})
}

// TestAcceptInterrupting: stop and message are one step, or none.
func TestAcceptInterrupting(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		cl := e.claim(id, "n1", "n1")
		ep := e.named(id, "nn")
		in := conversation.SendInput{Conversation: id, Learner: owner, ClientID: "b", Text: "b", Policy: "interrupt"}
		stop := conversation.Finishing{ID: id, Run: 1, State: conversation.RunStopped, Text: "half", Base: 1, Log: conversation.Epoch{Counter: ep.Counter, Nonce: "old"}}
		before := len(e.gapless(id))
		_, _, err := e.Accept(e.ctx(), in, 4, "", &stop)
		is(t, "interrupt in an old log", err, conversation.ErrLogRenamed)
		if got := len(e.gapless(id)); got != before {
			t.Errorf("a failed interruption left %d facts, want %d", got, before)
		}
		stop.Log = ep
		acc, facts, err := e.Accept(e.ctx(), in, 4, "", &stop)
		if err != nil || acc.Position != 0 || acc.Turn != 3 || kinds(facts) != "3:partner.stopped 4:message.accepted " {
			t.Errorf("interrupt: %+v, %s (%v)", acc, kinds(facts), err)
		}
		_, err = e.Finish(e.ctx(), completion(cl, "whole"), nil)
		is(t, "the interrupted writer", err, conversation.ErrFenced)
		if row := e.runState(id, 1); row.State != conversation.RunStopped || row.Text != "half" {
			t.Errorf("run %+v", row)
		}
		e.gapless(id)
	})
}
