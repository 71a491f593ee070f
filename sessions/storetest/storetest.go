// Package storetest is what every sessions.Store must pass.
package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// Run checks a store; open makes an empty one whose sessions live for ttl.
func Run(t *testing.T, open func(tb testing.TB, ttl time.Duration) sessions.Store) {
	for name, f := range map[string]func(*testing.T, func(testing.TB, time.Duration) sessions.Store){
		"round trip":    roundTrip,
		"one owner":     oneOwner,
		"delete":        deleted,
		"lapse":         lapse,
		"list":          list,
		"viewers":       viewers,
		"viewers large": viewersLarge,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open)
		})
	}
}

func session(user string, n int) sessions.Session {
	at := time.UnixMilli(1_780_000_000_000).Add(time.Duration(n) * time.Minute)
	return sessions.Session{
		ID: fmt.Sprintf("id-of-%s-%d", user, n), User: conversation.LearnerID(user), Client: "web/1 {\"x\":\n}", Node: "n1",
		Created: at, LastSeen: at.Add(time.Second),
		Subs: map[conversation.ID]string{"01890000-0000-7000-8000-000000000001": "3.abc.412", "01890000-0000-7000-8000-000000000002": ""},
	}
}

func roundTrip(t *testing.T, open func(testing.TB, time.Duration) sessions.Store) {
	ctx, st := t.Context(), open(t, time.Minute)
	want := session("ann", 1)
	if _, ok, err := st.Get(ctx, want.ID, "ann"); ok || err != nil {
		t.Fatalf("empty store: got %v, %v", ok, err)
	}
	must(t, st.Save(ctx, want))
	got, ok, err := st.Get(ctx, want.ID, "ann")
	if err != nil || !ok {
		t.Fatalf("got %v, %v", ok, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
	// A later save replaces everything, the subscriptions too.
	want.Subs = map[conversation.ID]string{}
	want.Node, want.LastSeen = "n2", want.LastSeen.Add(time.Minute)
	must(t, st.Save(ctx, want))
	got, _, err = st.Get(ctx, want.ID, "ann")
	if err != nil || len(got.Subs) != 0 || got.Node != "n2" || !got.LastSeen.Equal(want.LastSeen) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func oneOwner(t *testing.T, open func(testing.TB, time.Duration) sessions.Store) {
	ctx, st := t.Context(), open(t, time.Minute)
	s := session("ann", 1)
	must(t, st.Save(ctx, s))
	if _, ok, err := st.Get(ctx, s.ID, "bob"); ok || err != nil {
		t.Fatalf("a foreign session: got %v, %v; want unknown", ok, err)
	}
	stolen := s
	stolen.User, stolen.Node = "bob", "n9"
	must(t, st.Save(ctx, stolen))
	must(t, st.Delete(ctx, s.ID, "bob"))
	got, ok, err := st.Get(ctx, s.ID, "ann")
	if err != nil || !ok || got.Node != "n1" {
		t.Fatalf("after a foreign save and delete: got %v %+v, %v", ok, got, err)
	}
	if l, err := st.List(ctx, "bob"); err != nil || len(l) != 0 {
		t.Fatalf("bob has %d sessions, %v", len(l), err)
	}
}

func deleted(t *testing.T, open func(testing.TB, time.Duration) sessions.Store) {
	ctx, st := t.Context(), open(t, time.Minute)
	s := session("ann", 1)
	must(t, st.Save(ctx, s))
	must(t, st.Delete(ctx, s.ID, "ann"))
	must(t, st.Delete(ctx, s.ID, "ann"))
	if _, ok, err := st.Get(ctx, s.ID, "ann"); ok || err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	if l, err := st.List(ctx, "ann"); err != nil || len(l) != 0 {
		t.Fatalf("got %d sessions, %v", len(l), err)
	}
}

// lapse: a session ends ttl after it was last saved or read, and the list never
// shows one that has ended nor hides one that lives.
func lapse(t *testing.T, open func(testing.TB, time.Duration) sessions.Store) {
	const ttl = 400 * time.Millisecond
	ctx, st := t.Context(), open(t, ttl)
	old, kept := session("ann", 1), session("ann", 2)
	must(t, st.Save(ctx, old))
	must(t, st.Save(ctx, kept))
	begun := time.Now()
	for end := begun.Add(3 * ttl); time.Now().Before(end); {
		if _, ok, err := st.Get(ctx, kept.ID, "ann"); !ok || err != nil {
			t.Fatalf("the session in use was lost after %v: %v", time.Since(begun), err)
		}
		<-time.After(ttl / 8)
		l, err := st.List(ctx, "ann")
		if err != nil {
			t.Fatal(err)
		}
		if !has(l, kept) {
			t.Fatalf("the list lost the session in use after %v", time.Since(begun))
		}
		if has(l, old) && time.Since(begun) > 2*ttl {
			t.Fatalf("the list still shows a session that ended")
		}
	}
	if _, ok, err := st.Get(ctx, old.ID, "ann"); ok || err != nil {
		t.Fatalf("the old session: got %v, %v", ok, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		<-time.After(ttl)
		l, err := st.List(ctx, "ann")
		if err != nil {
			t.Fatal(err)
		}
		if len(l) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions never end", len(l))
		}
	}
}

func has(l []sessions.Session, s sessions.Session) bool {
	for _, x := range l {
		if x.ID == sessions.HashID(s.ID) {
			return true
		}
	}
	return false
}

func list(t *testing.T, open func(testing.TB, time.Duration) sessions.Store) {
	ctx, st := t.Context(), open(t, time.Minute)
	var want []string
	for n := 3; n >= 1; n-- {
		want = append(want, sessions.HashID(session("ann", n).ID))
	}
	for _, n := range []int{2, 1, 3} {
		must(t, st.Save(ctx, session("ann", n)))
	}
	must(t, st.Save(ctx, session("bob", 1)))
	l, err := st.List(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range l {
		got = append(got, s.ID)
		if s.User != "ann" || len(s.Subs) != 2 || s.Client == "" {
			t.Errorf("incomplete %+v", s)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("newest first, by hash (-want +got)\n%s", d)
	}
}

func viewer(c conversation.ID, n int) sessions.Viewer {
	return sessions.Viewer{
		Conversation: c, Conn: fmt.Sprintf("conn%04d", n), Node: "n1", Session: "abcdefgh", User: "ann", Transport: "ws",
		Cursor: "3.abc.412", Acked: "3.abc.400", Lag: 12, Since: time.Now().UnixMilli() + int64(n), At: time.Now().UnixMilli(),
	}
}

func viewers(t *testing.T, open func(testing.TB, time.Duration) sessions.Store) {
	ctx, st := t.Context(), open(t, time.Minute)
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

func viewersLarge(t *testing.T, open func(testing.TB, time.Duration) sessions.Store) {
	st := open(t, time.Minute)
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

func same(t *testing.T, st sessions.Store, c conversation.ID, want ...sessions.Viewer) {
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
