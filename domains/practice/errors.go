package practice

import "github.com/fluentpro/fluentpro/internal/fault"

// Errors that callers compare with errors.Is.
var (
	// ErrNoScenario says that the learner has no such scenario; somebody
	// else's looks the same.
	ErrNoScenario = fault.New(fault.NotFound, "No such scenario.")
	// ErrOnboarding says that the learner's profile is not complete.
	ErrOnboarding = fault.New(fault.OnboardingOpen, "Finish onboarding first.")
)
