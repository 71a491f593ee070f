package server

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestScenarioIsRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	w := f.call(t, "GET", Prefix+"/scenarios/"+annsID, "", ann)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), exampleScenario.Title) {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if strings.Contains(w.Body.String(), "$schema") || w.Header().Get("Link") != "" {
		t.Fatal("huma's schema links are on")
	}
}

func TestRoutesAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	conv := Prefix + "/conversations/" + annsID
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", Prefix + "/scenario-requests", `{"partner":"clients"}`, 202, `"events_url":"/api/v2/scenario-requests/` + annsID + `/events"`},
		{"GET", Prefix + "/scenarios", "", 200, `"scenarios":[]`},
		{"POST", Prefix + "/conversations", `{"scenario_id":"` + annsID + `"}`, 201, `"id":"` + annsID},
		{"GET", Prefix + "/conversations", "", 200, `"scenario_id":"s"}],"next":"next1"`},
		{"GET", conv, "", 200, `"cur":"1.a.2","state":{"conversation":{`},
		{"POST", conv + "/runs/3/cancel", "", 200, `"run":3,"state":"stopped"`},
		{"POST", conv + "/runs/3/cancel", "{}", 200, `"run":3`},
		{"DELETE", conv, "", 204, ""},
		{"GET", conv + "/events", "", 200, "stream " + annsID},
		{"GET", conv + "/log", "", 200, "stream " + annsID},
		{"GET", Prefix + "/scenario-requests/" + annsID + "/events", "", 200, "stream " + annsID},
		{"GET", "/", "", 200, "page /"},
		{"GET", "/assets/app.js", "", 200, "page /assets/app.js"},
		{"GET", "/livez", "", 200, "alive"},
		{"GET", "/readyz", "", 200, "ready"},
	} {
		w := f.call(t, c.method, c.path, c.body, ann)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: got %d %s, want %d with %s", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
		if strings.Contains(w.Body.String(), "SECRETGOAL") {
			t.Errorf("%s %s shows a hidden part", c.method, c.path)
		}
		for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "X-Request-Id"} {
			if w.Header().Get(h) == "" {
				t.Errorf("%s %s: no %s", c.method, c.path, h)
			}
		}
	}
	w := f.call(t, "POST", Prefix+"/scenario-requests", `{}`, ann)
	if got := w.Header().Get("Location"); got != Prefix+"/scenario-requests/"+annsID {
		t.Errorf("Location is %q", got)
	}
}

// A conversation asked for under the name of a scenario request does not exist.
func TestKindsDoNotMix(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	wantProblem(t, f.call(t, "GET", Prefix+"/scenario-requests/"+annsID, "", ann), fault.NotFound)
}

