package onboarding

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// The rules of the product that no other test of this package holds, each as
// the mistake that was once made.

// TestNoRoleFoundIsNoDeadEnd: who finds nothing describes a role and goes on.
func TestNoRoleFoundIsNoDeadEnd(t *testing.T) {
	t.Parallel()
	s, m := newTestService()
	p := NewProfile("ana")
	answerAll(t, p, LanguageAnswer{"zh_Hant"}, IndustryAnswer{Other: "Beekeeping"}, Job{"Imker", "Ich züchte Königinnen und verkaufe Honig."})
	m.recs["ana"] = p.Record()
	got, err := s.RoleMatches(t.Context(), "ana")
	if err != nil || got == nil || len(got) != 0 {
		t.Fatalf("got %+v, %v, want an empty list", got, err)
	}
	o, err := s.Answer(t.Context(), "ana", "role", json.RawMessage(`{"custom":{"title":"Bee breeder","description":"I breed queens and sell honey."}}`))
	if err != nil || o.CurrentStep != StepPartners {
		t.Fatalf("stands at %s, %v", o.CurrentStep, err)
	}
	// Nobody has to describe a role: those of all industries can be chosen.
	d, err := s.Step(t.Context(), "ana", "role")
	if err != nil || len(d.Options) != len(Reference().Roles) {
		t.Fatalf("%d roles to choose, %v", len(d.Options), err)
	}
}

// TestAMatchIsAWord: a score looks like a probability and is none.
func TestAMatchIsAWord(t *testing.T) {
	t.Parallel()
	got, err := WordMatcher{}.Match(t.Context(), Question{Job: Job{"Underwriter", "I decide on the premium of a policy."}, Candidates: Reference().Roles})
	if err != nil || len(got) == 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, m := range got {
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		for name, v := range fields {
			if _, isText := v.(string); !isText || !slices.Contains([]string{"role", "title", "description", "strength"}, name) {
				t.Errorf("%s is %v", name, v)
			}
		}
		if m.Strength != Strong && m.Strength != Possible {
			t.Errorf("strength %q", m.Strength)
		}
	}
}

func TestMatchingNeedsIndustryAndJob(t *testing.T) {
	t.Parallel()
	s, m := newTestService()
	for n, open := range map[int]Step{0: StepLanguage, 1: StepIndustry, 2: StepJob} {
		p := NewProfile("ana")
		answerAll(t, p, walk()[:n]...)
		m.recs["ana"] = p.Record()
		_, err := s.RoleMatches(t.Context(), "ana")
		wantCode(t, err, fault.StepOutOfOrder)
		if f := fault.Of(err).Fields; len(f) != 1 || f[0].Name != string(open) {
			t.Errorf("after %d steps: %+v", n, f)
		}
	}
}

func TestACustomRoleNeedsTitleAndDescription(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		`{"custom":{}}`:                      {"custom.title:required", "custom.description:required"},
		`{"custom":{"title":"Bee breeder"}}`: {"custom.description:required"},
		`{"custom":{"description":"I breed queens and sell them"}}`: {"custom.title:required"},
		`{"custom":{"title":" ","description":"\t\n"}}`:             {"custom.title:required", "custom.description:required"},
	} {
		s, m := newTestService()
		p := NewProfile("ana")
		answerAll(t, p, walk()[:3]...)
		m.recs["ana"] = p.Record()
		_, err := s.Answer(t.Context(), "ana", "role", json.RawMessage(value))
		wantCode(t, err, fault.Invalid)
		var got []string
		for _, f := range fault.Of(err).Fields {
			got = append(got, f.Name+":"+f.Code)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", value, d)
		}
	}
}

// TestWhatIsOfferedIsTaken: an app once offered languages that the server
// refused.
func TestWhatIsOfferedIsTaken(t *testing.T) {
	t.Parallel()
	s, _ := newTestService()
	offered := func(kind string) []Option {
		t.Helper()
		o, err := s.Options(kind, "")
		if err != nil || len(o) == 0 {
			t.Fatalf("%s: %d options, %v", kind, len(o), err)
		}
		return o
	}
	for _, o := range offered("languages") {
		answerAll(t, NewProfile("l"), LanguageAnswer{o.Slug})
	}
	for _, industry := range offered("industries") {
		p := NewProfile("l")
		answerAll(t, p, LanguageAnswer{"de"}, IndustryAnswer{Industry: industry.Slug}, Job{"Job", "What I do all day."})
		roles, err := s.Options("roles", industry.Slug)
		if err != nil || len(roles) == 0 {
			t.Fatalf("%s: %d roles, %v", industry.Slug, len(roles), err)
		}
		for _, r := range roles {
			answerAll(t, p, RoleAnswer{Role: r.Slug})
		}
	}
	p := completed(t)
	for _, l := range offered("levels") {
		answerAll(t, p, LevelAnswer{l.Slug})
	}
	for _, partner := range offered("partners") {
		answerAll(t, p, PartnersAnswer{[]PartnerChoice{{Partner: partner.Slug}}})
		for _, situation := range offered("situations") {
			answerAll(t, p, SituationsAnswer{[]PartnerSituations{{partner.Slug, []SituationChoice{{Situation: situation.Slug}}}}})
		}
	}
}

