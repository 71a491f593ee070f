package v1

import (
	"context"
	"strings"

	"github.com/fluentpro/fluentpro/domains/onboarding"
)

func (a *API) languages(context.Context, *Request) (Answer, error) {
	type item struct {
		Value string `json:"value"`
		Label string `json:"label"`
	}
	list := []item{}
	for _, l := range onboarding.Reference().Languages {
		list = append(list, item{languageValue(l), l.Name})
	}
	return Answer{Body: object{"languages": list}}, nil
}

func (a *API) setLanguage(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		NativeLanguage string `json:"native_language"`
	}](r)
	if err != nil {
		return Answer{}, err
	}
	if err := a.putLanguage(ctx, r.Learner, in.NativeLanguage); err != nil {
		return Answer{}, err
	}
	l, _ := findLanguage(in.NativeLanguage) // it was found a moment ago
	return Answer{Body: object{"native_language": languageValue(l), "user_id": r.Learner}}, nil
}

func (a *API) industries(context.Context, *Request) (Answer, error) {
	type item struct {
		ID          string `json:"id"`
		Slug        string `json:"slug"`
		Name        string `json:"name"`
		Description string `json:"description"`
		Status      string `json:"status"`
		SortOrder   int    `json:"sort_order"`
	}
	list := []item{}
	for n, i := range onboarding.Reference().Industries {
		list = append(list, item{idOf(kindIndustry, i.Slug), kebab(i.Slug), i.Name, i.Description, "available", n + 1})
	}
	return Answer{Body: object{"industries": list}}, nil
}

// setIndustry takes an id, or a name: one of the list, or the learner's own.
func (a *API) setIndustry(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		IndustryID   string `json:"industry_id"`
		IndustryName string `json:"industry_name"`
	}](r)
	switch {
	case err != nil:
		return Answer{}, err
	case in.IndustryID != "":
		err = a.putIndustry(ctx, r.Learner, in.IndustryID)
	case strings.TrimSpace(in.IndustryName) == "":
		err = required("industry_id")
	default:
		value := onboarding.IndustryAnswer{Other: in.IndustryName}
		for _, i := range onboarding.Reference().Industries {
			if strings.EqualFold(strings.TrimSpace(in.IndustryName), i.Name) || is(in.IndustryName, kindIndustry, i.Slug) {
				value = onboarding.IndustryAnswer{Industry: i.Slug}
			}
		}
		err = renamed(a.answer(ctx, r.Learner, onboarding.StepIndustry, value), map[string]string{"other": "industry_name"})
	}
	if err != nil {
		return Answer{}, err
	}
	v, err := a.onb.View(ctx, onboarding.LearnerID(r.Learner))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: object{"industry_id": idOf(kindIndustry, industryKey(&v)), "industry_name": v.Industry}}, nil
}
