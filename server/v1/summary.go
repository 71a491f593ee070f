package v1

import (
	"context"

	"github.com/fluentpro/fluentpro/domains/onboarding"
)

// progressSteps are the steps as v1 shows them: what it asks for itself.
var progressSteps = []struct {
	name string
	step onboarding.Step
}{
	{"native_language", onboarding.StepLanguage}, {"industry", onboarding.StepIndustry}, {"job_input", onboarding.StepJob},
	{"role", onboarding.StepRole}, {"communication_partners", onboarding.StepPartners}, {"units", onboarding.StepSituations},
}

func progress(o onboarding.Overview) object {
	done := map[onboarding.Step]bool{}
	for _, s := range o.Steps {
		done[s.Step] = s.Done
	}
	steps, n := object{}, 0
	for _, s := range progressSteps {
		steps[s.name] = done[s.step]
		if done[s.step] {
			n++
		}
	}
	return object{"steps": steps, "completion_percentage": 100 * n / len(progressSteps), "is_complete": o.Complete}
}

// summary shows what was answered and nothing else: what is missing is null or
// empty, never made up.
func (a *API) summary(ctx context.Context, r *Request) (Answer, error) {
	s, err := a.standing(ctx, r.Learner)
	if err != nil {
		return Answer{}, err
	}
	partners, units := chosen(&s.view), 0
	type withUnits struct {
		Partner chosenPartner `json:"partner"`
		Units   []chosenUnit  `json:"units"`
	}
	each := []withUnits{}
	for n, p := range s.view.Partners {
		list := chosenUnits(p)
		units += len(list)
		each = append(each, withUnits{partners[n], list})
	}
	return Answer{Body: object{
		"user_profile": s.profile(), "partners": partners, "partners_with_units": each,
		"totals":              object{"total_partners": len(partners), "total_units": units},
		"onboarding_progress": progress(s.overview),
	}}, nil
}
