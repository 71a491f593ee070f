package onboarding

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// memory is a Repository for the rules of the service; sqlstore's contract
// test holds the real one to the same promises.
type memory struct {
	mu   sync.Mutex
	recs map[LearnerID]Record
	err  error
}

func (m *memory) Get(_ context.Context, l LearnerID) (*Profile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.recs[l]; ok {
		return Rehydrate(r), m.err
	}
	return NewProfile(l), m.err
}

func (m *memory) Update(ctx context.Context, l LearnerID, fn func(*Profile) error) error {
	p, err := m.Get(ctx, l)
	if err != nil {
		return err
	}
	if err := fn(p); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recs[l] = p.Record()
	return nil
}

func newTestService() (*Service, *memory) {
	m := &memory{recs: map[LearnerID]Record{}}
	return New(m, nil, func() time.Time { return noon }), m
}

func TestServiceWalk(t *testing.T) {
	t.Parallel()
	s, m := newTestService()
	for i, a := range walk() {
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Answer(t.Context(), "ana", string(Steps[i]), raw)
		if err != nil {
			t.Fatal(err)
		}
		if !o.Steps[i].Done || o.Complete {
			t.Fatalf("got %+v", o)
		}
		if d := cmp.Diff(a, o.Steps[i].Value); d != "" {
			t.Fatal(d)
		}
	}
	o, err := s.Complete(t.Context(), "ana")
	if err != nil || !o.Complete || o.CurrentStep != StepComplete {
		t.Fatalf("got %+v, %v", o, err)
	}
	v, err := s.View(t.Context(), "ana")
	if err != nil || !v.Complete {
		t.Fatalf("got %+v, %v", v, err)
	}
	// Nothing of Ana's is Bob's.
	if o, err = s.Get(t.Context(), "bob"); err != nil || o.CurrentStep != StepLanguage || len(o.Steps) != len(Steps) {
		t.Fatalf("got %+v, %v", o, err)
	}
	for _, st := range o.Steps {
		if st.Value != nil || st.Done || st.Stale {
			t.Fatalf("got %+v", st)
		}
	}
	if _, ok := m.recs["bob"]; ok {
		t.Fatal("reading stored a profile")
	}
}

func TestServiceRefuses(t *testing.T) {
	t.Parallel()
	s, m := newTestService()
	for _, c := range []struct {
		step, value string
		code        fault.Code
		field       string
	}{
		{"hobby", `{}`, fault.UnknownStep, ""},
		{"complete", `{}`, fault.UnknownStep, ""},
		{"", `{}`, fault.UnknownStep, ""},
		{"language", ``, fault.BadRequest, ""},
		{"language", `{"language":`, fault.BadRequest, ""},
		{"language", `{"language":"de"} {}`, fault.BadRequest, ""},
		{"language", `null`, fault.Invalid, ""},
		{"language", `["de"]`, fault.Invalid, ""},
		{"language", `{"language":7}`, fault.Invalid, "language"},
		{"language", `{"language":"de","level":"C2"}`, fault.Invalid, "level"},
		{"language", `{"` + strings.Repeat("x", 65) + `":1}`, fault.Invalid, ""},
		{"language", `{}`, fault.Invalid, "language"},
		{"industry", `{"industry":"insurance"}`, fault.StepOutOfOrder, "language"},
	} {
		_, err := s.Answer(t.Context(), "ana", c.step, json.RawMessage(c.value))
		if got := fault.CodeOf(err); got != c.code {
			t.Errorf("%s %s: got %v, want %s", c.step, c.value, err, c.code)
			continue
		}
		if f := fault.Of(err).Fields; c.field != "" && (len(f) != 1 || f[0].Name != c.field) {
			t.Errorf("%s %s: got %+v, want field %q", c.step, c.value, f, c.field)
		}
	}
	_, err := s.Complete(t.Context(), "ana")
	wantCode(t, err, fault.StepOutOfOrder)
	_, err = s.RoleMatches(t.Context(), "ana")
	wantCode(t, err, fault.StepOutOfOrder)
	_, err = s.Step(t.Context(), "ana", "hobby")
	wantCode(t, err, fault.UnknownStep)
	if len(m.recs) != 0 {
		t.Fatalf("stored %+v", m.recs)
	}
	m.err = errors.New("down")
	_, e1 := s.Get(t.Context(), "ana")
	_, e2 := s.View(t.Context(), "ana")
	_, e3 := s.Step(t.Context(), "ana", "role")
	_, e4 := s.RoleMatches(t.Context(), "ana")
	_, e5 := s.Answer(t.Context(), "ana", "language", json.RawMessage(`{"language":"de"}`))
	_, e6 := s.Complete(t.Context(), "ana")
	for i, err := range []error{e1, e2, e3, e4, e5, e6} {
		if !errors.Is(err, m.err) {
			t.Errorf("%d: got %v, want the storage failure", i, err)
		}
	}
}

