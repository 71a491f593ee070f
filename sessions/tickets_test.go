package sessions_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

func (r *rig) ticket(id sessions.Identity, only conversation.ID) string {
	r.t.Helper()
	text, life, err := r.m.IssueTicket(within(r.t), id, only)
	if err != nil || life <= 0 {
		r.t.Fatalf("no ticket: %v, %v", life, err)
	}
	return text
}

func ticketProtocol(text string) dialOption { return protocols("conv.v1.json", "ticket.conv."+text) }

// TestTickets: each opens one connection, by either way in, and nothing else.
func TestTickets(t *testing.T) {
	t.Parallel()
	known := &logins{}
	r := newRig(t, func(c *sessions.Config) { c.Logins, c.Times.LoginCheck = known, time.Hour })
	ann := sessions.Identity{LearnerID: "ann", Family: "f1", ExpiresAt: time.Now().Add(time.Hour)}
	byProtocol, byHello := r.ticket(ann, ""), r.ticket(ann, "")
	s := r.dial(ticketProtocol(byProtocol))
	s.send(`{"t":"hello"}`)
	s.want("welcome")
	r.dial(ticketProtocol(byProtocol)).closed(4401) // spent
	s = r.dial()
	s.send(fmt.Sprintf(`{"t":"hello","ticket":%q}`, byHello))
	s.want("welcome")
	again := r.dial()
	again.send(fmt.Sprintf(`{"t":"hello","ticket":%q}`, byHello))
	again.closed(4401)
	for _, wrong := range []string{"x", strings.Repeat("a", 43), strings.Repeat("a", 42) + "!", byHello + "a", "ann"} {
		s := r.dial()
		s.send(fmt.Sprintf(`{"t":"hello","ticket":%q}`, wrong))
		s.closed(4401)
	}
	both := r.dial()
	both.send(fmt.Sprintf(`{"t":"hello","ticket":%q,"token":"ann"}`, r.ticket(ann, "")))
	both.closed(4500)
	// It belongs to the login that it was bought with.
	if n := r.m.CloseLearner("ann", "f1"); n != 2 {
		t.Fatalf("ended %d, want 2", n)
	}
	after := r.ticket(ann, "")
	known.end("f1")
	r.dial(ticketProtocol(after)).closed(4401)
	// It is no token, wherever it is sent.
	text := r.ticket(ann, "")
	if _, res, err := r.tryDial(bearer(text)); err == nil || res == nil || res.StatusCode != 401 {
		t.Fatalf("as a token: %v, %v", res, err)
	}
	talk := r.src.talk("ann")
	for _, q := range []string{"?ticket=" + text, "?token=" + text, "?cursor=" + text} {
		if res, _ := r.get("/api/v2/conversations/"+string(talk.id)+"/events"+q, nil); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: status %d", q, res.StatusCode)
		}
	}
	// The identity that it stands for may have ended meanwhile.
	old := r.ticket(sessions.Identity{LearnerID: "ann", ExpiresAt: time.Now().Add(-time.Second)}, "")
	r.dial(ticketProtocol(old)).closed(4401)
	if strings.Contains(r.logs.String(), byProtocol) || strings.Contains(r.logs.String(), byHello) || strings.Contains(r.logs.String(), text) {
		t.Fatal("a ticket stands in the log")
	}
}

// TestTicketLapses: too old is as bad as unknown.
func TestTicketLapses(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Times.Ticket = time.Nanosecond })
	r.dial(ticketProtocol(r.ticket(sessions.Identity{LearnerID: "ann"}, ""))).closed(4401)
}

