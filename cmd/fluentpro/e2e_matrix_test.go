package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
	v1 "github.com/fluentpro/fluentpro/server/v1"
)

// prey is a learner with something of everything, all of it marked, whom
// another one tries to read and to change.
type prey struct {
	*learner
	id, login, scenario, request, conversation, message, cursor, interview string
	// partner and role are ids of v1 of what the learner named.
	partner, role string
	words         []string
}

// mark is in every text that the prey wrote.
const mark = "Quillfeather"

func newPrey(t *testing.T, p *process) *prey {
	t.Helper()
	l := signUp(t, p.base)
	put := func(step string, v m) { t.Helper(); l.call("PUT", "/onboarding/steps/"+step, v, nil) }
	put("language", m{"language": "zh_Hant"})
	put("industry", m{"other": "Trade in " + mark})
	put("job", m{"title": mark + " buyer", "description": "I buy from every " + mark + " there is."})
	put("role", m{"custom": m{"title": mark + " keeper", "description": "Keeps the " + mark + " books in order."}})
	put("partners", m{"partners": []m{{"custom": mark + " board"}, {"partner": "clients"}}})
	put("situations", m{"situations": []m{{"partner": "custom:" + mark + " board", "situations": []m{{"custom": mark + " visits"}}},
		{"partner": "clients", "situations": []m{{"situation": "meetings"}}}}})
	put("level", m{"level": "B1"})
	put("summary", m{"confirmed": true})
	l.call("POST", "/onboarding/complete", nil, nil)
	a := &prey{learner: l, words: []string{l.email, mark}}
	a.request = l.askScenario()
	testenv.Eventually(t, soon, func() error {
		var s struct{ State client.State }
		if l.call("GET", "/scenario-requests/"+a.request, nil, &s); len(s.State.Result) == 0 {
			return errors.New("no scenario yet")
		}
		return nil
	})
	a.conversation = l.converse()
	l.call("POST", "/conversations/"+a.conversation+"/messages", m{"client_id": "m1", "text": "The " + mark + " sent me."}, nil)
	testenv.Eventually(t, soon, func() error {
		var s struct {
			Cur   string
			State client.State
		}
		l.call("GET", "/conversations/"+a.conversation, nil, &s)
		for _, turn := range s.State.Turns {
			if turn.Author == "partner" && turn.Run == 2 { // run 1 is the opening line
				a.cursor, a.message = s.Cur, turn.ID
				return nil
			}
		}
		return errors.New("no reply yet")
	})
	var me struct{ ID string }
	l.call("GET", "/me", nil, &me)
	var logins struct{ Logins []struct{ ID string } }
	l.call("GET", "/me/logins", nil, &logins)
	var scenarios struct{ Scenarios []struct{ ID string } }
	l.call("GET", "/scenarios", nil, &scenarios)
	a.id, a.login, a.scenario = me.ID, logins.Logins[0].ID, scenarios.Scenarios[0].ID
	old := &oldApp{t: t, http: l.http, base: p.base, token: l.token}
	state := old.call("POST", "/api/v1/onboarding/phase2/start-conversation/", nil, 200)["conversation_state"].(map[string]any)
	a.interview = state["conversation_id"].(string)
	list := old.call("GET", "/api/v1/onboarding/user-partners/", nil, 200)["communication_partners"].([]any)
	a.partner = list[0].(map[string]any)["id"].(string)
	a.role = old.call("GET", "/api/v1/onboarding/summary/", nil, 200)["user_profile"].(map[string]any)["role"].(map[string]any)["id"].(string)
	a.words = append(a.words, a.id, a.login, a.scenario, a.request, a.conversation, a.message, a.interview)
	return a
}

