package v1

import (
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/fluentpro/fluentpro/domains/onboarding"
)

// The lists have names (slugs) as ids in v2. The first version had UUIDs, and
// its app may read them as such, so each name has a UUID made from it, the
// same on every node and for ever. Both are taken.

var space = uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:fluentpro:v1"))

// The kinds of ids; they are part of what an id is made of.
const (
	kindIndustry = "industry"
	kindRole     = "role"
	kindPartner  = "partner"
	kindUnit     = "unit"
)

// idOf is the UUID of a name. Words of a learner's own ("custom:…") have one
// too, for there is no other handle on them.
func idOf(kind, name string) string {
	return uuid.NewSHA1(space, []byte(kind+"\x00"+name)).String()
}

// kebab is a name as v1 writes it.
func kebab(slug string) string { return strings.ReplaceAll(slug, "_", "-") }

// is says whether s, an id or a name in any form, means the name.
func is(s, kind, name string) bool {
	return strings.EqualFold(s, idOf(kind, name)) || strings.EqualFold(kebab(strings.TrimSpace(s)), kebab(name))
}

// find looks for what s means in a list.
func find[T any](list []T, s, kind string, name func(T) string) (T, bool) {
	if s != "" {
		for _, v := range list {
			if is(s, kind, name(v)) {
				return v, true
			}
		}
	}
	var none T
	return none, false
}

func findIndustry(s string) (onboarding.Industry, bool) {
	return find(onboarding.Reference().Industries, s, kindIndustry, func(v onboarding.Industry) string { return v.Slug })
}

func findRole(s string) (onboarding.Role, bool) {
	return find(onboarding.Reference().Roles, s, kindRole, func(v onboarding.Role) string { return v.Slug })
}

func findPartner(s string) (onboarding.Partner, bool) {
	return find(onboarding.Reference().Partners, s, kindPartner, func(v onboarding.Partner) string { return v.Slug })
}

func findUnit(s string) (onboarding.Situation, bool) {
	return find(onboarding.Reference().Situations, s, kindUnit, func(v onboarding.Situation) string { return v.Slug })
}

// languageValue is a language as v1 names it, by its English name:
// chinese_traditional.
func languageValue(l onboarding.Language) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(l.English), func(r rune) bool { return !unicode.IsLetter(r) }), "_")
}

// findLanguage takes the value of v1 and the tag of v2.
func findLanguage(s string) (onboarding.Language, bool) {
	for _, l := range onboarding.Reference().Languages {
		if strings.EqualFold(strings.TrimSpace(s), languageValue(l)) {
			return l, true
		}
	}
	return onboarding.Reference().Language(s)
}
