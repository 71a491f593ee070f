package server

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Onboarding is what the onboarding routes call; onboarding.Service is one.
type Onboarding interface {
	Get(ctx context.Context, learner onboarding.LearnerID) (onboarding.Overview, error)
	Step(ctx context.Context, learner onboarding.LearnerID, step string) (onboarding.StepDetail, error)
	Answer(ctx context.Context, learner onboarding.LearnerID, step string, value json.RawMessage) (onboarding.Overview, error)
	Complete(ctx context.Context, learner onboarding.LearnerID) (onboarding.Overview, error)
	Options(kind, industry string) ([]onboarding.Option, error)
	RoleMatches(ctx context.Context, learner onboarding.LearnerID) ([]onboarding.RoleMatch, error)
}

const tagOnboarding = "Onboarding"

func (s *Server) onboardingRoutes(a *api) {
	overview := onboarding.Overview{CurrentStep: onboarding.StepIndustry, Steps: []onboarding.StepState{
		{Step: onboarding.StepLanguage, Done: true, Value: onboarding.LanguageAnswer{Language: "zh_Hant"}},
		{Step: onboarding.StepIndustry},
	}}
	add(a, route{
		ID: "get-onboarding", Method: http.MethodGet, Path: "/onboarding", Tag: tagOnboarding,
		Summary: "Where you stand", Fails: []fault.Code{fault.StorageUnavailable}, Response: overview,
		Description: "current_step is the first open step, complete when all are answered. A stale step was answered and must be answered again.",
	}, s.getOnboarding)
	add(a, route{
		ID: "get-onboarding-step", Method: http.MethodGet, Path: "/onboarding/steps/{step}", Tag: tagOnboarding,
		Summary: "One step with its answer and what can be chosen", Fails: []fault.Code{fault.UnknownStep, fault.StorageUnavailable},
		Response: onboarding.StepDetail{StepState: overview.Steps[0], Options: []onboarding.Option{{Slug: "zh_Hant", Name: "繁體中文", English: "Chinese (Traditional)"}}},
	}, s.getStep)
	add(a, route{
		ID: "set-onboarding-step", Method: http.MethodPut, Path: "/onboarding/steps/{step}", Tag: tagOnboarding,
		Summary:     "Answer a step, or change its answer",
		Description: "Every earlier step must be done. Slugs are taken with - or _. The order of partners and situations is their priority.",
		Fails:       []fault.Code{fault.UnknownStep, fault.StepOutOfOrder, fault.Conflict, fault.StorageUnavailable},
		Request:     onboarding.LanguageAnswer{Language: "zh_Hant"}, Response: overview,
	}, s.setStep)
	add(a, route{
		ID: "complete-onboarding", Method: http.MethodPost, Path: "/onboarding/complete", Tag: tagOnboarding,
		Summary: "Finish onboarding; repeatable", Fails: []fault.Code{fault.StepOutOfOrder, fault.Conflict, fault.StorageUnavailable},
		Response: onboarding.Overview{CurrentStep: onboarding.StepComplete, Complete: true, Steps: overview.Steps[:1]},
	}, s.completeOnboarding)
	add(a, route{
		ID: "list-onboarding-options", Method: http.MethodGet, Path: "/onboarding/options/{kind}", Tag: tagOnboarding,
		Summary: "What can be chosen of a kind", Fails: []fault.Code{fault.NotFound, fault.Invalid},
		Response: optionList{Options: []onboarding.Option{{Slug: "zh_Hant", Name: "繁體中文", English: "Chinese (Traditional)"}}},
	}, s.listOptions)
	add(a, route{
		ID: "list-role-matches", Method: http.MethodGet, Path: "/onboarding/role-matches", Tag: tagOnboarding,
		Summary:     "Roles that fit the job you described, best first",
		Description: "Needs the step job. None may match; a role of your own is always possible.",
		Fails:       []fault.Code{fault.StepOutOfOrder, fault.StorageUnavailable},
		Response: matchList{Matches: []onboarding.RoleMatch{{Role: "credit_analyst", Title: "Credit Analyst",
			Description: "Studies borrowers' figures and recommends whether and how to lend.", Strength: onboarding.Strong}}},
	}, s.listRoleMatches)
	documentAnswers(a)
}

