package conversation_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// branch tells the shown branch, texts shortened to their first word.
func branch(st conversation.State) string {
	var out []string
	for _, t := range st.Branch() {
		word, _, _ := strings.Cut(t.Text, " ")
		out = append(out, string(t.Author)[:1]+":"+word)
	}
	return strings.Join(out, " ")
}

func command(t *testing.T, n *node, in conversation.SendInput) conversation.Accepted {
	t.Helper()
	in.Learner = owner
	acc, err := n.engine.Send(t.Context(), in)
	if err != nil {
		t.Fatalf("%s %s: %v", in.Op, in.ClientID, err)
	}
	return acc
}

// onBoth runs a test on both pairs of stores.
func onBoth(t *testing.T, fn func(t *testing.T, db *sqldb.DB, addr string, o rigOptions)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, sqldbtest.SQLite(t), testenv.Miniredis(t).Addr(), rigOptions{checkpoint: true, solo: true, mode: "m"})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		db, r := realPair(t)
		fn(t, db, r.Addr, rigOptions{})
	})
}

// The open reply and its message leave the shown branch, exactly where the
// mark stands, and the new message is answered without them.
func TestRollback(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		gate := make(chan struct{})
		m := &model{words: 30, gate: gate}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		first := send(t, n, id, "a", "first")
		v := watch(t, n, id)
		for range 5 {
			gate <- struct{}{}
		}
		eventually(t, "five words", func() bool { return v.has(first.Run) == answer(5) })
		waiting := send(t, n, id, "b", "second")
		in := conversation.SendInput{Conversation: id, ClientID: "c", Text: "instead", Policy: "rollback"}
		acc := command(t, n, in)
		if acc.Position != 0 || acc.Run != waiting.Run+1 {
			t.Errorf("accepted as %+v", acc)
		}
		if got := branch(snapshot(t, n, id)); got != "p:Hello. l:instead" {
			t.Errorf("shown: %s", got)
		}
		if again := command(t, n, in); !again.Duplicate || again.Run != acc.Run {
			t.Errorf("again: %+v", again)
		}
		for range 30 {
			gate <- struct{}{}
		}
		eventually(t, "the answer", func() bool { return branch(snapshot(t, n, id)) == "p:Hello. l:instead p:w0😀" })
		for run, want := range map[int64]string{first.Run: answer(5), waiting.Run: ""} {
			row, err := n.store.RunState(t.Context(), owner, id, run)
			if err != nil || row.State != conversation.RunStopped || row.Text != want {
				t.Errorf("run %d is %s with %q, want %q (%v)", run, row.State, row.Text, want, err)
			}
		}
		m.mu.Lock()
		last := m.calls[len(m.calls)-1]
		m.mu.Unlock()
		if len(last.Messages) != 2 || last.Messages[0].Content != "Hello." || last.Messages[1].Content != "instead" {
			t.Errorf("the model was asked with %+v", last.Messages)
		}
		page, err := n.engine.Branch(t.Context(), owner, id, waiting.Run, 0, 10)
		if err != nil || len(page.Turns) != 4 || page.Turns[2].Text != answer(5) || page.Active {
			t.Errorf("what was taken back reads %+v (%v)", page, err)
		}
	})
}

// The writer dies in mid-reply and another node is to take over; the rollback
// comes in between. Nothing of the old reply may come after the mark.
func TestRollbackBetweenWriters(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	gate := make(chan struct{})
	a := newNode(t, db, r.Addr, &model{words: 60, gate: gate}, rigOptions{})
	id := newChat(t, a)
	acc := send(t, a, id, "a", "first")
	for range 20 {
		gate <- struct{}{}
	}
	free := &model{words: 60}
	b := newNode(t, db, r.Addr, free, rigOptions{})
	v := watch(t, b, id)
	eventually(t, "twenty words", func() bool { return v.has(acc.Run) == answer(20) })
	a.dead() // it says nothing any more, and its run stands still
	command(t, b, conversation.SendInput{Conversation: id, ClientID: "b", Text: "instead", Policy: "rollback"})
	eventually(t, "the answer", func() bool { return branch(snapshot(t, b, id)) == "p:Hello. l:instead p:w0😀" })
	row, err := b.store.RunState(t.Context(), owner, id, acc.Run)
	if err != nil || row.State != conversation.RunStopped || row.Text != answer(20) {
		t.Errorf("what was taken back is %s with %d units (%v)", row.State, row.TextLen, err)
	}
	if v.has(acc.Run) != answer(20) {
		t.Errorf("a viewer has %q", v.has(acc.Run))
	}
}

// A reply that was handed over waits with its text in the log; whoever
// interrupts it then stops it there, and not the next one.
func TestInterruptWhileHandedOver(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"interrupt", "rollback"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			db, r := realPair(t)
			gate := make(chan struct{})
			a := newNode(t, db, r.Addr, &model{words: 60, gate: gate}, rigOptions{})
			id := newChat(t, a)
			acc := send(t, a, id, "a", "first")
			v := watch(t, a, id)
			for range 7 {
				gate <- struct{}{}
			}
			eventually(t, "seven words", func() bool { return v.has(acc.Run) == answer(7) })
			if err := a.members.SetDraining(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.loops() // drained: nobody claims what it hands over
			rec, err := a.store.Load(t.Context(), id)
			if err != nil || rec.HandedOver == nil || rec.Running != nil {
				t.Fatalf("not handed over: %+v (%v)", rec, err)
			}
			got := command(t, a, conversation.SendInput{Conversation: id, ClientID: "b", Text: "then", Policy: policy})
			if got.Position != 0 {
				t.Errorf("accepted as %+v", got)
			}
			row, err := a.store.RunState(t.Context(), owner, id, acc.Run)
			if err != nil || row.State != conversation.RunStopped || row.Text != answer(7) {
				t.Errorf("it is %s with %q (%v)", row.State, row.Text, err)
			}
		})
	}
}