// Somebody else's thing and a thing that is not there look alike, byte for byte.
func TestForeignReadsAsMissing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/scenarios/%s", ""},
		{"GET", "/conversations/%s", ""},
		{"GET", "/scenario-requests/%s", ""},
		{"POST", "/conversations/%s/messages", `{"client_id":"a","text":"hi"}`},
		{"POST", "/conversations/%s/runs/1/cancel", ""},
		{"POST", "/conversations/%s/messages/m/edit", `{"client_id":"a","text":"hi"}`},
		{"POST", "/conversations/%s/messages/m/regenerate", `{"client_id":"a"}`},
		{"POST", "/conversations/%s/branch", `{"run":1}`},
		{"GET", "/conversations/%s/turns", ""},
		{"GET", "/conversations/%s/branches", ""},
		{"DELETE", "/conversations/%s", ""},
		{"POST", "/conversations", `{"scenario_id":"%s"}`},
	} {
		ask := func(id string) string {
			path, body := c.path, c.body
			if strings.Contains(path, "%s") {
				path = fmt.Sprintf(path, id)
			} else {
				body = fmt.Sprintf(body, id)
			}
			w := f.call(t, c.method, Prefix+path, body, ann, "X-Request-Id: same")
			wantProblem(t, w, fault.NotFound)
			return fmt.Sprint(w.Code, w.Header(), w.Body)
		}
		if foreign, missing := ask(bensID), ask(noID); foreign != missing {
			t.Errorf("%s: foreign and missing differ:\n%s\n%s", c.path, foreign, missing)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		headers []string
		code    fault.Code
	}{
		{"none", nil, fault.Unauthenticated},
		{"basic", []string{"Authorization: Basic dG9rLWFubg=="}, fault.Unauthenticated},
		{"empty bearer", []string{"Authorization: Bearer "}, fault.Unauthenticated},
		{"two headers", []string{ann, ann}, fault.Unauthenticated},
		{"huge token", []string{"Authorization: Bearer tok-" + strings.Repeat("a", 9000)}, fault.Unauthenticated},
		{"expired", []string{"Authorization: Bearer old"}, fault.TokenExpired},
		{"bad bearer beside a good cookie", []string{"Authorization: Bearer x", "Cookie: fp_access=tok-ann"}, fault.Unauthenticated},
		{"two cookies", []string{"Cookie: fp_access=tok-ann; fp_access=tok-ben"}, fault.Unauthenticated},
		{"W12 token in the URL", []string{"X: y"}, fault.Unauthenticated},
		{"database down", []string{"Authorization: Bearer dbdown"}, fault.Internal},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			for _, path := range []string{"/scenarios", "/conversations/" + annsID} {
				w := f.call(t, "GET", Prefix+path+"?token=tok-ann&access_token=tok-ann", "", c.headers...)
				p := wantProblem(t, w, c.code)
				if (p.Status == 401) != (w.Header().Get("WWW-Authenticate") != "") {
					t.Fatalf("WWW-Authenticate is %q at %d", w.Header().Get("WWW-Authenticate"), p.Status)
				}
				if strings.Contains(w.Body.String(), "10.0.0.7") {
					t.Fatal("a driver's text reaches the client")
				}
			}
		})
	}
	f := newFixture(t, nil)
	if w := f.call(t, "GET", Prefix+"/scenarios", "", "Cookie: fp_access=tok-ann"); w.Code != 200 {
		t.Fatalf("the cookie alone is refused: %d", w.Code)
	}
}

func TestForeignErrorsStayInside(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.practice.err = errors.New("pq: secret db error")
	w := f.call(t, "GET", Prefix+"/scenarios", "", ann)
	p := wantProblem(t, w, fault.Internal)
	if strings.Contains(w.Body.String(), "secret") {
		t.Fatal("the cause reaches the client")
	}
	if !strings.Contains(f.logs.String(), "secret db error") || !strings.Contains(f.logs.String(), p.RequestID) {
		t.Fatal("the cause is not in the log with its request id")
	}
	f.practice.err = &fault.Error{Code: fault.RateLimited, Message: "Slow down.", RetryAfterMS: 1500}
	w = f.call(t, "GET", Prefix+"/scenarios", "", ann)
	if p := wantProblem(t, w, fault.RateLimited); p.RetryMS != 1500 || !p.Retryable || w.Header().Get("Retry-After") != "2" {
		t.Fatalf("retry advice is lost: %+v %v", p, w.Header())
	}
}

func TestPanicIsAProblem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	w := f.call(t, "GET", Prefix+"/scenarios", "", "Authorization: Bearer tok-panic")
	wantProblem(t, w, fault.Internal)
	if logs := f.logs.String(); !strings.Contains(logs, "panic in a handler") || strings.Contains(logs, "my boss") || !strings.Contains(logs, "status=500") {
		t.Fatalf("logs: %s", logs)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for in, keep := range map[string]bool{"abc.D_e-1": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, "a\u00e4": false} {
		got := f.call(t, "GET", "/livez", "", "X-Request-Id: "+in).Header().Get("X-Request-Id")
		if (got == in) != keep || got == "" {
			t.Errorf("sent %q, got %q", in, got)
		}
	}
	if got := f.call(t, "GET", "/livez", "", "X-Request-Id: a", "X-Request-Id: b").Header().Get("X-Request-Id"); got == "a" || got == "b" {
		t.Errorf("two ids, took %q", got)
	}
}

