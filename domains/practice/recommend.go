package practice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// mostSuggestions bounds a list: more is no help to choose.
const mostSuggestions = 6

// Reason is why something is suggested, in the learner's own choices. Code is
// for programs: partner_priority, situation_priority, level or role.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Suggestion is a scenario worth asking for. Its partner and situation are
// what a scenario request takes.
type Suggestion struct {
	Partner   Choice   `json:"partner"`
	Situation Choice   `json:"situation"`
	Level     string   `json:"level"`
	Reasons   []Reason `json:"reasons"`
}

// Recommendations is a learner's list, best first.
type Recommendations struct {
	// MadeAt is when it was made, in milliseconds since 1970.
	MadeAt      int64        `json:"made_at"`
	Suggestions []Suggestion `json:"suggestions"`
}

// RecommendationStore keeps one list for each learner, and what it was made of.
type RecommendationStore interface {
	// Recommendations reads the list; basis is "" when there is none.
	Recommendations(ctx context.Context, learner string) (list Recommendations, basis string, err error)
	// PutRecommendations replaces the list.
	PutRecommendations(ctx context.Context, learner, basis string, list Recommendations) error
}

// Recommender suggests scenarios.
type Recommender struct {
	profiles Profiles
	store    RecommendationStore
	now      func() time.Time
}

// NewRecommender makes a Recommender; now is the clock, nil for the system's.
func NewRecommender(p Profiles, s RecommendationStore, now func() time.Time) *Recommender {
	if now == nil {
		now = time.Now
	}
	return &Recommender{p, s, now}
}

// Refresh makes the list anew if the learner's choices are others than it was
// made of. A learner whose onboarding is open gets none. It may be repeated.
func (r *Recommender) Refresh(ctx context.Context, learner string) error {
	p, err := r.profiles.Profile(ctx, learner)
	if err != nil {
		return fmt.Errorf("recommend: %w", err)
	}
	if !p.Complete {
		return nil
	}
	basis, err := basisOf(p)
	if err != nil {
		return err
	}
	_, have, err := r.store.Recommendations(ctx, learner)
	if err != nil {
		return fmt.Errorf("recommend: %w", err)
	}
	if have == basis {
		return nil
	}
	if err := r.store.PutRecommendations(ctx, learner, basis, r.make(p)); err != nil {
		return fmt.Errorf("recommend: %w", err)
	}
	return nil
}

// List is the learner's list: the stored one while the choices are those it
// was made of, else what Refresh is about to store. ErrOnboarding while
// onboarding is open.
func (r *Recommender) List(ctx context.Context, learner string) (Recommendations, error) {
	p, err := r.profiles.Profile(ctx, learner)
	if err != nil {
		return Recommendations{}, fmt.Errorf("recommendations: %w", err)
	}
	if !p.Complete {
		return Recommendations{}, ErrOnboarding
	}
	basis, err := basisOf(p)
	if err != nil {
		return Recommendations{}, err
	}
	list, have, err := r.store.Recommendations(ctx, learner)
	if err != nil {
		return Recommendations{}, fmt.Errorf("recommendations: %w", err)
	}
	if have != basis {
		return r.make(p), nil
	}
	return list, nil
}

// basisOf changes exactly when something changes that a list is made of.
func basisOf(p Profile) (string, error) {
	b, err := json.Marshal(struct {
		Level, Role, Industry string
		Partners              []ProfilePartner
	}{p.Level, p.JobRole, p.Industry, p.Partners})
	if err != nil {
		return "", fmt.Errorf("recommend: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// make goes through the partners in their order of priority, one situation of
// each at a time, so that the first suggestions show the breadth of a
// learner's work. The same choices make the same list.
func (r *Recommender) make(p Profile) Recommendations {
	out := Recommendations{MadeAt: r.now().UnixMilli(), Suggestions: []Suggestion{}}
	for round := 0; ; round++ {
		found := false
		for i, partner := range p.Partners {
			if round >= len(partner.Situations) {
				continue
			}
			found = true
			if len(out.Suggestions) == mostSuggestions {
				return out
			}
			situation := partner.Situations[round]
			reasons := []Reason{
				{"partner_priority", partner.Label + " are number " + strconv.Itoa(i+1) + " of those you talk to."},
				{"situation_priority", situation.Label + " is number " + strconv.Itoa(round+1) + " of what you do with them."},
				{"level", "It is written for " + p.Level + ", the level you chose."},
			}
			if p.JobRole != "" {
				reasons = append(reasons, Reason{"role", "It is about your work: " + p.JobRole + "."})
			}
			out.Suggestions = append(out.Suggestions, Suggestion{partner.Choice, situation, p.Level, reasons})
		}
		if !found {
			return out
		}
	}
}
