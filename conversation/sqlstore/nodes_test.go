package sqlstore_test

import (
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

func (e *env) member(id string) conversation.Member {
	e.t.Helper()
	ms, err := e.Members(e.ctx())
	if err != nil {
		e.t.Fatal(err)
	}
	for _, m := range ms {
		if m.ID == id {
			return m
		}
	}
	return conversation.Member{}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		a := conversation.Node{ID: "a1", Instance: "host:1", BootID: "b1", Addr: "127.0.0.1:1", Version: "v1"}
		is(t, "register", e.Register(e.ctx(), a), nil)
		got := e.member("a1")
		if got.Node != a || got.State != "active" || got.AgeMicros < 0 || got.AgeMicros > 60e6 || got.HB == 0 {
			t.Errorf("member %+v", got)
		}
		b := conversation.Node{ID: "b1", Instance: "host:2", BootID: "b", Addr: "x"}
		is(t, "register", e.Register(e.ctx(), b), nil)
		// Another place leaves it alone, except on SQLite, which is one process's.
		want := "active"
		if e.db.Engine == sqldb.SQLite {
			want = "dead"
		}
		if got := e.member("a1").State; got != want {
			t.Errorf("after another instance: %s, want %s", got, want)
		}
		// The same place again buries what was there before.
		a2 := a
		a2.ID, a2.BootID = "a2", "b2"
		is(t, "register", e.Register(e.ctx(), a2), nil)
		if old, now := e.member("a1").State, e.member("a2").State; old != "dead" || now != "active" {
			t.Errorf("old %s, new %s", old, now)
		}
		is(t, "heartbeat of the buried", e.Heartbeat(e.ctx(), "a1"), conversation.ErrNodeDead)
		is(t, "heartbeat of an unknown", e.Heartbeat(e.ctx(), "zz"), conversation.ErrNodeDead)
		is(t, "heartbeat", e.Heartbeat(e.ctx(), "a2"), nil)
		// The dead stay dead.
		is(t, "set state", e.SetNodeState(e.ctx(), "a1", "active"), nil)
		if got := e.member("a1").State; got != "dead" {
			t.Errorf("a dead node became %s", got)
		}
		// Rows of the long dead go.
		e.sql("UPDATE nodes SET hb = 1 WHERE node_id = 'a1'")
		is(t, "register", e.Register(e.ctx(), conversation.Node{ID: "c1", Instance: "host:3"}), nil)
		if got := e.member("a1"); got.ID != "" {
			t.Errorf("still there: %+v", got)
		}
	})
}

func TestBury(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		seen := e.member("n1").HB
		e.sql("UPDATE nodes SET hb = hb - 5000000 WHERE node_id = 'n1'")
		if dead, err := e.Bury(e.ctx(), "n1", seen); dead || err != nil {
			t.Errorf("buried by an old look: %v (%v)", dead, err)
		}
		m := e.member("n1")
		if m.AgeMicros < 5e6 {
			t.Errorf("age %d", m.AgeMicros)
		}
		won := 0
		for _, err := range parallel(5, func(int) error {
			dead, err := e.Bury(e.ctx(), "n1", m.HB)
			if dead {
				return nil
			}
			if err == nil {
				err = conversation.ErrClaimLost
			}
			return err
		}) {
			if err == nil {
				won++
			}
		}
		if won != 1 || e.member("n1").State != "dead" {
			t.Errorf("%d buried it, state %s", won, e.member("n1").State)
		}
		is(t, "heartbeat", e.Heartbeat(e.ctx(), "n1"), conversation.ErrNodeDead)
	})
}

func TestDrainingNodeBeats(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		is(t, "drain", e.SetNodeState(e.ctx(), "n1", "draining"), nil)
		is(t, "heartbeat", e.Heartbeat(e.ctx(), "n1"), nil)
		if got := e.member("n1").State; got != "draining" {
			t.Errorf("state %s", got)
		}
	})
}
