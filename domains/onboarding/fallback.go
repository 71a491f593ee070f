package onboarding

import (
	"cmp"
	"context"
	"slices"
)

// Or asks first and, when that fails or finds nothing, then: a service that is
// down or an index that is empty must not leave a learner with less than the
// words would give. onFail hears of failures; nil for nobody. When the caller
// has gone nobody else is asked.
func Or(first, then RoleMatcher, onFail func(error)) RoleMatcher { return or{first, then, onFail} }

type or struct {
	first, then RoleMatcher
	onFail      func(error)
}

func (o or) Match(ctx context.Context, q Question) ([]RoleMatch, error) {
	got, err := o.first.Match(ctx, q)
	if err == nil && len(got) > 0 {
		return got, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && o.onFail != nil {
		o.onFail(err)
	}
	return o.then.Match(ctx, q)
}

// Fused merges rankings of the same candidates, best first, into one of at
// most five: a role that stands high in several wins (reciprocal ranks). Each
// role's strength is decided by strong.
func Fused(strong func(Role) bool, rankings ...[]Role) []RoleMatch {
	const patience = 60 // the usual constant: the first places differ little
	type merged struct {
		role  Role
		score float64
	}
	var all []merged
	for _, ranking := range rankings {
		for place, r := range ranking {
			at := -1
			for i := range all {
				if all[i].role.Slug == r.Slug {
					at = i
				}
			}
			if at < 0 {
				all, at = append(all, merged{role: r}), len(all)
			}
			all[at].score += 1 / float64(patience+place)
		}
	}
	slices.SortStableFunc(all, func(a, b merged) int { return cmp.Compare(b.score, a.score) })
	out := []RoleMatch{}
	for _, m := range all[:min(len(all), maxMatches)] {
		out = append(out, matchOf(m.role, strong(m.role)))
	}
	return out
}
