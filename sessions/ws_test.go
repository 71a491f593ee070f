package sessions_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

func TestHelloAndSubscribe(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	talk.begin()
	s := r.dial(bearer("ann"))
	s.send(`{"t":"hello","client":"test/1","later":{"unknown":"fields are ignored"}}`)
	w := s.want("welcome")
	if len(w.str("session")) != 43 || w.str("node") != "n1" || w["resumed"] != false || w["server_time"].(float64) < 1e12 {
		t.Fatalf("welcome %v", w)
	}
	if hb := w["hb"].(map[string]any); hb["interval_ms"] != 20000.0 || hb["timeout_ms"] != 50000.0 {
		t.Fatalf("heartbeat %v", hb)
	}
	// From the start: a snapshot first.
	s.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, talk.id))
	if f := s.want("sub_ok"); f.str("id") != "1" || f.str("c") != string(talk.id) || f.str("mode") != "snapshot" {
		t.Fatalf("got %v", f)
	}
	snap := s.want("snapshot")
	if snap.str("cur") != "1.abc.3" || snap["state"].(map[string]any)["open"].(map[string]any)["run"] != 1.0 {
		t.Fatalf("got %v", snap)
	}
	if f := s.want("caught_up"); f.str("cur") != "1.abc.3" {
		t.Fatalf("got %v", f)
	}
	talk.delta("Good")
	ev := s.want("ev")
	want := fields{"v": 1.0, "seq": 4.0, "cur": "1.abc.4", "type": "partner.delta", "run": 1.0, "attempt": 1.0, "base": 1.0, "ts": 1.0,
		"data": map[string]any{"at": 0.0, "text": "Good"}}
	if d := cmp.Diff(want, fields(ev["e"].([]any)[0].(map[string]any))); d != "" || ev.str("c") != string(talk.id) {
		t.Fatalf("(-want +got)\n%s", d)
	}
	// Again, by replay from a cursor: takes the first one's place.
	s.send(fmt.Sprintf(`{"t":"sub","id":"2","c":%q,"cur":"1.abc.2"}`, talk.id))
	if f := s.want("sub_ok"); f.str("mode") != "replay" || f.str("cur") != "1.abc.2" {
		t.Fatalf("got %v", f)
	}
	if e := s.want("ev")["e"].([]any); len(e) != 2 || e[0].(map[string]any)["seq"] != 3.0 {
		t.Fatalf("got %v", e)
	}
	s.want("caught_up")
	r.eventually("one feed is left", func() bool { return talk.watchers() == 1 })
	// A cursor that cannot be served.
	s.send(fmt.Sprintf(`{"t":"sub","id":"3","c":%q,"cur":"9.zzz.2"}`, talk.id))
	s.want("sub_ok")
	if f := s.want("reset"); f.str("reason") != "epoch_changed" || f.str("cur") != "1.abc.4" {
		t.Fatalf("got %v", f)
	}
	s.want("snapshot")
	s.want("caught_up")
	s.send(fmt.Sprintf(`{"t":"unsub","c":%q}`, talk.id), `{"t":"ping","n":9}`)
	if f := s.want("pong"); f["n"] != 9.0 {
		t.Fatalf("got %v", f)
	}
	r.eventually("the feed is closed", func() bool { return talk.watchers() == 0 })
	talk.delta("unseen")
	s.send(`{"t":"ping","n":10}`)
	s.want("pong")
}

func TestBadFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	mine, foreign := r.src.talk("ann"), r.src.talk("bob")
	s := r.greeted()
	for _, tc := range []struct{ name, frame, code, id string }{
		{"not JSON", `hello`, "bad_request", ""},
		{"empty", ``, "bad_request", ""},
		{"array", `[]`, "bad_request", ""},
		{"two values", `{"t":"ping"}{"t":"ping"}`, "bad_request", ""},
		{"no type", `{"id":"7"}`, "bad_request", "7"},
		{"unknown type", `{"t":"dance","id":"8"}`, "unknown_op", "8"},
		{"wrong field type", `{"t":"ping","n":"x"}`, "bad_request", ""},
		{"huge number", `{"t":"ping","n":1e400}`, "bad_request", ""},
		{"deep", `{"t":"ping","x":` + strings.Repeat("[", 20000) + `}`, "bad_request", ""},
		{"second hello", `{"t":"hello"}`, "bad_request", ""},
		{"sub without conversation", `{"t":"sub","id":"1"}`, "not_found", "1"},
		{"sub with garbage", `{"t":"sub","id":"1","c":"../../etc"}`, "not_found", "1"},
		{"foreign conversation", fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, foreign.id), "not_found", "1"},
		{"unknown conversation", fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, conversation.NewID()), "not_found", "1"},
		{"long conversation id", `{"t":"sub","id":"1","c":"` + strings.Repeat("a", 100) + `"}`, "not_found", "1"},
		{"ack without cursor", fmt.Sprintf(`{"t":"ack","c":%q}`, mine.id), "bad_request", ""},
		{"command without id", fmt.Sprintf(`{"t":"cmd","op":"send","c":%q}`, mine.id), "bad_request", ""},
		{"unknown command", fmt.Sprintf(`{"t":"cmd","id":"2","op":"delete","c":%q}`, mine.id), "unknown_op", "2"},
		{"long id", `{"t":"sub","id":"` + strings.Repeat("x", 65) + `"}`, "bad_request", ""},
		{"id with a line break", `{"t":"sub","id":"a\nb"}`, "bad_request", ""},
	} {
		s.send(tc.frame)
		f := s.want("err")
		if f.str("code") != tc.code || f.str("id") != tc.id || f.str("message") == "" || f["retryable"] != false {
			t.Errorf("%s: got %v, want %s", tc.name, f, tc.code)
		}
		s.send(`{"t":"ping","n":1}`) // the connection lives, and the row is broken
		s.want("pong")
	}
	for range 20 {
		s.send(`{"t":"dance"}`)
		s.want("err")
	}
	s.send(`{"t":"ping","n":1}`)
	s.want("pong")
	for range 21 {
		s.send(`{"t":"dance"}`)
	}
	if last := s.closed(4500); last.str("code") != "unknown_op" {
		t.Fatalf("the last frame was %v", last)
	}
	if n := foreign.watchers(); n != 0 {
		t.Fatalf("%d feeds of a foreign conversation", n)
	}
}

func TestUnreadableFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, tc := range []struct {
		name string
		typ  websocket.MessageType
		msg  []byte
		code int
	}{
		{"binary", websocket.MessageBinary, []byte(`{"t":"ping"}`), 1003},
		{"not utf-8", websocket.MessageText, []byte{'{', 0xff, '}'}, 1007},
		{"too large", websocket.MessageText, []byte(`{"t":"` + strings.Repeat("x", 64<<10) + `"}`), 1009},
	} {
		s := r.greeted()
		if err := s.c.Write(within(t), tc.typ, tc.msg); err != nil && tc.code != 1009 {
			t.Fatal(err)
		}
		s.closed(tc.code)
	}
}