// Whatever a client puts anywhere, the logs hold none of it.
func TestLogsHoldNoCanaries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	const c = "CANARY7"
	f.call(t, "POST", messages+"?q="+c, `{"client_id":"a","text":"`+c+`"}`, ann, "User-Agent: "+c, "Cookie: fp_access="+c, "X-Forwarded-For: "+c)
	f.call(t, "POST", messages, `{"`+c+`":"`+c+`"}`, ann)
	f.call(t, "GET", Prefix+"/scenarios/"+c, "", "Authorization: Bearer "+c)
	f.call(t, "GET", "/"+c+"?"+c, "")
	f.call(t, c, "/"+c, "")
	logs := f.logs.String()
	if strings.Contains(logs, c) {
		t.Fatalf("logs hold the canary:\n%s", logs)
	}
	if !strings.Contains(logs, "route=/api/v2/conversations/:id/messages status=202") {
		t.Fatalf("no access log:\n%s", logs)
	}
}

// H5 to H8: nobody's forwarding headers count unless their sender is trusted.
func TestForwardedHeadersAreNotBelieved(t *testing.T) {
	t.Parallel()
	var got string
	look := func(d *Deps) {
		d.Log = func(_ http.ResponseWriter, r *http.Request, _ string) { got = clientIP(r.Context()) }
	}
	f := newFixture(t, look)
	f.call(t, "GET", Prefix+"/conversations/"+annsID+"/log", "", ann, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1")
	if got != "192.0.2.1" {
		t.Fatalf("client is %q", got)
	}
	f = newFixture(t, func(d *Deps) { look(d); d.TrustedProxies = []string{"192.0.2.0/24"} })
	f.call(t, "GET", Prefix+"/conversations/"+annsID+"/log", "", ann, "X-Forwarded-For: 198.51.100.7")
	if got != "198.51.100.7" {
		t.Fatalf("behind a trusted proxy the client is %q", got)
	}
}

// What an own message's path and key say reaches the conversation.
func TestBranchCommandsReachTheConversation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, body, key string
		want            conversation.SendInput
	}{
		{"msg-1/edit", `{"client_id":"a","text":"hi","policy":"interrupt"}`, "", conversation.SendInput{Op: conversation.OpEdit, ClientID: "a", Text: "hi", Policy: "interrupt"}},
		{"msg-1/edit", `{"text":"hi"}`, "k", conversation.SendInput{Op: conversation.OpEdit, ClientID: "k", Text: "hi", Policy: "enqueue"}},
		{"msg-1/regenerate", `{"client_id":"a"}`, "", conversation.SendInput{Op: conversation.OpRegenerate, ClientID: "a", Policy: "enqueue"}},
		{"msg-1/regenerate", `{}`, "k", conversation.SendInput{Op: conversation.OpRegenerate, ClientID: "k", Policy: "enqueue"}},
	} {
		f := newFixture(t, nil)
		headers := []string{ann}
		if c.key != "" {
			headers = append(headers, "Idempotency-Key: "+c.key)
		}
		w := f.call(t, "POST", Prefix+"/conversations/"+annsID+"/messages/"+c.path, c.body, headers...)
		if w.Code != 202 || len(f.convs.sent) != 1 {
			t.Fatalf("%s: %d %s", c.path, w.Code, w.Body)
		}
		c.want.Conversation, c.want.Learner, c.want.Message = annsID, "ann", "msg-1"
		if got := f.convs.sent[0]; got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.path, got, c.want)
		}
	}
}
