package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/sessions"
)

// TestRestore: a session brings its subscriptions back with what the client is
// known to have; a cursor in hello wins; a foreign session is none.
func TestRestore(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, b, c := r.src.talk("ann"), r.src.talk("ann"), r.src.talk("ann")
	for _, talk := range []*talk{a, b, c} {
		talk.begin()
		talk.delta("x")
	}
	s := r.dial(bearer("ann"))
	s.send(`{"t":"hello"}`)
	session := s.want("welcome").str("session")
	for _, talk := range []*talk{a, b, c} {
		s.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q,"cur":"1.abc.1"}`, talk.id))
		for s.next().str("t") != "caught_up" {
		}
	}
	s.send(fmt.Sprintf(`{"t":"ack","c":%q,"cur":"1.abc.4"}`, a.id), fmt.Sprintf(`{"t":"ack","c":%q,"cur":"1.abc.3"}`, b.id),
		fmt.Sprintf(`{"t":"unsub","c":%q}`, c.id), `{"t":"ping"}`)
	s.want("pong")
	r.eventually("the store knows", func() bool {
		st, ok, err := r.store.Get(context.Background(), session, "ann")
		return err == nil && ok && len(st.Subs) == 2 && st.Subs[a.id] == "1.abc.4" && st.Subs[b.id] == "1.abc.3"
	})
	if err := s.c.CloseNow(); err != nil {
		t.Fatal(err)
	}
	r.eventually("the connection is gone", func() bool { return r.m.Connections() == 0 })

	s = r.dial(bearer("ann"))
	s.send(fmt.Sprintf(`{"t":"hello","session":%q,"resume":[{"c":%q,"cur":"1.abc.2"},{"c":%q}]}`, session, b.id, conversation.NewID()))
	if w := s.want("welcome"); w["resumed"] != true || w.str("session") != session {
		t.Fatalf("got %v", w)
	}
	got := map[string]string{}
	for len(got) < 3 {
		switch f := s.next(); f.str("t") {
		case "sub_ok":
			got[f.str("c")] = f.str("mode") + " " + f.str("cur")
		case "err":
			got["err"] = f.str("code")
		}
	}
	if got[string(a.id)] != "replay 1.abc.4" || got[string(b.id)] != "replay 1.abc.2" || got["err"] != "not_found" {
		t.Fatalf("got %v", got)
	}
	// Somebody else's session is as good as none, and is left alone.
	s = r.dial(bearer("bob"))
	s.send(fmt.Sprintf(`{"t":"hello","session":%q}`, session))
	if w := s.want("welcome"); w["resumed"] != false || w.str("session") == session {
		t.Fatalf("got %v", w)
	}
	if st, ok, err := r.store.Get(context.Background(), session, "ann"); !ok || err != nil || st.User != "ann" {
		t.Fatalf("ann's session: %v %v %v", st, ok, err)
	}
}

// brokenStore fails, and says how often it was asked.
type brokenStore struct {
	sessions.Store
	asked atomic.Int64
}

var errBroken = errors.New("connection refused")

func (b *brokenStore) Take(context.Context, string, conversation.LearnerID, string) (sessions.Session, bool, error) {
	b.asked.Add(1)
	return sessions.Session{}, false, errBroken
}
func (b *brokenStore) Create(context.Context, sessions.Session) error {
	b.asked.Add(1)
	return errBroken
}
func (b *brokenStore) Update(context.Context, sessions.Session) (sessions.Outcome, error) {
	b.asked.Add(1)
	return sessions.Gone, errBroken
}
func (b *brokenStore) Extend(context.Context, sessions.Session) (sessions.Outcome, error) {
	b.asked.Add(1)
	return sessions.Gone, errBroken
}
func (b *brokenStore) Beat(context.Context, string) (bool, error) { return false, errBroken }
func (b *brokenStore) Leave(context.Context, string) error        { return errBroken }
func (b *brokenStore) Enter(context.Context, sessions.Connection, int) (bool, error) {
	b.asked.Add(1)
	return false, errBroken
}
func (b *brokenStore) PutConnections(context.Context, []sessions.Connection) error {
	b.asked.Add(1)
	return errBroken
}
func (b *brokenStore) Exit(context.Context, []sessions.Connection) error { return errBroken }
func (b *brokenStore) PutViewers(context.Context, []sessions.Viewer) error {
	b.asked.Add(1)
	return errBroken
}
func (b *brokenStore) DropViewers(context.Context, []sessions.Viewer) error {
	b.asked.Add(1)
	return errBroken
}

// TestStoreDown: viewers do not notice, and the log says so once.
func TestStoreDown(t *testing.T) {
	t.Parallel()
	st := &brokenStore{}
	r := newRig(t, func(c *sessions.Config) { c.Store = st })
	talk := r.src.talk("ann")
	talk.begin()
	for range 3 {
		view := client.NewView(string(talk.id))
		c, err := client.DialWS(within(t), r.options("ann"), strings.Repeat("s", 43), view)
		if err != nil || c.Welcome.Resumed {
			t.Fatalf("got %v, %v", c, err)
		}
		if err := view.WaitCaughtUp(within(t)); err != nil {
			t.Fatal(err)
		}
		c.Drop()
	}
	r.eventually("the store was asked often", func() bool { return st.asked.Load() > 6 })
	if n := strings.Count(r.logs.String(), "session store does not answer"); n != 1 {
		t.Fatalf("said %d times", n)
	}
}

// TestViewersInStore: attachments appear, move on and go.
func TestViewersInStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	talk.begin()
	view := client.NewView(string(talk.id))
	c, err := client.DialWS(within(t), r.options("ann"), "", view)
	if err != nil {
		t.Fatal(err)
	}
	list := func() []sessions.Viewer {
		vs, err := r.store.ListViewers(context.Background(), talk.id)
		if err != nil {
			t.Fatal(err)
		}
		return vs
	}
	r.eventually("it is shown", func() bool { vs := list(); return len(vs) == 1 && vs[0].Cursor == "1.abc.3" })
	talk.delta("more")
	r.eventually("it moves on", func() bool { vs := list(); return len(vs) == 1 && vs[0].Cursor == "1.abc.4" })
	if v := list()[0]; v.Node != "n1" || v.User != "ann" || v.Transport != "ws" || v.Session != sessions.HashID(c.Welcome.Session)[:8] || v.Since == 0 {
		t.Fatalf("got %+v", v)
	}
	c.Drop()
	r.eventually("it is gone", func() bool { return len(list()) == 0 })
}

// TestDrain: all are told, spread over the window, and closed with 1012.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) {
		c.Times.DrainSpread, c.Times.DrainGrace, c.Limits.ConnectionsPerUser = 200*time.Millisecond, 50*time.Millisecond, 100
	})
	talk := r.src.talk("ann")
	talk.begin()
	var socks []*socket
	for range 8 {
		socks = append(socks, r.greeted())
	}
	bodies := make(chan string, 2)
	auth := http.Header{"Authorization": {"Bearer ann"}}
	go func() {
		_, body := r.get("/api/v2/conversations/"+string(talk.id)+"/events", auth)
		bodies <- body
	}()
	go func() {
		_, body := r.get("/api/v2/conversations/"+string(talk.id)+"/log?wait=20&after="+talk.cursor(talk.top()), auth)
		bodies <- body
	}()
	r.eventually("all are here", func() bool { return r.m.Connections() == 10 && talk.watchers() == 2 })
	r.eventually("all are shown", func() bool { return len(r.m.Status()) == 2 })
	drained := make(chan error, 1)
	go func() { drained <- r.m.Drain(within(t)) }()
	waits := map[float64]bool{}
	for _, s := range socks {
		f := s.want("goaway")
		if f.str("reason") != "draining" || f["after_ms"].(float64) > 200 || f["grace_ms"] != 50.0 {
			t.Fatalf("got %v", f)
		}
		waits[f["after_ms"].(float64)] = true
		s.closed(1012)
	}
	if len(waits) < 2 {
		t.Errorf("nobody was spread: %v", waits)
	}
	for range 2 {
		body := <-bodies
		if strings.HasPrefix(body, "retry:") && !strings.Contains(body, `"type":"goaway"`) || !strings.HasPrefix(body, "retry:") && !strings.HasPrefix(body, `{"events":[]`) {
			t.Errorf("ended with %q", body)
		}
	}
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if _, res, err := r.tryDial(bearer("ann")); err == nil || res == nil || res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Fatalf("a new socket: %v, %v", res, err)
	}
	res, body := r.get("/api/v2/conversations/"+string(talk.id)+"/events", http.Header{"Authorization": {"Bearer ann"}, "Accept": {"text/event-stream"}})
	if res.StatusCode != 200 || !strings.HasPrefix(body, "retry: ") || !strings.Contains(body, `"code":"draining"`) {
		t.Fatalf("a new native stream: %d %q", res.StatusCode, body)
	}
	res, _ = r.get("/api/v2/conversations/"+string(talk.id)+"/events", auth)
	if res.StatusCode != 503 {
		t.Fatalf("a new fetch stream: %d", res.StatusCode)
	}
}

// TestDrainSpreadsEvenly: each socket has a part of the time of its own, so no
// moment can be crowded by chance.
func TestDrainSpreadsEvenly(t *testing.T) {
	t.Parallel()
	const n, part = 20, 1000.0
	r := newRig(t, func(c *sessions.Config) {
		c.Times.DrainSpread, c.Limits.ConnectionsPerUser = n*time.Second, 100
	})
	var socks []*socket
	for range n {
		socks = append(socks, r.greeted())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	drained := make(chan error, 1)
	go func() { drained <- r.m.Drain(ctx) }()
	var waits []float64
	for _, s := range socks {
		waits = append(waits, s.want("goaway")["after_ms"].(float64))
	}
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	slices.Sort(waits)
	for i, w := range waits {
		if w < part*float64(i) || w > part*float64(i+1) {
			t.Fatalf("socket %d of %d goes after %v ms: %v", i+1, n, w, waits)
		}
	}
}

// TestDrainSpreadsPolls: polls that are held go one after the other too, and
// what comes meanwhile is answered.
func TestDrainSpreadsPolls(t *testing.T) {
	t.Parallel()
	const n = 8
	r := newRig(t, func(c *sessions.Config) {
		c.Times.DrainSpread, c.Limits.ConnectionsPerUser = time.Hour, 100
	})
	talk := r.src.talk("ann")
	talk.begin()
	here := talk.cursor(talk.top())
	bodies := make(chan string, n)
	for range n {
		go func() {
			_, body := r.get("/api/v2/conversations/"+string(talk.id)+"/log?wait=25&after="+here, http.Header{"Authorization": {"Bearer ann"}})
			bodies <- body
		}()
	}
	s := r.greeted()
	r.eventually("all are held", func() bool { return len(r.m.Status()) == n })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- r.m.Drain(ctx) }()
	s.want("goaway")
	talk.delta("now")
	answered := 0
	for range n {
		if body := <-bodies; strings.Contains(body, `"seq"`) {
			answered++
		}
	}
	cancel()
	if err := <-drained; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if answered < n-1 { // the first part of the hour may begin with its end
		t.Errorf("%d of %d were answered with what came, the others were sent away at once", answered, n)
	}
}

// TestDrainInTime: who does not go is dropped when the time is over, and a
// silent peer holds nobody up.
func TestDrainInTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.greeted()
	nc, err := net.Dial("tcp", r.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := fmt.Fprintf(nc, "GET /api/v2/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer ann\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: conv.v1.json\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r.eventually("both are here", func() bool { return r.m.Connections() == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
	defer cancel()
	begun := time.Now()
	err = r.m.Drain(ctx)
	if took := time.Since(begun); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if n := r.m.Connections(); n != 0 {
		t.Fatalf("%d connections are left", n)
	}
}

func TestNobodyToDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if err := r.m.Drain(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestFollow: the reconnecting client over each transport, through cuts.
func TestFollow(t *testing.T) {
	t.Parallel()
	for _, over := range []client.Transport{client.OverWS, client.OverSSE, client.OverPoll} {
		t.Run(string(over), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *sessions.Config) { c.Times.StreamLife = 100 * time.Millisecond })
			talk := r.src.talk("ann")
			view := client.NewView(string(talk.id))
			ctx, cancel := context.WithCancelCause(within(t))
			defer cancel(nil)
			ended := make(chan error, 1)
			go func() { ended <- client.Follow(ctx, r.options("ann"), over, view) }()
			if err := view.Wait(ctx, func(f *client.Fold) bool { return f.Cursor() != "" }); err != nil {
				t.Fatal(err)
			}
			talk.begin()
			var want strings.Builder
			for n := range 60 {
				p := fmt.Sprintf("word%d ", n)
				want.WriteString(p)
				talk.delta(p)
				if n%20 == 10 {
					r.m.CloseLearner("ann", "") // 4401: come back
				}
				if err := view.Wait(ctx, func(f *client.Fold) bool { return f.Runs[1] != nil && f.Runs[1].Len() == int64(want.Len()) }); err != nil {
					t.Fatal(err)
				}
			}
			talk.finish(true)
			if err := view.WaitEnded(ctx, 1); err != nil {
				t.Fatal(err)
			}
			view.Look(func(f *client.Fold) {
				if f.Runs[1].Text() != want.String() || len(f.Violations) > 0 || f.Runs[1].Filled != 0 {
					t.Errorf("%d of %d units, %+v", f.Runs[1].Len(), want.Len(), f.Violations)
				}
			})
			if over != client.OverSSE { // SSE learns the end by 204
				cancel(context.Canceled)
			}
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		})
	}
}
