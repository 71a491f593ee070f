package v1_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// What was wrong with the old server and its apps, where v1 could repeat it;
// docs/what-was-wrong.md has the whole list.

// The old app offered twelve languages, and the old server took three.
func TestEveryLanguageOfferedIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ann, _ := r.signUp("ann")
	list := r.must("GET", p+"/onboarding/languages/", ann, "")["languages"].([]any)
	seen := map[string]bool{}
	for _, v := range list {
		value, _ := v.(map[string]any)["value"].(string)
		got := r.must("POST", p+"/onboarding/set-language/", ann, `{"native_language":"`+value+`"}`)
		if got["native_language"] != value || seen[value] {
			t.Errorf("%s is stored as %v, or offered twice", value, got["native_language"])
		}
		seen[value] = true
	}
	if len(seen) < 40 || !seen["chinese_traditional"] || !seen["chinese_simplified"] || !seen["english"] {
		t.Errorf("%d languages: %v", len(seen), seen)
	}
}

// The old summary showed a trade, a role and three partners to learners who
// had told nothing, and said that they were done.
func TestSummaryInventsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ann, _ := r.signUp("ann")
	got := r.must("GET", p+"/onboarding/summary/", ann, "")
	profile := got["user_profile"].(map[string]any)
	progress := got["onboarding_progress"].(map[string]any)
	if profile["native_language"] != nil || profile["industry"] != nil || profile["role"] != nil || profile["onboarding_status"] != "pending" ||
		len(got["partners"].([]any)) != 0 || len(got["partners_with_units"].([]any)) != 0 || progress["is_complete"] != false || progress["completion_percentage"] != 0.0 {
		t.Errorf("got %v", got)
	}
}

// The old apps forgot where a learner stood, and the order of choices, when
// they were started again. Here a new login, and the other version, know both.
func TestResumeIsExact(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ann, _ := r.signUp("ann")
	r.must("POST", p+"/onboarding/set-language/", ann, `{"native_language":"english"}`)
	r.must("POST", p+"/onboarding/set-industry/", ann, `{"industry_id":"insurance"}`)
	r.must("POST", p+"/roles/new-role/", ann, `{"job_title":"Agent","job_description":"I look into claims all day."}`)
	r.must("POST", p+"/onboarding/select-partners/", ann, `{"partner_ids":["suppliers","clients"],"other_partners":["Risk board"]}`)
	r.must("POST", p+"/onboarding/partner/clients/select-units/", ann, `{"unit_ids":["phone-calls","meetings"]}`)
	again := r.must("POST", p+"/auth/login/", "", `{"email":"ann@example.com","password":"correct horse 9"}`)
	token, _ := again["access_token"].(string)
	var names []string
	for _, v := range r.must("GET", p+"/onboarding/user-partners/", token, "")["communication_partners"].([]any) {
		name, _ := v.(map[string]any)["name"].(string)
		names = append(names, name)
	}
	if strings.Join(names, ", ") != "Suppliers, Clients, Risk board" {
		t.Errorf("the partners are %v", names)
	}
	units := r.must("GET", p+"/onboarding/partner/clients/user-units/", token, "")["selected_units"].([]any)
	if first, _ := units[0].(map[string]any); len(units) != 2 || first["slug"] != "phone-calls" {
		t.Errorf("the units are %v", units)
	}
	if got := r.must("GET", "/api/v2/onboarding", token, ""); got["current_step"] != "situations" {
		t.Errorf("v2 says %v", got["current_step"])
	}
}

// logs collects what a server says.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// The old server and its apps printed passwords, tokens and job descriptions.
func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	said := &logs{}
	r := newRigWith(t, slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})))
	access, refresh := r.signUp("canaryname")
	r.call("POST", p+"/auth/login/", "", `{"email":"canaryname@example.com","password":"canarypassword 9"}`)
	r.call("POST", p+"/auth/login/", "", `{"email":["canaryname@example.com"],"password":"canarypassword 9"}`)
	r.must("POST", p+"/onboarding/set-language/", access, `{"native_language":"english"}`)
	r.must("POST", p+"/onboarding/set-industry/", access, `{"industry_name":"Canaryindustry"}`)
	r.must("POST", p+"/roles/job-input/", access, `{"job_title":"Canarytitle","job_description":"My canaryboss is awful, every day."}`)
	r.talk.err = errBroken
	r.must("POST", p+"/roles/new-role/", access, `{"job_title":"Canarytitle","job_description":"My canaryboss is awful, every day."}`)
	r.call("POST", p+"/onboarding/phase2/continue-conversation/", access, `{"message":"canarymessage","conversation_state":{"conversation_id":"c1","turn":1,"question":"partners"}}`)
	said.mu.Lock()
	defer said.mu.Unlock()
	text := strings.ToLower(said.b.String())
	if !strings.Contains(text, "request") || !strings.Contains(text, "request failed") {
		t.Fatalf("the log is empty or the failure is missing: %s", text)
	}
	for _, secret := range []string{"canary", "correct horse", strings.ToLower(access), strings.ToLower(refresh)} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %.20s…:\n%s", secret, text)
		}
	}
}
