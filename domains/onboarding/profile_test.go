package onboarding

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/internal/fault"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// walk is a good answer to every step, in order.
func walk() []Answer {
	return []Answer{
		LanguageAnswer{"zh_Hant"},
		IndustryAnswer{Industry: "hotels_hospitality"},
		Job{"Receptionist", "I welcome guests and solve their problems."},
		RoleAnswer{Role: "front_desk_agent"},
		PartnersAnswer{[]PartnerChoice{{Partner: "customers"}, {Custom: "Night porter"}, {Partner: "colleagues"}}},
		SituationsAnswer{[]PartnerSituations{
			{"customers", []SituationChoice{{Situation: "phone_calls"}, {Custom: "Late check-out"}}},
			{"custom:Night porter", []SituationChoice{{Situation: "briefings"}}},
			{"colleagues", []SituationChoice{{Situation: "meetings"}}},
		}},
		LevelAnswer{"B1"},
		SummaryAnswer{true},
	}
}

func answerAll(t *testing.T, p *Profile, answers ...Answer) {
	t.Helper()
	for _, a := range answers {
		if err := p.Answer(a); err != nil {
			t.Fatalf("%s: %v", a.step(), err)
		}
	}
}

func completed(t *testing.T) *Profile {
	t.Helper()
	p := NewProfile("l")
	answerAll(t, p, walk()...)
	if err := p.Complete(noon); err != nil {
		t.Fatal(err)
	}
	return p
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Fatalf("got code %q (%v), want %q", got, err, want)
	}
}

func wantSteps(t *testing.T, p *Profile, open Step, stale ...Step) {
	t.Helper()
	if p.Open() != open {
		t.Fatalf("stands at %s, want %s", p.Open(), open)
	}
	var got []Step
	for _, st := range Steps {
		if p.stale(st) {
			got = append(got, st)
		}
	}
	if !slices.Equal(got, stale) {
		t.Fatalf("stale are %v, want %v", got, stale)
	}
}

func TestWalkInOrder(t *testing.T) {
	t.Parallel()
	p := NewProfile("l")
	for i, a := range walk() {
		if p.Open() != Steps[i] {
			t.Fatalf("stands at %s, want %s", p.Open(), Steps[i])
		}
		wantCode(t, p.Complete(noon), fault.StepOutOfOrder)
		answerAll(t, p, a)
		if !p.Done(Steps[i]) {
			t.Fatalf("%s is not done", Steps[i])
		}
	}
	if p.Open() != StepComplete || p.IsComplete() {
		t.Fatalf("stands at %s, complete %v", p.Open(), p.IsComplete())
	}
	for _, at := range []time.Time{noon, noon.Add(time.Hour)} {
		if err := p.Complete(at); err != nil {
			t.Fatal(err)
		}
	}
	if !p.IsComplete() || !p.rec.CompletedAt.Equal(noon) {
		t.Fatalf("complete %v since %v", p.IsComplete(), p.rec.CompletedAt)
	}
}

func TestEveryJumpAheadIsRefused(t *testing.T) {
	t.Parallel()
	answers := walk()
	for have := range answers {
		for next := have + 1; next < len(answers); next++ {
			p := NewProfile("l")
			answerAll(t, p, answers[:have]...)
			before := p.Record()
			err := p.Answer(answers[next])
			wantCode(t, err, fault.StepOutOfOrder)
			if f := fault.Of(err).Fields; len(f) != 1 || f[0].Name != string(Steps[have]) {
				t.Fatalf("%s after %d steps: names %+v, want %s", Steps[next], have, f, Steps[have])
			}
			if d := cmp.Diff(before, p.Record()); d != "" {
				t.Fatal(d)
			}
		}
	}
}

func TestSameAnswerChangesNothing(t *testing.T) {
	t.Parallel()
	p := completed(t)
	before := p.Record()
	answerAll(t, p, walk()...)
	if d := cmp.Diff(before, p.Record()); d != "" || !p.IsComplete() {
		t.Fatalf("complete %v, changed:\n%s", p.IsComplete(), d)
	}
}

func TestEveryChangeAsksForTheSummary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change Answer
		open   Step
		stale  []Step
	}{
		{LanguageAnswer{"de"}, StepSummary, []Step{StepSummary}},
		{IndustryAnswer{Industry: "real_estate"}, StepRole, []Step{StepRole, StepSummary}},
		{Job{"Night receptionist", "I welcome guests and solve their problems."}, StepSummary, []Step{StepSummary}},
		{RoleAnswer{Role: "concierge"}, StepSummary, []Step{StepSummary}},
		{PartnersAnswer{[]PartnerChoice{{Partner: "customers"}}}, StepSummary, []Step{StepSummary}},
		{PartnersAnswer{[]PartnerChoice{{Partner: "customers"}, {Partner: "suppliers"}}}, StepSituations, []Step{StepSituations, StepSummary}},
		{LevelAnswer{"B2"}, StepSummary, []Step{StepSummary}},
	} {
		t.Run(fmt.Sprintf("%s to %v", c.change.step(), c.open), func(t *testing.T) {
			t.Parallel()
			p := completed(t)
			answerAll(t, p, c.change)
			wantSteps(t, p, c.open, c.stale...)
			if p.IsComplete() {
				t.Fatal("still complete")
			}
			wantCode(t, p.Complete(noon), fault.StepOutOfOrder)
		})
	}
}

