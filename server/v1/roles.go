package v1

import (
	"context"
	"net/http"
	"strings"

	"github.com/fluentpro/fluentpro/domains/onboarding"
)

// maxKeywords is how many words a learner's own role is found by.
const maxKeywords = 8

// roleItem is a role as v1 shows it.
type roleItem struct {
	ID             string   `json:"id"`
	Title          string   `json:"title"`
	Description    string   `json:"description"`
	IndustryName   string   `json:"industry_name"`
	HierarchyLevel string   `json:"hierarchy_level"`
	SearchKeywords []string `json:"search_keywords"`
}

// matchItem is a role that was found. The old number looked like a probability
// and was a raw score; now it stands for a word: 0.9 strong, 0.7 possible.
type matchItem struct {
	roleItem
	RelevanceScore float64 `json:"relevance_score"`
	MatchStrength  string  `json:"match_strength"`
}

func roleOf(r onboarding.Role) roleItem {
	i, _ := onboarding.Reference().Industry(r.Industry) // reference data refers to itself
	return roleItem{idOf(kindRole, r.Slug), r.Title, r.Description, i.Name, r.Hierarchy, r.Keywords}
}

// currentRole is the learner's role, from the list or their own.
func currentRole(learner string, v *onboarding.View) roleItem {
	if r, ok := onboarding.Reference().Role(v.RoleSlug); ok {
		return roleOf(r)
	}
	rank := v.RoleHierarchy
	if rank == "" {
		rank = onboarding.Hierarchies[0]
	}
	return roleItem{idOf(kindRole, roleKey(learner, v)), v.RoleTitle, v.RoleDescription, v.Industry, rank,
		onboarding.Keywords(v.RoleTitle, v.RoleDescription, maxKeywords)}
}

type jobIn struct {
	JobTitle       string `json:"job_title"`
	JobDescription string `json:"job_description"`
	HierarchyLevel string `json:"hierarchy_level"`
}

var jobNames = map[string]string{"title": "job_title", "description": "job_description"}

func (a *API) jobInput(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[jobIn](r)
	if err != nil {
		return Answer{}, err
	}
	err = a.answer(ctx, r.Learner, onboarding.StepJob, onboarding.Job{Title: in.JobTitle, Description: in.JobDescription})
	if err != nil {
		return Answer{}, renamed(err, jobNames)
	}
	found, err := a.onb.RoleMatches(ctx, onboarding.LearnerID(r.Learner))
	if err != nil {
		return Answer{}, err
	}
	list := []matchItem{}
	for _, m := range found {
		role, ok := onboarding.Reference().Role(m.Role)
		if !ok {
			continue
		}
		score := 0.7
		if m.Strength == onboarding.Strong {
			score = 0.9
		}
		list = append(list, matchItem{roleOf(role), score, m.Strength})
	}
	return Answer{Body: object{
		"user_job_input": object{"job_title": strings.TrimSpace(in.JobTitle), "job_description": strings.TrimSpace(in.JobDescription)},
		"matched_roles":  list, "total_matches": len(list),
	}}, nil
}

func (a *API) selectRole(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		RoleID string `json:"role_id"`
	}](r)
	switch {
	case err != nil:
		return Answer{}, err
	case in.RoleID == "":
		return Answer{}, required("role_id")
	}
	if err := a.putRole(ctx, r.Learner, in.RoleID); err != nil {
		return Answer{}, renamed(err, map[string]string{"role": "role_id"})
	}
	s, err := a.standing(ctx, r.Learner)
	if err != nil {
		return Answer{}, err
	}
	source := "selected"
	if s.view.RoleSlug == "" {
		source = "created"
	}
	return Answer{Body: object{"selected_role": currentRole(r.Learner, &s.view), "role_source": source, "user_profile": s.profile()}}, nil
}

// newRole makes a role of the learner's own; it is nobody else's. The app may
// come here without a search before, so the job is learned from it too while
// that is open.
func (a *API) newRole(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[jobIn](r)
	if err != nil {
		return Answer{}, err
	}
	o, err := a.onb.Get(ctx, onboarding.LearnerID(r.Learner))
	if err != nil {
		return Answer{}, err
	}
	if o.CurrentStep == onboarding.StepJob {
		err = a.answer(ctx, r.Learner, onboarding.StepJob, onboarding.Job{Title: in.JobTitle, Description: in.JobDescription})
		if err != nil {
			return Answer{}, renamed(err, jobNames)
		}
	}
	err = a.answer(ctx, r.Learner, onboarding.StepRole, onboarding.RoleAnswer{Custom: &onboarding.CustomRole{
		Title: in.JobTitle, Description: in.JobDescription, Hierarchy: in.HierarchyLevel,
	}})
	if err != nil {
		return Answer{}, renamed(err, map[string]string{
			"custom.title": "job_title", "custom.description": "job_description", "custom.hierarchy": "hierarchy_level"})
	}
	s, err := a.standing(ctx, r.Learner)
	if err != nil {
		return Answer{}, err
	}
	role := currentRole(r.Learner, &s.view)
	return Answer{Status: http.StatusCreated, Body: object{
		"new_role": object{
			"id": role.ID, "title": role.Title, "description": role.Description, "industry_name": role.IndustryName,
			"hierarchy_level": role.HierarchyLevel, "search_keywords": role.SearchKeywords,
			"original_description": in.JobDescription, "generated_keywords": role.SearchKeywords,
		},
		"role_source": "created", "user_profile": s.profile(),
	}}, nil
}
