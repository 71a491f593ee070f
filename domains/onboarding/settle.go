package onboarding

import (
	"context"
	"encoding/json"
	"fmt"
)

// AssumedLevel is the level of a learner whose app never asks for one. It is
// the middle of the scale, can be changed at any time, and is refined by
// results like any other.
const AssumedLevel = "B1"

// AnswerSituations sets the situations with one chosen partner and leaves
// those with the others alone. partner is a slug, or "custom:" and the text.
// The step is done when every partner has some. Failures are those of Answer,
// and not_found for a partner that was not chosen.
func (s *Service) AnswerSituations(ctx context.Context, learner LearnerID, partner string, list []SituationChoice) (Overview, error) {
	var out Overview
	err := s.repo.Update(ctx, learner, func(p *Profile) error {
		if err := p.Answer(partnerSituations{partner, list}); err != nil {
			return err
		}
		out = p.Overview()
		return nil
	})
	if err != nil {
		return Overview{}, fmt.Errorf("answer situations of one partner: %w", err)
	}
	return out, nil
}

// Settle ends onboarding for a client that knows neither levels nor a summary
// to confirm: when all that it asks is answered, AssumedLevel stands in for a
// missing level, the summary counts as read, and onboarding is complete. While
// something else is open it changes nothing. It may be repeated.
func (s *Service) Settle(ctx context.Context, learner LearnerID) (Overview, error) {
	o, err := s.Get(ctx, learner)
	for err == nil && !o.Complete {
		switch o.CurrentStep {
		case StepLevel:
			o, err = s.Answer(ctx, learner, string(StepLevel), json.RawMessage(`{"level":"`+AssumedLevel+`"}`))
		case StepSummary:
			o, err = s.Answer(ctx, learner, string(StepSummary), json.RawMessage(`{"confirmed":true}`))
		case StepComplete:
			o, err = s.Complete(ctx, learner)
		default:
			return o, nil
		}
	}
	return o, err
}

// partnerSituations answers the situations of one partner; it is never on the
// wire of a step.
type partnerSituations PartnerSituations

func (partnerSituations) step() Step { return StepSituations }

// oneMore is the situations with one partner put among those of the others.
func (r *Record) oneMore(c *checker, a partnerSituations) ([]PartnerChoiceRecord, error) {
	key, ok := r.chosen(a.Partner)
	if !ok {
		return nil, errNotChosen
	}
	list := situationList(c, "situations", a.Situations)
	var out []PartnerChoiceRecord
	for _, p := range r.Partners {
		these := r.with(p.Key())
		if p.Key() == key {
			these = list
		}
		if len(these) > 0 {
			out = append(out, PartnerChoiceRecord{p.Key(), these})
		}
	}
	return out, nil
}

// chosen is the key of a chosen partner, however it is written.
func (r *Record) chosen(partner string) (string, bool) {
	for _, p := range r.Partners {
		if sameKey(p.Key(), partner) {
			return p.Key(), true
		}
	}
	return "", false
}
