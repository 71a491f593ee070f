package sqlstore_test

import (
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

func (e *env) count(table string, id conversation.ID) (n int64) {
	e.t.Helper()
	if err := e.db.Conn(e.ctx()).QueryRowContext(e.ctx(), "SELECT count(*) FROM "+table+" WHERE conversation = ?", id).Scan(&n); err != nil {
		e.t.Fatal(err)
	}
	return n
}

// After Erase nothing that somebody wrote is left, and nobody who was writing
// can add to it or make its log again.
func TestEraseLeavesNothingAndRefusesZombies(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id, other := e.chat("Hello."), e.chat("Stays.")
		e.accept(id, "a")
		cl := e.claim(id, "n1", "n1")
		counter, _, err := e.NameLog(e.ctx(), id, 0, cl.Fence)
		is(t, "name", err, nil)
		_, err = e.Erase(e.ctx(), stranger, id)
		is(t, "a stranger's erase", err, conversation.ErrNotFound)
		_, err = e.Erase(e.ctx(), owner, conversation.NewID())
		is(t, "unknown", err, conversation.ErrNotFound)
		refused, err := e.Erase(e.ctx(), owner, id)
		if err != nil || refused <= counter {
			t.Fatalf("erased below %d (%v), a log was named %d", refused, err, counter)
		}
		if again, err := e.Erase(e.ctx(), owner, id); err != nil || again != refused {
			t.Errorf("again: %d, %v", again, err)
		}
		for _, table := range []string{"turns", "facts", "runs"} {
			if n := e.count(table, id); n != 0 {
				t.Errorf("%d %s are left", n, table)
			}
			if table != "runs" && e.count(table, other) == 0 {
				t.Errorf("%s of another conversation are gone", table)
			}
		}
		var text string
		if err := e.db.Conn(e.ctx()).QueryRowContext(e.ctx(), "SELECT title || meta FROM conversations WHERE id = ?", id).Scan(&text); err != nil || text != "{}" {
			t.Errorf("title and meta %q (%v)", text, err)
		}
		_, err = e.Load(e.ctx(), id)
		is(t, "load", err, conversation.ErrNotFound)
		_, err = e.Finish(e.ctx(), conversation.Finishing{ID: id, Run: 1, Fence: cl.Fence, State: conversation.RunCompleted, Text: "zombie", Finish: "stop"}, nil)
		is(t, "a zombie's end", err, conversation.ErrNotFound)
		is(t, "a zombie's nonce", e.RecordNonce(e.ctx(), id, conversation.Epoch{Counter: counter, Nonce: "aa"}, cl.Fence), conversation.ErrLogRenamed)
		_, _, err = e.NameLog(e.ctx(), id, counter, cl.Fence)
		is(t, "a zombie's new log", err, conversation.ErrNotFound)
		_, _, err = e.Accept(e.ctx(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "b", Text: "more"}, 4, "", nil)
		is(t, "a message", err, conversation.ErrNotFound)
		if cs, err := e.Claimable(e.ctx(), nil, id, 10); err != nil || len(cs) != 0 {
			t.Errorf("claimable: %v, %v", cs, err)
		}
		left, err := e.Unshredded(e.ctx(), 10)
		if err != nil || len(left) != 1 || left[id] != refused {
			t.Errorf("unshredded: %v, %v", left, err)
		}
		is(t, "shredded", e.Shredded(e.ctx(), id), nil)
		if left, err := e.Unshredded(e.ctx(), 10); err != nil || len(left) != 0 {
			t.Errorf("unshredded after: %v, %v", left, err)
		}
		if ids, err := e.Of(e.ctx(), owner, "", 10); err != nil || len(ids) != 1 || ids[0] != other {
			t.Errorf("left of the owner: %v, %v", ids, err)
		}
	})
}

func TestCensusAndRest(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		idle, waiting, writing, erased := e.chat(""), e.chat(""), e.chat(""), e.chat("")
		e.accept(waiting, "a")
		e.accept(writing, "a")
		e.claim(writing, "n1", "n1")
		if _, err := e.Erase(e.ctx(), "", erased); err != nil {
			t.Fatal(err)
		}
		e.sql("UPDATE runs SET updated_at = updated_at - 300000000 WHERE conversation = ?", waiting)
		c, err := e.Census(e.ctx())
		if err != nil || c.Idle != 1 || c.Waiting != 1 || c.Writing != 1 || c.Erased != 1 || c.Ended != 0 || c.Stuck != 1 || c.OldestRun < 300 {
			t.Errorf("census %+v, %v", c, err)
		}
		// Only what has no open run is at rest.
		still, err := e.Still(e.ctx(), 0, 1<<62, 10)
		if err != nil || len(still) != 1 || still[0].ID != idle || still[0].Changed == 0 {
			t.Errorf("at rest %+v, %v", still, err)
		}
		if still, err := e.Still(e.ctx(), still[0].Changed+1, 1<<62, 10); err != nil || len(still) != 0 {
			t.Errorf("changed later %+v, %v", still, err)
		}
	})
}

func TestReportsOfDamage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		for _, id := range []string{"a", "b", "a"} {
			is(t, "report", e.ReportDamage(e.ctx(), conversation.Damage{ID: id, Conversation: "c", Node: "n1", What: "turn 2 has a wrong checksum", Place: "p", Found: int64(id[0])}), nil)
		}
		list, err := e.Damages(e.ctx(), 10)
		if err != nil || len(list) != 2 || list[0].ID != "b" || list[1].What != "turn 2 has a wrong checksum" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
