package practice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// memory is a Repository, Profiles and Conversations of one learner.
type memory struct {
	profile Profile
	docs    []Document
	n       int64
	made    []CreateInput
	err     error
}

func (m *memory) Profile(context.Context, string) (Profile, error) { return m.profile, m.err }

func (m *memory) Create(_ context.Context, in CreateInput) (string, error) {
	for i, c := range m.made {
		if c.ClientID == in.ClientID && c.Kind == in.Kind {
			return fmt.Sprint("c", i), nil
		}
	}
	m.made = append(m.made, in)
	return fmt.Sprint("c", len(m.made)-1), nil
}

func (m *memory) Save(_ context.Context, d Document) (Document, error) {
	for _, old := range m.docs {
		if old.RequestID == d.RequestID {
			return old, nil
		}
	}
	m.docs = append(m.docs, d)
	return d, m.err
}

func (m *memory) Get(_ context.Context, owner, id string) (Document, error) {
	for _, d := range m.docs {
		if d.ID == id && d.Owner == owner {
			return d, nil
		}
	}
	return Document{}, ErrNoScenario
}

func (m *memory) List(_ context.Context, owner, _ string, limit int) ([]Document, error) {
	return m.docs[:min(limit, len(m.docs))], nil
}

func (m *memory) Next(context.Context, string) (int64, error) { m.n++; return m.n, nil }

func newMemory() (*memory, *Service) {
	m := &memory{profile: Profile{Complete: true, Level: "B1", NativeLanguage: "de", Industry: "banking_finance", JobTitle: "Analyst",
		Partners: []ProfilePartner{
			{Choice{"clients", "Clients"}, []Choice{{"meetings", "Meetings"}, {"phone_calls", "Phone calls"}}},
			{Choice{"custom:Our auditors", "Our auditors"}, []Choice{{"custom:Year end", "Year end"}}},
		}}}
	return m, New(m, m, m, func() time.Time { return time.UnixMicro(1780000000000000) })
}

func TestRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	m, s := newMemory()
	m.docs = []Document{{Scenario: Scenario{Title: "Seen before"}}}
	for range 5 {
		if _, err := s.RequestScenario(t.Context(), "ann", RequestInput{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, c := range m.made {
		var r RequestMeta
		if err := json.Unmarshal(c.Meta, &r); err != nil {
			t.Fatal(err)
		}
		if c.Kind != "scenario" || !c.Run || c.Opening != "" || c.ClientID == "" || c.Learner != "ann" || r.Level != "B1" || r.Avoid[0] != "Seen before" {
			t.Fatalf("made %+v with %+v", c, r)
		}
		got = append(got, r.Partner.Label+"/"+r.Situation.Label)
	}
	want := "Clients/Meetings, Our auditors/Year end, Clients/Phone calls, Our auditors/Year end, Clients/Meetings"
	if strings.Join(got, ", ") != want {
		t.Fatalf("got %v, want %s", got, want)
	}
}

func TestRequestChecksChoice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   RequestInput
		want string // partner/situation, or the field that is wrong
		code fault.Code
	}{
		{RequestInput{Partner: "clients", Situation: "phone-calls"}, "Clients/Phone calls", ""},
		{RequestInput{Situation: "phone_calls"}, "Clients/Phone calls", ""},
		{RequestInput{Partner: "custom:Our auditors"}, "Our auditors/Year end", ""},
		{RequestInput{Partner: "managers"}, "partner", fault.Invalid},
		{RequestInput{Partner: "custom:our auditors"}, "partner", fault.Invalid},
		{RequestInput{Partner: "custom:Our auditors", Situation: "meetings"}, "situation", fault.Invalid},
		{RequestInput{Situation: "lunch"}, "situation", fault.Invalid},
	} {
		m, s := newMemory()
		_, err := s.RequestScenario(t.Context(), "ann", c.in)
		if fault.CodeOf(err) != c.code {
			t.Errorf("%+v: got %v, want %q", c.in, err, c.code)
			continue
		}
		if err != nil {
			if f := fault.Of(err).Fields; len(f) != 1 || f[0].Name != c.want || len(m.made) != 0 {
				t.Errorf("%+v: fields %v, made %v", c.in, f, m.made)
			}
			continue
		}
		var r RequestMeta
		if err := json.Unmarshal(m.made[0].Meta, &r); err != nil || r.Partner.Label+"/"+r.Situation.Label != c.want {
			t.Errorf("%+v: got %+v", c.in, r)
		}
	}
}

