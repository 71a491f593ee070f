package conversation_test

import (
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// A node committed and died before the fact was in the log. Whoever is told of
// it by SQL, at another node, finds it at a third one, though that one knows
// the log well and asks Redis alone.
func TestWhatSQLWasQuotedWithIsReadEverywhere(t *testing.T) {
	t.Parallel()
	say := conversation.SendInput{Learner: owner, ClientID: "c", Text: "go"}
	for name, quote := range map[string]func(t *testing.T, n *node, id conversation.ID, run int64) error{
		"the same message again": func(t *testing.T, n *node, id conversation.ID, run int64) error {
			in := say
			in.Conversation = id
			acc, err := n.engine.Send(t.Context(), in)
			if err == nil && (!acc.Duplicate || acc.Run != run) {
				t.Errorf("answered %+v", acc)
			}
			return err
		},
		"state of the run": func(t *testing.T, n *node, id conversation.ID, run int64) error {
			row, err := n.engine.RunState(t.Context(), owner, id, run)
			if err == nil && row.State != conversation.RunCompleted {
				t.Errorf("the run is %s", row.State)
			}
			return err
		},
		"a stop that comes late": func(t *testing.T, n *node, id conversation.ID, run int64) error {
			st, err := n.engine.Cancel(t.Context(), owner, id, run)
			if err == nil && st.State != conversation.RunCompleted {
				t.Errorf("answered %+v", st)
			}
			return err
		},
		"a page of the branch": func(t *testing.T, n *node, id conversation.ID, run int64) error {
			p, err := n.engine.Branch(t.Context(), owner, id, 0, 0, 10)
			if err == nil && len(p.Turns) != 3 {
				t.Errorf("%d turns", len(p.Turns))
			}
			return err
		},
		"the branches": func(t *testing.T, n *node, id conversation.ID, run int64) error {
			tips, _, err := n.engine.Branches(t.Context(), owner, id, 0, 10)
			if err == nil && (len(tips) != 1 || tips[0].State != conversation.RunCompleted) {
				t.Errorf("branches %+v", tips)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
				one := newNode(t, db, addr, &model{words: 3}, o)
				other := newNode(t, db, addr, &model{words: 3}, o)
				third := newNode(t, db, addr, &model{words: 3}, o)
				id := newChat(t, one)
				for _, n := range []*node{one, other, third} {
					snapshot(t, n, id) // they know the log by now
					n.dead()           // and find nothing by themselves
				}
				in := say
				in.Conversation = id
				acc, _, err := one.store.Accept(t.Context(), in, 4, "", nil)
				if err != nil {
					t.Fatal(err)
				}
				self := conversation.Node{ID: conversation.NewNodeID(), Instance: "brief", BootID: "b", Addr: "127.0.0.1:1", Version: "test"}
				if err := one.store.Register(t.Context(), self); err != nil {
					t.Fatal(err)
				}
				rec, err := one.store.Load(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				cl, err := one.store.Claim(t.Context(), conversation.Candidate{ID: id, Run: acc.Run, State: conversation.RunPending, Fence: rec.Fence}, self.ID)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := one.store.Finish(t.Context(), conversation.Finishing{ID: id, Run: acc.Run, Fence: cl.Fence,
					State: conversation.RunCompleted, Text: answer(3), Finish: "stop", Base: 1}, nil); err != nil {
					t.Fatal(err)
				}
				if st := snapshot(t, third, id); len(st.Turns) != 1 {
					t.Fatalf("%d turns before anybody was told: this test shows nothing", len(st.Turns))
				}
				if err := quote(t, other, id, acc.Run); err != nil {
					t.Fatal(err)
				}
				if st := snapshot(t, third, id); len(st.Turns) != 3 || lastTurn(st).Text != answer(3) {
					t.Errorf("the third node reads %d turns", len(st.Turns))
				}
			})
		})
	}
}
