package onboarding

import (
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// The most that can be chosen.
const (
	maxPartners         = 10
	maxCustomPartners   = 5
	maxSituations       = 20
	maxCustomSituations = 10
)

// Profile is what a learner has told. It changes by Answer and Complete only.
type Profile struct {
	rec Record
}

// Record is what a store keeps of a Profile: the JSON fields as one document,
// the others beside it.
type Record struct {
	Learner LearnerID `json:"-"`
	// Version counts the stored changes; 0 was never stored.
	Version int64 `json:"-"`
	// UpdatedAt is when it was last stored; the store's own.
	UpdatedAt  time.Time             `json:"-"`
	Language   string                `json:"language,omitempty"`
	Industry   Choice                `json:"industry,omitzero"`
	Job        Job                   `json:"job,omitzero"`
	Role       RoleRecord            `json:"role,omitzero"`
	Partners   []Choice              `json:"partners,omitempty"`
	Situations []PartnerChoiceRecord `json:"situations,omitempty"`
	Level      string                `json:"level,omitempty"`
	Confirmed  bool                  `json:"confirmed,omitempty"`
	// Stale are steps that were answered and must be answered again.
	Stale []Step `json:"stale,omitempty"`
	// CompletedAt is when onboarding was first completed.
	CompletedAt time.Time `json:"completed_at,omitzero"`
}

// RoleRecord is a known role or an own one.
type RoleRecord struct {
	Slug   string     `json:"slug,omitempty"`
	Custom CustomRole `json:"custom,omitzero"`
}

// PartnerChoiceRecord is the situations chosen with the partner of that key.
type PartnerChoiceRecord struct {
	Partner    string   `json:"partner"`
	Situations []Choice `json:"situations"`
}

// NewProfile makes the empty profile of a learner.
func NewProfile(learner LearnerID) *Profile { return &Profile{Record{Learner: learner}} }

// Rehydrate makes a Profile of what a store kept; it checks nothing.
func Rehydrate(rec Record) *Profile { return &Profile{rec} }

// Record is what a store keeps. Its slices are the profile's own: read them.
func (p *Profile) Record() Record { return p.rec }

// Done says whether a step is answered and its answer holds.
func (p *Profile) Done(st Step) bool { return p.answered(st) && !p.stale(st) }

// Open is the first step that is not done, StepComplete when all are.
func (p *Profile) Open() Step {
	for _, st := range Steps {
		if !p.Done(st) {
			return st
		}
	}
	return StepComplete
}

// IsComplete says whether onboarding was completed and every answer holds.
func (p *Profile) IsComplete() bool {
	return !p.rec.CompletedAt.IsZero() && p.Open() == StepComplete
}

// Complete ends onboarding. It needs every step and may be repeated; the time
// of the first completion stays.
func (p *Profile) Complete(now time.Time) error {
	if open := p.Open(); open != StepComplete {
		return errOpen(open)
	}
	if p.rec.CompletedAt.IsZero() {
		p.rec.CompletedAt = now
	}
	return nil
}

// Answer sets a step. On an error nothing has changed.
func (p *Profile) Answer(a Answer) error {
	st := a.step()
	if err := p.reachable(st); err != nil {
		return err
	}
	next := p.rec
	if err := next.apply(a); err != nil {
		return err
	}
	if next.has(st) {
		next.Stale = without(next.Stale, st)
	}
	if !reflect.DeepEqual(answerOf(&p.rec, st), answerOf(&next, st)) {
		next.follow(st, &p.rec)
	}
	p.rec = next
	return nil
}

// reachable says whether a step can be answered now.
func (p *Profile) reachable(st Step) error {
	for _, before := range Steps {
		if before == st {
			return nil
		}
		if !p.Done(before) {
			return errOpen(before)
		}
	}
	return nil
}

func (p *Profile) stale(st Step) bool { return slices.Contains(p.rec.Stale, st) }

func (p *Profile) answered(st Step) bool { return p.rec.has(st) }

// has says whether there is an answer to a step, stale or not.
func (r *Record) has(st Step) bool {
	switch st {
	case StepLanguage:
		return r.Language != ""
	case StepIndustry:
		return !r.Industry.none()
	case StepJob:
		return r.Job.Title != ""
	case StepRole:
		return r.Role != RoleRecord{}
	case StepPartners:
		return len(r.Partners) > 0
	case StepSituations:
		return r.covered()
	case StepLevel:
		return r.Level != ""
	default:
		return r.Confirmed
	}
}

// covered says whether every partner has a situation.
func (r *Record) covered() bool {
	for _, c := range r.Partners {
		if len(r.with(c.Key())) == 0 {
			return false
		}
	}
	return len(r.Partners) > 0
}

// with are the situations chosen with a partner.
func (r *Record) with(partner string) []Choice {
	for _, s := range r.Situations {
		if s.Partner == partner {
			return s.Situations
		}
	}
	return nil
}

// follow makes stale what hangs on a step whose answer has changed.
func (r *Record) follow(st Step, before *Record) {
	switch st {
	case StepIndustry:
		r.followIndustry()
	case StepPartners:
		r.followPartners(before)
	}
	if st != StepSummary && r.Confirmed {
		r.Confirmed = false
		r.Stale = with(r.Stale, StepSummary)
	}
}

// followIndustry asks for the role again, and drops one that the new industry
// does not have.
func (r *Record) followIndustry() {
	if r.Role == (RoleRecord{}) {
		return
	}
	if role, ok := Reference().Role(r.Role.Slug); ok && r.Industry.Slug != "" && role.Industry != r.Industry.Slug {
		r.Role = RoleRecord{}
	}
	r.Stale = with(r.Stale, StepRole)
}

// followPartners forgets the situations of partners that went, puts the rest
// in the partners' order, and asks again when a partner has none.
func (r *Record) followPartners(before *Record) {
	asked := len(before.Situations) > 0 || slices.Contains(before.Stale, StepSituations)
	var kept []PartnerChoiceRecord
	for _, c := range r.Partners {
		if s := before.with(c.Key()); len(s) > 0 {
			kept = append(kept, PartnerChoiceRecord{c.Key(), s})
		}
	}
	r.Situations = kept
	r.Stale = without(r.Stale, StepSituations)
	if asked && !r.covered() {
		r.Stale = with(r.Stale, StepSituations)
	}
}

// with and without never write into the slice they are given: records share it.
func with(list []Step, st Step) []Step {
	return append(without(list, st), st)
}

func without(list []Step, st Step) []Step {
	var out []Step
	for _, s := range list {
		if s != st {
			out = append(out, s)
		}
	}
	return out
}

// apply checks an answer and sets it.
func (r *Record) apply(a Answer) error {
	ref, c := Reference(), &checker{}
	switch a := a.(type) {
	case LanguageAnswer:
		l, ok := ref.Language(a.Language)
		c.known("language", a.Language, ok)
		r.Language = l.Slug
	case IndustryAnswer:
		r.Industry = c.choice("industry", "other", a.Industry, a.Other, func(s string) (string, bool) {
			i, ok := ref.Industry(s)
			return i.Slug, ok
		})
	case Job:
		r.Job = Job{
			Title:       c.line("title", a.Title, minJobTitle, maxJobTitle),
			Description: c.block("description", a.Description, minJobDescription, maxJobDescription),
		}
	case RoleAnswer:
		r.Role = r.role(c, a)
	case PartnersAnswer:
		r.Partners = partners(c, a)
	case SituationsAnswer:
		r.Situations = r.situations(c, a)
	case partnerSituations:
		list, err := r.oneMore(c, a)
		if err != nil {
			return err
		}
		r.Situations = list
	case LevelAnswer:
		l, ok := ref.Level(a.Level)
		c.known("level", a.Level, ok)
		r.Level = l.Slug
	case SummaryAnswer:
		if !a.Confirmed {
			c.add("confirmed", "required", "The summary must be confirmed.")
		}
		r.Confirmed = a.Confirmed
	}
	return c.err()
}

func (c *checker) known(name, value string, ok bool) {
	switch {
	case ok:
	case value == "":
		c.add(name, "required", "Choose one.")
	default:
		c.add(name, "unknown", "This is not in the list.")
	}
}

// choice reads a known name or own words.
func (c *checker) choice(name, ownName, known, own string, look func(string) (string, bool)) Choice {
	if !c.one(name, known, own) {
		return Choice{}
	}
	if own != "" {
		return Choice{Custom: c.line(ownName, own, minCustom, maxCustom)}
	}
	s, ok := look(known)
	c.known(name, known, ok)
	return Choice{Slug: s}
}

func (r *Record) role(c *checker, a RoleAnswer) RoleRecord {
	switch {
	case a.Role == "" && a.Custom == nil:
		c.add("role", "required", "Choose a role, or describe your own.")
	case a.Role != "" && a.Custom != nil:
		c.add("role", "ambiguous", "Choose a role or describe your own, not both.")
	case a.Custom != nil:
		return RoleRecord{Custom: CustomRole{
			Title:       c.line("custom.title", a.Custom.Title, minRoleTitle, maxRoleTitle),
			Description: c.block("custom.description", a.Custom.Description, minRoleText, maxRoleText),
			Hierarchy:   c.rank("custom.hierarchy", a.Custom.Hierarchy),
		}}
	default:
		role, ok := Reference().Role(a.Role)
		if ok && r.Industry.Slug != "" && role.Industry != r.Industry.Slug {
			c.add("role", "other_industry", "This role belongs to another industry.")
			return RoleRecord{}
		}
		c.known("role", a.Role, ok)
		return RoleRecord{Slug: role.Slug}
	}
	return RoleRecord{}
}

func partners(c *checker, a PartnersAnswer) []Choice {
	if len(a.Partners) == 0 {
		c.add("partners", "required", "Choose at least one partner.")
	}
	if len(a.Partners) > maxPartners+maxCustomPartners {
		c.add("partners", "too_many", "Choose at most 10 partners and write at most 5 of your own.")
		return nil
	}
	out := make([]Choice, 0, len(a.Partners))
	for i, v := range a.Partners {
		name := "partners[" + strconv.Itoa(i) + "]"
		out = append(out, c.choice(name, name+".custom", v.Partner, v.Custom, func(s string) (string, bool) {
			p, ok := Reference().Partner(s)
			return p.Slug, ok
		}))
	}
	c.list("partners", out, maxPartners, maxCustomPartners)
	return out
}

// list checks a list of choices for its caps and for doubles.
func (c *checker) list(name string, list []Choice, most, mostOwn int) {
	own, seen := 0, map[string]bool{}
	for i, v := range list {
		if v.none() {
			continue
		}
		if v.Custom != "" {
			own++
		}
		key := foldKey(v.Key())
		if seen[key] {
			c.add(name+"["+strconv.Itoa(i)+"]", "duplicate", "This is in the list twice.")
		}
		seen[key] = true
	}
	if own > mostOwn {
		c.add(name, "too_many", "At most "+strconv.Itoa(mostOwn)+" can be your own.")
	}
	if len(list)-own > most {
		c.add(name, "too_many", "At most "+strconv.Itoa(most)+" can be chosen.")
	}
}

// situations reads one entry per partner and puts them in the partners' order.
func (r *Record) situations(c *checker, a SituationsAnswer) []PartnerChoiceRecord {
	if len(a.Situations) > maxPartners+maxCustomPartners {
		c.add("situations", "too_many", "There is one entry for every partner.")
		return nil
	}
	got := map[string][]Choice{}
	for i, entry := range a.Situations {
		name := "situations[" + strconv.Itoa(i) + "]"
		key, ok := r.chosen(entry.Partner)
		if !ok {
			c.add(name+".partner", "unknown", "This partner was not chosen.")
			continue
		}
		if _, twice := got[key]; twice {
			c.add(name+".partner", "duplicate", "This partner is in the list twice.")
			continue
		}
		got[key] = situationList(c, name+".situations", entry.Situations)
	}
	out := make([]PartnerChoiceRecord, 0, len(r.Partners))
	for _, p := range r.Partners {
		list, ok := got[p.Key()]
		if !ok {
			c.bad = append(c.bad, fault.Field{Name: "situations", Code: "missing", Message: "Choose situations for the partner " + p.Key() + "."})
		}
		out = append(out, PartnerChoiceRecord{p.Key(), list})
	}
	return out
}

func situationList(c *checker, name string, in []SituationChoice) []Choice {
	if len(in) == 0 {
		c.add(name, "required", "Choose at least one situation.")
	}
	if len(in) > maxSituations+maxCustomSituations {
		c.add(name, "too_many", "Choose at most 20 situations and write at most 10 of your own.")
		return nil
	}
	out := make([]Choice, 0, len(in))
	for i, v := range in {
		at := name + "[" + strconv.Itoa(i) + "]"
		out = append(out, c.choice(at, at+".custom", v.Situation, v.Custom, func(s string) (string, bool) {
			s2, ok := Reference().Situation(s)
			return s2.Slug, ok
		}))
	}
	c.list(name, out, maxSituations, maxCustomSituations)
	return out
}
