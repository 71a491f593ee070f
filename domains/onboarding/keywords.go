package onboarding

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Keywords are the telling words of a role in its owner's words, those of the
// title first, then the most frequent of the description; at most n, in lower
// case, never nil.
func Keywords(title, description string, n int) []string {
	out := []string{}
	count := map[string]int{}
	for _, w := range words(title) {
		if count[w] == 0 {
			out = append(out, w)
		}
		count[w]++
	}
	var rest []string
	for _, w := range words(description) {
		if count[w] == 0 {
			rest = append(rest, w)
		}
		count[w]++
	}
	slices.SortFunc(rest, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	out = append(out, rest...)
	return out[:min(n, len(out))]
}

// words are the words of s that say something.
func words(s string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	}) {
		if !stopWords[w] {
			out = append(out, w)
		}
	}
	return out
}