func TestNothingBeforeHello(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	s := r.dial(bearer("ann"))
	s.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, talk.id), `{"t":"ping"}`)
	for range 2 {
		if f := s.want("err"); f.str("code") != "bad_request" {
			t.Fatalf("got %v", f)
		}
	}
	s.send(`{"t":"hello"}`)
	s.want("welcome")
	if n := len(talk.cursors()); n != 0 {
		t.Fatalf("%d attaches before hello", n)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Limits.CommandBurst = 1000 })
	talk := r.src.talk("ann")
	s := r.greeted()
	cmd := func(op, key, args string) fields {
		t.Helper()
		s.send(fmt.Sprintf(`{"t":"cmd","id":"9","op":%q,"c":%q,"key":%q,"args":%s}`, op, talk.id, key, args))
		f := s.want("res")
		if f.str("id") != "9" {
			t.Fatalf("got %v", f)
		}
		return f
	}
	ok := cmd("send", "k-1", `{"text":"Hello","policy":"interrupt"}`)
	want := map[string]any{"message_id": "mk-1", "turn": 1.0, "run": 1.0, "position": 0.0, "duplicate": false}
	if d := cmp.Diff(want, ok["data"]); d != "" || ok["ok"] != true {
		t.Fatalf("got %v\n%s", ok, d)
	}
	if d := cmp.Diff([]conversation.SendInput{{Conversation: talk.id, Learner: "ann", ClientID: "k-1", Text: "Hello", Policy: "interrupt"}}, r.cmd.sends); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
	for _, tc := range []struct {
		op, key, args string
		want          conversation.SendInput
	}{
		{"send", "k", `{"text":"x","policy":"rollback"}`, conversation.SendInput{ClientID: "k", Text: "x", Policy: "rollback"}},
		{"edit", "k", `{"text":"x","message":"m"}`, conversation.SendInput{ClientID: "k", Op: conversation.OpEdit, Text: "x", Message: "m"}},
		{"regenerate", "k", `{"message":"m","policy":"interrupt"}`, conversation.SendInput{ClientID: "k", Op: conversation.OpRegenerate, Message: "m", Policy: "interrupt"}},
		{"select", "", `{"run":3,"from":5}`, conversation.SendInput{Op: conversation.OpSelect, Run: 3, From: 5}},
	} {
		tc.want.Conversation, tc.want.Learner = talk.id, "ann"
		cmd(tc.op, tc.key, tc.args)
		if d := cmp.Diff(tc.want, r.cmd.sends[len(r.cmd.sends)-1]); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.op, d)
		}
	}
	stopped := cmd("cancel", "", `{"run":2}`)
	if d := cmp.Diff(map[string]any{"run": 2.0, "state": "stopped", "at": 7.0, "text_len": 3.0}, stopped["data"]); d != "" {
		t.Fatalf("got %v\n%s", stopped, d)
	}
	errOf := func(f fields) (string, []any) {
		t.Helper()
		e, isErr := f["err"].(map[string]any)
		if f["ok"] != false || !isErr {
			t.Fatalf("got %v, want a failure", f)
		}
		list, _ := e["fields"].([]any)
		return e["code"].(string), list
	}
	long := strings.Repeat("é", 8192)
	if f := cmd("send", "k-2", fmt.Sprintf(`{"text":%q}`, long)); f["ok"] != true {
		t.Fatalf("8192 characters: got %v", f)
	}
	for _, tc := range []struct {
		name, op, key, args, code string
		fields                    int
	}{
		{"one character too many", "send", "k", fmt.Sprintf(`{"text":%q}`, long+"x"), "invalid", 1},
		{"blank", "send", "k", `{"text":" \n\u200b"}`, "invalid", 1},
		{"NUL", "send", "k", `{"text":"a\u0000b"}`, "bad_request", 0},
		{"half a character", "send", "k", `{"text":"a\ud800b"}`, "bad_request", 0},
		{"two texts", "send", "k", `{"text":"a","text":"b"}`, "bad_request", 0},
		{"two runs, apart by case", "cancel", "", `{"run":1,"Run":2}`, "bad_request", 0},
		{"too deep", "send", "k", `{"text":"a","more":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, "bad_request", 0},
		{"everything wrong at once", "send", "k k", `{"text":"","policy":"undo"}`, "invalid", 3},
		{"no key", "send", "", `{"text":"x"}`, "invalid", 1},
		{"an edit of nothing, of nothing", "edit", "k", `{}`, "invalid", 2},
		{"regenerate without a key and a message", "regenerate", "", `{}`, "invalid", 2},
		{"regenerate a message without end", "regenerate", "k", fmt.Sprintf(`{"message":%q}`, long[:80]), "invalid", 1},
		{"select nothing", "select", "", `{"policy":"undo"}`, "invalid", 2},
		{"no args", "send", "k", `null`, "invalid", 1},
		{"args of another shape", "send", "k", `[]`, "bad_request", 0},
		{"no run", "cancel", "", `{}`, "bad_request", 0},
		{"negative run", "cancel", "", `{"run":-1}`, "bad_request", 0},
		{"unknown run", "cancel", "", `{"run":404}`, "not_found", 0},
	} {
		if code, list := errOf(cmd(tc.op, tc.key, tc.args)); code != tc.code || len(list) != tc.fields {
			t.Errorf("%s: got %s %v, want %s with %d fields", tc.name, code, list, tc.code, tc.fields)
		}
	}
	s.send(`{"t":"sub","id":"7","c":"a","c":"b"}`)
	if f := s.want("err"); f["code"] != "bad_request" || f["id"] != "7" {
		t.Fatalf("two conversations in one frame: %v", f)
	}
	r.cmd.mu.Lock()
	r.cmd.err = &fault.Error{Code: fault.RunActive, Message: "busy", RetryAfterMS: 500, Err: errors.New("secret table")}
	r.cmd.mu.Unlock()
	if f := cmd("send", "k", `{"text":"x"}`); f["err"].(map[string]any)["retry_ms"] != 500.0 || f["err"].(map[string]any)["retryable"] != true {
		t.Fatalf("got %v", f)
	}
	r.cmd.mu.Lock()
	r.cmd.err = errors.New("pq: secret table missing")
	r.cmd.mu.Unlock()
	f := cmd("send", "k", `{"text":"x"}`)
	if code, _ := errOf(f); code != "internal" || strings.Contains(fmt.Sprint(f), "secret") {
		t.Fatalf("got %v", f)
	}
	s.send(`{"t":"cmd","id":"9","op":"send","c":"nope","key":"k","args":{"text":"x"}}`)
	if code, _ := errOf(s.want("res")); code != "not_found" {
		t.Fatalf("got %s", code)
	}
}

func TestCommandTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Times.Command = 20 * time.Millisecond })
	r.cmd.block = make(chan struct{})
	s := r.greeted()
	s.send(fmt.Sprintf(`{"t":"cmd","id":"1","op":"send","c":%q,"key":"k","args":{"text":"x"}}`, conversation.NewID()))
	if e := s.want("res")["err"].(map[string]any); e["code"] != "storage_unavailable" || e["retryable"] != true {
		t.Fatalf("got %v", e)
	}
}

// TestPanic ends one connection, not the process.
func TestPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, other := r.greeted(), r.greeted()
	s.send(fmt.Sprintf(`{"t":"cmd","id":"1","op":"cancel","c":%q,"args":{"run":13}}`, conversation.NewID()))
	s.closed(1011)
	other.send(`{"t":"ping"}`)
	other.want("pong")
	if !strings.Contains(r.logs.String(), "panicked") {
		t.Fatal("nobody was told")
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) {
		c.Limits.CommandsPerSecond, c.Limits.CommandBurst = 0.001, 2
		c.Limits.FramesPerSecond, c.Limits.FrameBurst = 0.001, 8
	})
	s := r.greeted() // frame 1
	codes := []any{}
	for range 3 {
		s.send(fmt.Sprintf(`{"t":"cmd","id":"1","op":"cancel","c":%q,"args":{"run":1}}`, conversation.NewID()))
		if e, ok := s.want("res")["err"].(map[string]any); ok {
			codes = append(codes, e["code"])
			if e["retry_ms"].(float64) < 1000 {
				t.Errorf("retry_ms %v", e["retry_ms"])
			}
		}
	}
	if d := cmp.Diff([]any{"rate_limited"}, codes); d != "" {
		t.Fatal(d)
	}
	for range 5 {
		s.send(`{"t":"ping"}`)
	}
	s.closed(4429)
}

func TestSubscriptionLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Limits.Subscriptions = 2 })
	s := r.greeted()
	for n := range 3 {
		s.send(fmt.Sprintf(`{"t":"sub","id":"%d","c":%q}`, n, r.src.talk("ann").id))
		if n == 2 {
			for {
				if f := s.next(); f.str("t") == "err" {
					if f.str("code") != "invalid" || f.str("id") != "2" {
						t.Fatalf("got %v", f)
					}
					break
				}
			}
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Limits.ConnectionsPerUser, c.Limits.Connections = 2, 4 })
	a := r.greeted()
	b := r.dial()
	b.send(`{"t":"hello","token":"ann"}`)
	b.want("welcome")
	r.dial(bearer("ann")).closed(4430)
	late := r.dial()
	late.send(`{"t":"hello","token":"ann"}`)
	late.closed(4430)
	r.eventually("the refused have left", func() bool { return r.m.Connections() == 2 })
	if res, _ := r.get("/api/v2/conversations/"+string(conversation.NewID())+"/events", map[string][]string{"Authorization": {"Bearer ann"}}); res.StatusCode != 429 {
		t.Fatalf("status %d, want 429", res.StatusCode)
	}
	// Places come back.
	if err := a.c.Close(1000, ""); err != nil {
		t.Fatal(err)
	}
	r.eventually("a place is free", func() bool { return r.m.Connections() == 1 })
	r.greeted()
	for _, who := range []string{"bob", "bob"} {
		r.dial(bearer(who))
	}
	_, res, err := r.tryDial(bearer("bob"))
	if err == nil || res == nil || res.StatusCode != 503 && res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Fatalf("a full server: got %v, %v", res, err)
	}
}

// TestClientOverWS runs the strict client against a whole reply.
func TestClientOverWS(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	view := client.NewView(string(talk.id))
	c, err := client.DialWS(within(t), r.options("ann"), "", view)
	if err != nil {
		t.Fatal(err)
	}
	if err := view.WaitCaughtUp(within(t)); err != nil {
		t.Fatal(err)
	}
	talk.begin()
	var want strings.Builder
	for n := range 200 {
		p := fmt.Sprintf("piece %d 😀; ", n)
		want.WriteString(p)
		talk.delta(p)
		if n == 100 { // a broken cable in the middle
			c.Drop()
			if c, err = client.DialWS(within(t), r.options("ann"), c.Welcome.Session, view); err != nil {
				t.Fatal(err)
			}
			if !c.Welcome.Resumed {
				t.Error("the session was not found again")
			}
		}
	}
	talk.finish(false)
	if err := view.WaitEnded(within(t), 1); err != nil {
		t.Fatal(err)
	}
	view.Look(func(f *client.Fold) {
		if f.Runs[1].Text() != want.String() || f.Runs[1].Filled != 0 || len(f.Violations) > 0 || f.Snapshots != 1 {
			t.Errorf("text is right: %v, filled %d, snapshots %d, %+v", f.Runs[1].Text() == want.String(), f.Runs[1].Filled, f.Snapshots, f.Violations)
		}
	})
	a, err := c.Send(within(t), string(talk.id), "key", "Hello", "")
	if err != nil || a.MessageID != "mkey" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if st, err := c.Cancel(within(t), string(talk.id), 1); err != nil || st.TextLen != 3 {
		t.Fatalf("got %+v, %v", st, err)
	}
	if _, err := c.Cancel(within(t), string(talk.id), 404); client.CodeOf(err) != "not_found" {
		t.Fatalf("got %v", err)
	}
	if err := c.Ack(within(t), view); err != nil {
		t.Fatal(err)
	}
	r.eventually("the ack is seen", func() bool {
		st := r.m.Status()
		return len(st) == 1 && st[0].Acked == view.Cursor() && st[0].Lag == 0 && st[0].Cursor == view.Cursor() && st[0].Transport == "ws"
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	r.eventually("nobody is left", func() bool { return r.m.Connections() == 0 && len(r.m.Status()) == 0 })
}

func FuzzFrames(f *testing.F) {
	for _, s := range []string{
		`{"t":"sub","id":"1","c":"01890000-0000-7000-8000-000000000001"}`, `{"t":"ping","n":9}`, `{"t":"cmd","id":"\u0000"}`,
		`{"t":"err"}`, `{}`, `null`, `{"t":"hello","resume":[{"c":"x"}]}`, `"x"`, `{"t":"ack","c":"","cur":"` + strings.Repeat("9", 99) + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		id, out, err := sessions.DecodeAndAnswer(msg)
		if err != nil && out == nil {
			t.Fatal("a bad frame without an answer")
		}
		if out != nil && !json.Valid(out) {
			t.Fatalf("answer %q is not JSON", out)
		}
		if len(id) > 64 {
			t.Fatalf("id of %d bytes", len(id))
		}
	})
}
