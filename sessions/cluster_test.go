package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/sessions/memstore"
)

// bus joins the nodes of a test; a deaf one loses every order.
type bus struct {
	mu   sync.Mutex
	subs map[int]func(sessions.Order)
	n    int
	deaf bool
	sent int
}

func (b *bus) Publish(_ context.Context, o sessions.Order) error {
	b.mu.Lock()
	var all []func(sessions.Order)
	for _, f := range b.subs {
		all = append(all, f)
	}
	deaf := b.deaf
	b.sent++
	b.mu.Unlock()
	if deaf {
		return errors.New("nobody heard it")
	}
	for _, f := range all {
		f(o)
	}
	return nil
}

func (b *bus) Listen(ctx context.Context, fn func(sessions.Order)) {
	b.mu.Lock()
	b.n++
	n := b.n
	if b.subs == nil {
		b.subs = map[int]func(sessions.Order){}
	}
	b.subs[n] = fn
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	delete(b.subs, n)
	b.mu.Unlock()
}

func (b *bus) listeners() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subs)
}

// logins is a list of families that have ended.
type logins struct {
	mu    sync.Mutex
	ended []string
}

func (l *logins) Ended(family string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.ended, family)
}

func (l *logins) end(f string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, f)
}

// two are nodes that share a store, a bus and what there is to see.
func two(t *testing.T, change func(*sessions.Config)) (a, b *rig, st *memstore.Store, wire *bus) {
	t.Helper()
	st, wire = memstore.New(memstore.Options{}), &bus{}
	var first *rig
	for _, node := range []string{"n1", "n2"} {
		r := newRig(t, func(c *sessions.Config) {
			c.Store, c.Bus, c.Node = st, wire, node
			c.Times.Beat, c.Times.LoginCheck = 20*time.Millisecond, 20*time.Millisecond
			if first != nil {
				c.Source, c.Auth = first.src, first.keys
			}
			if change != nil {
				change(c)
			}
		})
		r.store = st
		if first == nil {
			first = r
		}
		a, b = first, r
	}
	a.eventually("both listen", func() bool { return wire.listeners() == 2 })
	return a, b, st, wire
}

func (r *rig) greetedAs(token, hello string) (*socket, fields) {
	r.t.Helper()
	s := r.dial(bearer(token))
	s.send(hello)
	return s, s.want("welcome")
}

// TestConfirmedIsKept: what sub_ok confirmed comes back on any node, however
// soon the client is there.
func TestConfirmedIsKept(t *testing.T) {
	t.Parallel()
	// Nothing that is written behind can come in time.
	a, b, _, _ := two(t, func(c *sessions.Config) { c.Times.Report = time.Hour })
	s, w := a.greetedAs("ann", `{"t":"hello"}`)
	session := w.str("session")
	from, to := a, b
	for n := 1; n <= 10; n++ {
		talk := a.src.talk("ann")
		talk.begin()
		s.send(fmt.Sprintf(`{"t":"sub","id":"x","c":%q}`, talk.id))
		for {
			if f := s.next(); f.str("t") == "sub_ok" && f.str("c") == string(talk.id) {
				break
			}
		}
		_ = s.c.CloseNow() // the peer is gone, which is what we want
		s, w = to.greetedAs("ann", fmt.Sprintf(`{"t":"hello","session":%q}`, session))
		if w["resumed"] != true || w.str("session") != session {
			t.Fatalf("reconnect %d: got %v", n, w)
		}
		back := map[string]bool{}
		for len(back) < n {
			if f := s.next(); f.str("t") == "sub_ok" {
				back[f.str("c")] = true
			}
		}
		from, to = to, from
	}
}