func TestStepOptions(t *testing.T) {
	t.Parallel()
	s, m := newTestService()
	p := NewProfile("ana")
	answerAll(t, p, walk()[:3]...)
	m.recs["ana"] = p.Record()
	for step, n := range map[Step]int{
		StepLanguage: len(Reference().Languages), StepIndustry: 12, StepJob: 0, StepRole: 12, StepPartners: 7,
		StepSituations: 15, StepLevel: 6, StepSummary: 0,
	} {
		d, err := s.Step(t.Context(), "ana", string(step))
		if err != nil || len(d.Options) != n || d.Step != step {
			t.Errorf("%s: %d options, %v, want %d", step, len(d.Options), err, n)
		}
	}
	for kind, n := range map[string]int{"languages": len(Reference().Languages), "industries": 12, "roles": len(Reference().Roles), "partners": 7, "situations": 15, "levels": 6} {
		if o, err := s.Options(kind, ""); err != nil || len(o) != n || o[0].Slug == "" || o[0].Name == "" {
			t.Errorf("%s: %d options, %v, want %d", kind, len(o), err, n)
		}
	}
	o, err := s.Options("roles", "real-estate")
	if err != nil || len(o) != 11 || o[0].Industry != "real_estate" {
		t.Fatalf("got %d, %v", len(o), err)
	}
	_, err = s.Options("roles", "bees")
	wantCode(t, err, fault.Invalid)
	_, err = s.Options("hobbies", "")
	wantCode(t, err, fault.NotFound)
}

func TestRoleMatching(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, industry string
		job            Job
		first          string
		strength       string
	}{
		{"the title itself", "banking_finance", Job{"Credit Analyst", "I look at companies every day."}, "credit_analyst", Strong},
		{"title in other words", "hotels_hospitality", Job{"Senior Receptionist", "I check guests in and out at the reception and take reservations."}, "front_desk_agent", Strong},
		{"plural and -ing", "information_technology", Job{"Programmer", "Coding web backends and reviewing code of other developers."}, "software_developer", Strong},
		{"a related word only", "real_estate", Job{"Office person", "Sometimes I speak with tenants."}, "", Possible},
		{"any industry", "", Job{"Registered nurse", "I care for patients on a ward."}, "registered_nurse", Strong},
		{"nothing shared", "insurance", Job{"Beekeeper", "Honey, hives, swarms, flowers."}, "none", ""},
		{"another language", "insurance", Job{"保險經紀", "我每天與客戶討論保單和理賠的問題。"}, "none", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := WordMatcher{}.Match(t.Context(), Question{Job: c.job, Industry: c.industry, Candidates: Reference().RolesOf(c.industry)})
			if err != nil || got == nil || len(got) > maxMatches {
				t.Fatalf("got %v, %v", got, err)
			}
			if c.first == "none" {
				if len(got) != 0 {
					t.Fatalf("got %+v, want none", got)
				}
				return
			}
			if len(got) == 0 || (c.first != "" && got[0].Role != c.first) || got[0].Strength != c.strength {
				t.Fatalf("got %+v, want %s %s", got, c.strength, c.first)
			}
			for _, m := range got {
				if r, ok := Reference().Role(m.Role); !ok || m.Title != r.Title || (c.industry != "" && r.Industry != c.industry) {
					t.Fatalf("got %+v of industry %s", m, r.Industry)
				}
			}
		})
	}
}

// TestEveryRoleFindsItself: who writes a role's title and says what it does
// must see it first or nearly so.
func TestEveryRoleFindsItself(t *testing.T) {
	t.Parallel()
	for _, r := range Reference().Roles {
		got, err := WordMatcher{}.Match(t.Context(), Question{Job: Job{r.Title, r.Description}, Candidates: Reference().RolesOf(r.Industry)})
		if err != nil || len(got) == 0 || got[0].Role != r.Slug || got[0].Strength != Strong {
			t.Errorf("%s: got %+v, %v", r.Slug, got, err)
		}
	}
}

func TestServiceRoleMatches(t *testing.T) {
	t.Parallel()
	s, m := newTestService()
	p := NewProfile("ana")
	answerAll(t, p, walk()[:3]...)
	m.recs["ana"] = p.Record()
	got, err := s.RoleMatches(t.Context(), "ana")
	if err != nil || len(got) == 0 || got[0].Role != "front_desk_agent" {
		t.Fatalf("got %+v, %v", got, err)
	}
}
