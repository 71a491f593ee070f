// Package storetest is what every sessions.Store must pass.
package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// Options are what a test asks of a store that it opens.
type Options struct {
	TTL, Lease      time.Duration
	SessionsPerUser int
}

// Backend is an empty store and what can be done to it from outside.
type Backend struct {
	sessions.Store
	// Lose makes it lose everything, as FLUSHALL does, or a restart without
	// persistence.
	Lose func()
}

type opener = func(testing.TB, Options) Backend

// Run checks a store.
func Run(t *testing.T, open func(testing.TB, Options) Backend) {
	for name, f := range map[string]func(*testing.T, opener){
		"round trip":       roundTrip,
		"one owner":        oneOwner,
		"one holder":       oneHolder,
		"delete":           deleted,
		"lapse":            lapse,
		"list":             list,
		"room":             room,
		"viewers":          viewers,
		"viewers large":    viewersLarge,
		"leases":           leases,
		"connections":      connections,
		"connections race": connectionsRace,
		"tickets":          tickets,
		"lose all":         Lost,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open)
		})
	}
}

func session(user string, n int) sessions.Session {
	return sessions.Session{
		ID: fmt.Sprintf("id-of-%s-%d", user, n), User: conversation.LearnerID(user), Client: "web/1 {\"x|\":\n}", Node: "n1", Holder: "c1",
		Created: time.UnixMilli(1_780_000_000_000).Add(time.Duration(n) * time.Minute),
		Subs:    map[conversation.ID]string{"01890000-0000-7000-8000-000000000001": "3.abc.412", "01890000-0000-7000-8000-000000000002": ""},
	}
}

// recent checks LastSeen, which the store sets by its own clock, and takes it
// out of the comparison.
func recent(t *testing.T, s sessions.Session) sessions.Session {
	t.Helper()
	if d := time.Since(s.LastSeen); d < -time.Second || d > 30*time.Second {
		t.Errorf("last seen %v ago", d)
	}
	s.LastSeen = time.Time{}
	return s
}

func roundTrip(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{TTL: time.Minute})
	want := session("ann", 1)
	if _, ok, err := st.Get(ctx, want.ID, "ann"); ok || err != nil {
		t.Fatalf("empty store: got %v, %v", ok, err)
	}
	for what, f := range map[string]func(context.Context, sessions.Session) (sessions.Outcome, error){"update": st.Update, "extend": st.Extend} {
		if out, err := f(ctx, want); out != sessions.Gone || err != nil {
			t.Fatalf("%s of nothing: %v, %v", what, out, err)
		}
	}
	must(t, st.Create(ctx, want))
	got, ok, err := st.Get(ctx, want.ID, "ann")
	if err != nil || !ok {
		t.Fatalf("got %v, %v", ok, err)
	}
	if d := cmp.Diff(want, recent(t, got)); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
	// An update replaces everything but the birth, the subscriptions too.
	want.Subs, want.Node, want.Client = nil, "n2", "web/2"
	done(t, st.Update, want)
	got, _, err = st.Get(ctx, want.ID, "ann")
	if d := cmp.Diff(want, recent(t, got)); err != nil || d != "" {
		t.Fatalf("%v (-want +got)\n%s", err, d)
	}
	// An extension changes nothing.
	other := want
	other.Node, other.Subs = "n9", session("ann", 1).Subs
	done(t, st.Extend, other)
	got, _, err = st.Get(ctx, want.ID, "ann")
	if d := cmp.Diff(want, recent(t, got)); err != nil || d != "" {
		t.Fatalf("%v (-want +got)\n%s", err, d)
	}
}

func done(t *testing.T, f func(context.Context, sessions.Session) (sessions.Outcome, error), s sessions.Session) {
	t.Helper()
	if out, err := f(t.Context(), s); out != sessions.Done || err != nil {
		t.Fatalf("got %v, %v", out, err)
	}
}

