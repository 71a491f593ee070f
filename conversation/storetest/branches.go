package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// talk is a conversation whose replies the test itself writes.
type talk struct {
	t    *testing.T
	s    conversation.Store
	node string
	id   conversation.ID
	// facts counts what the commands have returned, which must be everything.
	facts int64
}

func newTalk(t *testing.T, s conversation.Store, opening string) *talk {
	t.Helper()
	k := &talk{t: t, s: s, node: "node-" + string(conversation.NewID())}
	if err := s.Register(t.Context(), conversation.Node{ID: k.node, Instance: k.node, BootID: "b", Addr: "a", Version: "v"}); err != nil {
		t.Fatal(err)
	}
	rec, _, err := s.Create(t.Context(), conversation.CreateInput{Owner: "o", Kind: conversation.KindChat, ClientID: k.node, Opening: opening})
	if err != nil {
		t.Fatal(err)
	}
	k.id, k.facts = rec.Header.ID, rec.Facts
	return k
}

func (k *talk) input(op conversation.Op, key, about string) conversation.SendInput {
	in := conversation.SendInput{Conversation: k.id, Learner: "o", ClientID: key, Op: op, Message: about}
	if op == conversation.OpSend || op == conversation.OpEdit {
		in.Text = "text of " + key
	}
	return in
}

func (k *talk) try(in conversation.SendInput, interrupt *conversation.Finishing) (conversation.Accepted, error) {
	acc, facts, err := k.s.Accept(k.t.Context(), in, 4, "corr", interrupt)
	k.count(facts)
	return acc, err
}

func (k *talk) do(in conversation.SendInput, interrupt *conversation.Finishing) conversation.Accepted {
	k.t.Helper()
	acc, err := k.try(in, interrupt)
	if err != nil {
		k.t.Fatalf("%q %s: %v", in.Op, in.ClientID, err)
	}
	return acc
}

// count checks that facts are numbered without a hole.
func (k *talk) count(facts []conversation.Fact) {
	k.t.Helper()
	for _, f := range facts {
		if k.facts++; f.N != k.facts {
			k.t.Errorf("fact %d %s, want %d", f.N, f.Type, k.facts)
		}
	}
}

// claim takes the next run in line.
func (k *talk) claim() conversation.Claim {
	k.t.Helper()
	cands, err := k.s.Claimable(k.t.Context(), []string{k.node}, k.id, 1)
	if err != nil || len(cands) != 1 {
		k.t.Fatalf("%d candidates, %v", len(cands), err)
	}
	cl, err := k.s.Claim(k.t.Context(), cands[0], k.node)
	if err != nil {
		k.t.Fatal(err)
	}
	return cl
}