// TestNothingIsInvented: a summary once showed a hotel's concierge to people
// who had answered nothing.
func TestNothingIsInvented(t *testing.T) {
	t.Parallel()
	p := NewProfile("l")
	if d := cmp.Diff(View{}, p.View()); d != "" {
		t.Fatalf("a fresh profile shows:\n%s", d)
	}
	answers := walk()
	for n, a := range answers {
		for _, st := range p.Overview().Steps[n:] {
			if st.Value != nil || st.Done {
				t.Fatalf("after %d answers %s shows %+v", n, st.Step, st.Value)
			}
		}
		if p.Overview().Complete {
			t.Fatalf("complete after %d answers", n)
		}
		answerAll(t, p, a)
	}
	if p.Overview().Complete || p.View().Complete {
		t.Fatal("complete before it was said")
	}
}

// TestRefusalsRepeatNobodysWords: an error names fields and codes, not what
// was sent.
func TestRefusalsRepeatNobodysWords(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-secret"
	s, m := newTestService()
	p := completed(t)
	for _, c := range []struct{ step, value string }{
		{"language", `{"language":"` + secret + `"}`},
		{"industry", `{"industry":"` + secret + `"}`},
		{"industry", `{"industry":"insurance","other":"` + secret + `"}`},
		{"role", `{"role":"` + secret + `"}`},
		{"partners", `{"partners":[{"partner":"` + secret + `"}]}`},
		{"partners", `{"partners":[{"custom":"` + secret + `"},{"custom":"` + secret + `"}]}`},
		{"situations", `{"situations":[{"partner":"` + secret + `","situations":[{"custom":"` + secret + `"}]}]}`},
		{"level", `{"level":"` + secret + `"}`},
		{"level", `{"level":["` + secret + `"]}`},
		{"level", `"` + secret + `"`},
		{secret, `{}`},
	} {
		m.recs["l"] = p.Record()
		_, err := s.Answer(t.Context(), "l", c.step, json.RawMessage(c.value))
		f := fault.Of(err)
		said := f.Message
		for _, x := range f.Fields {
			said += x.Name + x.Code + x.Message
			if x.Code == "" || x.Message == "" {
				t.Errorf("%s: %+v has no code or message", c.value, x)
			}
		}
		if err == nil || strings.Contains(said, secret) {
			t.Errorf("%s %s: %v says %q", c.step, c.value, err, said)
		}
	}
}

// TestEditsAskAgainWhatHangsOnThem walks every earlier answer of a completed
// profile through a change and back: what depends on it is asked again, in
// order, and nothing else is.
func TestEditsAskAgainWhatHangsOnThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change Answer
		again  []Answer
	}{
		{LanguageAnswer{"ja"}, []Answer{SummaryAnswer{true}}},
		{IndustryAnswer{Industry: "insurance"}, []Answer{RoleAnswer{Role: "underwriter"}, SummaryAnswer{true}}},
		{Job{"Porter", "I carry the luggage of guests."}, []Answer{SummaryAnswer{true}}},
		{RoleAnswer{Role: "concierge"}, []Answer{SummaryAnswer{true}}},
		{PartnersAnswer{[]PartnerChoice{{Partner: "suppliers"}}}, []Answer{
			SituationsAnswer{[]PartnerSituations{{"suppliers", []SituationChoice{{Situation: "negotiations"}}}}}, SummaryAnswer{true}}},
		{SituationsAnswer{[]PartnerSituations{
			{"customers", []SituationChoice{{Situation: "meetings"}}}, {"custom:Night porter", []SituationChoice{{Situation: "meetings"}}},
			{"colleagues", []SituationChoice{{Situation: "meetings"}}}}}, []Answer{SummaryAnswer{true}}},
		{LevelAnswer{"C1"}, []Answer{SummaryAnswer{true}}},
	} {
		p := completed(t)
		answerAll(t, p, c.change)
		for _, a := range c.again {
			if p.IsComplete() || p.Open() != a.step() {
				t.Fatalf("after %s changed: stands at %s, want %s", c.change.step(), p.Open(), a.step())
			}
			wantCode(t, p.Complete(noon), fault.StepOutOfOrder)
			answerAll(t, p, a)
		}
		if !p.IsComplete() || !p.rec.CompletedAt.Equal(noon) {
			t.Fatalf("after %s: complete %v since %v", c.change.step(), p.IsComplete(), p.rec.CompletedAt)
		}
	}
}
