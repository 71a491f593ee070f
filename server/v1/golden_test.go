package v1_test

import (
	"testing"

	v1 "github.com/fluentpro/fluentpro/server/v1"
)

const (
	p      = v1.Prefix
	jobAnn = `{"job_title":"Credit analyst","job_description":"I study the figures of borrowers and recommend loans."}`
)

// Every route as the app calls it, from sign-up to completed onboarding, good
// and bad; the answers are compared byte by byte with testdata.
func TestGolden(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.does("healthy", "health", "GET", "/health/", "", "", 200)
	r.does("healthy by its other name", "health", "GET", "/api/health/", "", "", 200)
	r.sick.Store(true)
	r.does("not ready", "health", "GET", p+"/health/", "", "", 503)
	r.sick.Store(false)

	ann := r.authentication()
	r.profile(ann)
	r.firstPart(ann)
	r.secondPart(ann)
	r.interview(ann)
	r.does("without a body, as the app does", "logout", "POST", p+"/auth/logout/", ann, "", 200)
	r.does("not signed in", "logout", "POST", p+"/auth/logout/", "", `{"refresh_token":"x"}`, 401)
	r.compare()
}

const annsSignUp = `{"full_name":"Ann O'Neill","email":"Ann@example.com","password":"correct horse 9","date_of_birth":"1990-02-03"}`

func (r *rig) authentication() string {
	const up, in, again, back = p + "/auth/signup/", p + "/auth/login/", p + "/auth/refresh/", p + "/auth/callback/"
	r.does("good", "sign-up", "POST", up, "", annsSignUp, 201)
	r.does("the same e-mail again", "sign-up", "POST", up, "", annsSignUp, 409)
	r.does("under 13", "sign-up", "POST", up, "", `{"full_name":"Ben","email":"ben@example.com","password":"correct horse 9","date_of_birth":"2025-01-01"}`, 400)
	r.does("no day at all", "sign-up", "POST", up, "", `{"full_name":"Ben","email":"ben@example.com","password":"correct horse 9"}`, 400)
	r.does("all wrong", "sign-up", "POST", up, "", `{"full_name":"B","email":"ben","password":"short","date_of_birth":"yesterday"}`, 400)
	r.does("wrong type", "sign-up", "POST", up, "", `{"full_name":7}`, 400)
	r.does("passwords differ", "sign-up", "POST", p+"/auth/users/signup/", "", `{"full_name":"Ben","email":"ben@example.com","password":"correct horse 9","confirm_password":"x","date_of_birth":"1990-02-03"}`, 400)
	r.does("terms refused", "sign-up", "POST", up, "", `{"full_name":"Ben","email":"ben@example.com","password":"correct horse 9","accept_terms":false,"date_of_birth":"1990-02-03"}`, 400)
	r.does("not JSON", "sign-up", "POST", up, "", `{"full_name":`, 400)

	got := r.does("good", "login", "POST", in, "", `{"email":"ann@example.com","password":"correct horse 9"}`, 200)
	r.does("nothing sent", "login", "POST", in, "", ``, 400)
	r.does("wrong password", "login", "POST", in, "", `{"email":"ann@example.com","password":"wrong horse 9"}`, 401)
	r.does("unknown e-mail", "login", "POST", in, "", `{"email":"nobody@example.com","password":"wrong horse 9"}`, 401)
	for range 4 {
		r.call("POST", in, "", `{"email":"guessed@example.com","password":"wrong horse 9"}`)
	}
	for code := 401; code == 401; { // until it is slowed down
		w, _ := r.call("POST", in, "", `{"email":"guessed@example.com","password":"wrong horse 9"}`)
		code = w.Code
	}
	r.does("too many guesses", "login", "POST", in, "", `{"email":"guessed@example.com","password":"wrong horse 9"}`, 429)

	refresh, _ := got["refresh_token"].(string)
	got = r.does("good", "refresh", "POST", again, "", `{"refresh_token":"`+refresh+`"}`, 200)
	r.does("unknown", "refresh", "POST", again, "", `{"refresh_token":"nonsense"}`, 401)
	r.does("none", "refresh", "POST", again, "", `{}`, 400)

	r.does("anything", "callback", "POST", back, "", `{"code":"abc","state":"xyz"}`, 200)
	r.does("a list", "callback", "POST", back, "", `[]`, 400)
	token, _ := got["access_token"].(string)
	return token
}

func (r *rig) profile(ann string) {
	const path = p + "/user/profile/"
	r.does("new", "profile", "GET", path, ann, "", 200)
	r.does("not signed in", "profile", "GET", path, "", "", 401)
	r.does("bad token", "profile", "GET", path, "nonsense", "", 401)
	r.does("two of three", "update-profile", "PATCH", path, ann,
		`{"native_language":"chinese_traditional","industry_id":"banking-finance","role_id":"00000000-0000-0000-0000-000000000000"}`, 200)
	r.does("none of two", "update-profile", "PATCH", path, ann, `{"native_language":"klingon","industry_id":"bees"}`, 400)
	r.does("nothing", "update-profile", "PATCH", path, ann, `{}`, 400)
	r.does("not signed in", "update-profile", "PATCH", path, "", `{"native_language":"english"}`, 401)
}

