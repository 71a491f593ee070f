package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

func beat(t *testing.T, st sessions.Presence, node string, fresh bool) {
	t.Helper()
	if got, err := st.Beat(t.Context(), node); got != fresh || err != nil {
		t.Fatalf("beat of %s: fresh %v, %v; want %v", node, got, err, fresh)
	}
}

func connection(user, node string, n int) sessions.Connection {
	return sessions.Connection{
		ID: fmt.Sprintf("%s-%d", node, n), Node: node, User: conversation.LearnerID(user), Transport: "ws", Client: "web/1 |{",
		Session: sessions.HashID(fmt.Sprint(node, n)), Since: int64(n),
	}
}

func count(t *testing.T, st sessions.Presence, user conversation.LearnerID, want int) {
	t.Helper()
	if got, err := st.Connections(t.Context(), user); err != nil || len(got) != want {
		t.Fatalf("%s has %v, %v; want %d", user, got, err, want)
	}
}

// leases: what a node entered counts while the node beats, and no longer.
func leases(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{Lease: time.Second})
	id := conversation.NewID()
	beat(t, st, "n1", true)
	beat(t, st, "n2", true)
	beat(t, st, "n2", false)
	dead, live := viewer(id, 1), viewer(id, 2)
	live.Node = "n2"
	must(t, st.PutViewers(ctx, []sessions.Viewer{dead, live}))
	must(t, st.PutConnections(ctx, []sessions.Connection{connection("ann", "n1", 1), connection("ann", "n2", 2)}))
	poll(t, "the node that does not beat is gone", func() bool {
		beat(t, st, "n2", false)
		vs, err := st.ListViewers(ctx, id)
		must(t, err)
		cs, err := st.Connections(ctx, "ann")
		must(t, err)
		return len(vs) == 1 && vs[0].Conn == live.Conn && len(cs) == 1 && cs[0].Node == "n2"
	})
	// It is told that it had been forgotten, and what it had is not back.
	beat(t, st, "n1", true)
	same(t, st, id, live)
	count(t, st, "ann", 1)
	// A node that leaves takes its entries along at once.
	must(t, st.Leave(ctx, "n2"))
	must(t, st.Leave(ctx, "n2"))
	same(t, st, id)
	count(t, st, "ann", 0)
}

// connections: a user has so many over all nodes; a dead node's do not count,
// nor does the one that a session's next connection replaces.
func connections(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{Lease: time.Minute})
	enter := func(c sessions.Connection, most int, want bool) {
		t.Helper()
		if ok, err := st.Enter(ctx, c, most); ok != want || err != nil {
			t.Fatalf("enter %s of at most %d: %v, %v", c.ID, most, ok, err)
		}
	}
	beat(t, st, "n1", true)
	beat(t, st, "n2", true)
	enter(connection("ann", "n1", 1), 3, true)
	enter(connection("ann", "n2", 2), 3, true)
	enter(connection("ann", "n2", 3), 3, true)
	enter(connection("ann", "n1", 4), 3, false)
	enter(connection("ann", "n2", 3), 3, true) // again
	enter(connection("bob", "n1", 4), 3, true)
	next := connection("ann", "n1", 5)
	next.Session = connection("ann", "n2", 3).Session
	enter(next, 3, true)
	got, err := st.Connections(ctx, "ann")
	if err != nil || len(got) != 4 || got[0] != connection("ann", "n1", 1) || got[3] != next {
		t.Fatalf("got %+v, %v", got, err)
	}
	must(t, st.Exit(ctx, []sessions.Connection{connection("ann", "n2", 3), connection("ann", "n2", 9), connection("eve", "n1", 1)}))
	count(t, st, "ann", 3)
	enter(connection("ann", "n1", 6), 3, false)
	must(t, st.Leave(ctx, "n2"))
	enter(connection("ann", "n1", 6), 3, true)
	count(t, st, "ann", 3)
	must(t, st.Exit(ctx, nil))
	must(t, st.PutConnections(ctx, nil))
}

// connectionsRace: of many that come at once, no more enter than may.
func connectionsRace(t *testing.T, open opener) {
	st := open(t, Options{Lease: time.Minute})
	for _, n := range []string{"n0", "n1", "n2"} {
		beat(t, st, n, true)
	}
	var in atomic.Int64
	var wg sync.WaitGroup
	for n := range 60 {
		wg.Go(func() {
			ok, err := st.Enter(t.Context(), connection("ann", fmt.Sprintf("n%d", n%3), n), 7)
			if err != nil {
				t.Error(err)
			}
			if ok {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 7 {
		t.Fatalf("%d entered, want 7", in.Load())
	}
	count(t, st, "ann", 7)
}

// tickets: each is good once, for its time.
func tickets(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{})
	want := sessions.Ticket{User: "ann", Family: "f1", Expires: 7, Conversation: conversation.NewID()}
	h := sessions.HashID("secret")
	must(t, st.PutTicket(ctx, h, want, time.Minute))
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, ok, err := st.TakeTicket(ctx, h)
			if err != nil || ok && got != want {
				t.Errorf("got %+v, %v", got, err)
			}
			if ok {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Fatalf("%d have it", taken.Load())
	}
	if _, ok, err := st.TakeTicket(ctx, sessions.HashID("other")); ok || err != nil {
		t.Fatalf("an unknown one: %v, %v", ok, err)
	}
	begun := time.Now()
	must(t, st.PutTicket(ctx, h, want, 50*time.Millisecond))
	poll(t, "its time is over", func() bool { return time.Since(begun) > 100*time.Millisecond })
	if _, ok, err := st.TakeTicket(ctx, h); ok || err != nil {
		t.Fatalf("an old one: %v, %v", ok, err)
	}
}

// Lost checks a store that loses everything by Backend.Lose, in whatever way:
// nothing is there then, a node is told so, and all can be entered anew.
func Lost(t *testing.T, open func(testing.TB, Options) Backend) {
	st := open(t, Options{TTL: time.Minute})
	ctx := t.Context()
	s, id := session("ann", 1), conversation.NewID()
	enter := func() {
		t.Helper()
		must(t, st.Create(ctx, s))
		must(t, st.PutViewers(ctx, []sessions.Viewer{viewer(id, 1)}))
		must(t, st.PutConnections(ctx, []sessions.Connection{connection("ann", "n1", 1)}))
		must(t, st.PutTicket(ctx, "h", sessions.Ticket{User: "ann"}, time.Minute))
	}
	beat(t, st, "n1", true)
	enter()
	st.Lose()
	poll(t, "it answers again", func() bool {
		out, err := st.Update(ctx, s)
		return err == nil && out == sessions.Gone
	})
	if _, ok, err := st.Take(ctx, s.ID, "ann", "c1"); ok || err != nil {
		t.Fatalf("the session: %v, %v", ok, err)
	}
	if _, ok, err := st.TakeTicket(ctx, "h"); ok || err != nil {
		t.Fatalf("the ticket: %v, %v", ok, err)
	}
	same(t, st, id)
	count(t, st, "ann", 0)
	beat(t, st, "n1", true)
	enter()
	if l, err := st.List(ctx, "ann"); err != nil || len(l) != 1 {
		t.Fatalf("%d sessions, %v", len(l), err)
	}
	if vs, err := st.ListViewers(ctx, id); err != nil || len(vs) != 1 {
		t.Fatalf("%d viewers, %v", len(vs), err)
	}
	count(t, st, "ann", 1)
}
