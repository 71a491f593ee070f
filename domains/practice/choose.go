package practice

import (
	"strings"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// pair is one partner with one of their situations.
type pair struct{ partner, situation Choice }

// choices are the partners that a request may draw from.
type choices []ProfilePartner

// choose narrows the profile to what the request asks for. Rule G2: partner
// and situation come from the learner's own profile and nowhere else.
func choose(p Profile, in RequestInput) (choices, error) {
	var bad []fault.Field
	var out choices
	partnerKnown, situationKnown := in.Partner == "", in.Situation == ""
	for _, pp := range p.Partners {
		if in.Partner != "" && !same(pp.ID, in.Partner) {
			continue
		}
		partnerKnown = true
		if in.Situation != "" {
			var only []Choice
			for _, s := range pp.Situations {
				if same(s.ID, in.Situation) {
					only = append(only, s)
				}
			}
			pp.Situations = only
		}
		if len(pp.Situations) > 0 {
			situationKnown = true
			out = append(out, pp)
		}
	}
	if !partnerKnown {
		bad = append(bad, fault.Field{Name: "partner", Code: "unknown", Message: "is not one of your partners"})
	} else if !situationKnown {
		bad = append(bad, fault.Field{Name: "situation", Code: "unknown", Message: "is not one of your situations with that partner"})
	}
	if len(bad) > 0 {
		return nil, &fault.Error{Code: fault.Invalid, Message: "Choose from your own partners and situations.", Fields: bad}
	}
	if len(out) == 0 {
		return nil, ErrOnboarding
	}
	return out, nil
}

// same compares ids; slugs may be written with "-" or "_", custom texts are
// taken as they are.
func same(have, asked string) bool {
	if strings.HasPrefix(have, "custom:") {
		return have == asked
	}
	return have == strings.ReplaceAll(asked, "-", "_")
}

// at is the n-th choice: the partner changes each time, in order of priority,
// and a partner's situations take turns.
func (c choices) at(n int64) pair {
	k := int64(len(c))
	p := c[n%k]
	return pair{p.Choice, p.Situations[n/k%int64(len(p.Situations))]}
}

var errBefore = &fault.Error{Code: fault.Invalid, Message: "That is not a place in the list.",
	Fields: []fault.Field{{Name: "before", Code: "bad_format", Message: "is not what next gave"}}}
