package v1

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// A unit is what v2 calls a situation.

type unitItem struct {
	ID          string `json:"id"`
	Slug        string `json:"slug"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

type chosenUnit struct {
	unitItem
	Priority int  `json:"priority"`
	IsCustom bool `json:"is_custom"`
}

func chosenUnits(p onboarding.PartnerView) []chosenUnit {
	list := []chosenUnit{}
	for n, s := range p.Situations {
		u := chosenUnit{unitItem{idOf(kindUnit, key(s.Slug)), kebab(s.Slug), s.Name, s.Description}, n + 1, false}
		if _, known := onboarding.Reference().Situation(s.Slug); !known {
			u.IsCustom, u.Slug = true, ""
		}
		list = append(list, u)
	}
	return list
}

var errNoPartner = fault.New(fault.NotFound, "There is no such partner.")

// units lists what can be chosen with a partner, of the list or the learner's own.
func (a *API) units(ctx context.Context, r *Request) (Answer, error) {
	item := partnerItem{}
	if p, ok := findPartner(r.Partner); ok {
		item = partnerOf(p)
	} else {
		v, err := a.onb.View(ctx, onboarding.LearnerID(r.Learner))
		if err != nil {
			return Answer{}, err
		}
		own, ok := ownPartner(r.Partner, &v)
		if !ok {
			return Answer{}, errNoPartner
		}
		item.ID, item.Name = idOf(kindPartner, key(own.Slug)), own.Name
	}
	list := []unitItem{}
	for _, s := range onboarding.Reference().Situations {
		list = append(list, unitItem{idOf(kindUnit, s.Slug), kebab(s.Slug), s.Name, s.Description})
	}
	return Answer{Body: object{"partner_id": item.ID, "partner_name": item.Name, "units": list}}, nil
}

// ownUnit is a unit in the learner's words: a text, or an object with a name.
type ownUnit string

// UnmarshalJSON implements json.Unmarshaler.
func (u *ownUnit) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("{")) {
		var o struct {
			Name   string `json:"name"`
			Custom string `json:"custom_unit_name"`
		}
		if err := json.Unmarshal(b, &o); err != nil {
			return err
		}
		*u = ownUnit(o.Name + o.Custom)
		return nil
	}
	return json.Unmarshal(b, (*string)(u))
}

type selectUnitsIn struct {
	UnitIDs        []string `json:"unit_ids"`
	UnitSelections []struct {
		UnitID   string `json:"unit_id"`
		Priority int    `json:"priority"`
	} `json:"unit_selections"`
	OtherUnits []ownUnit `json:"other_units"`
}

// choices are what was sent, known units first; names tells what v1 calls each.
func (in *selectUnitsIn) choices() (list []onboarding.SituationChoice, names map[string]string, err error) {
	names = map[string]string{"situations": "unit_ids"}
	bad := &fault.Error{Code: fault.Invalid, Message: "Some units cannot be chosen."}
	known := func(s, at string) {
		u, ok := findUnit(s)
		if !ok {
			bad.Fields = append(bad.Fields, fault.Field{Name: at, Code: "unknown", Message: "There is no such unit."})
		}
		entry(names, "situations", len(list), at)
		list = append(list, onboarding.SituationChoice{Situation: u.Slug})
	}
	for n, s := range in.UnitIDs {
		known(s, "unit_ids["+strconv.Itoa(n)+"]")
	}
	if len(in.UnitIDs) == 0 {
		if len(in.UnitSelections) > 0 {
			names["situations"] = "unit_selections"
		}
		order := make([]int, len(in.UnitSelections))
		for n := range order {
			order[n] = n
		}
		slices.SortStableFunc(order, func(a, b int) int { return in.UnitSelections[a].Priority - in.UnitSelections[b].Priority })
		for _, n := range order {
			known(in.UnitSelections[n].UnitID, "unit_selections["+strconv.Itoa(n)+"]")
		}
	}
	if len(bad.Fields) > 0 {
		return nil, nil, bad
	}
	for n, s := range in.OtherUnits {
		entry(names, "situations", len(list), "other_units["+strconv.Itoa(n)+"]")
		list = append(list, onboarding.SituationChoice{Custom: string(s)})
	}
	return list, names, nil
}

// selectUnits replaces the units of one chosen partner. When every partner has
// some, onboarding is complete, as it always was in this version.
func (a *API) selectUnits(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[selectUnitsIn](r)
	if err != nil {
		return Answer{}, err
	}
	list, names, err := in.choices()
	if err != nil {
		return Answer{}, err
	}
	id := onboarding.LearnerID(r.Learner)
	v, err := a.onb.View(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	p, ok := ownPartner(r.Partner, &v)
	if !ok {
		return Answer{}, fault.New(fault.NotFound, "This partner was not chosen.")
	}
	if _, err := a.onb.AnswerSituations(ctx, id, p.Slug, list); err != nil {
		return Answer{}, renamed(err, names)
	}
	if _, err := a.onb.Settle(ctx, id); err != nil {
		return Answer{}, err
	}
	return a.userUnits(ctx, r)
}

func (a *API) userUnits(ctx context.Context, r *Request) (Answer, error) {
	v, err := a.onb.View(ctx, onboarding.LearnerID(r.Learner))
	if err != nil {
		return Answer{}, err
	}
	p, ok := ownPartner(r.Partner, &v)
	if !ok {
		return Answer{}, fault.New(fault.NotFound, "This partner was not chosen.")
	}
	units := chosenUnits(p)
	item := object{"id": idOf(kindPartner, key(p.Slug)), "name": p.Name}
	return Answer{Body: object{"partner": item, "selected_units": units, "total_selected": len(units)}}, nil
}
