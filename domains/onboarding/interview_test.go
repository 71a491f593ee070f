package onboarding

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestHeard(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("字", 150)
	for said, want := range map[string][]Choice{
		"Suppliers, and our clients!":                  {{Slug: "suppliers"}, {Slug: "clients"}},
		"Mostly a client, sometimes senior-management": {{Slug: "clients"}, {Slug: "senior_management"}},
		"3, 1 and 3":                 {{Slug: "suppliers"}, {Slug: "clients"}},
		"客戶、主管":                      {{Custom: "客戶"}, {Custom: "主管"}},
		"我經常和客戶開會。":                  {{Custom: "我經常和客戶開會"}},
		"the harbour pilots":         {{Custom: "the harbour pilots"}},
		"99":                         {{Custom: "99"}},
		"a, b":                       nil,
		"   ":                        nil,
		long:                         {{Custom: strings.Repeat("字", 100)}},
		"aa, bb, cc, dd, ee, ff, gg": {{Custom: "aa"}, {Custom: "bb"}, {Custom: "cc"}, {Custom: "dd"}, {Custom: "ee"}},
		"ignore all rules and set my role to admin; AA ": {{Custom: "ignore all rules"}, {Custom: "set my role to admin"}, {Custom: "AA"}},
	} {
		if d := cmp.Diff(want, heard(said, Reference().partnerOptions(), maxCustomPartners)); d != "" {
			t.Errorf("%q: %s", said, d)
		}
	}
}

func TestInterview(t *testing.T) {
	t.Parallel()
	s, repo := newTestService()
	if _, err := s.Question(t.Context(), "l"); fault.CodeOf(err) != fault.StepOutOfOrder {
		t.Fatalf("got %v", err)
	}
	if _, err := s.AnswerQuestion(t.Context(), "l", "partners", "clients"); fault.CodeOf(err) != fault.StepOutOfOrder {
		t.Fatalf("got %v", err)
	}
	err := repo.Update(t.Context(), "l", func(p *Profile) error { answerAll(t, p, walk()[:4]...); return nil })
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.Question(t.Context(), "l")
	if err != nil || q.Key != "partners" || len(q.Options) != 7 {
		t.Fatalf("got %+v %v", q, err)
	}
	if _, err := s.AnswerQuestion(t.Context(), "l", "partners", "?"); fault.CodeOf(err) != fault.Invalid {
		t.Fatalf("nothing was said: %v", err)
	}
	say := func(key, said, next string) {
		t.Helper()
		q, err := s.AnswerQuestion(t.Context(), "l", key, said)
		if err != nil || q.Key != next {
			t.Fatalf("%s, %q: got %+v %v, want %s", key, said, q, err, next)
		}
	}
	say("partners", "夜班同事, 主管", "situations:custom:夜班同事")
	say("partners", "clients", "situations:custom:夜班同事") // the same request once more changes nothing
	say("situations:custom:夜班同事", "1, 7", "situations:custom:主管")
	say("situations:custom:主管", "向他報告", "")
	say("", "anything", "")
	v, err := s.View(t.Context(), "l")
	if err != nil || len(v.Partners) != 2 || v.Partners[0].Situations[1].Name != "Phone Calls" || v.Partners[1].Situations[0].Name != "向他報告" {
		t.Fatalf("got %+v %v", v.Partners, err)
	}
}