// reply lets the next run in line end well.
func (k *talk) reply() conversation.Claim {
	k.t.Helper()
	cl := k.claim()
	out, err := k.s.Finish(k.t.Context(), conversation.Finishing{ID: k.id, Run: cl.Run.No, Fence: cl.Fence, State: conversation.RunCompleted, Base: 1,
		Text: fmt.Sprint("reply of run ", cl.Run.No), Finish: "stop"}, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	k.count(out.Facts)
	return cl
}

// shows compares the active branch, as a page and as everybody folds it.
func (k *talk) shows(what string, want ...string) {
	k.t.Helper()
	rec, err := k.s.Load(k.t.Context(), k.id)
	if err != nil {
		k.t.Fatal(err)
	}
	st := conversation.State{Turns: rec.Turns, Head: rec.Head}
	if got := texts(st.Branch()); got != fmt.Sprint(want) {
		k.t.Errorf("%s: the record shows %s, want %v", what, got, want)
	}
	k.branch(what, 0, want...)
	if rec.Facts != k.facts {
		k.t.Errorf("%s: %d facts, %d were told", what, rec.Facts, k.facts)
	}
}

func (k *talk) branch(what string, run int64, want ...string) {
	k.t.Helper()
	page, err := k.s.Branch(k.t.Context(), "o", k.id, run, 0, 100)
	if got := texts(page.Turns); err != nil || got != fmt.Sprint(want) || page.More {
		k.t.Errorf("%s: branch of run %d is %s, %v, want %v", what, run, got, err, want)
	}
}

func texts(turns []conversation.Turn) string {
	out := make([]string, 0, len(turns))
	for _, t := range turns {
		out = append(out, t.Text)
	}
	return fmt.Sprint(out)
}

func (k *talk) open() []int64 {
	var out []int64
	for run := int64(1); ; run++ {
		r, err := k.s.RunState(context.Background(), "o", k.id, run)
		if err != nil {
			return out
		}
		if !r.Ended() {
			out = append(out, run)
		}
	}
}

// Branches are the fixed cases of commands that make or choose branches.
func Branches(t *testing.T, fresh func(t *testing.T) conversation.Store) {
	for name, fn := range map[string]func(*testing.T, conversation.Store){
		"edit": edit, "regenerate": regenerate, "select": choose, "refusals": refusals, "positions": positions, "rollback": rollback, "rollback meets a writer": rollbackWriter, "queue": queued,
	} {
		t.Run(name, func(t *testing.T) { fn(t, fresh(t)) })
	}
}

func edit(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "Hello.")
	first := k.do(k.input(conversation.OpSend, "a", ""), nil)
	k.reply()
	k.do(k.input(conversation.OpSend, "b", ""), nil)
	k.reply()
	k.shows("a talk", "Hello.", "text of a", "reply of run 2", "text of b", "reply of run 3")
	k.do(k.input(conversation.OpEdit, "b2", "b"), nil)
	k.shows("the edit of the last", "Hello.", "text of a", "reply of run 2", "text of b2")
	k.reply()
	got := k.do(k.input(conversation.OpEdit, "a2", first.MessageID), nil)
	k.reply()
	k.shows("the edit of the first, by its id", "Hello.", "text of a2", "reply of run 5")
	k.do(k.input(conversation.OpSend, "c", ""), nil)
	k.reply()
	k.shows("what follows it", "Hello.", "text of a2", "reply of run 5", "text of c", "reply of run 6")
	k.branch("the older one", 3, "Hello.", "text of a", "reply of run 2", "text of b", "reply of run 3")
	again := k.do(k.input(conversation.OpEdit, "a2", "a"), nil)
	if !again.Duplicate || again.MessageID != got.MessageID || again.Run != got.Run || again.Turn != got.Turn {
		t.Errorf("repeated: %+v, first %+v", again, got)
	}
	if _, err := k.try(k.input(conversation.OpEdit, "a2", "b"), nil); fault.CodeOf(err) != fault.IdempotencyMismatch {
		t.Errorf("the same id for the edit of another message: %v", err)
	}
	if _, err := k.try(k.input(conversation.OpEdit, "a2", "a2"), nil); fault.CodeOf(err) != fault.IdempotencyMismatch {
		t.Errorf("the same id for the edit of the edit: %v", err)
	}
	if _, err := k.try(k.input(conversation.OpSend, "a2", ""), nil); fault.CodeOf(err) != fault.IdempotencyMismatch {
		t.Errorf("an edit's id for a message with its text: %v", err)
	}
	k.shows("after repeats", "Hello.", "text of a2", "reply of run 5", "text of c", "reply of run 6")
}