func (r *rig) firstPart(ann string) {
	const onb, roles = p + "/onboarding", p + "/roles"
	r.does("all", "languages", "GET", onb+"/languages/", ann, "", 200)
	r.does("not signed in", "languages", "GET", onb+"/languages/", "", "", 401)
	r.does("good", "set-language", "POST", onb+"/set-language/", ann, `{"native_language":"chinese_traditional"}`, 200)
	r.does("as v2 writes it", "set-language", "POST", onb+"/language/set/", ann, `{"native_language":"zh-Hant"}`, 200)
	r.does("unknown", "set-language", "POST", onb+"/set-language/", ann, `{"native_language":"klingon"}`, 400)
	r.does("none", "set-language", "POST", onb+"/set-language/", ann, `{}`, 400)

	list := r.does("all", "industries", "GET", onb+"/industries/", ann, "", 200)
	r.does("not signed in", "industries", "GET", onb+"/industries/", "", "", 401)
	first, _ := list["industries"].([]any)[0].(map[string]any)
	id, _ := first["id"].(string)
	r.does("by a name of one's own", "set-industry", "POST", onb+"/set-industry/", ann, `{"industry_name":"Bee keeping"}`, 200)
	r.does("by name", "set-industry", "POST", onb+"/industry/set/", ann, `{"industry_name":"banking & finance"}`, 200)
	r.does("by id", "set-industry", "POST", onb+"/set-industry/", ann, `{"industry_id":"`+id+`"}`, 200)
	r.does("unknown id", "set-industry", "POST", onb+"/set-industry/", ann, `{"industry_id":"00000000-0000-0000-0000-000000000000"}`, 404)
	r.does("none", "set-industry", "POST", onb+"/set-industry/", ann, `{}`, 400)

	r.does("before its turn", "role-selection", "POST", roles+"/role-selection/", ann, `{"role_id":"credit-analyst"}`, 400)
	found := r.does("good", "job-input", "POST", roles+"/job-input/", ann, jobAnn, 200)
	r.does("too short", "job-input", "POST", roles+"/job-input/", ann, `{"job_title":"","job_description":"loans"}`, 400)
	r.does("no match", "job-input", "POST", roles+"/job-input/", ann, `{"job_title":"稽核","job_description":"我每天檢查帳目並且寫報告給主管。"}`, 200)
	r.does("not signed in", "job-input", "POST", roles+"/job-input/", "", jobAnn, 401)

	made := r.does("good", "new-role", "POST", roles+"/new-role/", ann,
		`{"job_title":"Night Auditor","job_description":"I close the books of the day and count the cash.","hierarchy_level":"supervisor"}`, 201)
	own, _ := made["new_role"].(map[string]any)["id"].(string)
	r.names[own] = "<own role>"
	last := &r.cases["new-role"][len(r.cases["new-role"])-1] // it was written before its id had a name
	last.Answer = []byte(r.mask(string(last.Answer)))
	r.does("bad rank", "new-role", "POST", roles+"/new-role/", ann, `{"job_title":"Night Auditor","job_description":"I close the books of the day.","hierarchy_level":"executive"}`, 400)
	r.does("nothing told", "new-role", "POST", roles+"/new-role/", ann, `{}`, 400)
	r.does("one's own", "role-selection", "POST", roles+"/role-selection/", ann, `{"role_id":"`+own+`"}`, 200)
	match, _ := found["matched_roles"].([]any)[0].(map[string]any)
	role, _ := match["id"].(string)
	r.does("a matched one", "role-selection", "POST", roles+"/role-selection/", ann, `{"role_id":"`+role+`"}`, 200)
	r.does("unknown", "role-selection", "POST", roles+"/role-selection/", ann, `{"role_id":"nobody"}`, 404)
	r.does("of another industry", "role-selection", "POST", roles+"/role-selection/", ann, `{"role_id":"front-desk-agent"}`, 400)
	r.does("none", "role-selection", "POST", roles+"/role-selection/", ann, `{}`, 400)
	r.does("part one done", "profile", "GET", p+"/user/profile/", ann, "", 200)
	r.does("part one done", "summary", "GET", p+"/onboarding/summary/", ann, "", 200)
}

