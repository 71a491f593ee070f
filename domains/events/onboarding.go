package events

import "encoding/json"

// OnboardingChanged says that a profile is another one now. Together, in their
// order, the changes of a learner are the whole profile.
type OnboardingChanged struct {
	LearnerID string `json:"learner_id"`
	// Changes are the fields of the stored document that are new, null for
	// those that went. They hold the learner's own words.
	Changes json.RawMessage `json:"changes"`
	// Complete is whether every answer holds now, once onboarding was completed.
	Complete bool `json:"complete"`
}

// OnboardingCompleted says that onboarding was finished, or is whole again
// after an answer that others depend on was changed.
type OnboardingCompleted struct {
	LearnerID string `json:"learner_id"`
}

func onboarding(id string) Aggregate { return Aggregate{Kind: "onboarding", ID: id} }

// EventType is onboarding.changed.
func (OnboardingChanged) EventType() (string, int) { return "onboarding.changed", 1 }

// Of is the learner's onboarding.
func (p OnboardingChanged) Of() Aggregate { return onboarding(p.LearnerID) }

// EventType is onboarding.completed.
func (OnboardingCompleted) EventType() (string, int) { return "onboarding.completed", 1 }

// Of is the learner's onboarding.
func (p OnboardingCompleted) Of() Aggregate { return onboarding(p.LearnerID) }