// documentAnswers names the answer of each step in the document; in Go it is
// an interface, which huma shows as anything at all.
func documentAnswers(a *api) {
	registry := a.OpenAPI().Components.Schemas
	var each []*huma.Schema
	for _, t := range []reflect.Type{
		reflect.TypeFor[onboarding.LanguageAnswer](), reflect.TypeFor[onboarding.IndustryAnswer](), reflect.TypeFor[onboarding.Job](),
		reflect.TypeFor[onboarding.RoleAnswer](), reflect.TypeFor[onboarding.PartnersAnswer](), reflect.TypeFor[onboarding.SituationsAnswer](),
		reflect.TypeFor[onboarding.LevelAnswer](), reflect.TypeFor[onboarding.SummaryAnswer](),
	} {
		each = append(each, registry.Schema(t, true, ""))
	}
	a.OpenAPI().Paths["/onboarding/steps/{step}"].Put.RequestBody.Content["application/json"].Schema = &huma.Schema{AnyOf: each}
	orNull := &huma.Schema{AnyOf: append(each[:len(each):len(each)], &huma.Schema{Type: "null"}), Description: "The answer, null while there is none"}
	for _, name := range []string{"StepState", "StepDetail"} {
		registry.Map()[name].Properties["value"] = orNull
	}
}

type onboardingOut struct{ Body onboarding.Overview }

func (s *Server) getOnboarding(ctx context.Context, _ *struct{}) (*onboardingOut, error) {
	o, err := s.deps.Onboarding.Get(ctx, onboarding.LearnerID(learnerOf(ctx)))
	if err != nil {
		return nil, err
	}
	return &onboardingOut{Body: o}, nil
}

type stepIn struct {
	Step string `path:"step" doc:"language, industry, job, role, partners, situations, level or summary"`
}

type stepOut struct{ Body onboarding.StepDetail }

func (s *Server) getStep(ctx context.Context, in *stepIn) (*stepOut, error) {
	d, err := s.deps.Onboarding.Step(ctx, onboarding.LearnerID(learnerOf(ctx)), in.Step)
	if err != nil {
		return nil, err
	}
	return &stepOut{Body: d}, nil
}

type setStepIn struct {
	Step string `path:"step" doc:"language, industry, job, role, partners, situations, level or summary"`
	Body json.RawMessage
}

func (s *Server) setStep(ctx context.Context, in *setStepIn) (*onboardingOut, error) {
	o, err := s.deps.Onboarding.Answer(ctx, onboarding.LearnerID(learnerOf(ctx)), in.Step, in.Body)
	if err != nil {
		return nil, err
	}
	return &onboardingOut{Body: o}, nil
}

func (s *Server) completeOnboarding(ctx context.Context, _ *struct{}) (*onboardingOut, error) {
	o, err := s.deps.Onboarding.Complete(ctx, onboarding.LearnerID(learnerOf(ctx)))
	if err != nil {
		return nil, err
	}
	return &onboardingOut{Body: o}, nil
}

type optionsIn struct {
	Kind     string `path:"kind" doc:"languages, industries, roles, partners, situations or levels"`
	Industry string `query:"industry" maxLength:"64" doc:"Narrows roles"`
}

type optionList struct {
	Options []onboarding.Option `json:"options"`
}

type optionsOut struct{ Body optionList }

func (s *Server) listOptions(_ context.Context, in *optionsIn) (*optionsOut, error) {
	list, err := s.deps.Onboarding.Options(in.Kind, in.Industry)
	if err != nil {
		return nil, err
	}
	return &optionsOut{Body: optionList{Options: list}}, nil
}

type matchList struct {
	Matches []onboarding.RoleMatch `json:"matches"`
}

type matchesOut struct{ Body matchList }

func (s *Server) listRoleMatches(ctx context.Context, _ *struct{}) (*matchesOut, error) {
	list, err := s.deps.Onboarding.RoleMatches(ctx, onboarding.LearnerID(learnerOf(ctx)))
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []onboarding.RoleMatch{}
	}
	return &matchesOut{Body: matchList{Matches: list}}, nil
}
