package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/fluentpro/fluentpro/domains/authentication"
	authsql "github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Bad input over real connections to a real process: each gets its stable
// code, nothing of it is stored, and everything still works afterwards.
func TestE2EBadInput(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation := ready(t, c.a.base)
	stranger := signUp(t, c.a.base)
	before := c.counts()

	t.Run("onboarding", func(t *testing.T) { badOnboarding(t, stranger) })
	t.Run("requests", func(t *testing.T) { badRequests(t, l, stranger, conversation) })
	t.Run("tokens", func(t *testing.T) { badTokens(t, c, l, conversation) })
	t.Run("cursors", func(t *testing.T) { badCursors(t, l, conversation) })
	t.Run("frames", func(t *testing.T) { badFrames(t, l, stranger, conversation) })
	t.Run("closes", func(t *testing.T) { badEnds(t, c, l) })

	if after := c.counts(); after != before {
		t.Errorf("something of it is stored: %+v, was %+v", after, before)
	}
	tag := newTag()
	run := l.say(conversation, tag).Run
	ends(t, "afterwards", l.watch(client.OverSSE, conversation, c.b.base), run, reply(tag))
}

// sums is how much SQL holds.
type sums struct{ conversations, turns, runs, facts, scenarios int64 }

func (c *cluster) counts() (n sums) {
	c.t.Helper()
	db, err := sqldb.Open(c.t.Context(), c.sql, sqldb.Options{MaxConns: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for table, into := range map[string]*int64{"conversations": &n.conversations, "turns": &n.turns, "runs": &n.runs, "facts": &n.facts, "scenarios": &n.scenarios} {
		if err := db.Conn(c.t.Context()).QueryRowContext(c.t.Context(), "SELECT count(*) FROM "+table).Scan(into); err != nil {
			c.t.Fatal(err)
		}
	}
	return n
}

type refusal struct {
	name, method, path string
	body               any
	status             int
	code               string
	header             []string
}

func refused(t *testing.T, l *learner, cases []refusal) {
	t.Helper()
	for _, tc := range cases {
		got, err := l.try(tc.method, tc.path, tc.body, tc.header...)
		switch {
		case err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case got.status != tc.status || got.code() != tc.code:
			t.Errorf("%s: %d %s, want %d %s: %s", tc.name, got.status, got.code(), tc.status, tc.code, got.body[:min(len(got.body), 300)])
		case !strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json"):
			t.Errorf("%s: content type %s", tc.name, got.header.Get("Content-Type"))
		}
	}
}

func badOnboarding(t *testing.T, l *learner) {
	type m = map[string]any
	refused(t, l, []refusal{
		{"unknown step", "PUT", "/onboarding/steps/shoe_size", m{}, 404, "unknown_step", nil},
		{"read an unknown step", "GET", "/onboarding/steps/shoe_size", nil, 404, "unknown_step", nil},
		{"out of order", "PUT", "/onboarding/steps/level", m{"level": "B1"}, 409, "step_out_of_order", nil},
		{"too early", "POST", "/onboarding/complete", nil, 409, "step_out_of_order", nil},
		{"unknown slug", "PUT", "/onboarding/steps/language", m{"language": "klingon"}, 422, "invalid", nil},
		{"another type", "PUT", "/onboarding/steps/language", m{"language": 7}, 422, "invalid", nil},
		{"scenario before onboarding", "POST", "/scenario-requests", m{}, 409, "onboarding_incomplete", nil},
	})
	var v struct {
		CurrentStep string `json:"current_step"`
		Steps       []struct{ Done bool }
	}
	l.call("GET", "/onboarding", nil, &v)
	for _, s := range v.Steps {
		if s.Done {
			t.Error("a refused step counts as done")
		}
	}
	if v.CurrentStep != "language" {
		t.Errorf("the current step is %s", v.CurrentStep)
	}
}

func badRequests(t *testing.T, l, stranger *learner, conversation string) {
	type m = map[string]any
	messages := "/conversations/" + conversation + "/messages"
	const nowhere = "0197a2b4-0000-7000-8000-000000000000"
	text := func(s string) m { return m{"client_id": "bad", "text": s} }
	refused(t, l, []refusal{
		{"empty message", "POST", messages, text(""), 422, "invalid", nil},
		{"white space", "POST", messages, text(" \n\t"), 422, "invalid", nil},
		{"zero width", "POST", messages, text("\u200b\u2060"), 422, "invalid", nil},
		{"too long", "POST", messages, text(strings.Repeat("é", 8193)), 422, "invalid", nil},
		{"1 MiB", "POST", messages, text(strings.Repeat("a", 1<<20)), 413, "too_large", nil},
		{"invalid UTF-8", "POST", messages, []byte("{\"client_id\":\"bad\",\"text\":\"a\xffb\"}"), 400, "bad_request", nil},
		{"NUL", "POST", messages, []byte(`{"client_id":"bad","text":"a\u0000b"}`), 400, "bad_request", nil},
		{"no JSON", "POST", messages, []byte(`{"client_id":`), 400, "bad_request", nil},
		{"bad client_id", "POST", messages, m{"client_id": "a b", "text": "hello"}, 422, "invalid", nil},
		{"unknown policy", "POST", messages, m{"client_id": "bad", "text": "hello", "policy": "shout"}, 422, "invalid", nil},
		{"an id that is none", "GET", "/conversations/nonsense", nil, 404, "not_found", nil},
		{"an id of nothing", "GET", "/conversations/" + nowhere, nil, 404, "not_found", nil},
		{"message to nothing", "POST", "/conversations/" + nowhere + "/messages", text("hello"), 404, "not_found", nil},
		{"events of nothing", "GET", "/conversations/" + nowhere + "/events", nil, 404, "not_found", []string{"X-Conv-Client", "e2e/1"}},
		{"log of nothing", "GET", "/conversations/" + nowhere + "/log?after=x", nil, 404, "not_found", nil},
		{"cancel of no run", "POST", "/conversations/" + conversation + "/runs/99/cancel", nil, 404, "not_found", nil},
		{"conversation of no scenario", "POST", "/conversations", m{"scenario_id": nowhere}, 404, "not_found", nil},
		{"a page that is none", "GET", "/conversations?before=x", nil, 410, "cursor_gone", nil},
		{"foreign origin", "POST", messages, text("hello"), 403, "foreign_origin", []string{"Origin", "https://evil.example"}},
		{"another media type", "POST", messages, text("hello"), 415, "unsupported_media_type", []string{"Content-Type", "text/plain"}},
		{"no such path", "GET", "/nothing", nil, 404, "not_found", nil},
		{"another method", "DELETE", messages, nil, 405, "method_not_allowed", nil},
	})
	for _, path := range []string{"", "/log?after=x", "/events"} { // a foreign one looks like none
		refused(t, stranger, []refusal{{"foreign" + path, "GET", "/conversations/" + conversation + path, nil, 404, "not_found", []string{"X-Conv-Client", "e2e/1"}}})
	}
	refused(t, stranger, []refusal{
		{"message to a foreign one", "POST", messages, text("hello"), 404, "not_found", nil},
		{"cancel in a foreign one", "POST", "/conversations/" + conversation + "/runs/1/cancel", nil, 404, "not_found", nil},
	})
}

func badTokens(t *testing.T, c *cluster, l *learner, conversation string) {
	path := "/conversations/" + conversation
	for _, tc := range []struct{ name, token, code string }{
		{"none", "", "unauthenticated"},
		{"garbage", "abc.def.ghi", "unauthenticated"},
		{"a changed letter", l.token[:len(l.token)-8] + "AAAAAAAA", "unauthenticated"},
		{"expired", c.expired(l.token), "token_expired"},
	} {
		other := &learner{t: t, http: l.http, node: l.node, token: tc.token}
		refused(t, other, []refusal{
			{tc.name, "GET", path, nil, 401, tc.code, nil},
			{tc.name + ", message", "POST", path + "/messages", map[string]any{"client_id": "bad", "text": "hello"}, 401, tc.code, nil},
			{tc.name + ", events", "GET", path + "/events", nil, 401, tc.code, []string{"X-Conv-Client", "e2e/1"}},
		})
		if tc.token == "" {
			continue
		}
		if _, res, err := tryRaw(t, l.node, tc.token); err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("socket with %s token: %v %v", tc.name, res, err)
		}
		s := dialRaw(t, l.node, "")
		s.send(map[string]any{"t": "hello", "token": tc.token})
		closesWith(t, tc.name+" token in hello", s, 4401, tc.code)
	}
}

// expired is the same token, signed by the same key, whose time is over.
func (c *cluster) expired(token string) string {
	c.t.Helper()
	db, err := sqldb.Open(c.t.Context(), c.sql, sqldb.Options{MaxConns: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	keys, err := authsql.New(db).SigningKeys(c.t.Context())
	if err != nil || len(keys) == 0 {
		c.t.Fatalf("%d signing keys, %v", len(keys), err)
	}
	claims := jwt.MapClaims{}
	old, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		c.t.Fatal(err)
	}
	claims["iat"], claims["exp"] = time.Now().Add(-2*authentication.AccessTTL).Unix(), time.Now().Add(-authentication.AccessTTL).Unix()
	again := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	again.Header = old.Header
	for _, k := range keys {
		if k.KID == old.Header["kid"] {
			signed, err := again.SignedString(k.Private)
			if err != nil {
				c.t.Fatal(err)
			}
			return signed
		}
	}
	c.t.Fatal("the token's key is not stored")
	return ""
}

func badCursors(t *testing.T, l *learner, conversation string) {
	good := client.NewView(conversation)
	if err := client.Snapshot(t.Context(), l.at(l.node), good); err != nil {
		t.Fatal(err)
	}
	epoch := good.Cursor()[:strings.LastIndexByte(good.Cursor(), '.')]
	s := dialRaw(t, l.node, l.token)
	s.send(map[string]any{"t": "hello"})
	s.until("welcome")
	for _, tc := range []struct{ cur, reason string }{
		{"garbage", "bad_cursor"}, {"1.2.3.4.5", "bad_cursor"}, {"-1.x.1", "bad_cursor"}, {epoch + ".-1", "bad_cursor"},
		{epoch + ".99999999999999999999", "bad_cursor"}, {epoch + ".999999", "ahead"}, {"1.aaaaaaaa.1", "epoch_changed"}, {"999." + strings.SplitN(epoch, ".", 2)[1] + ".1", "epoch_changed"},
	} {
		refused(t, l, []refusal{{"log after " + tc.cur, "GET", "/conversations/" + conversation + "/log?after=" + tc.cur, nil, 410, "cursor_gone", nil}})
		s.send(map[string]any{"t": "sub", "id": "1", "c": conversation, "cur": tc.cur})
		if f := s.until("sub_ok"); f.Mode != "snapshot" || f.ID != "1" {
			t.Errorf("sub with %s: %+v", tc.cur, f)
		}
		if f := s.until("reset"); f.Reason != tc.reason {
			t.Errorf("sub with %s: reset for %s, want %s", tc.cur, f.Reason, tc.reason)
		}
		s.until("snapshot")
		s.until("caught_up")
		first, second := streamBegins(t, l, conversation, tc.cur)
		if first != "reset" || second != "snapshot" {
			t.Errorf("stream from %s: %s, then %s", tc.cur, first, second)
		}
	}
}

// streamBegins reads the types of the first two messages of a stream.
func streamBegins(t *testing.T, l *learner, conversation, cur string) (first, second string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.node+"/api/v2/conversations/"+conversation+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("Last-Event-ID", cur)
	res, err := l.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var types []string
	var have bytes.Buffer
	buf := make([]byte, 32<<10)
	for len(types) < 2 {
		n, err := res.Body.Read(buf)
		have.Write(buf[:n])
		for {
			line, rest, ok := bytes.Cut(have.Bytes(), []byte("\n"))
			if !ok {
				break
			}
			var m struct{ Type string }
			if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok && json.Unmarshal(data, &m) == nil {
				types = append(types, m.Type)
			}
			have = *bytes.NewBuffer(bytes.Clone(rest))
		}
		if err != nil {
			t.Fatalf("stream from %s ends after %v: %v", cur, types, err)
		}
	}
	return types[0], types[1]
}

func badFrames(t *testing.T, l, stranger *learner, conversation string) {
	type m = map[string]any
	if _, res, err := tryRaw(t, l.node, l.token, "Origin", "https://evil.example"); err == nil || res == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("socket from a foreign origin: %v %v", res, err)
	}
	s := dialRaw(t, l.node, l.token)
	wantErr := func(name string, frame any, code string) {
		t.Helper()
		s.send(frame)
		if f := s.until("err"); f.Code != code {
			t.Errorf("%s: %s, want %s", name, f.Code, code)
		}
	}
	wantErr("sub before hello", m{"t": "sub", "id": "1", "c": conversation}, "bad_request")
	s.send(m{"t": "hello", "client": "e2e/1"})
	s.until("welcome")
	wantErr("unknown frame type", m{"t": "dance"}, "unknown_op")
	wantErr("no type", m{"x": 1}, "bad_request")
	wantErr("no JSON", []byte("{"), "bad_request")
	wantErr("no object", []byte("[]"), "bad_request")
	wantErr("second hello", m{"t": "hello"}, "bad_request")
	wantErr("sub of nonsense", m{"t": "sub", "id": "2", "c": "nonsense"}, "not_found")
	wantErr("ack without a cursor", m{"t": "ack", "c": conversation}, "bad_request")
	wantErr("command without an id", m{"t": "cmd", "op": "send", "c": conversation}, "bad_request")
	command := func(name, op, c string, key string, args any, code string) {
		t.Helper()
		s.send(m{"t": "cmd", "id": name, "op": op, "c": c, "key": key, "args": args})
		for {
			f, err := s.read()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch {
			case f.T == "res" && f.ID == name:
				if f.OK || f.Err.Code != code {
					t.Errorf("%s: ok %v, %s, want %s", name, f.OK, f.Err.Code, code)
				}
				return
			case f.T == "err" && f.ID == name:
				if f.Code != code {
					t.Errorf("%s: %s, want %s", name, f.Code, code)
				}
				return
			}
		}
	}
	command("unknown op", "dance", conversation, "k", m{}, "unknown_op")
	command("empty", "send", conversation, "k", m{"text": ""}, "invalid")
	command("white space", "send", conversation, "k", m{"text": " \n"}, "invalid")
	command("too long", "send", conversation, "k", m{"text": strings.Repeat("a", 8193)}, "invalid")
	command("zero width", "send", conversation, "k", m{"text": "\u200b\u2060"}, "invalid")
	command("NUL", "send", conversation, "k", m{"text": "a\x00b"}, "bad_request")
	command("half a character", "send", conversation, "k", json.RawMessage(`{"text":"a\ud83d"}`), "bad_request")
	command("two texts", "send", conversation, "k", json.RawMessage(`{"text":"a","Text":"b"}`), "bad_request")
	command("no key", "send", conversation, "", m{"text": "hello"}, "invalid")
	command("bad args", "send", conversation, "k", []int{1}, "bad_request")
	command("nonsense", "send", "nonsense", "k", m{"text": "hello"}, "not_found")
	command("cancel no run", "cancel", conversation, "", m{"run": 99}, "not_found")
	command("cancel nothing", "cancel", conversation, "", m{}, "bad_request")

	foreign := dialRaw(t, l.node, stranger.token)
	foreign.send(m{"t": "hello", "resume": []m{{"c": conversation}}})
	if f := foreign.until("err"); f.Code != "not_found" || f.C != conversation {
		t.Errorf("resume of a foreign conversation: %+v", f)
	}
	foreign.send(m{"t": "cmd", "id": "x", "op": "send", "c": conversation, "key": "k", "args": m{"text": "hello"}})
	if f := foreign.until("res"); f.OK || f.Err.Code != "not_found" {
		t.Errorf("message to a foreign conversation: %+v", f)
	}

	// After all of that the same connection serves.
	s.send(m{"t": "ping", "n": 7})
	if f := s.until("pong"); f.N != 7 {
		t.Errorf("pong %d", f.N)
	}
	s.send(m{"t": "sub", "id": "9", "c": conversation})
	s.until("sub_ok")
	s.until("snapshot")
}

func badEnds(t *testing.T, c *cluster, l *learner) {
	hello := func() *rawSocket {
		s := dialRaw(t, c.b.base, l.token)
		s.send(map[string]any{"t": "hello"})
		s.until("welcome")
		return s
	}
	s := hello()
	s.send(map[string]any{"t": "cmd", "id": "1", "op": "send", "args": map[string]any{"text": strings.Repeat("a", 100<<10)}})
	closesWith(t, "a frame of 100 KiB", s, 1009, "")
	s = hello()
	if err := s.conn.Write(t.Context(), websocket.MessageBinary, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	closesWith(t, "a binary frame", s, 1003, "")
	s = hello()
	s.send([]byte("{\"t\":\"\xff\"}"))
	closesWith(t, "invalid UTF-8", s, 1007, "")
	s = hello()
	for range 21 {
		s.send(map[string]any{"t": "dance"})
	}
	closesWith(t, "21 bad frames in a row", s, 4500, "")
}

// closesWith reads to the close frame.
func closesWith(t *testing.T, name string, s *rawSocket, code int, reason string) {
	t.Helper()
	for {
		_, err := s.read()
		if err == nil {
			continue
		}
		if got := client.CloseCode(err); got != code || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: closed with %d (%v), want %d %s", name, got, err, code, reason)
		}
		return
	}
}