// TestStaleConnection: one that died without knowing it does not write over
// what its successor wrote.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	a, b, st, _ := two(t, nil)
	old, next := a.src.talk("ann"), a.src.talk("ann")
	old.begin()
	next.begin()
	stale, w := a.greetedAs("ann", `{"t":"hello"}`)
	session := w.str("session")
	stale.send(fmt.Sprintf(`{"t":"sub","c":%q}`, old.id))
	for stale.next().str("t") != "caught_up" {
	}
	s, _ := b.greetedAs("ann", fmt.Sprintf(`{"t":"hello","session":%q}`, session))
	s.send(fmt.Sprintf(`{"t":"sub","c":%q}`, next.id), fmt.Sprintf(`{"t":"unsub","c":%q}`, old.id))
	is := func() bool {
		v, ok, err := st.Get(context.Background(), session, "ann")
		_, has := v.Subs[next.id]
		return ok && err == nil && len(v.Subs) == 1 && has && v.Node == "n2"
	}
	b.eventually("the store has what the new one did", is)
	stale.send(fmt.Sprintf(`{"t":"ack","c":%q,"cur":"1.abc.1"}`, old.id), `{"t":"ping"}`)
	for stale.next().str("t") != "pong" {
	}
	_ = stale.c.CloseNow()
	a.eventually("the old one is gone", func() bool { return a.m.Connections() == 0 })
	a.m.Close() // writes what is left to write
	if !is() {
		v, _, err := st.Get(context.Background(), session, "ann")
		t.Fatalf("the old connection wrote %+v, %v", v, err)
	}
}

// TestLimitOverNodes: a learner has so many connections on all nodes together.
func TestLimitOverNodes(t *testing.T) {
	t.Parallel()
	a, b, st, _ := two(t, func(c *sessions.Config) { c.Limits.ConnectionsPerUser = 3 })
	talk := a.src.talk("ann")
	talk.begin()
	s, w := a.greetedAs("ann", `{"t":"hello"}`)
	a.greetedAs("ann", `{"t":"hello"}`)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.srv.URL+"/api/v2/conversations/"+string(talk.id)+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ann")
	stream, err := b.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	late := b.dial(bearer("ann"))
	late.send(`{"t":"hello"}`)
	late.closed(4430)
	if res, body := b.get("/api/v2/conversations/"+string(talk.id)+"/events", http.Header{"Authorization": {"Bearer ann"}}); res.StatusCode != 429 {
		t.Fatalf("got %d %s", res.StatusCode, body)
	}
	b.greetedAs("bob", `{"t":"hello"}`)
	// The connection that takes a session over needs no place of its own.
	b.greetedAs("ann", fmt.Sprintf(`{"t":"hello","session":%q}`, w.str("session")))
	_ = s.c.CloseNow()
	cancel()
	b.eventually("places are free again", func() bool {
		cs, err := st.Connections(context.Background(), "ann")
		return err == nil && len(cs) == 2
	})
	b.greetedAs("ann", `{"t":"hello"}`)
}

// TestStoreLosesAll: after a wipe everything that is open is entered again.
func TestStoreLosesAll(t *testing.T) {
	t.Parallel()
	a, _, st, _ := two(t, nil)
	talk := a.src.talk("ann")
	talk.begin()
	s, w := a.greetedAs("ann", `{"t":"hello"}`)
	s.send(fmt.Sprintf(`{"t":"sub","c":%q}`, talk.id))
	for s.next().str("t") != "caught_up" {
	}
	there := func() bool {
		v, ok, err1 := st.Get(context.Background(), w.str("session"), "ann")
		cs, err2 := st.Connections(context.Background(), "ann")
		vs, err3 := st.ListViewers(context.Background(), talk.id)
		return errors.Join(err1, err2, err3) == nil && ok && len(v.Subs) == 1 && len(cs) == 1 && len(vs) == 1
	}
	a.eventually("it is there", there)
	for range 3 {
		st.Wipe()
		a.eventually("it is there again", there)
	}
	s.send(`{"t":"ping"}`)
	s.want("pong")
}

