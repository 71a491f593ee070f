package server

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// profiles keeps profiles in memory, so that the routes can be driven through
// the real rules.
type profiles struct {
	mu   sync.Mutex
	list map[onboarding.LearnerID]onboarding.Record
}

func (p *profiles) Get(_ context.Context, l onboarding.LearnerID) (*onboarding.Profile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.list[l]; ok {
		return onboarding.Rehydrate(r), nil
	}
	return onboarding.NewProfile(l), nil
}

func (p *profiles) Update(ctx context.Context, l onboarding.LearnerID, fn func(*onboarding.Profile) error) error {
	got, err := p.Get(ctx, l)
	if err == nil {
		err = fn(got)
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list[l] = got.Record()
	return nil
}

var goodAnswers = []struct{ step, value string }{
	{"language", `{"language":"zh-Hant"}`},
	{"industry", `{"industry":"banking-finance"}`},
	{"job", `{"title":"Credit analyst","description":"I study the figures of borrowers."}`},
	{"role", `{"role":"credit_analyst"}`},
	{"partners", `{"partners":[{"partner":"clients"},{"custom":"Risk board"}]}`},
	{"situations", `{"situations":[{"partner":"clients","situations":[{"situation":"meetings"},{"custom":"Site visits"}]},{"partner":"custom:Risk board","situations":[{"situation":"presentations"}]}]}`},
	{"level", `{"level":"b1"}`},
	{"summary", `{"confirmed":true}`},
}

func TestOnboardingWalk(t *testing.T) {
	t.Parallel()
	f, _ := newAuthFixture(t)
	const path = Prefix + "/onboarding"
	m := bodyOf(t, f.call(t, "GET", path, "", ann))
	if m["current_step"] != "language" || m["complete"] != false || len(m["steps"].([]any)) != len(goodAnswers) {
		t.Fatalf("got %v", m)
	}
	if v, ok := m["steps"].([]any)[0].(map[string]any)["value"]; !ok || v != nil {
		t.Fatalf("got value %v, want null", v)
	}
	for i, a := range goodAnswers {
		wantProblem(t, f.call(t, "POST", path+"/complete", "", ann), fault.StepOutOfOrder)
		w := f.call(t, "PUT", path+"/steps/"+a.step, a.value, ann)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", a.step, w.Code, w.Body)
		}
		st := bodyOf(t, w)["steps"].([]any)[i].(map[string]any)
		if st["step"] != a.step || st["done"] != true || st["stale"] != false || st["value"] == nil {
			t.Fatalf("got %v", st)
		}
	}
	if got := bodyOf(t, f.call(t, "GET", path+"/steps/language", "", ann))["value"].(map[string]any)["language"]; got != "zh_Hant" {
		t.Fatalf("got %v, want the tag with _", got)
	}
	for range 2 {
		if m := bodyOf(t, f.call(t, "POST", path+"/complete", "", ann)); m["complete"] != true || m["current_step"] != "complete" {
			t.Fatalf("got %v", m)
		}
	}
	if m := bodyOf(t, f.call(t, "GET", Prefix+"/me", "", ann)); m["onboarding_complete"] != true {
		t.Fatalf("got %v", m)
	}
	if m := bodyOf(t, f.call(t, "GET", path, "", "Authorization: Bearer tok-ben")); m["current_step"] != "language" {
		t.Fatalf("Ben stands where Ann stands: %v", m)
	}
}

func TestOnboardingRefusals(t *testing.T) {
	t.Parallel()
	f, _ := newAuthFixture(t)
	const path = Prefix + "/onboarding/steps/"
	for _, c := range []struct {
		method, path, body string
		code               fault.Code
		field              string
	}{
		{"PUT", path + "hobby", `{}`, fault.UnknownStep, ""},
		{"GET", path + "hobby", ``, fault.UnknownStep, ""},
		{"PUT", path + "complete", `{}`, fault.UnknownStep, ""},
		{"PUT", path + strings.Repeat("x", 500), `{}`, fault.UnknownStep, ""},
		{"PUT", path + "level", `{"level":"B1"}`, fault.StepOutOfOrder, "language"},
		{"PUT", path + "language", `{"language":"klingon"}`, fault.Invalid, "language"},
		{"PUT", path + "language", `{"language":["de"]}`, fault.Invalid, "language"},
		{"PUT", path + "language", `{"language":"de","x":1}`, fault.Invalid, "x"},
		{"PUT", path + "language", `{"language":"de","language":"fr"}`, fault.BadRequest, ""},
		{"PUT", path + "language", `[]`, fault.BadRequest, ""},
		{"PUT", path + "language", ``, fault.BadRequest, ""},
		{"GET", Prefix + "/onboarding/role-matches", ``, fault.StepOutOfOrder, "language"},
		{"GET", Prefix + "/onboarding/options/hobbies", ``, fault.NotFound, ""},
		{"GET", Prefix + "/onboarding/options/roles?industry=bees", ``, fault.Invalid, "industry"},
		{"DELETE", Prefix + "/onboarding", ``, fault.MethodNotAllowed, ""},
	} {
		p := wantProblem(t, f.call(t, c.method, c.path, c.body, ann), c.code)
		if c.field != "" && (len(p.Errors) != 1 || p.Errors[0].Name != c.field) {
			t.Errorf("%s %s: got %+v, want field %s", c.method, c.path, p.Errors, c.field)
		}
	}
	for _, p := range []string{"", "/steps/language", "/options/languages", "/role-matches"} {
		wantProblem(t, f.call(t, "GET", Prefix+"/onboarding"+p, ""), fault.Unauthenticated)
	}
}

func TestOnboardingLists(t *testing.T) {
	t.Parallel()
	f, _ := newAuthFixture(t)
	for _, a := range goodAnswers[:3] {
		if w := f.call(t, "PUT", Prefix+"/onboarding/steps/"+a.step, a.value, ann); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for kind, n := range map[string]int{"languages": 63, "industries": 12, "roles": 138, "partners": 7, "situations": 15, "levels": 6, "roles?industry=banking-finance": 12} {
		got := bodyOf(t, f.call(t, "GET", Prefix+"/onboarding/options/"+kind, "", ann))["options"].([]any)
		if len(got) != n || got[0].(map[string]any)["slug"] == "" {
			t.Errorf("%s: %d options, want %d", kind, len(got), n)
		}
	}
	m := bodyOf(t, f.call(t, "GET", Prefix+"/onboarding/role-matches", "", ann))["matches"].([]any)
	if first := m[0].(map[string]any); first["role"] != "credit_analyst" || first["strength"] != "strong" || first["title"] != "Credit Analyst" {
		t.Fatalf("got %v", m)
	}
	if got := bodyOf(t, f.call(t, "GET", Prefix+"/onboarding/steps/role", "", ann)); len(got["options"].([]any)) != 12 || got["done"] != false {
		t.Fatalf("got %v", got)
	}
}
