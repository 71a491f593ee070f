package sessions_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/sessions"
)

func protocolToken(token string) dialOption {
	return protocols("conv.v1.json", "base64url.bearer.conv."+base64.RawURLEncoding.EncodeToString([]byte(token)))
}

func cookie(token string) dialOption { return header("Cookie", "fp_access="+token) }

// TestWhoMayConnect is the matrix of handshakes. status is for refusals before
// the upgrade, code for those after it, and neither for a welcome.
func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Origins = []string{"https://app.example"} })
	own := r.srv.URL // http://127.0.0.1:port
	past := time.Now().Add(-time.Minute)
	r.keys.set("old", past)
	for _, tc := range []struct {
		name   string
		opts   []dialOption
		hello  string
		status int
		code   int
	}{
		{"header", []dialOption{bearer("ann")}, `{"t":"hello"}`, 0, 0},
		{"header, wrong", []dialOption{bearer("eve")}, "", 401, 0},
		{"header, expired", []dialOption{bearer("old")}, "", 401, 0},
		{"header, no scheme", []dialOption{header("Authorization", "ann")}, "", 401, 0},
		{"two headers", []dialOption{header("Authorization", "Bearer ann", "Bearer bob")}, "", 401, 0},
		{"header, huge", []dialOption{bearer(strings.Repeat("a", 9<<10))}, "", 401, 0},
		{"subprotocol", []dialOption{protocolToken("ann")}, `{"t":"hello"}`, 0, 0},
		{"subprotocol, wrong", []dialOption{protocolToken("eve")}, "", 0, 4401},
		{"subprotocol, not base64url", []dialOption{protocols("conv.v1.json", "base64url.bearer.conv.a+b")}, "", 0, 4401},
		{"hello", nil, `{"t":"hello","token":"ann"}`, 0, 0},
		{"hello, wrong", nil, `{"t":"hello","token":"eve"}`, 0, 4401},
		{"hello, expired", nil, `{"t":"hello","token":"old"}`, 0, 4401},
		{"hello, none", nil, `{"t":"hello"}`, 0, 4401},
		{"header, and another's token in hello", []dialOption{bearer("ann")}, `{"t":"hello","token":"bob"}`, 0, 4401},
		{"no subprotocol", []dialOption{bearer("ann"), protocols()}, "", 0, 4526},
		{"another subprotocol", []dialOption{bearer("ann"), protocols("conv.v9.json")}, "", 0, 4526},
		{"cookie and own origin", []dialOption{cookie("ann"), header("Origin", own)}, `{"t":"hello"}`, 0, 0},
		{"cookie and listed origin", []dialOption{cookie("ann"), header("Origin", "https://app.example")}, `{"t":"hello"}`, 0, 0},
		{"listed origin, default port and capitals", []dialOption{cookie("ann"), header("Origin", "https://APP.example:443")}, `{"t":"hello"}`, 0, 0},
		{"stale cookie, token in hello", []dialOption{cookie("old"), header("Origin", own)}, `{"t":"hello","token":"ann"}`, 0, 0},
		{"stale cookie alone", []dialOption{cookie("old"), header("Origin", own)}, `{"t":"hello"}`, 0, 4401},
		{"two cookies", []dialOption{header("Cookie", "fp_access=ann; fp_access=bob"), header("Origin", own)}, `{"t":"hello"}`, 0, 4401},
		{"cookie without origin", []dialOption{cookie("ann")}, "", 403, 0},
		{"foreign origin", []dialOption{cookie("ann"), header("Origin", "https://evil.example")}, "", 403, 0},
		{"foreign origin with a token", []dialOption{bearer("ann"), header("Origin", "https://evil.example")}, "", 403, 0},
		{"origin null", []dialOption{cookie("ann"), header("Origin", "null")}, "", 403, 0},
		{"origin http for https", []dialOption{cookie("ann"), header("Origin", "http://app.example")}, "", 403, 0},
		{"origin with our name inside", []dialOption{cookie("ann"), header("Origin", "https://app.example.evil.example")}, "", 403, 0},
		{"origin with our name as user", []dialOption{cookie("ann"), header("Origin", "https://app.example@evil.example")}, "", 403, 0},
		{"origin with a trailing dot", []dialOption{cookie("ann"), header("Origin", "https://app.example.")}, "", 403, 0},
		{"origin with another port", []dialOption{cookie("ann"), header("Origin", "https://app.example:444")}, "", 403, 0},
		{"origin with a path", []dialOption{cookie("ann"), header("Origin", "https://app.example/")}, "", 403, 0},
		{"two origins, good first", []dialOption{cookie("ann"), header("Origin", own, "https://evil.example")}, "", 403, 0},
		{"cross-site with our origin", []dialOption{cookie("ann"), header("Origin", own), header("Sec-Fetch-Site", "cross-site")}, "", 403, 0},
		{"cross-site with a listed origin and a cookie", []dialOption{cookie("ann"), header("Origin", "https://app.example"), header("Sec-Fetch-Site", "cross-site")}, "", 403, 0},
		{"cross-site with a listed origin and a token", []dialOption{protocolToken("ann"), header("Origin", "https://app.example"), header("Sec-Fetch-Site", "cross-site")}, `{"t":"hello"}`, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, res, err := r.tryDial(tc.opts...)
			if tc.status != 0 {
				if err == nil || res == nil || res.StatusCode != tc.status {
					t.Fatalf("got %v, %v; want status %d", res, err, tc.status)
				}
				if ct := res.Header.Get("Content-Type"); ct != "application/problem+json" {
					t.Errorf("content type %q", ct)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.c.CloseNow() }()
			if p := res.Header.Get("Sec-WebSocket-Protocol"); tc.code != 4526 && p != "conv.v1.json" {
				t.Errorf("echoed subprotocol %q", p)
			}
			if tc.hello != "" {
				s.send(tc.hello)
			}
			if tc.code != 0 {
				s.closed(tc.code)
				return
			}
			s.want("welcome")
		})
		r.eventually("the connection is gone", func() bool { return r.m.Connections() == 0 })
	}
	if strings.Contains(r.logs.String(), "eve") {
		t.Fatal("a token stands in the log")
	}
}

