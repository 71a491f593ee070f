package onboarding

import "time"

// Overview tells where a learner stands.
type Overview struct {
	// CurrentStep is the first open step, "complete" when none is.
	CurrentStep Step        `json:"current_step"`
	Complete    bool        `json:"complete"`
	Steps       []StepState `json:"steps"`
}

// StepState is one step with its answer; Value is nil while there is none.
type StepState struct {
	Step  Step   `json:"step"`
	Done  bool   `json:"done"`
	Stale bool   `json:"stale"`
	Value Answer `json:"value"`
}

// StepDetail is one step with what can be chosen there.
type StepDetail struct {
	StepState
	Options []Option `json:"options,omitempty"`
}

// View is the profile for those who write practice from it.
type View struct {
	// Language is the tag of the native language, LanguageName its English name.
	Language, LanguageName string
	// Industry is the name for people, IndustrySlug empty for an own one.
	Industry, IndustrySlug string
	JobTitle               string
	JobDescription         string
	RoleTitle              string
	RoleDescription        string
	// RoleSlug is empty for an own role.
	RoleSlug string
	// RoleHierarchy is the rank of the role, "" where it is not known.
	RoleHierarchy string
	Level         string
	// Partners stand in the learner's order of priority.
	Partners []PartnerView
	Complete bool
	// UpdatedAt is when the profile was last stored, zero when it never was.
	UpdatedAt time.Time
}

// PartnerView is a partner with the situations to practise, by priority. Slug
// is "custom:" and the text for an own one.
type PartnerView struct {
	Slug, Name string
	Situations []SituationView
}

// SituationView is a situation. Slug is "custom:" and the text for an own one,
// which has no description.
type SituationView struct {
	Slug, Name, Description string
}

// View is the profile for those who write practice from it.
func (p *Profile) View() View {
	ref, r := Reference(), &p.rec
	v := View{
		Language: r.Language, Level: r.Level, Complete: p.IsComplete(),
		JobTitle: r.Job.Title, JobDescription: r.Job.Description,
		Industry: r.Industry.Custom, IndustrySlug: r.Industry.Slug,
		RoleTitle: r.Role.Custom.Title, RoleDescription: r.Role.Custom.Description, RoleSlug: r.Role.Slug,
		RoleHierarchy: r.Role.Custom.Hierarchy, UpdatedAt: r.UpdatedAt,
	}
	if l, ok := ref.Language(r.Language); ok {
		v.LanguageName = l.English
	}
	if i, ok := ref.Industry(r.Industry.Slug); ok {
		v.Industry = i.Name
	}
	if role, ok := ref.Role(r.Role.Slug); ok {
		v.RoleTitle, v.RoleDescription, v.RoleHierarchy = role.Title, role.Description, role.Hierarchy
	}
	for _, c := range r.Partners {
		pv := PartnerView{Slug: c.Key(), Name: c.Custom}
		if known, ok := ref.Partner(c.Slug); ok {
			pv.Name = known.Name
		}
		for _, s := range r.with(c.Key()) {
			sv := SituationView{Slug: s.Key(), Name: s.Custom}
			if known, ok := ref.Situation(s.Slug); ok {
				sv.Name, sv.Description = known.Name, known.Description
			}
			pv.Situations = append(pv.Situations, sv)
		}
		v.Partners = append(v.Partners, pv)
	}
	return v
}

// Overview tells where the learner stands.
func (p *Profile) Overview() Overview {
	o := Overview{CurrentStep: p.Open(), Complete: p.IsComplete()}
	for _, st := range Steps {
		o.Steps = append(o.Steps, p.step(st))
	}
	return o
}

func (p *Profile) step(st Step) StepState {
	return StepState{Step: st, Done: p.Done(st), Stale: p.stale(st), Value: answerOf(&p.rec, st)}
}

// answerOf is a step's answer as it would be sent, nil while there is none.
func answerOf(r *Record, st Step) Answer {
	switch {
	case st == StepLanguage && r.Language != "":
		return LanguageAnswer{r.Language}
	case st == StepIndustry && !r.Industry.none():
		return IndustryAnswer{r.Industry.Slug, r.Industry.Custom}
	case st == StepJob && r.Job != Job{}:
		return r.Job
	case st == StepRole && r.Role.Slug != "":
		return RoleAnswer{Role: r.Role.Slug}
	case st == StepRole && r.Role != RoleRecord{}:
		custom := r.Role.Custom
		return RoleAnswer{Custom: &custom}
	case st == StepPartners && len(r.Partners) > 0:
		a := PartnersAnswer{}
		for _, c := range r.Partners {
			a.Partners = append(a.Partners, PartnerChoice{c.Slug, c.Custom})
		}
		return a
	case st == StepSituations && len(r.Situations) > 0:
		a := SituationsAnswer{}
		for _, s := range r.Situations {
			e := PartnerSituations{Partner: s.Partner}
			for _, c := range s.Situations {
				e.Situations = append(e.Situations, SituationChoice{c.Slug, c.Custom})
			}
			a.Situations = append(a.Situations, e)
		}
		return a
	case st == StepLevel && r.Level != "":
		return LevelAnswer{r.Level}
	case st == StepSummary && r.Confirmed:
		return SummaryAnswer{true}
	}
	return nil
}

// options are what can be chosen at a step; the role's are those of the
// learner's industry.
func (p *Profile) options(st Step) []Option {
	c := Reference()
	switch st {
	case StepLanguage:
		return c.languageOptions()
	case StepIndustry:
		return c.industryOptions()
	case StepRole:
		return c.roleOptions(p.rec.Industry.Slug)
	case StepPartners:
		return c.partnerOptions()
	case StepSituations:
		return c.situationOptions()
	case StepLevel:
		return c.levelOptions()
	}
	return nil
}
