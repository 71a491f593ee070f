package onboarding

import "github.com/fluentpro/fluentpro/internal/fault"

// Step is one question of onboarding.
type Step string

// The steps in their order.
const (
	StepLanguage   Step = "language"
	StepIndustry   Step = "industry"
	StepJob        Step = "job"
	StepRole       Step = "role"
	StepPartners   Step = "partners"
	StepSituations Step = "situations"
	StepLevel      Step = "level"
	StepSummary    Step = "summary"
	// StepComplete is where a learner stands who has answered everything; it
	// is reached by Complete and has no value.
	StepComplete Step = "complete"
)

// Steps are the steps that have a value, in order.
var Steps = []Step{StepLanguage, StepIndustry, StepJob, StepRole, StepPartners, StepSituations, StepLevel, StepSummary}

// ParseStep reads the name of a step that has a value.
func ParseStep(s string) (Step, error) {
	for _, st := range Steps {
		if string(st) == s {
			return st, nil
		}
	}
	return "", fault.New(fault.UnknownStep, "There is no such step.")
}

// errOpen says that a step must be answered first.
func errOpen(open Step) error {
	return &fault.Error{
		Code: fault.StepOutOfOrder, Message: "Answer the step " + string(open) + " first.",
		Fields: []fault.Field{{Name: string(open), Code: "open", Message: "This step is still open."}},
	}
}

var errNotChosen = fault.New(fault.NotFound, "This partner was not chosen.")

func invalid(fields ...fault.Field) error {
	return &fault.Error{Code: fault.Invalid, Message: "This answer cannot be taken.", Fields: fields}
}