func TestEditAndRegenerate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 3}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		done := func(acc conversation.Accepted, want string) {
			t.Helper()
			eventually(t, "run "+want, func() bool {
				row, err := n.store.RunState(t.Context(), owner, id, acc.Run)
				return err == nil && row.Ended()
			})
			eventually(t, want, func() bool { return branch(snapshot(t, n, id)) == want })
		}
		first := send(t, n, id, "a", "first")
		done(first, "p:Hello. l:first p:w0😀")
		done(send(t, n, id, "b", "second"), "p:Hello. l:first p:w0😀 l:second p:w0😀")
		done(command(t, n, conversation.SendInput{Conversation: id, ClientID: "e", Op: conversation.OpEdit, Message: "a", Text: "other"}), "p:Hello. l:other p:w0😀")
		again := command(t, n, conversation.SendInput{Conversation: id, ClientID: "r", Op: conversation.OpRegenerate, Message: "b", Policy: "rollback"})
		done(again, "p:Hello. l:first p:w0😀 l:second p:w0😀")
		m.mu.Lock()
		last := m.calls[len(m.calls)-1]
		m.mu.Unlock()
		if len(last.Messages) != 4 || last.Messages[3].Content != "second" || last.Messages[1].Content != "first" {
			t.Errorf("the model was asked with %+v", last.Messages)
		}
		acc := command(t, n, conversation.SendInput{Conversation: id, Op: conversation.OpSelect, Run: first.Run, From: again.Run})
		if got := branch(snapshot(t, n, id)); acc.Turn != first.Turn || got != "p:Hello. l:first p:w0😀" {
			t.Errorf("chosen %+v, shown %s", acc, got)
		}
		st := snapshot(t, n, id)
		rec, err := n.store.Load(t.Context(), id)
		if err != nil || st.Head != rec.Head || len(st.Turns) != len(rec.Turns) {
			t.Errorf("the log has %+v with %d turns, SQL %+v with %d (%v)", st.Head, len(st.Turns), rec.Head, len(rec.Turns), err)
		}
		for i := range st.Turns {
			if st.Turns[i] != rec.Turns[i] {
				t.Errorf("turn %d is %+v in the log, %+v in SQL", i+1, st.Turns[i], rec.Turns[i])
			}
		}
		for _, in := range []conversation.SendInput{
			{Conversation: id, ClientID: "x", Op: conversation.OpEdit, Message: "", Text: "x"},
			{Conversation: id, ClientID: "x", Op: conversation.OpRegenerate, Message: strings.Repeat("x", 65)},
			{Conversation: id, Op: conversation.OpSelect, Run: 99},
		} {
			in.Learner = owner
			if _, err := n.engine.Send(t.Context(), in); fault.CodeOf(err) != fault.NotFound {
				t.Errorf("%+v: %v", in, err)
			}
		}
	})
}

// A branch that begins further back than the turns kept for everybody is still
// asked for with what was said on it.
func TestPromptOfAnOldBranch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 1}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		last := send(t, n, id, "m0", "message 0")
		ended := func(run int64) bool {
			row, err := n.store.RunState(t.Context(), owner, id, run)
			return err == nil && row.Ended()
		}
		eventually(t, "the first reply", func() bool { return ended(last.Run) })
		last = send(t, n, id, "m1", "message 1")
		eventually(t, "the second reply", func() bool { return ended(last.Run) })
		// 400 turns are kept; these replies are all of the same message.
		n.stopAllLoops() // else it would claim what is stored here
		fillTurns(t, n, id, 420)
		n = newNode(t, db, addr, m, o)
		acc := command(t, n, conversation.SendInput{Conversation: id, ClientID: "e", Op: conversation.OpEdit, Message: "m1", Text: "edited"})
		eventually(t, "the reply", func() bool { return ended(acc.Run) })
		m.mu.Lock()
		call := m.calls[len(m.calls)-1]
		m.mu.Unlock()
		if len(call.Messages) != 4 || call.Messages[1].Content != "message 0" || call.Messages[3].Content != "edited" {
			t.Errorf("asked with %+v", call.Messages)
		}
	})
}

// fillTurns stores turns as if a reply had been written anew so often.
func fillTurns(t *testing.T, n *node, id conversation.ID, count int) {
	t.Helper()
	for i := range count {
		acc, _, err := n.store.Accept(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: fmt.Sprint("fill-", i),
			Op: conversation.OpEdit, Message: "m1", Text: "x"}, 1000, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.store.Finish(t.Context(), conversation.Finishing{ID: id, Run: acc.Run, State: conversation.RunStopped}, nil); err != nil {
			t.Fatal(err)
		}
	}
}