func regenerate(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "")
	k.do(k.input(conversation.OpSend, "a", ""), nil)
	first := k.reply()
	acc := k.do(k.input(conversation.OpRegenerate, "r1", first.Run.MessageID), nil)
	if acc.Turn != 1 || acc.Run != 2 || acc.MessageID == first.Run.MessageID || acc.MessageID == "" {
		t.Errorf("accepted as %+v", acc)
	}
	k.shows("while it waits", "text of a")
	if cl := k.reply(); cl.Run.Parent != 1 || cl.Run.MessageID != acc.MessageID {
		t.Errorf("the run is %+v", cl.Run)
	}
	k.shows("anew", "text of a", "reply of run 2")
	k.do(k.input(conversation.OpSend, "b", ""), nil)
	k.reply()
	k.do(k.input(conversation.OpRegenerate, "r2", "a"), nil)
	k.reply()
	k.shows("by the message it answers", "text of a", "reply of run 4")
	k.branch("where it was", 3, "text of a", "reply of run 2", "text of b", "reply of run 3")
	for _, about := range []string{first.Run.MessageID, "a"} {
		if got := k.do(k.input(conversation.OpRegenerate, "r1", about), nil); !got.Duplicate || got.Run != acc.Run || got.MessageID != acc.MessageID {
			t.Errorf("repeated: %+v, first %+v", got, acc)
		}
	}
	// A reply that failed has left no turn and can be asked for again all the same.
	k.do(k.input(conversation.OpSend, "c", ""), nil)
	cl := k.claim()
	out, err := k.s.Finish(t.Context(), conversation.Finishing{ID: k.id, Run: cl.Run.No, Fence: cl.Fence, State: conversation.RunFailed, Finish: "upstream_timeout"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.count(out.Facts)
	k.do(k.input(conversation.OpRegenerate, "r3", cl.Run.MessageID), nil)
	k.reply()
	k.shows("after a failure", "text of a", "reply of run 4", "text of c", "reply of run 6")
	k.do(k.input(conversation.OpSend, "d", ""), nil)
	k.shows("and on", "text of a", "reply of run 4", "text of c", "reply of run 6", "text of d")
}

func choose(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "")
	k.do(k.input(conversation.OpSend, "a", ""), nil)
	k.reply()
	k.do(k.input(conversation.OpRegenerate, "r", "a"), nil)
	k.reply()
	in := conversation.SendInput{Conversation: k.id, Learner: "o", Op: conversation.OpSelect, Run: 1, From: 2}
	if acc := k.do(in, nil); acc.Run != 1 || acc.Turn != 1 || acc.Duplicate {
		t.Errorf("chosen: %+v", acc)
	}
	k.shows("the first", "text of a", "reply of run 1")
	if acc := k.do(in, nil); !acc.Duplicate {
		t.Errorf("chosen again: %+v", acc)
	}
	in.Run = 2
	if _, err := k.try(in, nil); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("from a branch that is not shown: %v", err)
	}
	k.do(k.input(conversation.OpSend, "b", ""), nil)
	k.reply()
	k.shows("a message goes on from there", "text of a", "reply of run 1", "text of b", "reply of run 3")
	tips, err := s.Tips(t.Context(), "o", k.id, 0, 10)
	if err != nil || len(tips) != 2 || tips[0].Run != 3 || !tips[0].Active || tips[1].Run != 2 || tips[1].Active || tips[1].Turn != 1 || tips[1].State != conversation.RunCompleted {
		t.Errorf("tips %+v, %v", tips, err)
	}
	in.Run, in.From = 1, 0
	k.do(in, nil)
	k.shows("the middle of a branch", "text of a", "reply of run 1")
	if tips, err = s.Tips(t.Context(), "o", k.id, 0, 10); err != nil || len(tips) != 3 || tips[2].Run != 1 || !tips[2].Active {
		t.Errorf("tips %+v, %v", tips, err)
	}
	if tips, err = s.Tips(t.Context(), "o", k.id, 3, 1); err != nil || len(tips) != 1 || tips[0].Run != 2 {
		t.Errorf("the page before %+v, %v", tips, err)
	}
	page, err := s.Branch(t.Context(), "o", k.id, 3, 0, 3)
	if err != nil || !page.More || page.Active || texts(page.Turns) != "[reply of run 1 text of b reply of run 3]" {
		t.Errorf("page %+v, %v", page, err)
	}
	if _, err := s.Branch(t.Context(), "o", k.id, 2, page.Turns[1].N, 3); fault.CodeOf(err) != fault.CursorGone {
		t.Errorf("a page that began on another branch: %v", err)
	}
	page, err = s.Branch(t.Context(), "o", k.id, 3, page.Turns[0].N, 3)
	if err != nil || page.More || texts(page.Turns) != "[text of a]" {
		t.Errorf("the page before %+v, %v", page, err)
	}
}

// positions: a repeated command is told how many replies come before its own
// by now.
func positions(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "Hello.")
	for i, m := range []string{"a", "b", "c"} {
		if acc := k.do(k.input(conversation.OpSend, m, ""), nil); acc.Position != int64(i) {
			t.Errorf("%s: %+v", m, acc)
		}
	}
	anew := k.input(conversation.OpRegenerate, "r", "c")
	if acc := k.do(anew, nil); acc.Position != 3 {
		t.Errorf("anew: %+v", acc)
	}
	for _, want := range [][4]int64{{0, 1, 2, 3}, {0, 0, 1, 2}, {0, 0, 0, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}} {
		for i, in := range []conversation.SendInput{k.input(conversation.OpSend, "a", ""), k.input(conversation.OpSend, "b", ""), k.input(conversation.OpSend, "c", ""), anew} {
			for _, policy := range []string{"", "interrupt"} {
				in.Policy = policy
				acc, known, err := s.Answered(t.Context(), in)
				if err != nil || !known || !acc.Duplicate || acc.Position != want[i] {
					t.Errorf("again %s: %+v %v %v, want position %d", in.ClientID, acc, known, err, want[i])
				}
			}
			in.Policy = ""
			if acc := k.do(in, nil); !acc.Duplicate || acc.Position != want[i] {
				t.Errorf("again %s: %+v, want position %d", in.ClientID, acc, want[i])
			}
		}
		if len(k.open()) > 0 {
			k.reply()
		}
	}
}

