package v1_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v1 "github.com/fluentpro/fluentpro/server/v1"
)

// Every answer, good or bad, says that it is v1 and when it ends (RFC 9745,
// RFC 8594).
func TestEveryAnswerSaysItsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct{ method, path string }{
		{"GET", "/health/"}, {"GET", p + "/user/profile/"}, {"GET", p + "/nowhere/"}, {"DELETE", p + "/auth/login/"}, {"POST", p + "/auth/login/"},
	} {
		w, _ := r.call(c.method, c.path, "", "")
		h := w.Header()
		if h.Get("X-API-Version") != "v1" || h.Get("Deprecation") != "@1793491200" || h.Get("Sunset") != "Mon, 01 Nov 2027 00:00:00 GMT" ||
			!strings.Contains(h.Get("Link"), `</api/docs/migrating-to-v2>; rel="deprecation"`) || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %v", c.method, c.path, h)
		}
	}
	if v1.Sunset.Sub(v1.Deprecated) < 364*24*time.Hour {
		t.Errorf("a version is supported for 12 months after its successor: %v to %v", v1.Deprecated, v1.Sunset)
	}
	w, _ := r.call("GET", "/api/v2/me", "", "")
	if h := w.Header(); h.Get("X-API-Version") != "v2" || h.Get("Deprecation") != "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("v2: %v", h)
	}
}

func TestUnknownVersionNamesTheKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, path := range []string{"/api/v3/user/profile/", "/api/v0", "/api/v11/x"} {
		w, out := r.call("GET", path, "", "")
		detail, _ := out["detail"].(string)
		if w.Code != http.StatusNotFound || out["code"] != "unknown_version" || !strings.Contains(detail, "v1, v2") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// What goes wrong before a handler has the shape of v1 too.
func TestRefusalsHaveTheOldShape(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		name, method, path, body string
		change                   func(*http.Request)
		status                   int
		code                     string
	}{
		{"no such path", "GET", p + "/nowhere/", "", nil, 404, "not_found"},
		{"no slash", "GET", p + "/user/profile", "", nil, 404, "not_found"},
		{"other method", "PUT", p + "/user/profile/", "", nil, 405, "method_not_allowed"},
		{"too large", "POST", p + "/auth/login/", `{"email":"` + strings.Repeat("x", 70<<10) + `"}`, nil, 413, "too_large"},
		{"not JSON", "POST", p + "/auth/login/", `email=x`, func(q *http.Request) { q.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415, "unsupported_media_type"},
		{"twice", "POST", p + "/auth/login/", `{"email":"a","email":"b"}`, nil, 400, "bad_request"},
		{"foreign page", "POST", p + "/auth/login/", `{}`, func(q *http.Request) { q.Header.Set("Origin", "https://evil.example") }, 403, "foreign_origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
			q.Host = "127.0.0.1"
			q.Header.Set("Content-Type", "application/json")
			if c.change != nil {
				c.change(q)
			}
			w := httptest.NewRecorder()
			r.handler.ServeHTTP(w, q)
			var out map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != c.status || out["error_code"] != c.code {
				t.Fatalf("got %d %s %v", w.Code, w.Body, err)
			}
			r.wantError(w, out)
		})
	}
}

// signUp makes a learner and returns the tokens.
func (r *rig) signUp(name string) (access, refresh string) {
	r.t.Helper()
	w, out := r.call("POST", p+"/auth/signup/", "", `{"full_name":"`+name+`","email":"`+name+`@example.com","password":"correct horse 9","date_of_birth":"1990-02-03"}`)
	access, _ = out["access_token"].(string)
	refresh, _ = out["refresh_token"].(string)
	if access == "" || refresh == "" {
		r.t.Fatalf("sign up: %d %s", w.Code, w.Body)
	}
	return access, refresh
}