func TestIndustryDropsItsRole(t *testing.T) {
	t.Parallel()
	p := completed(t)
	answerAll(t, p, IndustryAnswer{Industry: "real-estate"})
	if p.rec.Role != (RoleRecord{}) {
		t.Fatalf("kept %+v", p.rec.Role)
	}
	err := p.Answer(RoleAnswer{Role: "front_desk_agent"})
	wantCode(t, err, fault.Invalid)
	if f := fault.Of(err).Fields; f[0].Code != "other_industry" {
		t.Fatalf("got %+v", f)
	}
	wantCode(t, p.Answer(LevelAnswer{"C1"}), fault.StepOutOfOrder)
	answerAll(t, p, RoleAnswer{Role: "property-manager"}, SummaryAnswer{true})
	if !p.IsComplete() {
		t.Fatal("partners, situations and level were asked again")
	}
}

func TestIndustryKeepsWhatMayFit(t *testing.T) {
	t.Parallel()
	p := completed(t)
	answerAll(t, p, IndustryAnswer{Other: "Beekeeping"})
	wantSteps(t, p, StepRole, StepRole, StepSummary)
	if p.rec.Role.Slug != "front_desk_agent" {
		t.Fatalf("got %+v, want the role kept until asked", p.rec.Role)
	}
	own := RoleAnswer{Custom: &CustomRole{Title: "Bee guide", Description: "I show guests around the hives."}}
	answerAll(t, p, own, IndustryAnswer{Industry: "travel_tourism"})
	wantSteps(t, p, StepRole, StepRole, StepSummary)
	if p.rec.Role.Custom.Title != "Bee guide" {
		t.Fatalf("an own role was dropped: %+v", p.rec.Role)
	}
	answerAll(t, p, own, SummaryAnswer{true})
	if !p.IsComplete() {
		t.Fatal("not complete after the same answer again")
	}
}

func TestPartnersAndTheirSituations(t *testing.T) {
	t.Parallel()
	p := completed(t)
	// A removed partner takes its situations along, the others keep theirs.
	answerAll(t, p, PartnersAnswer{[]PartnerChoice{{Partner: "colleagues"}, {Partner: "suppliers"}, {Partner: "customers"}}})
	wantSteps(t, p, StepSituations, StepSituations, StepSummary)
	want := []PartnerChoiceRecord{
		{"colleagues", []Choice{{Slug: "meetings"}}}, {"customers", []Choice{{Slug: "phone_calls"}, {Custom: "Late check-out"}}},
	}
	if d := cmp.Diff(want, p.rec.Situations); d != "" {
		t.Fatal(d)
	}
	// Taking the new partner back leaves nothing to ask but the summary.
	answerAll(t, p, PartnersAnswer{[]PartnerChoice{{Partner: "customers"}, {Partner: "colleagues"}}})
	wantSteps(t, p, StepSummary, StepSummary)
	if p.rec.Situations[0].Partner != "customers" {
		t.Fatal("situations do not stand in the partners' order")
	}
	// When every partner is new, all situations are asked again.
	answerAll(t, p, PartnersAnswer{[]PartnerChoice{{Partner: "clients"}}})
	wantSteps(t, p, StepSituations, StepSituations, StepSummary)
	answerAll(t, p, PartnersAnswer{[]PartnerChoice{{Partner: "stakeholders"}}})
	wantSteps(t, p, StepSituations, StepSituations, StepSummary)
	answerAll(t, p, SituationsAnswer{[]PartnerSituations{{"Stakeholders", []SituationChoice{{Situation: "status-updates"}}}}}, SummaryAnswer{true})
	if !p.IsComplete() {
		t.Fatal("not complete")
	}
}

func TestNothingIsStaleBeforeItWasAnswered(t *testing.T) {
	t.Parallel()
	p := NewProfile("l")
	a := walk()
	answerAll(t, p, a[:3]...)
	answerAll(t, p, IndustryAnswer{Industry: "insurance"})
	wantSteps(t, p, StepRole)
	answerAll(t, p, RoleAnswer{Role: "underwriter"}, a[4], PartnersAnswer{[]PartnerChoice{{Partner: "clients"}}})
	wantSteps(t, p, StepSituations)
}

