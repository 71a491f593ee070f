package practice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Profile is what onboarding knows of a learner, as practice needs it.
type Profile struct {
	// Complete is whether onboarding is finished.
	Complete       bool
	Level          string
	NativeLanguage string
	Industry       string
	JobRole        string
	JobTitle       string
	JobDescription string
	// Partners in the learner's order of priority.
	Partners []ProfilePartner
}

// ProfilePartner is a partner type with its situations, in order of priority.
type ProfilePartner struct {
	Choice
	Situations []Choice
}

// Profiles reads the profile of a learner.
type Profiles interface {
	Profile(ctx context.Context, learner string) (Profile, error)
}

// CreateInput makes a conversation; see conversation.CreateInput.
type CreateInput struct {
	Learner string
	// Kind is "chat" or "scenario".
	Kind     string
	ClientID string
	Title    string
	Meta     json.RawMessage
	// Opening is the partner's first line, "" when the learner begins.
	Opening string
	// Run starts writing at once.
	Run bool
}

// Conversations makes conversations; the engine does it.
type Conversations interface {
	Create(ctx context.Context, in CreateInput) (id string, err error)
}

// Service is the use cases of practice.
type Service struct {
	profiles      Profiles
	conversations Conversations
	scenarios     Repository
	now           func() time.Time
}

// New makes a Service; now is the clock, nil for the system's.
func New(p Profiles, c Conversations, r Repository, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{profiles: p, conversations: c, scenarios: r, now: now}
}

// avoid is how many of the learner's titles a request tells the model.
const avoid = 8

// RequestScenario has a scenario written and returns the id of the request,
// which is a conversation of kind "scenario". The same ClientID answers with
// the first request's id.
func (s *Service) RequestScenario(ctx context.Context, learner string, in RequestInput) (string, error) {
	p, err := s.profiles.Profile(ctx, learner)
	if err != nil {
		return "", fmt.Errorf("request scenario: %w", err)
	}
	if !p.Complete {
		return "", ErrOnboarding
	}
	options, err := choose(p, in)
	if err != nil {
		return "", err
	}
	n, err := s.scenarios.Next(ctx, learner)
	if err != nil {
		return "", fmt.Errorf("request scenario: %w", err)
	}
	pick := options.at(n - 1)
	recent, err := s.scenarios.List(ctx, learner, "", avoid)
	if err != nil {
		return "", fmt.Errorf("request scenario: %w", err)
	}
	m := RequestMeta{
		Level: p.Level, NativeLanguage: p.NativeLanguage, Industry: p.Industry, JobRole: p.JobRole,
		JobTitle: p.JobTitle, JobDescription: p.JobDescription,
		Partner: pick.partner, Situation: pick.situation, Variation: n, Avoid: make([]string, 0, len(recent)),
	}
	for _, d := range recent {
		m.Avoid = append(m.Avoid, d.Scenario.Title)
	}
	meta, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("request scenario: %w", err)
	}
	if in.ClientID == "" {
		in.ClientID = uuid.NewString()
	}
	id, err := s.conversations.Create(ctx, CreateInput{
		Learner: learner, Kind: "scenario", ClientID: in.ClientID, Meta: meta, Run: true,
		Title: cut(pick.situation.Label+" · "+pick.partner.Label, 120),
	})
	if err != nil {
		return "", fmt.Errorf("request scenario: %w", err)
	}
	return id, nil
}

// cut is s, at most n characters long.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// FinishScenario checks the text that a request's run wrote, stores the
// scenario in the transaction of ctx and returns what clients may see. It may
// be repeated: one request makes one scenario. A text that breaks a rule is
// fault.UpstreamInvalid and stores nothing.
func (s *Service) FinishScenario(ctx context.Context, learner, requestID string, meta json.RawMessage, text string) (json.RawMessage, error) {
	var m RequestMeta
	if err := json.Unmarshal(meta, &m); err != nil {
		return nil, fmt.Errorf("finish scenario: %w", err)
	}
	sc, err := ParseScenario(text)
	if err != nil {
		return nil, fmt.Errorf("finish scenario: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("finish scenario: %w", err)
	}
	p, err := ScenarioPrompt(meta)
	if err != nil {
		return nil, fmt.Errorf("finish scenario: %w", err)
	}
	d, err := s.scenarios.Save(ctx, Document{
		ID: id.String(), Owner: learner, RequestID: requestID,
		Level: m.Level, Industry: m.Industry, JobRole: m.JobRole, PartnerType: m.Partner.ID, Situation: m.Situation.ID,
		Scenario: sc, PromptVersion: p.Version, CreatedAt: s.now().UnixMicro(),
	})
	if err != nil {
		return nil, fmt.Errorf("finish scenario: %w", err)
	}
	view, err := json.Marshal(d.View())
	if err != nil {
		return nil, fmt.Errorf("finish scenario: %w", err)
	}
	return view, nil
}

// maxPage bounds a page of scenarios.
const maxPage = 100

// List is a page of the learner's scenarios, newest first, and what to give as
// before for the next page, "" at the end.
func (s *Service) List(ctx context.Context, learner, before string, limit int) ([]View, string, error) {
	if before != "" {
		u, err := uuid.Parse(before)
		if err != nil {
			return nil, "", errBefore
		}
		before = u.String()
	}
	limit = min(max(limit, 1), maxPage)
	docs, err := s.scenarios.List(ctx, learner, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list scenarios: %w", err)
	}
	next := ""
	if len(docs) > limit {
		docs = docs[:limit]
		next = docs[limit-1].ID
	}
	views := make([]View, 0, len(docs))
	for _, d := range docs {
		views = append(views, d.View())
	}
	return views, next, nil
}

// Get is one of the learner's scenarios.
func (s *Service) Get(ctx context.Context, learner, id string) (View, error) {
	d, err := s.get(ctx, learner, id)
	return d.View(), err
}

func (s *Service) get(ctx context.Context, learner, id string) (Document, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return Document{}, ErrNoScenario
	}
	d, err := s.scenarios.Get(ctx, learner, u.String())
	if errors.Is(err, ErrNoScenario) {
		return Document{}, ErrNoScenario
	}
	if err != nil {
		return Document{}, fmt.Errorf("get scenario: %w", err)
	}
	return d, nil
}

// StartConversation begins a conversation from one of the learner's scenarios.
// The same clientID answers with the conversation begun first.
func (s *Service) StartConversation(ctx context.Context, learner, scenarioID, clientID string) (Started, error) {
	d, err := s.get(ctx, learner, scenarioID)
	if err != nil {
		return Started{}, err
	}
	meta, err := json.Marshal(ChatMeta{ScenarioID: d.ID, Level: d.Level, Scenario: d.Scenario})
	if err != nil {
		return Started{}, fmt.Errorf("start conversation: %w", err)
	}
	in := CreateInput{Learner: learner, Kind: "chat", ClientID: clientID, Title: d.Scenario.Title, Meta: meta}
	if in.ClientID == "" {
		in.ClientID = uuid.NewString()
	}
	if d.Scenario.Opening.Speaker == "partner" {
		in.Opening = d.Scenario.Opening.Line
	}
	id, err := s.conversations.Create(ctx, in)
	if err != nil {
		return Started{}, fmt.Errorf("start conversation: %w", err)
	}
	return Started{ID: id, Title: in.Title}, nil
}