// settled waits until nothing that the prey did goes on, and returns all that
// is kept of the learner.
func (a *prey) settled(p *process) string {
	a.t.Helper()
	testenv.Eventually(a.t, soon, func() error {
		for _, state := range []string{"available", "running", "retrying"} {
			var list struct{ Jobs []struct{ Kind string } }
			if err := opsGet(a.http, p, "/ops/v1/jobs?state="+state, &list); err != nil || len(list.Jobs) > 0 {
				return fmt.Errorf("%s: %v %w", state, list.Jobs, err)
			}
		}
		var g struct{ Groups []struct{ Open int64 } }
		if err := opsGet(a.http, p, "/ops/v1/events/groups", &g); err != nil || len(g.Groups) == 0 || g.Groups[0].Open > 0 {
			return fmt.Errorf("groups: %v %w", g, err)
		}
		return nil
	})
	got, err := a.try("GET", "/me/export", nil, "Accept", "application/x-ndjson")
	if err != nil || got.status != 200 {
		a.t.Fatalf("%d %v", got.status, err)
	}
	return string(got.body)
}

// theft is what a thief asks of one operation, with a body that is valid in
// everything but whose things it names.
type theft struct {
	path string
	body any
	// want is the status; 0 stands for a success that shows nothing of others.
	want int
}

// thefts has a row for every operation of the document.
func thefts(a *prey, thief string) map[string]theft {
	conv, alien := "/conversations/"+a.conversation, 404
	chat := func(key string) m {
		return m{key: a.conversation, "runId": "r1", "messages": []any{m{"id": "x1", "role": "user", "content": "hi", "parts": []any{m{"type": "text", "text": "hi"}}}}}
	}
	return map[string]theft{
		// For operators only, by role.
		"list-accounts": {"/accounts", nil, 403}, "get-account": {"/accounts/" + a.id, nil, 403},
		"deactivate-account": {"/accounts/" + a.id + "/deactivate", nil, 403}, "reactivate-account": {"/accounts/" + a.id + "/reactivate", nil, 403},
		"erase-account": {"/accounts/" + a.id + "/erase", nil, 403}, "set-account-role": {"/accounts/" + a.id + "/role", m{"role": "learner"}, 403},
		// Things by their ids.
		"run-agui": {"/agui", chat("threadId"), alien}, "chat": {"/api/chat", chat("id"), alien},
		"stop-chat": {"/api/chat/" + a.conversation + "/stop", nil, alien}, "resume-chat": {"/api/chat/" + a.conversation + "/stream", nil, alien},
		"create-conversation": {"/conversations", m{"scenario_id": a.scenario, "client_id": "c1"}, alien},
		"get-conversation":    {conv, nil, alien}, "erase-conversation": {conv, nil, alien},
		"select-branch": {conv + "/branch", m{"run": 1}, alien}, "list-branches": {conv + "/branches", nil, alien},
		"stream-conversation-events": {conv + "/events", nil, alien}, "read-conversation-log": {conv + "/log?after=" + a.cursor, nil, alien},
		"send-message":     {conv + "/messages", m{"client_id": "m1", "text": "hi", "policy": "interrupt"}, alien},
		"edit-message":     {conv + "/messages/m1/edit", m{"client_id": "m2", "text": "hi"}, alien},
		"regenerate-reply": {conv + "/messages/" + a.message + "/regenerate", m{"client_id": "m3"}, alien},
		"cancel-run":       {conv + "/runs/1/cancel", nil, alien}, "export-transcript": {conv + "/transcript", nil, alien}, "list-turns": {conv + "/turns", nil, alien},
		"end-login":            {"/me/logins/" + a.login, nil, alien},
		"get-scenario-request": {"/scenario-requests/" + a.request, nil, alien}, "stream-scenario-request-events": {"/scenario-requests/" + a.request + "/events", nil, alien},
		"get-scenario": {"/scenarios/" + a.scenario, nil, alien}, "create-ticket": {"/tickets", m{"conversation": a.conversation}, alien},
		// Pages that begin at somebody else's thing show the own ones.
		"list-conversations": {"/conversations?before=" + a.conversation, nil, 0}, "list-scenarios": {"/scenarios?before=" + a.scenario, nil, 0},
		// The password of another is no password here.
		"deactivate-me": {"/me/deactivate", m{"password": learnersPassword}, 422}, "erase-me": {"/me/erase", m{"password": learnersPassword}, 422},
		"change-password": {"/me/password", m{"password": learnersPassword, "new_password": "tulip under glass"}, 422},
		// Names that another learner made up are unknown.
		"set-onboarding-step": {"/onboarding/steps/partners", m{"partners": []m{{"partner": "custom:" + mark + " board"}}}, 422},
		// The key of another's request is a key of one's own.
		"request-scenario": {"/scenario-requests", m{"client_id": "req-1", "partner": "clients", "situation": "meetings"}, 0},
		// The own account and nothing else.
		"get-me": {"/me", nil, 0}, "update-me": {"/me", m{"full_name": "Ben Thief"}, 0}, "export-me": {"/me/export", nil, 0}, "list-logins": {"/me/logins", nil, 0},
		"change-email":               {"/me/email", m{"email": a.email, "password": thievesPassword}, 0},
		"request-email-verification": {"/me/email-verifications", nil, 0},
		"get-onboarding":             {"/onboarding", nil, 0}, "complete-onboarding": {"/onboarding/complete", nil, 0}, "list-role-matches": {"/onboarding/role-matches", nil, 0},
		"list-onboarding-options": {"/onboarding/options/partners", nil, 0}, "get-onboarding-step": {"/onboarding/steps/partners", nil, 0},
		"list-recommendations": {"/recommendations", nil, 0}, "export-transcripts": {"/transcripts", nil, 0},
		// Without a sign-in.
		"get-server-info": {"/server-info", nil, 0}, "open-websocket": {"/ws", nil, 426},
		"sign-up":         {"/auth/sign-up", m{"email": a.email, "password": thievesPassword, "full_name": "Ben Thief", "accept_terms": true, "age_confirmed": true}, 409},
		"login":           {"/auth/login", m{"email": a.email, "password": thievesPassword}, 401},
		"forgot-password": {"/auth/forgot-password", m{"email": thief}, 0}, "logout": {"/auth/logout", m{"refresh_token": strings.Repeat("x", 43)}, 0},
		"refresh": {"/auth/refresh", m{"refresh_token": strings.Repeat("x", 43)}, 401}, "verify-email": {"/auth/verify-email", m{"token": strings.Repeat("x", 43)}, 410},
		"reset-password": {"/auth/reset-password", m{"token": strings.Repeat("x", 43), "new_password": "tulip under glass"}, 410},
	}
}