func TestOrderIsKept(t *testing.T) {
	t.Parallel()
	p := completed(t)
	answerAll(t, p, PartnersAnswer{[]PartnerChoice{{Partner: "colleagues"}, {Partner: "customers"}, {Custom: "Night porter"}}})
	wantSteps(t, p, StepSummary, StepSummary)
	// Entries sent in another order end up in the partners' order.
	answerAll(t, p, SituationsAnswer{[]PartnerSituations{
		{"custom:night  PORTER", []SituationChoice{{Situation: "briefings"}}},
		{"customers", []SituationChoice{{Custom: "Late check-out"}, {Situation: "phone_calls"}}},
		{"colleagues", []SituationChoice{{Situation: "meetings"}}},
	}})
	var got []string
	for _, v := range p.View().Partners {
		got = append(got, v.Slug+"="+v.Name)
		for _, s := range v.Situations {
			got = append(got, s.Slug+"="+s.Name)
		}
	}
	want := []string{
		"colleagues=Colleagues", "meetings=Meetings", "customers=Customers", "custom:Late check-out=Late check-out",
		"phone_calls=Phone Calls", "custom:Night porter=Night porter", "briefings=Briefings",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	partners := func(n int, own bool) (out []PartnerChoice) {
		for i := range n {
			if own {
				out = append(out, PartnerChoice{Custom: fmt.Sprintf("Own %d", i)})
			} else {
				out = append(out, PartnerChoice{Partner: Reference().Partners[i%7].Slug})
			}
		}
		return out
	}
	situations := func(known, own int) (out []SituationChoice) {
		for i := range known {
			out = append(out, SituationChoice{Situation: Reference().Situations[i%15].Slug})
		}
		for i := range own {
			out = append(out, SituationChoice{Custom: fmt.Sprintf("Own %d", i)})
		}
		return out
	}
	only := func(list []SituationChoice) SituationsAnswer {
		a := walk()[5].(SituationsAnswer)
		a.Situations[0].Situations = list
		return a
	}
	long := strings.Repeat("é", 1001)
	for name, c := range map[string]struct {
		answer Answer
		want   []string
	}{
		"no language":           {LanguageAnswer{}, []string{"language:required"}},
		"unknown language":      {LanguageAnswer{"klingon"}, []string{"language:unknown"}},
		"no industry":           {IndustryAnswer{}, []string{"industry:required"}},
		"two industries":        {IndustryAnswer{"insurance", "Bees"}, []string{"industry:ambiguous"}},
		"unknown industry":      {IndustryAnswer{Industry: "bees"}, []string{"industry:unknown"}},
		"short other industry":  {IndustryAnswer{Other: " x "}, []string{"other:too_short"}},
		"long other industry":   {IndustryAnswer{Other: long}, []string{"other:too_long"}},
		"empty job":             {Job{}, []string{"title:required", "description:required"}},
		"short job":             {Job{"x", "too short"}, []string{"title:too_short", "description:too_short"}},
		"long job":              {Job{long[:2*201], long}, []string{"title:too_long", "description:too_long"}},
		"NUL in a job":          {Job{"Chef\x00", "I cook\x00 all day"}, []string{"title:malformed", "description:malformed"}},
		"bad UTF-8":             {Job{"Chef\xff", "I cook all day"}, []string{"title:malformed"}},
		"spaces are no job":     {Job{"   ", "          "}, []string{"title:required", "description:required"}},
		"no role":               {RoleAnswer{}, []string{"role:required"}},
		"two roles":             {RoleAnswer{"concierge", &CustomRole{Title: "Abc", Description: "0123456789"}}, []string{"role:ambiguous"}},
		"unknown role":          {RoleAnswer{Role: "wizard"}, []string{"role:unknown"}},
		"foreign role":          {RoleAnswer{Role: "bank_teller"}, []string{"role:other_industry"}},
		"short own role":        {RoleAnswer{Custom: &CustomRole{Title: "ab", Description: "short"}}, []string{"custom.title:too_short", "custom.description:too_short"}},
		"long own role":         {RoleAnswer{Custom: &CustomRole{Title: long[:2*101], Description: long[:2*501]}}, []string{"custom.title:too_long", "custom.description:too_long"}},
		"no partners":           {PartnersAnswer{}, []string{"partners:required"}},
		"empty partner":         {PartnersAnswer{[]PartnerChoice{{}, {Partner: "pirates"}}}, []string{"partners[0]:required", "partners[1]:unknown"}},
		"partner twice":         {PartnersAnswer{[]PartnerChoice{{Partner: "clients"}, {Partner: "Clients"}}}, []string{"partners[1]:duplicate"}},
		"own partner twice":     {PartnersAnswer{[]PartnerChoice{{Custom: "The  Board"}, {Custom: "the board"}}}, []string{"partners[1]:duplicate"}},
		"six own partners":      {PartnersAnswer{partners(6, true)}, []string{"partners:too_many"}},
		"sixteen partners":      {PartnersAnswer{partners(16, true)}, []string{"partners:too_many"}},
		"no situations":         {SituationsAnswer{}, []string{"situations:missing", "situations:missing", "situations:missing"}},
		"none for one":          {only(nil), []string{"situations[0].situations:required"}},
		"unknown situation":     {only([]SituationChoice{{Situation: "duels"}}), []string{"situations[0].situations[0]:unknown"}},
		"situation twice":       {only([]SituationChoice{{Situation: "meetings"}, {Situation: "meetings"}}), []string{"situations[0].situations[1]:duplicate"}},
		"11 own situations":     {only(situations(0, 11)), []string{"situations[0].situations:too_many"}},
		"31 situations":         {only(situations(15, 16)), []string{"situations[0].situations:too_many"}},
		"partner not chosen":    {SituationsAnswer{append(walk()[5].(SituationsAnswer).Situations, PartnerSituations{"clients", situations(1, 0)})}, []string{"situations[3].partner:unknown"}},
		"partner entered twice": {SituationsAnswer{append(walk()[5].(SituationsAnswer).Situations, PartnerSituations{"customers", situations(1, 0)})}, []string{"situations[3].partner:duplicate"}},
		"no level":              {LevelAnswer{}, []string{"level:required"}},
		"unknown level":         {LevelAnswer{"D1"}, []string{"level:unknown"}},
		"not confirmed":         {SummaryAnswer{}, []string{"confirmed:required"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := completed(t)
			before := p.Record()
			err := p.Answer(c.answer)
			wantCode(t, err, fault.Invalid)
			var got []string
			for _, f := range fault.Of(err).Fields {
				got = append(got, f.Name+":"+f.Code)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Fatal(d)
			}
			if d := cmp.Diff(before, p.Record()); d != "" || !p.IsComplete() {
				t.Fatalf("a refused answer changed the profile:\n%s", d)
			}
		})
	}
}

func TestMostThatFits(t *testing.T) {
	t.Parallel()
	p := completed(t)
	var a PartnersAnswer
	for _, v := range Reference().Partners {
		a.Partners = append(a.Partners, PartnerChoice{Partner: v.Slug})
	}
	for i := range maxCustomPartners {
		a.Partners = append(a.Partners, PartnerChoice{Custom: fmt.Sprintf("Own %d", i)})
	}
	answerAll(t, p, a)
	var s SituationsAnswer
	for _, v := range p.rec.Partners {
		e := PartnerSituations{Partner: v.Key()}
		for _, x := range Reference().Situations {
			e.Situations = append(e.Situations, SituationChoice{Situation: x.Slug})
		}
		for i := range maxCustomSituations {
			e.Situations = append(e.Situations, SituationChoice{Custom: fmt.Sprintf("Own %d", i)})
		}
		s.Situations = append(s.Situations, e)
	}
	answerAll(t, p, s, SummaryAnswer{true},
		Job{strings.Repeat("é", 200), strings.Repeat("é", 1000)},
		RoleAnswer{Custom: &CustomRole{Title: strings.Repeat("é", 100), Description: strings.Repeat("é", 500)}}, SummaryAnswer{true})
	if !p.IsComplete() {
		t.Fatal("not complete")
	}
}

func TestRecordSurvivesJSON(t *testing.T) {
	t.Parallel()
	p := completed(t)
	raw, err := json.Marshal(p.Record())
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	if err := json.Unmarshal(raw, &rec); err != nil {
		t.Fatal(err)
	}
	rec.Learner = "l"
	q := Rehydrate(rec)
	if d := cmp.Diff(p.Record(), q.Record()); d != "" {
		t.Fatal(d)
	}
	if d := cmp.Diff(p.View(), q.View()); d != "" || !q.View().Complete {
		t.Fatal(d)
	}
}

func TestView(t *testing.T) {
	t.Parallel()
	if v := NewProfile("l").View(); v.Complete || v.Partners != nil || v.Industry != "" {
		t.Fatalf("an empty profile shows %+v", v)
	}
	v := completed(t).View()
	v.Partners = nil
	want := View{
		Language: "zh_Hant", LanguageName: "Chinese (Traditional)", Industry: "Hotels & Hospitality", IndustrySlug: "hotels_hospitality",
		JobTitle: "Receptionist", JobDescription: "I welcome guests and solve their problems.", RoleTitle: "Front Desk Agent",
		RoleDescription: "Welcomes guests, checks them in and out and solves small problems.", RoleSlug: "front_desk_agent", RoleHierarchy: "associate",
		Level: "B1", Complete: true,
	}
	if d := cmp.Diff(want, v); d != "" {
		t.Fatal(d)
	}
}
