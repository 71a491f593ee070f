package onboarding

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestSituationsOfOnePartner(t *testing.T) {
	t.Parallel()
	p := NewProfile("l")
	answerAll(t, p, walk()[:5]...)
	one := func(partner, situation string) error {
		return p.Answer(partnerSituations{partner, []SituationChoice{{Situation: situation}}})
	}
	wantCode(t, one("clients", "meetings"), fault.NotFound)
	wantCode(t, one("custom:night  PORTER", "juggling"), fault.Invalid)
	wantSteps(t, p, StepSituations)
	for _, c := range [][2]string{{"colleagues", "meetings"}, {"custom:night  PORTER", "briefings"}, {"Customers", "phone-calls"}} {
		wantSteps(t, p, StepSituations)
		if err := one(c[0], c[1]); err != nil {
			t.Fatal(err)
		}
	}
	wantSteps(t, p, StepLevel)
	want := []PartnerChoiceRecord{
		{"customers", []Choice{{Slug: "phone_calls"}}}, {"custom:Night porter", []Choice{{Custom: "", Slug: "briefings"}}}, {"colleagues", []Choice{{Slug: "meetings"}}},
	}
	if d := cmp.Diff(want, p.Record().Situations); d != "" {
		t.Fatalf("not in the partners' order: %s", d)
	}
	// A new partner opens the step again; answering for another one is no answer.
	answerAll(t, p, PartnersAnswer{[]PartnerChoice{{Partner: "customers"}, {Partner: "clients"}}})
	wantSteps(t, p, StepSituations, StepSituations)
	if err := one("customers", "meetings"); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, p, StepSituations, StepSituations)
	if err := one("clients", "meetings"); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, p, StepLevel)
}

func TestSettle(t *testing.T) {
	t.Parallel()
	s, repo := newTestService()
	if o, err := s.Settle(t.Context(), "l"); err != nil || o.CurrentStep != StepLanguage {
		t.Fatalf("got %+v %v", o, err)
	}
	err := repo.Update(t.Context(), "l", func(p *Profile) error { answerAll(t, p, walk()[:6]...); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o, err := s.Settle(t.Context(), "l")
		if err != nil || !o.Complete {
			t.Fatalf("got %+v %v", o, err)
		}
	}
	v, err := s.View(t.Context(), "l")
	if err != nil || v.Level != AssumedLevel {
		t.Fatalf("got %+v %v", v, err)
	}
	// A level that the learner named stays.
	if _, err := s.Answer(t.Context(), "l", "level", []byte(`{"level":"C1"}`)); err != nil {
		t.Fatal(err)
	}
	if o, err := s.Settle(t.Context(), "l"); err != nil || !o.Complete {
		t.Fatalf("got %+v %v", o, err)
	}
	if v, err = s.View(t.Context(), "l"); err != nil || v.Level != "C1" {
		t.Fatalf("got %+v %v", v, err)
	}
}

func TestCustomRoleHasARank(t *testing.T) {
	t.Parallel()
	p := NewProfile("l")
	answerAll(t, p, walk()[:3]...)
	role := func(rank string) error {
		return p.Answer(RoleAnswer{Custom: &CustomRole{Title: "Night auditor", Description: "I close the books of the day.", Hierarchy: rank}})
	}
	wantCode(t, role("emperor"), fault.Invalid)
	for _, rank := range []string{"", "associate", "Director"} {
		if err := role(rank); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.View().RoleHierarchy; got != "director" {
		t.Fatalf("got %q", got)
	}
	answerAll(t, p, RoleAnswer{Role: "front_desk_agent"})
	if got := p.View().RoleHierarchy; got != "associate" {
		t.Fatalf("got %q", got)
	}
}

func TestKeywords(t *testing.T) {
	t.Parallel()
	got := Keywords("Night Auditor", "I close the books of the day, count cash and check the books; guests call me at night.", 6)
	if d := cmp.Diff([]string{"night", "auditor", "books", "call", "cash", "check"}, got); d != "" {
		t.Fatal(d)
	}
	if got := Keywords("夜間稽核", "", 6); len(got) != 1 || got[0] != "夜間稽核" {
		t.Fatalf("got %q", got)
	}
	if got := Keywords("", "the and of", 6); got == nil || len(got) != 0 {
		t.Fatalf("got %q", got)
	}
}