func oneOwner(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{TTL: time.Minute})
	s := session("ann", 1)
	must(t, st.Create(ctx, s))
	if _, ok, err := st.Get(ctx, s.ID, "bob"); ok || err != nil {
		t.Fatalf("a foreign session: got %v, %v; want unknown", ok, err)
	}
	if _, ok, err := st.Take(ctx, s.ID, "bob", "c9"); ok || err != nil {
		t.Fatalf("a foreign session: took %v, %v; want unknown", ok, err)
	}
	stolen := s
	stolen.User, stolen.Node = "bob", "n9"
	for what, f := range map[string]func(context.Context, sessions.Session) (sessions.Outcome, error){"update": st.Update, "extend": st.Extend} {
		if out, err := f(ctx, stolen); out != sessions.Gone || err != nil {
			t.Fatalf("a foreign %s: %v, %v", what, out, err)
		}
	}
	must(t, st.Delete(ctx, s.ID, "bob"))
	got, ok, err := st.Get(ctx, s.ID, "ann")
	if err != nil || !ok || got.Node != "n1" || got.Holder != "c1" {
		t.Fatalf("after all that: got %v %+v, %v", ok, got, err)
	}
	if l, err := st.List(ctx, "bob"); err != nil || len(l) != 0 {
		t.Fatalf("bob has %d sessions, %v", len(l), err)
	}
}

// oneHolder: a connection that lost the session to another cannot write over
// what that one wrote.
func oneHolder(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{TTL: time.Minute})
	old := session("ann", 1)
	must(t, st.Create(ctx, old))
	next, ok, err := st.Take(ctx, old.ID, "ann", "c2")
	if err != nil || !ok || next.Holder != "c2" || len(next.Subs) != 2 || next.ID != old.ID {
		t.Fatalf("took %v %+v, %v", ok, next, err)
	}
	next.Subs = map[conversation.ID]string{"01890000-0000-7000-8000-000000000003": "1.a.1"}
	done(t, st.Update, next)
	for what, f := range map[string]func(context.Context, sessions.Session) (sessions.Outcome, error){"update": st.Update, "extend": st.Extend} {
		if out, err := f(ctx, old); out != sessions.Taken || err != nil {
			t.Fatalf("%s by the one before: %v, %v", what, out, err)
		}
	}
	got, _, err := st.Get(ctx, old.ID, "ann")
	if err != nil || got.Holder != "c2" || len(got.Subs) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func deleted(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{TTL: time.Minute})
	s := session("ann", 1)
	must(t, st.Create(ctx, s))
	must(t, st.Delete(ctx, s.ID, "ann"))
	must(t, st.Delete(ctx, s.ID, "ann"))
	if _, ok, err := st.Get(ctx, s.ID, "ann"); ok || err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	if l, err := st.List(ctx, "ann"); err != nil || len(l) != 0 {
		t.Fatalf("got %d sessions, %v", len(l), err)
	}
}

// lapse: a session ends when nothing was written for its term, and the list
// shows exactly those that have not ended.
func lapse(t *testing.T, open opener) {
	const ttl = 2 * time.Second
	ctx, st := t.Context(), open(t, Options{TTL: ttl})
	old, kept := session("ann", 1), session("ann", 2)
	must(t, st.Create(ctx, old))
	must(t, st.Create(ctx, kept))
	begun := time.Now()
	poll(t, "the old session ends", func() bool {
		// Each write counts, and reading does not.
		if out, err := st.Extend(ctx, kept); out != sessions.Done || err != nil {
			t.Fatalf("the session in use was lost after %v: %v, %v", time.Since(begun), out, err)
		}
		_, lives, err := st.Get(ctx, old.ID, "ann")
		must(t, err)
		l, err := st.List(ctx, "ann")
		must(t, err)
		if !has(l, kept) {
			t.Fatalf("the list lost the session in use after %v", time.Since(begun))
		}
		if has(l, old) && !lives {
			t.Fatal("the list shows a session that has ended")
		}
		return !lives
	})
	if d := time.Since(begun); d < ttl-100*time.Millisecond {
		t.Fatalf("it ended after %v", d)
	}
	if _, ok, err := st.Take(ctx, old.ID, "ann", "c2"); ok || err != nil {
		t.Fatalf("the old session was taken: %v, %v", ok, err)
	}
	if out, err := st.Update(ctx, old); out != sessions.Gone || err != nil {
		t.Fatalf("the old session was updated: %v, %v", out, err)
	}
	poll(t, "nothing is listed", func() bool {
		l, err := st.List(ctx, "ann")
		must(t, err)
		return len(l) == 0
	})
}

