package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/sessions"
)

// wire is a WebSocket by hand.
type wire struct {
	t *testing.T
	c *websocket.Conn
}

// connect opens a socket at a node; hello may carry the ticket or token.
func connect(t *testing.T, l *learner, node, token, hello string, protocols ...string) *wire {
	t.Helper()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	//nolint:bodyclose // the library owns it
	c, _, err := websocket.Dial(ctx, node+"/api/v2/ws", &websocket.DialOptions{HTTPClient: l.http, HTTPHeader: h, Subprotocols: append([]string{"conv.v1.json"}, protocols...)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = c.CloseNow() })
	w := &wire{t, c}
	w.send(hello)
	return w
}

func (w *wire) send(frame string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), soon)
	defer cancel()
	if err := w.c.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		w.t.Fatal(err)
	}
}

// until reads to a frame of a type; a close before it fails the test unless
// its code is the one that is waited for.
func (w *wire) until(typ string, code int) map[string]any {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), soon)
	defer cancel()
	for {
		_, raw, err := w.c.Read(ctx)
		if err != nil {
			if got := int(websocket.CloseStatus(err)); code == 0 || got != code {
				w.t.Fatalf("waiting for %q: closed with %d, %v", typ, got, err)
			}
			return nil
		}
		var f map[string]any
		if err := json.Unmarshal(raw, &f); err != nil {
			w.t.Fatal(err)
		}
		if f["t"] == typ {
			return f
		}
	}
}

// listing is what operators are told of a learner.
type listing struct {
	Sessions    []struct{ Session string }
	Connections []sessions.Connection
}

func sessionsOf(t *testing.T, l *learner, p *process, id string) listing {
	t.Helper()
	var out listing
	if err := opsGet(l.http, p, "/ops/v1/sessions/"+url.PathEscape(id), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func opsPost(t *testing.T, l *learner, p *process, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.ops+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := l.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer drainBody(res)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, res.Status)
	}
}

// TestE2ESessions: two nodes act as one for tickets, limits, lists, notices,
// kicks and logouts; what a node that was killed had is gone soon; a wiped
// Redis knows everything again soon.
func TestE2ESessions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=4")
	l, conversation := ready(t, c.a.base)
	var me struct{ ID string }
	l.call("GET", "/me", nil, &me)

	// A ticket of one node opens a connection of the other, once.
	ticket := func() string {
		var out struct{ Ticket string }
		l.call("POST", "/tickets", map[string]any{}, &out)
		return out.Ticket
	}
	spent := ticket()
	one := connect(t, l, c.b.base, "", fmt.Sprintf(`{"t":"hello","ticket":%q,"client":"one/1"}`, spent))
	session := one.until("welcome", 0)["session"].(string)
	connect(t, l, c.a.base, "", `{"t":"hello"}`, "ticket.conv."+spent).until("", 4401)
	second := connect(t, l, c.a.base, "", `{"t":"hello","client":"two/1"}`, "ticket.conv."+ticket())
	second.until("welcome", 0)

	// What one node confirmed comes back at the other.
	one.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, conversation))
	one.until("sub_ok", 0)
	_ = one.c.CloseNow()
	one = connect(t, l, c.a.base, l.token, fmt.Sprintf(`{"t":"hello","session":%q,"client":"one/1"}`, session))
	if w := one.until("welcome", 0); w["resumed"] != true {
		t.Fatalf("got %v", w)
	}
	if f := one.until("sub_ok", 0); f["c"] != conversation {
		t.Fatalf("got %v", f)
	}

	// Both nodes count together, and list the same.
	third := connect(t, l, c.b.base, l.token, `{"t":"hello","client":"three/1"}`)
	third.until("welcome", 0)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.b.base+"/api/v2/conversations/"+conversation+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	stream, err := l.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	connect(t, l, c.a.base, l.token, `{"t":"hello"}`).until("", 4430)
	whole := func(n int) {
		t.Helper()
		testenv.Eventually(t, soon, func() error {
			for _, p := range []*process{c.a, c.b} {
				if p.gone() {
					continue
				}
				if got := sessionsOf(t, l, p, me.ID); len(got.Connections) != n {
					return fmt.Errorf("%s lists %+v", p.base, got.Connections)
				}
			}
			return nil
		})
	}
	whole(4)

	// After a wipe of Redis everything is entered again.
	c.redis.Flush()
	whole(4)

	opsPost(t, l, c.a, "/ops/v1/sessions/"+me.ID+"/notify", `{"code":"soon","message":"At ten."}`)
	for _, w := range []*wire{one, second, third} {
		if f := w.until("notice", 0); f["message"] != "At ten." {
			t.Fatalf("got %v", f)
		}
	}
	opsPost(t, l, c.b, "/ops/v1/sessions/"+me.ID+"/kick?session="+sessions.HashID(session), "")
	one.until("", 4510)
	whole(3)

	// A logout at one node ends the other's connections too.
	begun := time.Now()
	l.call("POST", "/auth/logout", map[string]any{}, nil)
	third.until("", 4401)
	second.until("", 4401)
	body, err := io.ReadAll(stream.Body)
	if err != nil || !strings.Contains(string(body), `"code":"unauthenticated"`) {
		t.Errorf("the stream ended with %v: %s", err, tail(string(body), 300))
	}
	t.Logf("all had heard of the logout after %v", time.Since(begun))

	// What a node that was killed had is gone within seconds.
	whole(0)
	other, _ := ready(t, c.a.base)
	other.call("GET", "/me", nil, &me)
	for _, p := range []*process{c.a, c.b} {
		connect(t, other, p.base, other.token, `{"t":"hello"}`).until("welcome", 0)
	}
	whole(2)
	c.b.kill()
	whole(1)
}

// TestLogoutWithoutOrders: with Redis hanging no order arrives, and the other
// node's connections end all the same.
func TestE2ELogoutWithoutRedis(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l := signUp(t, c.a.base)
	w := connect(t, l, c.b.base, l.token, `{"t":"hello"}`)
	w.until("welcome", 0)
	c.redis.Pause()
	defer c.redis.Resume()
	begun := time.Now()
	l.call("POST", "/auth/logout", map[string]any{}, nil)
	w.until("", 4401)
	t.Logf("closed after %v", time.Since(begun))
}
