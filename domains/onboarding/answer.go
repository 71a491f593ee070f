package onboarding

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// Answer is the value of one step, as it stands on the wire.
type Answer interface {
	step() Step
}

// LanguageAnswer names the native language by its tag.
type LanguageAnswer struct {
	Language string `json:"language"`
}

// IndustryAnswer names a known industry, or another in the learner's words.
type IndustryAnswer struct {
	Industry string `json:"industry,omitempty"`
	Other    string `json:"other,omitempty"`
}

// Job is the learner's own description of the job, and the answer of its step.
type Job struct {
	Title       string `json:"title"`
	Description string `json:"description"`
}

// RoleAnswer names a known role, or describes an own one.
type RoleAnswer struct {
	Role   string      `json:"role,omitempty"`
	Custom *CustomRole `json:"custom,omitempty"`
}

// CustomRole is a role in the learner's own words.
type CustomRole struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Hierarchy   string `json:"hierarchy,omitempty" doc:"associate, supervisor, manager or director; may be left out"`
}

// PartnersAnswer lists the partners; the order is the priority.
type PartnersAnswer struct {
	Partners []PartnerChoice `json:"partners"`
}

// PartnerChoice is a known partner, or one in the learner's words.
type PartnerChoice struct {
	Partner string `json:"partner,omitempty"`
	Custom  string `json:"custom,omitempty"`
}

// SituationsAnswer has one entry for every chosen partner.
type SituationsAnswer struct {
	Situations []PartnerSituations `json:"situations"`
}

// PartnerSituations lists the situations with one partner; the order is the
// priority. Partner is a slug, or "custom:" and the text.
type PartnerSituations struct {
	Partner    string            `json:"partner"`
	Situations []SituationChoice `json:"situations"`
}

// SituationChoice is a known situation, or one in the learner's words.
type SituationChoice struct {
	Situation string `json:"situation,omitempty"`
	Custom    string `json:"custom,omitempty"`
}

// LevelAnswer is the self-assessed CEFR level.
type LevelAnswer struct {
	Level string `json:"level"`
}

// SummaryAnswer says that the learner has read and confirmed all answers.
type SummaryAnswer struct {
	Confirmed bool `json:"confirmed"`
}

func (LanguageAnswer) step() Step   { return StepLanguage }
func (IndustryAnswer) step() Step   { return StepIndustry }
func (Job) step() Step              { return StepJob }
func (RoleAnswer) step() Step       { return StepRole }
func (PartnersAnswer) step() Step   { return StepPartners }
func (SituationsAnswer) step() Step { return StepSituations }
func (LevelAnswer) step() Step      { return StepLevel }
func (SummaryAnswer) step() Step    { return StepSummary }

func decodeAnswer(st Step, raw json.RawMessage) (Answer, error) {
	switch st {
	case StepLanguage:
		return decode[LanguageAnswer](raw)
	case StepIndustry:
		return decode[IndustryAnswer](raw)
	case StepJob:
		return decode[Job](raw)
	case StepRole:
		return decode[RoleAnswer](raw)
	case StepPartners:
		return decode[PartnersAnswer](raw)
	case StepSituations:
		return decode[SituationsAnswer](raw)
	case StepLevel:
		return decode[LevelAnswer](raw)
	default:
		return decode[SummaryAnswer](raw)
	}
}

// decode reads one JSON object strictly: an unknown field is more likely a
// mistake than a wish to be ignored.
func decode[T Answer](raw json.RawMessage) (Answer, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(&v)
	if err == nil {
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, fault.New(fault.BadRequest, "The body must be one JSON object.")
		}
		if t := bytes.TrimSpace(raw); len(t) == 0 || t[0] != '{' {
			return nil, invalid(fault.Field{Name: "", Code: "wrong_type", Message: "The answer is a JSON object."})
		}
		return v, nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return nil, invalid(fault.Field{Name: wrong.Field, Code: "wrong_type", Message: "This has the wrong type."})
	}
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name, _ := strconv.Unquote(quoted)
		if len(name) > 64 {
			name = ""
		}
		return nil, invalid(fault.Field{Name: name, Code: "unknown", Message: "There is no such field."})
	}
	return nil, fault.Wrap(err, fault.BadRequest, "The body is not JSON.")
}