// poll waits for a moment that comes by itself.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func has(l []sessions.Session, s sessions.Session) bool {
	return slices.ContainsFunc(l, func(x sessions.Session) bool { return x.ID == sessions.HashID(s.ID) })
}

// room: a user has a bounded number of sessions; the one seen longest ago goes.
func room(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{TTL: time.Minute, SessionsPerUser: 3})
	for n := 1; n <= 3; n++ {
		must(t, st.Create(ctx, session("ann", n)))
		apart(t)
	}
	done(t, st.Extend, session("ann", 1))
	apart(t)
	must(t, st.Create(ctx, session("ann", 3))) // again: nobody has to go
	apart(t)
	must(t, st.Create(ctx, session("ann", 4)))
	must(t, st.Create(ctx, session("bob", 1)))
	l, err := st.List(ctx, "ann")
	if err != nil || len(l) != 3 || has(l, session("ann", 2)) {
		t.Fatalf("%d sessions, %v", len(l), err)
	}
}

// apart lets the clock of a store, which counts milliseconds, go on.
func apart(t *testing.T) {
	t.Helper()
	at := time.Now().UnixMilli()
	poll(t, "a few milliseconds pass", func() bool { return time.Now().UnixMilli() > at+3 })
}

func list(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{TTL: time.Minute})
	var want []string
	for _, n := range []int{2, 1, 3} {
		must(t, st.Create(ctx, session("ann", n)))
		want = append([]string{sessions.HashID(session("ann", n).ID)}, want...)
		apart(t)
	}
	must(t, st.Create(ctx, session("bob", 1)))
	l, err := st.List(ctx, "ann")
	must(t, err)
	var got []string
	for _, s := range l {
		got = append(got, s.ID)
		if s.User != "ann" || len(s.Subs) != 2 || s.Client == "" {
			t.Errorf("incomplete %+v", s)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("last seen first, by hash (-want +got)\n%s", d)
	}
}

func viewer(c conversation.ID, n int) sessions.Viewer {
	return sessions.Viewer{
		Conversation: c, Conn: fmt.Sprintf("conn%04d", n), Node: "n1", Session: "abcdefgh", User: "ann", Transport: "ws",
		Cursor: "3.abc.412", Acked: "3.abc.400", Lag: 12, Since: time.Now().UnixMilli() + int64(n), At: time.Now().UnixMilli(),
	}
}

func viewers(t *testing.T, open opener) {
	ctx, st := t.Context(), open(t, Options{})
	beat(t, st, "n1", true)
	a, b := conversation.NewID(), conversation.NewID()
	v1, v2, other := viewer(a, 1), viewer(a, 2), viewer(b, 3)
	must(t, st.PutViewers(ctx, []sessions.Viewer{v1, v2, other}))
	v1.Cursor, v1.Lag = "3.abc.424", 0
	must(t, st.PutViewers(ctx, []sessions.Viewer{v1}))
	same(t, st, a, v1, v2)
	same(t, st, b, other)
	must(t, st.DropViewers(ctx, []sessions.Viewer{v2, other, viewer(b, 9)}))
	same(t, st, a, v1)
	same(t, st, b)
	must(t, st.PutViewers(ctx, nil))
	must(t, st.DropViewers(ctx, nil))
}

func viewersLarge(t *testing.T, open opener) {
	st := open(t, Options{})
	beat(t, st, "n1", true)
	c := conversation.NewID()
	var all []sessions.Viewer
	for n := range 500 {
		all = append(all, viewer(c, n))
	}
	must(t, st.PutViewers(t.Context(), all))
	got, err := st.ListViewers(t.Context(), c)
	if err != nil || len(got) != len(all) {
		t.Fatalf("got %d of %d, %v", len(got), len(all), err)
	}
}

func same(t *testing.T, st sessions.Presence, c conversation.ID, want ...sessions.Viewer) {
	t.Helper()
	got, err := st.ListViewers(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	gj, _ := json.Marshal(got)
	wj, _ := json.Marshal(want)
	if len(want) == 0 && len(got) == 0 {
		return
	}
	if d := cmp.Diff(string(wj), string(gj)); d != "" {
		t.Fatalf("viewers (-want +got)\n%s", d)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
