package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/client"
)

// oldApp calls the first version as the app does: form by form, one after the
// other, with the ids that the lists gave it.
type oldApp struct {
	t              *testing.T
	http           *http.Client
	base, token    string
	refresh, email string
}

type m = map[string]any

// call asks and wants a status; the answer must be v1's.
func (a *oldApp) call(method, path string, body any, status int) m {
	a.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			a.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+path, bytes.NewReader(raw))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	res, err := a.http.Do(req)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer drainBody(res)
	got, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	var out m
	if err := json.Unmarshal(got, &out); err != nil || res.StatusCode != status || out["success"] != (status < 300) {
		a.t.Fatalf("%s %s: %d %s, want %d", method, path, res.StatusCode, got, status)
	}
	if res.Header.Get("Deprecation") == "" || res.Header.Get("X-API-Version") != "v1" {
		a.t.Errorf("%s %s: headers %v", method, path, res.Header)
	}
	return out
}

func (a *oldApp) signUp() {
	a.t.Helper()
	a.email = fmt.Sprintf("v1-%d@example.com", rand.Uint64())
	a.keep(a.call("POST", "/api/v1/auth/signup/", m{"full_name": "陳 Jean-Luc O'Neill", "email": a.email, "password": "correct horse 9", "date_of_birth": "1991-04-30"}, 201))
}

func (a *oldApp) keep(tokens m) {
	a.token, _ = tokens["access_token"].(string)
	a.refresh, _ = tokens["refresh_token"].(string)
}

// pick is a field of the list's first entry with another field's value.
func pick(a *oldApp, list any, by, value, field string) string {
	a.t.Helper()
	entries, _ := list.([]any)
	for _, e := range entries {
		if entry, _ := e.(map[string]any); entry[by] == value {
			s, _ := entry[field].(string)
			return s
		}
	}
	a.t.Fatalf("no entry whose %s is %q in %v", by, value, list)
	return ""
}

// partOne is who the learner is.
func (a *oldApp) partOne() {
	a.t.Helper()
	languages := a.call("GET", "/api/v1/onboarding/languages/", nil, 200)
	a.call("POST", "/api/v1/onboarding/set-language/", m{"native_language": pick(a, languages["languages"], "label", "繁體中文", "value")}, 200)
	industries := a.call("GET", "/api/v1/onboarding/industries/", nil, 200)
	a.call("POST", "/api/v1/onboarding/set-industry/", m{"industry_id": pick(a, industries["industries"], "name", "Banking & Finance", "id")}, 200)
	found := a.call("POST", "/api/v1/roles/job-input/", m{"job_title": "Credit analyst", "job_description": "I study the figures of borrowers and recommend loans."}, 200)
	a.call("POST", "/api/v1/roles/role-selection/", m{"role_id": pick(a, found["matched_roles"], "title", "Credit Analyst", "id")}, 200)
}

