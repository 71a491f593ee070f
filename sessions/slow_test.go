package sessions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/sessions"
)

func TestPingAndSilence(t *testing.T) {
	t.Parallel()
	quick := func(pong time.Duration) *rig {
		return newRig(t, func(c *sessions.Config) { c.Times.Ping, c.Times.Pong = 50*time.Millisecond, pong })
	}
	// Apart, because a busy machine may keep a polite client for a second.
	polite, rude := quick(time.Minute).greeted(), quick(time.Second).greeted()
	begun := time.Now()
	last := 0.0
	for range 3 {
		f, err := polite.read()
		if err != nil || f.str("t") != "ping" || f["n"].(float64) <= last {
			t.Fatalf("got %v, %v", f, err)
		}
		last = f["n"].(float64)
		polite.send(fmt.Sprintf(`{"t":"pong","n":%v}`, last))
	}
	rude.closed(4009)
	if time.Since(begun) > 5*time.Second {
		t.Fatalf("it took %v to find a half-open connection", time.Since(begun))
	}
}

func TestHelloTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Times.Hello = 50 * time.Millisecond })
	r.dial().closed(4010)
	r.dial(bearer("ann")).closed(4010)
}

// TestSlowViewer: one viewer stops reading. The other gets everything at once,
// and the slow one is cut when a write has waited too long.
func TestSlowViewer(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Times.Write, c.Times.Ping = 2*time.Second, time.Hour })
	talk := r.src.talk("ann")
	talk.begin()
	slow := r.greeted()
	slow.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, talk.id))
	slow.want("sub_ok")
	view := client.NewView(string(talk.id))
	c, err := client.DialWS(within(t), r.options("ann"), "", view)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	r.eventually("both watch", func() bool { return talk.watchers() == 2 })
	piece := strings.Repeat("word ", 4000) // too large to be merged
	lag := int64(0)
	for range 200 {
		talk.delta(piece)
		for _, v := range r.m.Status() {
			lag = max(lag, v.Lag)
		}
	}
	talk.finish(false)
	if err := view.WaitEnded(within(t), 1); err != nil {
		t.Fatal(err)
	}
	view.Look(func(f *client.Fold) {
		if len(f.Violations) > 0 || f.Runs[1].Len() != int64(200*len(piece)) || f.Runs[1].Filled != 0 {
			t.Errorf("fast viewer: %v, %d units", f.Violations, f.Runs[1].Len())
		}
	})
	r.eventually("the slow viewer is cut", func() bool { return talk.watchers() == 1 })
	if lag == 0 {
		t.Error("the lag of a viewer that does not read was never seen")
	}
}

// TestControlOverflow: a client that asks and never reads is cut.
func TestControlOverflow(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) {
		c.Limits.ControlQueue, c.Limits.FrameBurst, c.Limits.Connections = 4, 1<<30, 10
		c.Times.Write = 5 * time.Second
	})
	talk := r.src.talk("ann")
	talk.begin()
	s := r.greeted()
	s.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, talk.id))
	talk.delta(strings.Repeat("x", 8<<20)) // fills the socket's buffers
	r.eventually("it is cut", func() bool {
		_ = s.c.Write(within(t), websocket.MessageText, []byte(`{"t":"ping","n":1}`)) // fails once it is
		return talk.watchers() == 0
	})
}

// TestFeedTrouble: what passes is told once and tried again.
func TestFeedTrouble(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	talk.begin()
	s := r.greeted()
	s.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q,"cur":"1.abc.3"}`, talk.id))
	s.want("sub_ok")
	s.want("caught_up")
	setDown := func(down bool) { r.src.mu.Lock(); r.src.down = down; r.src.mu.Unlock() }
	setDown(true)
	talk.delta("a")
	if f := s.want("err"); f.str("code") != "storage_unavailable" || f.str("c") != string(talk.id) || f["retryable"] != true {
		t.Fatalf("got %v", f)
	}
	s.send(fmt.Sprintf(`{"t":"sub","id":"2","c":%q}`, r.src.talk("ann").id))
	if f := s.want("err"); f.str("code") != "storage_unavailable" || f.str("id") != "2" || strings.Contains(fmt.Sprint(f), "10.0.0.7") {
		t.Fatalf("got %v", f)
	}
	setDown(false)
	if e := s.want("ev")["e"].([]any); e[0].(map[string]any)["seq"] != 4.0 {
		t.Fatalf("got %v", e)
	}
}