func TestRequestIsRepeatableAndNeedsOnboarding(t *testing.T) {
	t.Parallel()
	m, s := newMemory()
	a, err := s.RequestScenario(t.Context(), "ann", RequestInput{ClientID: "k"})
	b, err2 := s.RequestScenario(t.Context(), "ann", RequestInput{ClientID: "k"})
	if err != nil || err2 != nil || a != b || len(m.made) != 1 {
		t.Fatalf("got %q %v and %q %v", a, err, b, err2)
	}
	m.profile.Complete = false
	if _, err := s.RequestScenario(t.Context(), "ann", RequestInput{}); fault.CodeOf(err) != fault.OnboardingOpen {
		t.Fatalf("got %v, want onboarding_incomplete", err)
	}
	m.profile = Profile{Complete: true}
	if _, err := s.RequestScenario(t.Context(), "ann", RequestInput{}); fault.CodeOf(err) != fault.OnboardingOpen {
		t.Fatalf("a profile without partners: got %v", err)
	}
	m.err = errors.New("boom")
	if _, err := s.RequestScenario(t.Context(), "ann", RequestInput{}); fault.CodeOf(err) != fault.Internal {
		t.Fatalf("got %v, want the error of the profile", err)
	}
}

func TestFinishStoresOnce(t *testing.T) {
	t.Parallel()
	m, s := newMemory()
	if _, err := s.RequestScenario(t.Context(), "ann", RequestInput{}); err != nil {
		t.Fatal(err)
	}
	meta := m.made[0].Meta
	first, err := s.FinishScenario(t.Context(), "ann", "req", meta, good)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.FinishScenario(t.Context(), "ann", "req", meta, good)
	if err != nil || string(first) != string(again) || len(m.docs) != 1 {
		t.Fatalf("again: %v, %d stored\n%s\n%s", err, len(m.docs), first, again)
	}
	var v View
	if err := json.Unmarshal(first, &v); err != nil || v.PartnerType != "clients" || v.Situation != "meetings" || v.Level != "B1" || v.CreatedAt != 1780000000000 {
		t.Fatalf("view %+v (%v)", v, err)
	}
	if u, err := uuid.Parse(v.ID); err != nil || u.Version() != 7 {
		t.Fatalf("id %q", v.ID)
	}
	if _, err := s.FinishScenario(t.Context(), "ann", "req2", meta, "no JSON"); fault.CodeOf(err) != fault.UpstreamInvalid || len(m.docs) != 1 {
		t.Fatalf("a bad text: %v, %d stored", err, len(m.docs))
	}
	if m.docs[0].PromptVersion != "scenario.v1" || m.docs[0].RequestID != "req" || m.docs[0].Owner != "ann" {
		t.Fatalf("stored %+v", m.docs[0])
	}
}

func TestStartConversation(t *testing.T) {
	t.Parallel()
	m, s := newMemory()
	if _, err := s.FinishScenario(t.Context(), "ann", "req", json.RawMessage(`{"level":"B2"}`), good); err != nil {
		t.Fatal(err)
	}
	id := m.docs[0].ID
	got, err := s.StartConversation(t.Context(), "ann", id, "k")
	if err != nil || got.Title != "Agreeing on a new delivery date" {
		t.Fatalf("got %+v %v", got, err)
	}
	in := m.made[0]
	var meta ChatMeta
	if err := json.Unmarshal(in.Meta, &meta); err != nil {
		t.Fatal(err)
	}
	if in.Kind != "chat" || in.Run || in.Opening == "" || meta.ScenarioID != id || meta.Level != "B2" || len(meta.Scenario.Partner.HiddenFacts) != 1 {
		t.Fatalf("made %+v with %+v", in, meta)
	}
	m.docs[0].Scenario.Opening.Speaker = "learner"
	if _, err := s.StartConversation(t.Context(), "ann", id, ""); err != nil || m.made[1].Opening != "" || m.made[1].ClientID == "" {
		t.Fatalf("learner first: %v %+v", err, m.made[1])
	}
	for _, bad := range []string{"", "x", uuid.NewString()} {
		if _, err := s.StartConversation(t.Context(), "ann", bad, ""); !errors.Is(err, ErrNoScenario) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	if _, err := s.Get(t.Context(), "ben", id); !errors.Is(err, ErrNoScenario) {
		t.Errorf("somebody else's: got %v", err)
	}
	if v, err := s.Get(t.Context(), "ann", strings.ToUpper(id)); err != nil || v.ID != id {
		t.Errorf("own: got %v %v", v.ID, err)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	m, s := newMemory()
	for range 3 {
		m.docs = append(m.docs, Document{ID: uuid.NewString(), Owner: "ann"})
	}
	list, next, err := s.List(t.Context(), "ann", "", 2)
	if err != nil || len(list) != 2 || next != m.docs[1].ID {
		t.Fatalf("got %d, next %q, %v", len(list), next, err)
	}
	if list, next, err = s.List(t.Context(), "ann", "", 3); err != nil || len(list) != 3 || next != "" {
		t.Fatalf("last page: %d, next %q, %v", len(list), next, err)
	}
	if _, _, err := s.List(t.Context(), "ann", "' OR 1=1", 3); fault.CodeOf(err) != fault.Invalid {
		t.Fatalf("garbage before: %v", err)
	}
}