// The journey of the old app on the binary that ships, from sign-up to
// completed onboarding; then its token opens the socket of v2, and what it
// chose is what practice is made from.
func TestE2EOldApp(t *testing.T) {
	t.Parallel()
	p := start(t, "v1")
	a := &oldApp{t: t, http: webClient(t), base: p.base}
	a.call("GET", "/health/", nil, 200)
	a.signUp()
	a.call("POST", "/api/v1/auth/signup/", m{"full_name": "Somebody Else", "email": strings.ToUpper(a.email), "password": "correct horse 9", "date_of_birth": "1991-04-30"}, 409)
	a.keep(a.call("POST", "/api/v1/auth/login/", m{"email": a.email, "password": "correct horse 9"}, 200))
	a.keep(a.call("POST", "/api/v1/auth/refresh/", m{"refresh_token": a.refresh}, 200))
	if got := a.call("GET", "/api/v1/user/profile/", nil, 200); got["onboarding_status"] != "pending" || got["dob"] != "1991-04-30" {
		t.Fatalf("got %v", got)
	}
	a.partOne()
	partners := a.call("GET", "/api/v1/onboarding/communication-partners/", nil, 200)
	chosen := a.call("POST", "/api/v1/onboarding/select-partners/", m{"partner_ids": []string{
		pick(a, partners["communication_partners"], "name", "Senior Management", "id"), "clients"}, "other_partners": []string{"Risk board"}}, 200)
	for n, e := range chosen["selected_partners"].([]any) {
		partner := e.(map[string]any)
		units := a.call("GET", "/api/v1/onboarding/partner/"+partner["id"].(string)+"/units/", nil, 200)
		a.call("POST", "/api/v1/onboarding/partner/"+partner["id"].(string)+"/select-units/",
			m{"unit_ids": []string{pick(a, units["units"], "name", []string{"Presentations", "Meetings", "Briefings"}[n], "id")}}, 200)
	}
	sum := a.call("GET", "/api/v1/onboarding/summary/", nil, 200)
	progress := sum["onboarding_progress"].(map[string]any)
	if progress["is_complete"] != true || progress["completion_percentage"] != 100.0 || sum["totals"].(map[string]any)["total_units"] != 3.0 {
		t.Fatalf("got %v", sum)
	}

	// The same learner, on v2.
	l := &learner{t: t, http: a.http, token: a.token, node: p.base}
	var me struct {
		OnboardingComplete bool   `json:"onboarding_complete"`
		FullName           string `json:"full_name"`
	}
	l.call("GET", "/me", nil, &me)
	if !me.OnboardingComplete || me.FullName != "陳 Jean-Luc O'Neill" {
		t.Fatalf("v2 says %+v", me)
	}
	request := l.askScenario()
	scenarioAppears(t, map[string]*client.View{"ws": l.watch(client.OverWS, request, p.base)})
	conversation := l.converse()
	ws, err := client.DialWS(t.Context(), l.at(p.base), "", client.NewView(conversation))
	if err != nil {
		t.Fatalf("the token of v1 does not open the socket: %v", err)
	}
	defer ws.Drop()
	if _, err := ws.Send(t.Context(), conversation, "m1", "Good morning!", ""); err != nil {
		t.Fatal(err)
	}

	a.call("POST", "/api/v1/auth/logout/", nil, 200)
	a.call("POST", "/api/v1/auth/refresh/", m{"refresh_token": a.refresh}, 401)
}

// The interview that older apps hold in place of lists, over the real engine:
// each turn waits for its reply, and what was said is chosen, in any language.
func TestE2EOldInterview(t *testing.T) {
	t.Parallel()
	p := start(t, "interview")
	a := &oldApp{t: t, http: webClient(t), base: p.base}
	a.signUp()
	a.call("POST", "/api/v1/onboarding/phase2/start-conversation/", m{}, 400)
	a.partOne()
	got := a.call("POST", "/api/v1/onboarding/phase2/start-conversation/", nil, 200)
	say := func(text, wants string, step float64, finished bool) {
		t.Helper()
		state := got["conversation_state"]
		got = a.call("POST", "/api/v1/onboarding/phase2/continue-conversation/", m{"message": text, "conversation_state": state}, 200)
		reply, _ := got["ai_response"].(string)
		if !strings.Contains(reply, wants) || got["current_step"] != step || got["is_finished"] != finished {
			t.Fatalf("%q: got %v", text, got)
		}
		// An answer that was lost on its way is asked for again.
		again := a.call("POST", "/api/v1/onboarding/phase2/continue-conversation/", m{"message": text, "conversation_state": state}, 200)
		if again["ai_response"] != reply || again["current_step"] != step {
			t.Fatalf("%q again: got %v, want %v", text, again, got)
		}
	}
	say("客戶、主管", "客戶", 4, false)
	say("1, 7", "主管", 4, false)
	say("Presentations, and status updates.", "Thank you", 5, true)
	summary := got["conversation_summary"].(map[string]any)
	situations := summary["partner_situations"].(map[string]any)
	if fmt.Sprint(situations["主管"]) != "[Presentations Status Updates]" || fmt.Sprint(situations["客戶"]) != "[Meetings Phone Calls]" || summary["onboarding_complete"] != true {
		t.Fatalf("got %v", summary)
	}
	// Somebody else's interview is nobody's.
	b := &oldApp{t: t, http: a.http, base: p.base}
	b.signUp()
	b.partOne()
	b.call("POST", "/api/v1/onboarding/phase2/continue-conversation/", m{"message": "clients", "conversation_state": got["conversation_state"]}, 404)
}
