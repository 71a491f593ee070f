package main

import (
	"context"
	"errors"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/server"
	"github.com/fluentpro/fluentpro/sessions"
)

// The switchboard: small adapters between rooms that do not import each other.

// verifier lets the front door check tokens.
type verifier struct{ auth *authentication.Service }

func (v verifier) Verify(ctx context.Context, token string) (server.Identity, error) {
	id, err := v.auth.Verify(ctx, token)
	if err != nil {
		return server.Identity{}, err
	}
	return server.Identity{Learner: string(id.LearnerID), Family: string(id.SessionFamily), Role: string(id.Role), Expires: id.ExpiresAt}, nil
}

// socketVerifier does the same for connections.
type socketVerifier struct{ auth *authentication.Service }

func (v socketVerifier) Verify(ctx context.Context, token string) (sessions.Identity, error) {
	id, err := v.auth.Verify(ctx, token)
	if err != nil {
		return sessions.Identity{}, err
	}
	return sessions.Identity{LearnerID: string(id.LearnerID), ExpiresAt: id.ExpiresAt, Family: string(id.SessionFamily)}, nil
}

// Ended tells connections whether their login still stands.
func (v socketVerifier) Ended(family string) bool {
	return v.auth.LoginEnded(authentication.FamilyID(family))
}

// loginEnded closes what hangs on a login that was ended, here or elsewhere.
// Those known at the start have nothing that hangs on them.
func (a *App) loginEnded(learner authentication.LearnerID, family authentication.FamilyID) {
	if a.sessions != nil {
		a.sessions.CloseLearner(conversation.LearnerID(learner), string(family))
	}
}

// starter lets practice make conversations. The engine is set after practice
// is made, because the engine's script is practice.
type starter struct{ engine *conversation.Engine }

func (s *starter) Create(ctx context.Context, in practice.CreateInput) (string, error) {
	if s.engine == nil {
		return "", errors.New("conversations are not wired")
	}
	h, err := s.engine.Create(ctx, conversation.CreateInput{Owner: conversation.LearnerID(in.Learner), Kind: conversation.Kind(in.Kind),
		ClientID: in.ClientID, Title: in.Title, Meta: in.Meta, Opening: in.Opening, Run: in.Run})
	return string(h.ID), err
}

// profiles lets practice read what onboarding learned.
type profiles struct{ onboarding *onboarding.Service }

func (p profiles) Profile(ctx context.Context, learner string) (practice.Profile, error) {
	v, err := p.onboarding.View(ctx, onboarding.LearnerID(learner))
	if err != nil {
		return practice.Profile{}, err
	}
	out := practice.Profile{Complete: v.Complete, Level: v.Level, NativeLanguage: v.LanguageName, Industry: v.Industry,
		JobRole: v.RoleTitle, JobTitle: v.JobTitle, JobDescription: v.JobDescription}
	for _, pv := range v.Partners {
		pp := practice.ProfilePartner{Choice: practice.Choice{ID: pv.Slug, Label: pv.Name}}
		for _, s := range pv.Situations {
			pp.Situations = append(pp.Situations, practice.Choice{ID: s.Slug, Label: s.Name})
		}
		out.Partners = append(out.Partners, pp)
	}
	return out, nil
}