const thievesPassword = "wolf in the fold 7"

// newThief is another learner, as far along as the prey.
func newThief(t *testing.T, p *process) *learner {
	t.Helper()
	l := signUp(t, p.base)
	l.onboard()
	l.call("POST", "/me/password", m{"password": learnersPassword, "new_password": thievesPassword}, nil)
	return l
}

// TestE2ETwoLearnersSeeOnlyTheirOwn drives every operation of the document and
// every route of v1 with the ids and words of another learner: nothing is told
// without a token, nothing of another's is told or changed with one, and the
// other's things read as missing. A route without a row fails.
func TestE2ETwoLearnersSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	p := start(t, "matrix", "FLUENTPRO_DATA_DIR="+t.TempDir(), "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=3000", "FLUENTPRO_JOBS_POLL=50ms")
	ann := newPrey(t, p)
	before := ann.settled(p)
	for _, word := range []string{ann.email, ann.conversation, ann.scenario, mark + " visits", "The " + mark + " sent me."} {
		if !strings.Contains(before, word) {
			t.Fatalf("the export lacks %q: it would not show a change", word)
		}
	}
	thief := newThief(t, p)
	doc, err := thief.try("GET", "/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	ops := operations(t, doc.body)
	rows := thefts(ann, thief.email)
	// What ends the sign-in comes last, and so does the wish for the other's
	// address, which the thief may read in the own account from then on.
	late := map[string]int{"change-email": 1, "logout": 2}
	slices.SortStableFunc(ops, func(a, b *contractOp) int { return late[a.ID] - late[b.ID] })
	for _, op := range ops {
		row, ok := rows[op.ID]
		if !ok {
			t.Errorf("%s %s (%s) has no row here: say what another learner would ask of it", op.method, op.path, op.ID)
			continue
		}
		delete(rows, op.ID)
		path, _, _ := strings.Cut(row.path, "?")
		if !regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(op.path), `[^/]+`) + "$").MatchString(path) {
			t.Errorf("%s: the row asks %s, the operation is %s", op.ID, path, op.path)
		}
		url := p.base + op.base + row.path
		body := row.body
		if body == nil && op.method != http.MethodGet && op.method != http.MethodDelete {
			body = m{}
		}
		if len(op.Security) > 0 && op.ID != "open-websocket" {
			if status, got := ask(thief, "", op.method, url, body); status != 401 {
				t.Errorf("%s without a token: %d %s, want 401", op.ID, status, got)
			}
		}
		status, got := ask(thief, thief.token, op.method, url, body)
		if row.want == 0 && status >= 300 || row.want != 0 && status != row.want {
			t.Errorf("%s %s: %d %s, want %d", op.method, row.path, status, got, row.want)
		}
		ann.absent(op.ID, got)
	}
	for id := range rows {
		t.Errorf("%s has a row and is no operation", id)
	}
	oldThefts(t, p, ann)
	socketThefts(t, p, ann, thief)
	if after := ann.settled(p); after != before {
		t.Errorf("what is kept of the learner changed, from\n%s\nto\n%s", before, after)
	}
}