func refusals(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "Hello.")
	k.do(k.input(conversation.OpSend, "a", ""), nil)
	done := k.reply()
	k.do(k.input(conversation.OpSend, "b", ""), nil)
	opening, err := s.RunState(t.Context(), "o", k.id, 1)
	if err != nil {
		t.Fatal(err)
	}
	foreign := k.input(conversation.OpEdit, "x", "a")
	foreign.Learner = "somebody"
	reject := k.input(conversation.OpRegenerate, "x", "a")
	reject.Policy = "reject"
	rejected := conversation.SendInput{Conversation: k.id, Learner: "o", Op: conversation.OpSelect, Run: 2, Policy: "reject"}
	for name, tc := range map[string]struct {
		in   conversation.SendInput
		want fault.Code
	}{
		"edit of nothing":               {k.input(conversation.OpEdit, "x", "nothing"), fault.NotFound},
		"edit of a reply":               {k.input(conversation.OpEdit, "x", done.Run.MessageID), fault.NotFound},
		"regenerate nothing":            {k.input(conversation.OpRegenerate, "x", "nothing"), fault.NotFound},
		"regenerate the opening":        {k.input(conversation.OpRegenerate, "x", opening.MessageID), fault.Invalid},
		"select nothing":                {conversation.SendInput{Conversation: k.id, Learner: "o", Op: conversation.OpSelect, Run: 99}, fault.NotFound},
		"foreign":                       {foreign, fault.NotFound},
		"regenerate while one is open":  {reject, fault.RunActive},
		"select while one is open":      {rejected, fault.RunActive},
		"a message's id for regenerate": {k.input(conversation.OpRegenerate, "a", "a"), fault.IdempotencyMismatch},
	} {
		if _, err := k.try(tc.in, nil); fault.CodeOf(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	k.do(k.input(conversation.OpRegenerate, "r", "a"), nil)
	if _, err := k.try(k.input(conversation.OpSend, "r", ""), nil); fault.CodeOf(err) != fault.IdempotencyMismatch {
		t.Errorf("a regeneration's id for a message: %v", err)
	}
	k.shows("after refusals", "Hello.", "text of a")
	if _, err := s.Branch(t.Context(), "somebody", k.id, 0, 0, 9); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("foreign branch: %v", err)
	}
	if _, err := s.Tips(t.Context(), "somebody", k.id, 0, 9); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("foreign tips: %v", err)
	}
}

func rollback(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "Hello.")
	k.do(k.input(conversation.OpSend, "a", ""), nil)
	k.reply()
	for _, m := range []string{"b", "c", "d"} {
		k.do(k.input(conversation.OpSend, m, ""), nil)
	}
	in := k.input(conversation.OpSend, "e", "")
	in.Policy = "rollback"
	acc := k.do(in, nil)
	if acc.Position != 0 || acc.Run != 6 || len(k.open()) != 1 {
		t.Errorf("accepted as %+v, open %v", acc, k.open())
	}
	k.shows("all that waited is gone", "Hello.", "text of a", "reply of run 2", "text of e")
	k.branch("and can be read", 5, "Hello.", "text of a", "reply of run 2", "text of b", "text of c", "text of d")
	if again := k.do(in, nil); !again.Duplicate || again.Turn != acc.Turn {
		t.Errorf("again: %+v", again)
	}
	k.reply()
	in = k.input(conversation.OpSend, "f", "")
	in.Policy = "rollback"
	k.do(in, nil)
	k.shows("nothing was open", "Hello.", "text of a", "reply of run 2", "text of e", "reply of run 6", "text of f")
	k.reply()
	k.do(k.input(conversation.OpRegenerate, "r", "e"), nil)
	in = k.input(conversation.OpEdit, "a2", "a")
	in.Policy = "rollback"
	k.do(in, nil)
	k.shows("with an edit", "Hello.", "text of a2")
	if open := k.open(); len(open) != 1 {
		t.Errorf("open: %v", open)
	}
}