// must asks for a good answer.
func (r *rig) must(method, path, token, body string) map[string]any {
	r.t.Helper()
	w, out := r.call(method, path, token, body)
	if w.Code >= 300 {
		r.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return out
}

// Two learners at once never see each other's things, whatever the route.
func TestLearnersAreApart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ann, _ := r.signUp("ann")
	ben, _ := r.signUp("ben")
	r.must("POST", p+"/onboarding/set-language/", ann, `{"native_language":"english"}`)
	r.must("POST", p+"/onboarding/set-industry/", ann, `{"industry_name":"Annsindustry"}`)
	made := r.must("POST", p+"/roles/new-role/", ann, `{"job_title":"Annsrole","job_description":"Annsrole is what I do all day."}`)
	r.must("POST", p+"/onboarding/select-partners/", ann, `{"partner_ids":["clients"],"other_partners":["Annspartner"]}`)
	r.must("POST", p+"/onboarding/partner/clients/select-units/", ann, `{"other_units":["Annsunit"]}`)
	role, _ := made["new_role"].(map[string]any)["id"].(string)
	mine := r.must("GET", p+"/onboarding/user-partners/", ann, "")["communication_partners"].([]any)
	own, _ := mine[1].(map[string]any)["id"].(string)

	bodies := map[string]string{
		"update-profile": `{"role_id":"` + role + `"}`, "role-selection": `{"role_id":"` + role + `"}`,
		"select-partners": `{"partner_ids":["` + own + `"]}`, "select-units": `{"unit_ids":["meetings"]}`,
		"continue-conversation": `{"message":"Annspartner?","conversation_state":{"conversation_id":"c1","turn":1,"question":"partners"}}`,
	}
	for _, route := range r.api.Routes() {
		if route.Public || route.Name == "logout" {
			continue
		}
		for _, partner := range []string{"clients", own} {
			path := strings.Replace(route.Paths[0], ":partner", partner, 1)
			body := bodies[route.Name]
			if body == "" && route.Method != http.MethodGet {
				body = "{}"
			}
			w, _ := r.call(route.Method, path, ben, body)
			if strings.Contains(strings.ToLower(w.Body.String()), "anns") || strings.Contains(w.Body.String(), "ann@") || w.Code >= 500 {
				t.Errorf("%s: Ben sees %d %s", route.Name, w.Code, w.Body)
			}
		}
	}
	// And Ann has what she had.
	if got := r.must("GET", p+"/onboarding/summary/", ann, ""); got["totals"].(map[string]any)["total_units"] != 1.0 {
		t.Errorf("Ann has %v", got["totals"])
	}
}

// The old app sends no body to logout, and the old server failed on it.
func TestLogoutWithoutABody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	access, refresh := r.signUp("ann")
	r.must("POST", p+"/auth/logout/", access, "")
	if w, out := r.call("POST", p+"/auth/refresh/", "", `{"refresh_token":"`+refresh+`"}`); w.Code != http.StatusUnauthorized || out["error_code"] != "unauthenticated" {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
}

// An error that is nobody's business stays inside.
func TestForeignErrorsStayInside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ann, _ := r.signUp("ann")
	r.talk.err = errBroken
	r.must("POST", p+"/onboarding/set-language/", ann, `{"native_language":"english"}`)
	r.must("POST", p+"/onboarding/set-industry/", ann, `{"industry_id":"insurance"}`)
	r.must("POST", p+"/roles/new-role/", ann, `{"job_title":"Agent","job_description":"I look into claims all day."}`)
	w, out := r.call("POST", p+"/onboarding/phase2/continue-conversation/", ann, `{"message":"clients","conversation_state":{"conversation_id":"c1","turn":1,"question":"partners"}}`)
	if w.Code != http.StatusInternalServerError || out["error_code"] != "internal" || strings.Contains(w.Body.String(), "secret") {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	// A reply that failed for good does not stop the interview.
	r.talk.err = v1.ErrNoReply
	out = r.must("POST", p+"/onboarding/phase2/continue-conversation/", ann, `{"message":"clients","conversation_state":{"conversation_id":"c1","turn":1,"question":"partners"}}`)
	if text, _ := out["ai_response"].(string); !strings.Contains(text, "Clients?\n1. Meetings") {
		t.Fatalf("got %v", out)
	}
}

// A change in the old app never leaves a completed learner in a state that the
// app has no screen for.
func TestEditsKeepOnboardingComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ann, _ := r.signUp("ann")
	complete := func(want bool) {
		t.Helper()
		got := r.must("GET", p+"/onboarding/summary/", ann, "")["onboarding_progress"].(map[string]any)
		if got["is_complete"] != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	r.must("POST", p+"/onboarding/set-language/", ann, `{"native_language":"english"}`)
	r.must("POST", p+"/onboarding/set-industry/", ann, `{"industry_id":"banking-finance"}`)
	r.must("POST", p+"/roles/job-input/", ann, jobAnn)
	r.must("POST", p+"/roles/role-selection/", ann, `{"role_id":"credit-analyst"}`)
	r.must("POST", p+"/onboarding/select-partners/", ann, `{"partner_ids":["clients"]}`)
	complete(false)
	r.must("POST", p+"/onboarding/partner/clients/select-units/", ann, `{"unit_ids":["meetings"]}`)
	complete(true)
	r.must("PATCH", p+"/user/profile/", ann, `{"native_language":"chinese_simplified"}`)
	complete(true)
	// Another industry asks for the role again, and an unrelated one is gone.
	r.must("PATCH", p+"/user/profile/", ann, `{"industry_id":"insurance"}`)
	complete(false)
	if got := r.must("GET", p+"/user/profile/", ann, ""); got["role"] != nil || got["onboarding_status"] == "completed" {
		t.Fatalf("got %v", got)
	}
	r.must("POST", p+"/roles/new-role/", ann, `{"job_title":"Claims agent","job_description":"I look into claims all day."}`)
	complete(true)
}