// TestTokenNeverInURL: whatever the query says, nobody is signed in by it.
func TestTokenNeverInURL(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	for _, q := range []string{"token", "access_token", "authorization", "fp_access", "ticket"} {
		for _, path := range []string{"/events", "/log"} {
			res, _ := r.get("/api/v2/conversations/"+string(talk.id)+path+"?"+q+"=ann", nil)
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s?%s: status %d", path, q, res.StatusCode)
			}
		}
	}
}

func TestVerifierDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.keys.down = true
	if _, res, err := r.tryDial(bearer("ann")); err == nil || res == nil || res.StatusCode != 503 {
		t.Fatalf("got %v, %v; want 503", res, err)
	}
	s := r.dial()
	s.send(`{"t":"hello","token":"ann"}`)
	s.closed(1013)
}

func TestPlainRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if res, body := r.get("/api/v2/ws", nil); res.StatusCode != 426 || !strings.Contains(body, "protocol_version") {
		t.Fatalf("got %d %s", res.StatusCode, body)
	}
}

// TestTokenExpiry: a warning, then 4401, and nothing is accepted after.
func TestTokenExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.keys.set("ann:short", time.Now().Add(400*time.Millisecond))
	s := r.dial(bearer("ann:short"))
	s.send(`{"t":"hello"}`)
	s.want("welcome")
	f := s.want("err")
	if f.str("code") != "token_expired" || f["retryable"] != true || f["retry_ms"].(float64) < 1 {
		t.Fatalf("got %v", f)
	}
	s.closed(4401)
	// A longer token in hello extends what the handshake brought.
	r.keys.set("ann:short", time.Now().Add(400*time.Millisecond))
	r.keys.set("ann:long", time.Now().Add(time.Hour))
	s = r.dial(bearer("ann:short"))
	s.send(`{"t":"hello","token":"ann:long"}`)
	s.want("welcome")
	<-time.After(500 * time.Millisecond)
	s.send(`{"t":"ping","n":1}`)
	s.want("pong")
}

// TestCloseLearner: logout ends what hangs on that login, at once.
func TestCloseLearner(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	for _, token := range []string{"ann:f1", "ann:f2", "bob:f1"} {
		r.keys.set(token, time.Time{})
	}
	greet := func(token string) *socket {
		s := r.dial(bearer(token))
		s.send(`{"t":"hello"}`)
		s.want("welcome")
		return s
	}
	one, two, bob := greet("ann:f1"), greet("ann:f2"), greet("bob:f1")
	ended := make(chan string, 1)
	go func() {
		_, body := r.get("/api/v2/conversations/"+string(talk.id)+"/events", http.Header{"Authorization": {"Bearer ann:f1"}})
		ended <- body
	}()
	r.eventually("the stream watches", func() bool { return talk.watchers() == 1 && len(r.m.Status()) == 1 })
	if n := r.m.CloseLearner("ann", "f1"); n != 2 {
		t.Fatalf("ended %d, want 2", n)
	}
	one.closed(4401)
	if body := <-ended; !strings.Contains(body, `"code":"unauthenticated"`) {
		t.Fatalf("stream ended with %q", body)
	}
	for _, s := range []*socket{two, bob} {
		s.send(`{"t":"ping"}`)
		s.want("pong")
	}
	r.eventually("both have left", func() bool { return r.m.Connections() == 2 })
	if n := r.m.CloseLearner("ann", ""); n != 1 {
		t.Fatalf("ended %d, want 1", n)
	}
	two.closed(4401)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := sessions.New(sessions.Config{}); err == nil {
		t.Error("a Manager without ports was made")
	}
	for _, o := range []string{"", "*", "https://*", "app.example", "https://a/", "https://a?x", "ftp://a", "https://u@a", "https://a#"} {
		m, err := sessions.New(sessions.Config{Auth: &keys{}, Commands: &commander{}, Source: &source{}, Origins: []string{o}})
		if err == nil {
			m.Close()
			t.Errorf("origin %q was taken", o)
		}
	}
}