// TestLogoutEverywhere: one login's sockets, streams and held polls end on every
// node, by the order or, if that is lost, by looking.
func TestLogoutEverywhere(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("order lost %v", lost), func(t *testing.T) {
			t.Parallel()
			known := &logins{}
			a, b, _, wire := two(t, func(c *sessions.Config) { c.Logins = known })
			wire.deaf = lost
			for _, token := range []string{"ann:f1", "ann:f2", "bob:f3"} {
				a.keys.set(token, time.Time{})
			}
			talk := a.src.talk("ann")
			talk.begin()
			var out, stay []*socket
			for _, r := range []*rig{a, b} {
				s, _ := r.greetedAs("ann:f1", `{"t":"hello"}`)
				out = append(out, s)
				for _, token := range []string{"ann:f2", "bob:f3"} {
					s, _ := r.greetedAs(token, `{"t":"hello"}`)
					stay = append(stay, s)
				}
			}
			type answer struct {
				status int
				body   string
			}
			streams, polls := make(chan answer, 2), make(chan answer, 2)
			get := func(r *rig, path string, into chan answer) {
				res, body := r.get("/api/v2/conversations/"+string(talk.id)+path, http.Header{"Authorization": {"Bearer ann:f1"}})
				into <- answer{res.StatusCode, body}
			}
			for _, r := range []*rig{a, b} {
				go get(r, "/events", streams)
				go get(r, "/log?wait=9&after="+talk.cursor(talk.top()), polls)
			}
			a.eventually("all are there", func() bool { return len(a.m.Status())+len(b.m.Status()) == 4 })
			if lost {
				known.end("f1")
			} else if n := a.m.CloseLearner("ann", "f1"); n != 3 {
				t.Fatalf("ended %d here, want 3", n)
			}
			for _, s := range out {
				s.closed(4401)
			}
			for range 2 {
				if got := <-streams; !strings.Contains(got.body, `"code":"unauthenticated"`) {
					t.Errorf("a stream ended with %+v", got)
				}
				if got := <-polls; got.status != 401 {
					t.Errorf("a poll ended with %+v", got)
				}
			}
			for _, s := range stay {
				s.send(`{"t":"ping"}`)
				s.want("pong")
			}
			if lost {
				return
			}
			b.eventually("what ended has left", func() bool { return b.m.Connections() == 2 })
			if n := b.m.CloseLearner("ann", ""); n != 1 {
				t.Fatalf("ended %d here, want 1", n)
			}
			stay[0].closed(4401)
			stay[2].closed(4401)
			stay[1].send(`{"t":"ping"}`)
			stay[1].want("pong")
		})
	}
}

// TestEveryNodeFindsOut: each node that learns of the end by itself closes, and
// does not tell the others what one of them told it.
func TestEveryNodeFindsOut(t *testing.T) {
	t.Parallel()
	a, b, _, wire := two(t, nil)
	a.keys.set("ann:f1", time.Time{})
	s, _ := b.greetedAs("ann:f1", `{"t":"hello"}`)
	a.m.CloseLearner("ann", "f1")
	s.closed(4401)
	late, _ := b.greetedAs("ann:f1", `{"t":"hello"}`)
	b.m.CloseLearner("ann", "f1")
	late.closed(4401)
	if wire.mu.Lock(); wire.sent != 1 {
		t.Errorf("%d orders were sent", wire.sent)
	}
	wire.mu.Unlock()
}

// TestOrderNotHeard: CloseLearner says so in the log and does its own part.
func TestOrderNotHeard(t *testing.T) {
	t.Parallel()
	a, _, _, wire := two(t, nil)
	s, _ := a.greetedAs("ann", `{"t":"hello"}`)
	wire.deaf = true
	if n := a.m.CloseLearner("ann", ""); n != 1 {
		t.Fatalf("ended %d", n)
	}
	s.closed(4401)
	if !strings.Contains(a.logs.String(), "other nodes were not told") {
		t.Error("nothing was logged")
	}
	if _, err := a.m.Kick(within(t), "ann", "", ""); err == nil {
		t.Error("a kick that nobody heard of is told as done")
	}
}

