package v1

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// The states of the old users row, as projections of the one aggregate.
const (
	statusPending   = "pending"
	statusBasicInfo = "basic_info"
	statusPersonal  = "personalisation"
	statusAssigning = "course_assignment"
	statusCompleted = "completed"
)

func status(o onboarding.Overview) string {
	done := map[onboarding.Step]bool{}
	begun := false
	for _, s := range o.Steps {
		done[s.Step] = s.Done
		begun = begun || s.Done
	}
	switch {
	case o.Complete:
		return statusCompleted
	case done[onboarding.StepSituations]:
		return statusAssigning
	case done[onboarding.StepRole]:
		return statusPersonal
	case begun:
		return statusBasicInfo
	}
	return statusPending
}

// standing is all that v1 shows of a learner.
type standing struct {
	learner  authentication.LearnerView
	view     onboarding.View
	overview onboarding.Overview
}

func (a *API) standing(ctx context.Context, learner string) (s standing, err error) {
	if s.learner, err = a.auth.Me(ctx, authentication.LearnerID(learner)); err != nil {
		return s, err
	}
	if s.overview, err = a.onb.Get(ctx, onboarding.LearnerID(learner)); err != nil {
		return s, err
	}
	s.view, err = a.onb.View(ctx, onboarding.LearnerID(learner))
	return s, err
}

// language is the value of v1 for a language of the profile, nil for none.
func language(v *onboarding.View) any {
	if l, ok := onboarding.Reference().Language(v.Language); ok {
		return languageValue(l)
	}
	return nil
}

// industryKey is the key of an industry's id: its slug, or the own words.
func industryKey(v *onboarding.View) string {
	if v.IndustrySlug != "" || v.Industry == "" {
		return v.IndustrySlug
	}
	return "custom:" + strings.ToLower(v.Industry)
}

// roleKey is the key of a role's id. A role of one's own belongs to its
// learner, so its id does too.
func roleKey(learner string, v *onboarding.View) string {
	if v.RoleSlug != "" || v.RoleTitle == "" {
		return v.RoleSlug
	}
	return "custom:" + learner + "\x00" + strings.ToLower(v.RoleTitle)
}

func (s standing) profile() object {
	created := time.UnixMilli(s.learner.CreatedAt)
	updated := created
	if s.view.UpdatedAt.After(updated) {
		updated = s.view.UpdatedAt
	}
	out := object{
		"id": s.learner.ID, "email": s.learner.Email,
		"name": s.learner.FullName, "full_name": s.learner.FullName,
		"dob": birth(s.learner), "date_of_birth": birth(s.learner),
		"native_language": language(&s.view), "industry": nil, "role": nil,
		"onboarding_status": status(s.overview), "created_at": iso(created), "updated_at": iso(updated),
	}
	if key := industryKey(&s.view); key != "" {
		out["industry"] = object{"id": idOf(kindIndustry, key), "name": s.view.Industry}
	}
	if key := roleKey(string(s.learner.ID), &s.view); key != "" {
		out["role"] = object{"id": idOf(kindRole, key), "title": s.view.RoleTitle}
	}
	return out
}

func (a *API) profile(ctx context.Context, r *Request) (Answer, error) {
	s, err := a.standing(ctx, r.Learner)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: s.profile()}, nil
}

// answer sets a step and ends onboarding if that was the last thing this
// version asks for.
func (a *API) answer(ctx context.Context, learner string, step onboarding.Step, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if _, err := a.onb.Answer(ctx, onboarding.LearnerID(learner), string(step), raw); err != nil {
		return err
	}
	_, err = a.onb.Settle(ctx, onboarding.LearnerID(learner))
	return err
}

// updateProfile sets each field by itself, in the order of the steps, and
// tells of each what came of it. Something set is 200, nothing set is 400.
func (a *API) updateProfile(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		NativeLanguage *string `json:"native_language"`
		IndustryID     *string `json:"industry_id"`
		RoleID         *string `json:"role_id"`
	}](r)
	if err != nil {
		return Answer{}, err
	}
	fields := []struct {
		name  string
		value *string
		set   func(context.Context, string, string) error
	}{{"native_language", in.NativeLanguage, a.putLanguage}, {"industry_id", in.IndustryID, a.putIndustry}, {"role_id", in.RoleID, a.putRole}}
	results, set := object{}, 0
	failed := &fault.Error{Code: fault.Invalid, Message: "Nothing was changed."}
	for _, f := range fields {
		if f.value == nil {
			continue
		}
		err := f.set(ctx, r.Learner, *f.value)
		if err == nil {
			set++
			results[f.name] = object{"success": true}
			continue
		}
		of := fault.Of(err)
		if fault.SpecOf(of.Code).Status >= http.StatusInternalServerError {
			return Answer{}, err // not this field's fault
		}
		text := of.Message
		if len(of.Fields) == 1 {
			text = of.Fields[0].Message
		}
		results[f.name] = object{"success": false, "error": text, "error_code": of.Code}
		failed.Fields = append(failed.Fields, fault.Field{Name: f.name, Code: string(of.Code), Message: text})
	}
	if len(results) == 0 {
		return Answer{}, fault.New(fault.Invalid, "Send native_language, industry_id or role_id.")
	}
	if set == 0 {
		return Answer{}, failed
	}
	s, err := a.standing(ctx, r.Learner)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: object{"results": results, "user_profile": s.profile()}}, nil
}

func (a *API) putLanguage(ctx context.Context, learner, value string) error {
	if value == "" {
		return required("native_language")
	}
	l, ok := findLanguage(value)
	if !ok {
		return invalid("native_language", "unknown", "This language is not in the list.")
	}
	return a.answer(ctx, learner, onboarding.StepLanguage, onboarding.LanguageAnswer{Language: l.Slug})
}

func (a *API) putIndustry(ctx context.Context, learner, id string) error {
	i, ok := findIndustry(id)
	if !ok {
		return fault.New(fault.NotFound, "There is no such industry.")
	}
	return a.answer(ctx, learner, onboarding.StepIndustry, onboarding.IndustryAnswer{Industry: i.Slug})
}

// putRole also takes the id of the learner's own role, which changes nothing.
func (a *API) putRole(ctx context.Context, learner, id string) error {
	role, ok := findRole(id)
	if !ok {
		v, err := a.onb.View(ctx, onboarding.LearnerID(learner))
		if err != nil {
			return err
		}
		if key := roleKey(learner, &v); v.RoleSlug == "" && key != "" && strings.EqualFold(id, idOf(kindRole, key)) {
			return nil
		}
		return fault.New(fault.NotFound, "There is no such role.")
	}
	return a.answer(ctx, learner, onboarding.StepRole, onboarding.RoleAnswer{Role: role.Slug})
}