// ask sends one request; body is JSON, nil for none.
func ask(as *learner, token, method, url string, body any) (status int, got []byte) {
	as.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			as.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(as.t.Context(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(raw))
	if err != nil {
		as.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := as.http.Do(req)
	if err != nil {
		as.t.Fatalf("%s %s: %v", method, url, err)
	}
	defer drainBody(res)
	if got, err = io.ReadAll(res.Body); err != nil {
		as.t.Fatalf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, got
}

// absent checks that an answer shows nothing of the prey.
func (a *prey) absent(what string, body []byte) {
	a.t.Helper()
	for _, word := range a.words {
		if strings.Contains(string(body), word) {
			a.t.Errorf("%s shows %q of somebody else: %.300s", what, word, body)
		}
	}
}

// oldThefts is the same for the first version: its table of routes is the list.
func oldThefts(t *testing.T, p *process, ann *prey) {
	t.Helper()
	thief := newThief(t, p)
	partner := "/onboarding/partner/" + ann.partner
	rows := map[string]theft{
		"health": {}, "sign-up": {body: m{"full_name": "Ben Thief", "email": ann.email, "password": thievesPassword, "date_of_birth": "1990-01-01"}, want: 409},
		"login": {body: m{"email": ann.email, "password": thievesPassword}, want: 401}, "refresh": {body: m{"refresh_token": strings.Repeat("x", 43)}, want: 401},
		"callback": {body: m{"access_token": strings.Repeat("x", 43)}}, "profile": {}, "update-profile": {body: m{"role_id": ann.role}, want: 400},
		"role-selection": {body: m{"role_id": ann.role}, want: 404}, "job-input": {body: m{"job_title": "Credit analyst", "job_description": "I study the figures of borrowers."}},
		"new-role":  {body: m{"job_title": "Credit analyst", "job_description": "I study the figures of borrowers.", "hierarchy_level": "associate"}},
		"languages": {}, "set-language": {body: m{"native_language": "english"}}, "industries": {}, "set-industry": {body: m{"industry_id": "banking-finance"}},
		"communication-partners": {}, "select-partners": {body: m{"partner_ids": []string{ann.partner}}, want: 400}, "user-partners": {},
		"units": {path: partner + "/units/", want: 404}, "select-units": {path: partner + "/select-units/", body: m{"unit_ids": []string{"meetings"}}, want: 404},
		"user-units": {path: partner + "/user-units/", want: 404}, "summary": {}, "start-conversation": {},
		"continue-conversation": {body: m{"message": "clients", "conversation_state": m{"conversation_id": ann.interview, "turn": 1, "question": "partners"}}, want: 404},
		"logout":                {body: m{"refresh_token": strings.Repeat("x", 43)}},
	}
	table, err := v1.New(v1.Deps{Authentication: struct{ v1.Authentication }{}, Onboarding: struct{ v1.Onboarding }{}, Interviews: struct{ v1.Interviews }{}})
	if err != nil {
		t.Fatal(err)
	}
	routes := table.Routes()
	// What ends the sign-in, or asks something anew, comes last.
	late := map[string]int{"set-language": 1, "job-input": 2, "new-role": 3, "set-industry": 4, "logout": 5}
	slices.SortStableFunc(routes, func(a, b v1.Route) int { return late[a.Name] - late[b.Name] })
	for _, r := range routes {
		row, ok := rows[r.Name]
		if !ok {
			t.Errorf("v1 %s has no row here", r.Name)
			continue
		}
		delete(rows, r.Name)
		for n, path := range r.Paths {
			if strings.Contains(path, ":partner") {
				path = "/api/v1" + row.path
			}
			if n > 0 && r.Name == "logout" {
				continue // signed out by the first
			}
			if !r.Public {
				if status, body := ask(thief, "", r.Method, p.base+path, row.body); status != 401 {
					t.Errorf("v1 %s without a token: %d %s, want 401", path, status, body)
				}
			}
			status, body := ask(thief, thief.token, r.Method, p.base+path, row.body)
			if row.want == 0 && status >= 300 || row.want != 0 && status != row.want {
				t.Errorf("v1 %s %s: %d %s, want %d", r.Name, path, status, body, row.want)
			}
			ann.absent("v1 "+r.Name, body)
		}
	}
	for name := range maps.Keys(rows) {
		t.Errorf("v1 %s has a row and is no route", name)
	}
}

// socketThefts is the same for the frames of a socket that name a conversation.
func socketThefts(t *testing.T, p *process, ann *prey, thief *learner) {
	t.Helper()
	thief.login(thievesPassword)
	w := connect(t, thief, p.base, thief.token, `{"t":"hello"}`)
	w.until("welcome", 0)
	for op, frame := range map[string]string{
		"sub":        `{"t":"sub","id":"1","c":%q}`,
		"sub at":     `{"t":"sub","id":"2","c":%q,"cur":"` + ann.cursor + `"}`,
		"send":       `{"t":"cmd","id":"3","op":"send","c":%q,"key":"m1","args":{"text":"hi"}}`,
		"edit":       `{"t":"cmd","id":"4","op":"edit","c":%q,"key":"m4","args":{"message":"m1","text":"hi"}}`,
		"regenerate": `{"t":"cmd","id":"5","op":"regenerate","c":%q,"key":"m5","args":{"message":"` + ann.message + `"}}`,
		"select":     `{"t":"cmd","id":"6","op":"select","c":%q,"key":"m6","args":{"run":1}}`,
		"cancel":     `{"t":"cmd","id":"7","op":"cancel","c":%q,"args":{"run":1}}`,
	} {
		w.send(fmt.Sprintf(frame, ann.conversation))
		var code any
		if strings.HasPrefix(op, "sub") {
			code = w.until("err", 0)["code"]
		} else if refused, ok := w.until("res", 0)["err"].(map[string]any); ok {
			code = refused["code"]
		}
		if code != "not_found" {
			t.Errorf("%s over a socket: %v", op, code)
		}
	}
}