// TestKickAndNotify: both reach all devices on all nodes, or those that are meant.
func TestKickAndNotify(t *testing.T) {
	t.Parallel()
	a, b, _, _ := two(t, nil)
	talk := a.src.talk("ann")
	talk.begin()
	one, w := a.greetedAs("ann", `{"t":"hello","client":"phone/1"}`)
	second, _ := b.greetedAs("ann", `{"t":"hello","client":"laptop/1"}`)
	bob, _ := b.greetedAs("bob", `{"t":"hello"}`)
	body := make(chan string, 1)
	go func() {
		_, got := b.get("/api/v2/conversations/"+string(talk.id)+"/events", http.Header{"Authorization": {"Bearer ann"}})
		body <- got
	}()
	b.eventually("the stream watches", func() bool { return len(b.m.Status()) == 1 })
	n, err := a.m.Notify(within(t), "ann", sessions.Notice{Code: "maintenance", Message: "At ten \"sharp\".", Data: []byte(`{"at":10}`)})
	if n != 1 || err != nil {
		t.Fatalf("told %d here, %v", n, err)
	}
	for _, s := range []*socket{one, second} {
		f := s.want("notice")
		if data, _ := f["data"].(map[string]any); f.str("code") != "maintenance" || f.str("message") != `At ten "sharp".` || data["at"] != 10.0 {
			t.Fatalf("got %v", f)
		}
	}
	for _, bad := range []sessions.Notice{{}, {Code: "Not A Code"}, {Code: "x", Message: strings.Repeat("x", 5000)}} {
		if _, err := a.m.Notify(within(t), "ann", bad); err == nil {
			t.Errorf("notice %.40v was taken", bad)
		}
	}
	visits, conns, err := a.m.Of(within(t), "ann")
	if err != nil || len(visits) != 2 || len(conns) != 3 {
		t.Fatalf("got %+v %+v %v", visits, conns, err)
	}
	if got := len(a.m.Open()) + len(b.m.Open()); got != 4 {
		t.Fatalf("%d are open", got)
	}
	if n, err := b.m.Kick(within(t), "ann", sessions.HashID(w.str("session")), ""); n != 0 || err != nil {
		t.Fatalf("kicked %d here, %v", n, err)
	}
	one.closed(4510)
	i := slices.IndexFunc(conns, func(c sessions.Connection) bool { return c.Client == "laptop/1" })
	if n, err := a.m.Kick(within(t), "ann", "", conns[i].ID); n != 0 || err != nil {
		t.Fatalf("kicked %d here, %v", n, err)
	}
	second.closed(4510)
	b.eventually("it is gone", func() bool { return b.m.Connections() == 2 })
	if n, err := b.m.Kick(within(t), "ann", "", ""); n != 1 || err != nil {
		t.Fatalf("kicked %d here, %v", n, err)
	}
	if got := <-body; !strings.Contains(got, `"type":"notice","code":"maintenance"`) || !strings.Contains(got, `"code":"kicked"`) {
		t.Fatalf("the stream told %q", got)
	}
	bob.send(`{"t":"ping"}`)
	bob.want("pong")
}

// TestNodeLeaves: a node that closes takes its entries along.
func TestNodeLeaves(t *testing.T) {
	t.Parallel()
	a, _, st, _ := two(t, nil)
	a.greetedAs("ann", `{"t":"hello"}`)
	if cs, err := st.Connections(context.Background(), "ann"); err != nil || len(cs) != 1 {
		t.Fatalf("got %v, %v", cs, err)
	}
	a.m.Close()
	if cs, err := st.Connections(context.Background(), conversation.LearnerID("ann")); err != nil || len(cs) != 0 {
		t.Fatalf("got %v, %v", cs, err)
	}
	if fresh, err := st.Beat(context.Background(), "n1"); !fresh || err != nil {
		t.Fatalf("the lease is still there: %v", err)
	}
}
