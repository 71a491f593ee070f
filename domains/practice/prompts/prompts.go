// Package prompts carries the texts that the model is told. A text never
// changes once it was used: a new wording gets a new version, so that the
// record of each call says what was asked.
package prompts

import _ "embed"

// Versions of the texts in use.
const (
	ScenarioVersion = "scenario.v1"
	PartnerVersion  = "partner.v1"
	RepairVersion   = "repair.v1"
	// InterviewVersion is what an interviewer is told.
	InterviewVersion = "interview.v1"
)

// Scenario tells the model how to write a scenario.
//
//go:embed scenario.v1.txt
var Scenario string

// ScenarioSchema is what the answer must look like. It keeps to the subset
// that strict structured output takes everywhere: every field required, no
// other fields, no lengths; those are checked afterwards.
//
//go:embed scenario.v1.schema.json
var ScenarioSchema []byte

// Repair asks once more for a scenario that could not be used; {{rules}}
// stands for what was wrong with it.
//
//go:embed repair.v1.txt
var Repair string

// Partner tells the model how to play the partner.
//
//go:embed partner.v1.txt
var Partner string

// Interview tells the model how to ask whom a learner talks to.
//
//go:embed interview.v1.txt
var Interview string