func (r *rig) secondPart(ann string) {
	const onb = p + "/onboarding"
	r.does("all", "communication-partners", "GET", onb+"/communication-partners/", ann, "", 200)
	r.does("not signed in", "communication-partners", "GET", onb+"/communication-partners/", "", "", 401)
	r.does("none yet", "user-partners", "GET", onb+"/user-partners/", ann, "", 200)
	got := r.does("ids, names and one's own", "select-partners", "POST", onb+"/select-partners/", ann,
		`{"partner_ids":["senior-management","clients"],"other_partners":["Risk board"]}`, 200)
	r.does("unknown", "select-partners", "POST", onb+"/select-partners/", ann, `{"partner_ids":["clients","aliens","ghosts"]}`, 400)
	r.does("twice", "select-partners", "POST", onb+"/communication/partners/select/", ann, `{"partner_ids":["clients","clients"]}`, 400)
	r.does("none", "select-partners", "POST", onb+"/select-partners/", ann, `{"partner_ids":[]}`, 400)
	r.does("chosen", "user-partners", "GET", onb+"/user-partners/", ann, "", 200)
	r.does("not signed in", "user-partners", "GET", onb+"/user-partners/", "", "", 401)
	var ids []string
	for _, v := range got["selected_partners"].([]any) {
		id, _ := v.(map[string]any)["id"].(string)
		ids = append(ids, id)
	}
	r.does("of a known partner", "units", "GET", onb+"/partner/"+ids[0]+"/units/", ann, "", 200)
	r.does("of one's own", "units", "GET", onb+"/partner/"+ids[2]+"/units/", ann, "", 200)
	r.does("of nobody", "units", "GET", onb+"/partner/nobody/units/", ann, "", 404)
	r.does("by name", "select-units", "POST", onb+"/partner/senior-management/select-units/", ann, `{"unit_ids":["presentations","status-updates"]}`, 200)
	r.does("by priority", "select-units", "POST", onb+"/partner/"+ids[1]+"/select-units/", ann,
		`{"unit_selections":[{"unit_id":"meetings","priority":2},{"unit_id":"phone-calls","priority":1}],"other_units":["Site visits"]}`, 200)
	r.does("two still open", "summary", "GET", onb+"/summary/", ann, "", 200)
	r.does("not chosen", "select-units", "POST", onb+"/partner/suppliers/select-units/", ann, `{"unit_ids":["meetings"]}`, 404)
	r.does("unknown", "select-units", "POST", onb+"/partner/clients/select-units/", ann, `{"unit_ids":["juggling"]}`, 400)
	r.does("none", "select-units", "POST", onb+"/partner/clients/select-units/", ann, `{"unit_ids":[]}`, 400)
	r.does("the last partner", "select-units", "POST", onb+"/partner/"+ids[2]+"/select-units/", ann, `{"other_units":[{"name":"Quarterly report"}]}`, 200)
	r.does("chosen", "user-units", "GET", onb+"/partner/clients/user-units/", ann, "", 200)
	r.does("not chosen", "user-units", "GET", onb+"/partner/suppliers/user-units/", ann, "", 404)
	r.does("complete", "summary", "GET", onb+"/summary/", ann, "", 200)
	r.does("not signed in", "summary", "GET", onb+"/summary/", "", "", 401)
	r.does("complete", "profile", "GET", p+"/user/profile/", ann, "", 200)
}

// interview has a learner of its own, who has told part one only.
func (r *rig) interview(ann string) {
	const begin, goOn = p + "/onboarding/phase2/start-conversation/", p + "/onboarding/phase2/continue-conversation/"
	_, got := r.call("POST", p+"/auth/signup/", "", `{"full_name":"Cem","email":"cem@example.com","password":"correct horse 9","date_of_birth":"1990-02-03"}`)
	cem, _ := got["access_token"].(string)
	r.does("part one is open", "start-conversation", "POST", begin, cem, `{}`, 400)
	for path, body := range map[string]string{
		"/onboarding/phase1/set-language/": `{"native_language":"chinese_simplified"}`,
	} {
		r.call("POST", p+path, cem, body)
	}
	r.call("POST", p+"/onboarding/phase1/set-industry/", cem, `{"industry_name":"Insurance"}`)
	r.call("POST", p+"/onboarding/phase1/new-role/", cem, `{"job_title":"Claims agent","job_description":"I look into claims and talk to people."}`)
	r.does("good", "start-conversation", "POST", begin, cem, ``, 200)
	r.does("in one's own language", "continue-conversation", "POST", goOn, cem, `{"message":"客户、主管","conversation_state":{"conversation_id":"c1","turn":1,"question":"partners"}}`, 200)
	r.does("the same once more", "continue-conversation", "POST", goOn, cem, `{"message":"客户、主管","conversation_state":{"conversation_id":"c1","turn":1,"question":"partners"}}`, 200)
	r.does("by number", "continue-conversation", "POST", goOn, cem, `{"message":"1, 7","conversation_state":{"conversation_id":"c1","turn":2,"question":"situations:custom:客户"}}`, 200)
	r.does("somebody else's", "continue-conversation", "POST", goOn, cem, `{"message":"meetings","conversation_state":{"conversation_id":"c2","turn":3,"question":""}}`, 404)
	r.does("nothing said", "continue-conversation", "POST", goOn, cem, `{"message":" ","conversation_state":{"conversation_id":"c1"}}`, 400)
	r.does("no state", "continue-conversation", "POST", goOn, cem, `{"message":"meetings"}`, 400)
	r.does("the last answer", "continue-conversation", "POST", goOn, cem, `{"message":"Interviews and status updates","conversation_state":{"conversation_id":"c1","turn":3,"question":"situations:custom:主管"}}`, 200)
	r.does("all is answered", "start-conversation", "POST", begin, ann, `{}`, 200)
}