// TestTicketForOne: a connection by a bound ticket names no other conversation.
func TestTicketForOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	mine, other := r.src.talk("ann"), r.src.talk("ann")
	ann := sessions.Identity{LearnerID: "ann", ExpiresAt: time.Now().Add(time.Hour)}
	s := r.dial(ticketProtocol(r.ticket(ann, mine.id)))
	s.send(fmt.Sprintf(`{"t":"hello","resume":[{"c":%q}]}`, other.id))
	s.want("welcome")
	if f := s.want("err"); f.str("code") != "forbidden" {
		t.Fatalf("got %v", f)
	}
	s.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, other.id))
	if f := s.want("err"); f.str("code") != "forbidden" || f.str("id") != "1" {
		t.Fatalf("got %v", f)
	}
	for n, op := range []string{`"op":"send","key":"k","args":{"text":"x"}`, `"op":"cancel","args":{"run":1}`} {
		s.send(fmt.Sprintf(`{"t":"cmd","id":"%d","c":%q,%s}`, n, other.id, op))
		if f := s.want("res"); f["ok"] != false || f["err"].(map[string]any)["code"] != "forbidden" {
			t.Fatalf("got %v", f)
		}
	}
	s.send(fmt.Sprintf(`{"t":"sub","id":"2","c":%q}`, mine.id), fmt.Sprintf(`{"t":"cmd","id":"3","c":%q,"op":"send","key":"k","args":{"text":"x"}}`, mine.id))
	s.want("sub_ok")
	for {
		if f := s.next(); f.str("t") == "res" {
			if f["ok"] != true {
				t.Fatalf("got %v", f)
			}
			break
		}
	}
	// A token would make it a connection for all; it stays one for this.
	r.keys.set("ann:new", time.Now().Add(2*time.Hour))
	s.send(`{"t":"auth","id":"a","token":"ann:new"}`, fmt.Sprintf(`{"t":"sub","id":"4","c":%q}`, other.id))
	for {
		f := s.next()
		if f.str("t") == "err" && f.str("id") == "4" && f.str("code") == "forbidden" {
			break
		}
		if f.str("t") == "sub_ok" {
			t.Fatalf("got %v", f)
		}
	}
}

// TestAuthInBand: a token or ticket of the same learner lets the connection
// live on; anything else leaves it as it was, and its end comes in time.
func TestAuthInBand(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) { c.Times.TokenWarn = 2 * time.Second })
	end := time.Now().Add(3 * time.Second)
	r.keys.set("ann:short", end)
	r.keys.set("ann:shorter", end.Add(-time.Second))
	r.keys.set("ann:longer", end.Add(3*time.Second))
	r.keys.set("ann:old", time.Now().Add(-time.Second))
	s := r.dial(bearer("ann:short"))
	s.send(`{"t":"hello"}`)
	s.want("welcome")
	for n, tc := range []struct{ frame, code string }{
		{`"token":"eve"`, "unauthenticated"},
		{`"token":"bob"`, "unauthenticated"},
		{`"token":"ann:old"`, "token_expired"},
		{`"ticket":"nonsense"`, "unauthenticated"},
		{`"token":"ann:longer","ticket":"x"`, "bad_request"},
		{`"x":1`, "bad_request"},
	} {
		s.send(fmt.Sprintf(`{"t":"auth","id":"%d",%s}`, n, tc.frame))
		for {
			f := s.want("err")
			if f.str("id") == "" && f.str("code") == "token_expired" { // the warning may come in between
				continue
			}
			if f.str("code") != tc.code || f.str("id") != fmt.Sprint(n) {
				t.Fatalf("%s: got %v", tc.frame, f)
			}
			break
		}
	}
	ok := func(frame string, want time.Time) {
		t.Helper()
		s.send(frame)
		for {
			f := s.next()
			if f.str("t") == "err" && f.str("id") == "" {
				continue
			}
			if f.str("t") != "auth_ok" || int64(f["expires_at"].(float64)) != want.UnixMilli() {
				t.Fatalf("got %v, want %d", f, want.UnixMilli())
			}
			return
		}
	}
	ok(`{"t":"auth","token":"ann:shorter"}`, end) // never sooner than before
	ok(`{"t":"auth","token":"ann:longer"}`, end.Add(3*time.Second))
	last := end.Add(4 * time.Second)
	ok(fmt.Sprintf(`{"t":"auth","ticket":%q}`, r.ticket(sessions.Identity{LearnerID: "ann", ExpiresAt: last}, "")), last)
	// It is told again before the new end, and then it ends.
	warned := 0
	for {
		f, err := s.read()
		if err != nil {
			break
		}
		if f.str("code") == "token_expired" && f.str("id") == "" {
			warned++
		}
	}
	if warned == 0 {
		t.Error("nobody warned of the second end")
	}
	if now := time.Now(); now.Before(last) {
		t.Errorf("ended %v too soon", last.Sub(now))
	}
	if strings.Contains(r.logs.String(), "ann:longer") {
		t.Error("a token stands in the log")
	}
}

// TestAuthOnce: a flood of auth frames is held back like commands.
func TestAuthOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) {
		c.Limits.CommandBurst, c.Limits.CommandsPerSecond, c.Limits.BadFrames = 2, 0.001, 100
	})
	s := r.greeted()
	for range 4 {
		s.send(`{"t":"auth","token":"ann"}`)
	}
	got := map[string]int{}
	for range 4 {
		f := s.next()
		got[f.str("t")+f.str("code")]++
	}
	if got["auth_ok"] != 2 || got["errrate_limited"] != 2 {
		t.Fatalf("got %v", got)
	}
}
