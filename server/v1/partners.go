package v1

import (
	"context"
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

const customPrefix = "custom:"

// partnerItem is a partner of the list.
type partnerItem struct {
	ID          string `json:"id"`
	Slug        string `json:"slug"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// chosenPartner is a partner of the learner; the order is the priority.
type chosenPartner struct {
	partnerItem
	Priority int  `json:"priority"`
	IsCustom bool `json:"is_custom"`
}

func partnerOf(p onboarding.Partner) partnerItem {
	return partnerItem{idOf(kindPartner, p.Slug), kebab(p.Slug), p.Name, p.Description}
}

// chosen are the learner's partners in their order.
func chosen(v *onboarding.View) []chosenPartner {
	list := []chosenPartner{}
	for n, p := range v.Partners {
		c := chosenPartner{partnerItem{ID: idOf(kindPartner, key(p.Slug)), Slug: kebab(p.Slug), Name: p.Name}, n + 1, false}
		if known, ok := onboarding.Reference().Partner(p.Slug); ok {
			c.Description = known.Description
		} else {
			c.IsCustom, c.Slug = true, ""
		}
		list = append(list, c)
	}
	return list
}

// key is what an id is made of: own words are the same in any case.
func key(slug string) string {
	if strings.HasPrefix(slug, customPrefix) {
		return strings.ToLower(slug)
	}
	return slug
}

func (a *API) partners(context.Context, *Request) (Answer, error) {
	list := []partnerItem{}
	for _, p := range onboarding.Reference().Partners {
		list = append(list, partnerOf(p))
	}
	return Answer{Body: object{"communication_partners": list}}, nil
}

// selectPartners replaces the whole set, in the order it is sent.
func (a *API) selectPartners(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		PartnerIDs    []string `json:"partner_ids"`
		OtherPartners []string `json:"other_partners"`
	}](r)
	if err != nil {
		return Answer{}, err
	}
	if len(in.PartnerIDs)+len(in.OtherPartners) == 0 {
		return Answer{}, required("partner_ids")
	}
	before, err := a.onb.View(ctx, onboarding.LearnerID(r.Learner))
	if err != nil {
		return Answer{}, err
	}
	names := map[string]string{"partners": "partner_ids"}
	list, bad := []onboarding.PartnerChoice{}, &fault.Error{Code: fault.Invalid, Message: "Some partners cannot be chosen."}
	for n, s := range in.PartnerIDs {
		at := "partner_ids[" + strconv.Itoa(n) + "]"
		choice, ok := choosePartner(s, &before)
		if !ok {
			bad.Fields = append(bad.Fields, fault.Field{Name: at, Code: "unknown", Message: "There is no such partner."})
		}
		entry(names, "partners", len(list), at)
		list = append(list, choice)
	}
	if len(bad.Fields) > 0 {
		return Answer{}, bad
	}
	for n, s := range in.OtherPartners {
		entry(names, "partners", len(list), "other_partners["+strconv.Itoa(n)+"]")
		list = append(list, onboarding.PartnerChoice{Custom: s})
	}
	err = a.answer(ctx, r.Learner, onboarding.StepPartners, onboarding.PartnersAnswer{Partners: list})
	if err != nil {
		return Answer{}, renamed(err, names)
	}
	v, err := a.onb.View(ctx, onboarding.LearnerID(r.Learner))
	if err != nil {
		return Answer{}, err
	}
	got := chosen(&v)
	return Answer{Body: object{"selected_partners": got, "total_selected": len(got)}}, nil
}

// entry notes what v1 calls one entry of a list, and its own words.
func entry(names map[string]string, list string, n int, at string) {
	name := list + "[" + strconv.Itoa(n) + "]"
	names[name], names[name+".custom"] = at, at
}

// choosePartner reads an id or a name, of the list or of the learner's own.
func choosePartner(s string, v *onboarding.View) (onboarding.PartnerChoice, bool) {
	if p, ok := findPartner(s); ok {
		return onboarding.PartnerChoice{Partner: p.Slug}, true
	}
	if p, ok := ownPartner(s, v); ok {
		if own, ok := strings.CutPrefix(p.Slug, customPrefix); ok {
			return onboarding.PartnerChoice{Custom: own}, true
		}
	}
	return onboarding.PartnerChoice{}, false
}

// ownPartner finds a chosen partner by its id or name.
func ownPartner(s string, v *onboarding.View) (onboarding.PartnerView, bool) {
	return find(v.Partners, s, kindPartner, func(p onboarding.PartnerView) string { return key(p.Slug) })
}

func (a *API) userPartners(ctx context.Context, r *Request) (Answer, error) {
	v, err := a.onb.View(ctx, onboarding.LearnerID(r.Learner))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: object{"communication_partners": chosen(&v)}}, nil
}
