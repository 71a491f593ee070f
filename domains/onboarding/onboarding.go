// Package onboarding learns who a learner is and whom they talk to at work:
// one aggregate, Profile, answered step by step, and the reference data that
// the answers choose from.
//
// The steps stand in one order:
//
//	language → industry → job → role → partners → situations → level → summary → complete
//
// A step can be answered when every step before it is done; a step answered
// earlier can be answered again at any time. What depends on a changed answer
// becomes stale and must be answered again; everything else holds, so progress
// never goes backwards without a reason the learner can see. Where the lists
// do not fit, the learner's own words do, and they belong to this learner alone.
package onboarding

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// LearnerID names the learner whose profile it is.
type LearnerID string

// Repository keeps profiles.
type Repository interface {
	// Get reads a profile; a learner without one gets a fresh, empty one.
	Get(ctx context.Context, learner LearnerID) (*Profile, error)
	// Update reads the profile, lets fn change it and stores it, as if nobody
	// else did so meanwhile. fn may be called again after a lost race, and
	// must not reach outside. An error of fn stores nothing and is returned.
	Update(ctx context.Context, learner LearnerID, fn func(*Profile) error) error
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	repo    Repository
	matcher RoleMatcher
	now     func() time.Time
}

// New makes a Service. A nil matcher means WordMatcher, a nil now time.Now.
func New(repo Repository, matcher RoleMatcher, now func() time.Time) *Service {
	if matcher == nil {
		matcher = WordMatcher{}
	}
	if now == nil {
		now = time.Now
	}
	return &Service{repo: repo, matcher: matcher, now: now}
}

// Get tells where a learner stands.
func (s *Service) Get(ctx context.Context, learner LearnerID) (Overview, error) {
	p, err := s.repo.Get(ctx, learner)
	if err != nil {
		return Overview{}, fmt.Errorf("read onboarding: %w", err)
	}
	return p.Overview(), nil
}

// View is the profile for those who write practice from it.
func (s *Service) View(ctx context.Context, learner LearnerID) (View, error) {
	p, err := s.repo.Get(ctx, learner)
	if err != nil {
		return View{}, fmt.Errorf("read profile: %w", err)
	}
	return p.View(), nil
}

// Step tells one step's answer and what can be chosen there; any step may be
// read at any time.
func (s *Service) Step(ctx context.Context, learner LearnerID, step string) (StepDetail, error) {
	st, err := ParseStep(step)
	if err != nil {
		return StepDetail{}, err
	}
	p, err := s.repo.Get(ctx, learner)
	if err != nil {
		return StepDetail{}, fmt.Errorf("read onboarding: %w", err)
	}
	return StepDetail{StepState: p.step(st), Options: p.options(st)}, nil
}

// Answer sets a step from its JSON value and tells where the learner stands
// then. Failures are unknown_step, invalid with every bad field, and
// step_out_of_order naming the step to answer first.
func (s *Service) Answer(ctx context.Context, learner LearnerID, step string, value json.RawMessage) (Overview, error) {
	st, err := ParseStep(step)
	if err != nil {
		return Overview{}, err
	}
	a, err := decodeAnswer(st, value)
	if err != nil {
		return Overview{}, err
	}
	var out Overview
	err = s.repo.Update(ctx, learner, func(p *Profile) error {
		if err := p.Answer(a); err != nil {
			return err
		}
		out = p.Overview()
		return nil
	})
	if err != nil {
		return Overview{}, fmt.Errorf("answer %s: %w", st, err)
	}
	return out, nil
}

// Complete ends onboarding; it may be repeated.
func (s *Service) Complete(ctx context.Context, learner LearnerID) (Overview, error) {
	var out Overview
	err := s.repo.Update(ctx, learner, func(p *Profile) error {
		if err := p.Complete(s.now()); err != nil {
			return err
		}
		out = p.Overview()
		return nil
	})
	if err != nil {
		return Overview{}, fmt.Errorf("complete onboarding: %w", err)
	}
	return out, nil
}

// Options lists what can be chosen of a kind: languages, industries, roles,
// partners, situations or levels. industry narrows roles and may be empty.
func (s *Service) Options(kind, industry string) ([]Option, error) {
	c := Reference()
	switch kind {
	case "languages":
		return c.languageOptions(), nil
	case "industries":
		return c.industryOptions(), nil
	case "partners":
		return c.partnerOptions(), nil
	case "situations":
		return c.situationOptions(), nil
	case "levels":
		return c.levelOptions(), nil
	case "roles":
		if industry != "" {
			ind, ok := c.Industry(industry)
			if !ok {
				return nil, invalid(fault.Field{Name: "industry", Code: "unknown", Message: "There is no such industry."})
			}
			industry = ind.Slug
		}
		return c.roleOptions(industry), nil
	}
	return nil, fault.New(fault.NotFound, "There is no such list.")
}

// RoleMatches finds roles for the job that the learner described; none is an
// answer too, for a custom role is always possible.
func (s *Service) RoleMatches(ctx context.Context, learner LearnerID) ([]RoleMatch, error) {
	p, err := s.repo.Get(ctx, learner)
	if err != nil {
		return nil, fmt.Errorf("match roles: %w", err)
	}
	if err := p.reachable(StepRole); err != nil {
		return nil, err
	}
	industry := p.rec.Industry.Slug
	m, err := s.matcher.Match(ctx, Question{Learner: learner, Job: p.rec.Job, Industry: industry, Candidates: Reference().RolesOf(industry)})
	if err != nil {
		return nil, fmt.Errorf("match roles: %w", err)
	}
	return m, nil
}