// rollbackWriter: what is being written ends by its stop mark, or was asked to.
func rollbackWriter(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "")
	k.do(k.input(conversation.OpSend, "a", ""), nil)
	k.reply()
	k.do(k.input(conversation.OpSend, "b", ""), nil)
	k.do(k.input(conversation.OpSend, "c", ""), nil)
	cl := k.claim()
	counter, _, err := s.NameLog(t.Context(), k.id, cl.Log.Counter, cl.Fence)
	ep := conversation.Epoch{Counter: counter, Nonce: "n"}
	if err == nil {
		err = s.RecordNonce(t.Context(), k.id, ep, cl.Fence)
	}
	if err != nil {
		t.Fatal(err)
	}
	in := k.input(conversation.OpSend, "d", "")
	in.Policy = "rollback"
	if _, err := k.try(in, nil); verdict(err) != conversation.ErrClaimLost.Error() {
		t.Errorf("past a writer: %v", err)
	}
	k.shows("nothing has changed", "text of a", "reply of run 1", "text of b", "text of c")
	end := &conversation.Finishing{ID: k.id, Run: cl.Run.No, State: conversation.RunStopped, Text: "hal", Base: 1, Log: conversation.Epoch{Counter: counter, Nonce: "other"}}
	if _, err := k.try(in, end); verdict(err) != conversation.ErrLogRenamed.Error() {
		t.Errorf("by the mark in another log: %v", err)
	}
	end.Log = ep
	k.do(in, end)
	k.shows("rolled back", "text of a", "reply of run 1", "text of d")
	k.branch("what was there", 3, "text of a", "reply of run 1", "text of b", "hal", "text of c")
	if _, err := s.Finish(t.Context(), conversation.Finishing{ID: k.id, Run: cl.Run.No, Fence: cl.Fence, State: conversation.RunCompleted, Text: "half a reply", Finish: "stop"}, nil); verdict(err) != conversation.ErrFenced.Error() {
		t.Errorf("the writer's own end: %v", err)
	}
	// Without Redis there is no mark; the writer is asked, and the new message
	// waits for it beside what is taken out.
	cl = k.claim()
	if err := s.AskCancel(t.Context(), k.id, cl.Run.No); err != nil {
		t.Fatal(err)
	}
	in = k.input(conversation.OpSend, "e", "")
	in.Policy = "rollback"
	if acc := k.do(in, nil); acc.Position != 1 {
		t.Errorf("accepted as %+v", acc)
	}
	k.shows("beside the writer", "text of a", "reply of run 1", "text of e")
	// One that was handed over has its text in the log, and no writer.
	if err := s.Release(t.Context(), k.id, cl.Run.No, cl.Fence); err != nil {
		t.Fatal(err)
	}
	rec, err := s.Load(t.Context(), k.id)
	if err != nil || rec.HandedOver == nil || rec.HandedOver.No != cl.Run.No || rec.Running != nil || rec.Waiting != 2 {
		t.Errorf("handed over: %+v, %v", rec, err)
	}
}

func queued(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "")
	k.do(k.input(conversation.OpSend, "a", ""), nil)
	k.do(k.input(conversation.OpRegenerate, "r1", "a"), nil)
	k.do(k.input(conversation.OpEdit, "a2", "a"), nil)
	k.do(k.input(conversation.OpSend, "b", ""), nil)
	k.do(k.input(conversation.OpSend, "c", ""), nil)
	if _, err := k.try(k.input(conversation.OpRegenerate, "r2", "a"), nil); fault.CodeOf(err) != fault.QueueFull {
		t.Errorf("over the queue: %v", err)
	}
	for range 5 {
		k.reply()
	}
	k.shows("in order of acceptance, each on its branch", "text of a2", "reply of run 3", "text of b", "reply of run 4", "text of c", "reply of run 5")
	k.branch("the first", 1, "text of a", "reply of run 1")
	k.branch("anew", 2, "text of a", "reply of run 2")
	// The choice needs no run, so it needs no place in the queue.
	k.do(conversation.SendInput{Conversation: k.id, Learner: "o", Op: conversation.OpSelect, Run: 2}, nil)
	k.shows("chosen", "text of a", "reply of run 2")
}

// Checkpoints are pieces of text: each goes behind what stands there, once,
// however often and late its command arrives.
func Checkpoints(t *testing.T, s conversation.Store) {
	k := newTalk(t, s, "")
	k.do(k.input(conversation.OpSend, "a", ""), nil)
	cl := k.claim()
	save := func(at int64, text string, whole bool, want string) {
		t.Helper()
		err := s.Checkpoint(t.Context(), []conversation.Checkpoint{{ID: k.id, Run: 1, Fence: cl.Fence, Base: 1, At: at, Len: conversation.UTF16Len(text), Text: text, Whole: whole}})
		r, rerr := s.RunState(t.Context(), "o", k.id, 1)
		if err != nil || rerr != nil || r.Text != want || r.TextLen != conversation.UTF16Len(want) || r.Base != 1 {
			t.Errorf("%q at %d: stored %q (%d) base %d, want %q; %v %v", text, at, r.Text, r.TextLen, r.Base, want, err, rerr)
		}
	}
	save(0, "a", false, "a")
	save(0, "a", false, "a")
	save(1, "b", false, "ab")
	save(1, "b", false, "ab")
	save(0, "a", false, "ab") // the first one again, late
	save(5, "x", false, "ab")
	save(0, "abc", true, "abc")
	save(3, "d", false, "abcd")
}
