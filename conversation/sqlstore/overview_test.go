package sqlstore_test

import (
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

// asks performs a command and returns its run.
func (e *env) asks(in conversation.SendInput) int64 {
	e.t.Helper()
	in.Learner = owner
	acc, _, err := e.Accept(e.ctx(), in, 8, "corr", nil)
	if err != nil {
		e.t.Fatalf("%s %s: %v", in.Op, in.ClientID, err)
	}
	return acc.Run
}

func TestTree(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		opened := e.chat("Good morning.")
		tree, err := e.Tree(e.ctx(), opened, 10)
		if err != nil || tree.Head != (conversation.Head{Run: 1}) || tree.Branches != 1 || len(tree.Runs) != 1 || tree.Runs[0] != (conversation.TreeRun{Run: 1, State: conversation.RunCompleted, Tip: true}) {
			t.Errorf("an opening: %+v (%v)", tree, err)
		}
		id := e.chat("")
		tree, err = e.Tree(e.ctx(), id, 10)
		if err != nil || tree.Branches != 0 || tree.Runs == nil || len(tree.Runs) != 0 || tree.Head != (conversation.Head{}) {
			t.Errorf("before any run: %+v (%v)", tree, err)
		}
		first := e.accept(id, "a")
		cl := e.claim(id, "n1", "n1")
		if _, err := e.Finish(e.ctx(), conversation.Finishing{ID: id, Run: 1, Fence: cl.Fence, State: conversation.RunCompleted, Base: 1, Text: "Hello.", Finish: "stop"}, nil); err != nil {
			t.Fatal(err)
		}
		second := e.accept(id, "b")
		e.claim(id, "n1", "n1")
		e.asks(conversation.SendInput{Conversation: id, ClientID: "again", Op: conversation.OpRegenerate, Message: "a"})
		e.asks(conversation.SendInput{Conversation: id, ClientID: "other", Op: conversation.OpEdit, Message: "b", Text: "text other"})
		third, fourth := e.runState(id, 3), e.runState(id, 4)
		want := []conversation.TreeRun{
			{Run: 4, Parent: fourth.Parent, After: 1, State: conversation.RunPending, Tip: true},
			{Run: 3, Parent: first.Turn, ParentID: first.MessageID, State: conversation.RunPending, Tip: true},
			{Run: 2, Parent: second.Turn, ParentID: second.MessageID, After: 1, Attempt: 1, State: conversation.RunRunning, Tip: true},
			{Run: 1, Parent: first.Turn, ParentID: first.MessageID, Attempt: 1, State: conversation.RunCompleted},
		}
		for _, turn := range e.load(id).Turns {
			if turn.N == fourth.Parent {
				want[0].ParentID = turn.ID
			}
		}
		check := func(what string, head int64) {
			t.Helper()
			tree, err := e.Tree(e.ctx(), id, 10)
			if err != nil || !slices.Equal(tree.Runs, want) || tree.More || tree.Head != e.load(id).Head || tree.Head.Run != head {
				t.Errorf("%s: %+v (%v), want runs %+v", what, tree, err, want)
			}
			tips, err := e.Tips(e.ctx(), owner, id, 0, 10)
			if err != nil || tree.Branches != int64(len(tips)) {
				t.Errorf("%s: %d branches, the list has %+v (%v)", what, tree.Branches, tips, err)
			}
			for _, r := range tree.Runs {
				listed := slices.ContainsFunc(tips, func(tip conversation.Tip) bool { return tip.Run == r.Run })
				if r.Tip != listed {
					t.Errorf("%s: run %d is a tip: %v, listed: %v", what, r.Run, r.Tip, listed)
				}
			}
		}
		if third.Parent != first.Turn {
			t.Fatalf("run 3 answers %d", third.Parent)
		}
		check("all kinds", 4)
		e.asks(conversation.SendInput{Conversation: id, Op: conversation.OpSelect, Run: 1})
		want[3].Tip = true // chosen, so it ends the branch that is shown
		check("a run that was written after, chosen", 1)

		tree, err = e.Tree(e.ctx(), id, 3)
		if err != nil || !slices.Equal(tree.Runs, want[:3]) || !tree.More || tree.Branches != 4 {
			t.Errorf("cut: %+v (%v)", tree, err)
		}
		// Turns of a node that knows no branches follow the run before theirs.
		plain := e.chat("")
		e.accept(plain, "a")
		e.accept(plain, "b")
		e.sql("UPDATE turns SET parent = -1, after_run = -1 WHERE conversation = ?", plain)
		e.sql("UPDATE conversations SET head = -1 WHERE id = ?", plain)
		tree, err = e.Tree(e.ctx(), plain, 10)
		if err != nil || tree.Branches != 1 || tree.Head.Run != 2 || tree.Runs[0].After != 1 || tree.Runs[1].After != 0 || !tree.Runs[0].Tip || tree.Runs[1].Tip {
			t.Errorf("turns without places: %+v (%v)", tree, err)
		}
		e.sql("UPDATE conversations SET deleted_at = 1 WHERE id = ?", id)
		_, err = e.Tree(e.ctx(), id, 10)
		is(t, "an erased tree", err, conversation.ErrNotFound)
	})
}
