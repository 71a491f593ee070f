package onboarding

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"unicode"
)

// The strengths of a match. A number would look like a probability.
const (
	Strong   = "strong"
	Possible = "possible"
)

// RoleMatch is a role that may be the learner's.
type RoleMatch struct {
	Role        string `json:"role"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Strength    string `json:"strength" enum:"strong,possible"`
}

// WordMatcher matches by the words that a job and a role share, rare words
// counting for more. It needs no network and may find nothing: a job told in
// another language shares no words with our roles.
type WordMatcher struct{}

const (
	maxMatches = 5
	// strongTitle is the share of a role's title that makes it strong.
	strongTitle = 0.6
	// strongScore makes a role strong without its title; leastScore is one
	// telling word. relative drops what is far behind the best.
	strongScore = 22.0
	leastScore  = 8.0
	relative    = 0.25

	inTitle, inKeywords, inDescription = 3.0, 2.0, 1.0
	jobTitle, jobDescription           = 2.0, 1.0
)

// Match implements RoleMatcher.
func (WordMatcher) Match(_ context.Context, job Job, candidates []Role) ([]RoleMatch, error) {
	roles := make([]map[string]float64, len(candidates))
	df := map[string]int{}
	for i, r := range candidates {
		w := map[string]float64{}
		weigh(w, r.Description, inDescription)
		weigh(w, strings.Join(r.Keywords, " "), inKeywords)
		weigh(w, r.Title, inTitle)
		for t := range w {
			df[t]++
		}
		roles[i] = w
	}
	rare := func(t string) float64 { return math.Log(1 + float64(len(candidates))/float64(df[t])) }
	query := map[string]float64{}
	weigh(query, job.Description, jobDescription)
	weigh(query, job.Title, jobTitle)

	type scored struct {
		role     Role
		score    float64
		covering float64
	}
	var found []scored
	for i, w := range roles {
		s := scored{role: candidates[i]}
		for t, qw := range query {
			if rw, ok := w[t]; ok {
				s.score += qw * rw * rare(t)
			}
		}
		var all, hit float64
		for t, rw := range w {
			if rw == inTitle {
				all += rare(t)
				if query[t] == jobTitle {
					hit += rare(t)
				}
			}
		}
		if all > 0 {
			s.covering = hit / all
		}
		if s.score >= leastScore {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.role.Slug, b.role.Slug))
	})
	out := []RoleMatch{}
	for _, s := range found {
		if len(out) == maxMatches || s.score < found[0].score*relative {
			break
		}
		m := RoleMatch{Role: s.role.Slug, Title: s.role.Title, Description: s.role.Description, Strength: Possible}
		if s.covering >= strongTitle || s.score >= strongScore {
			m.Strength = Strong
		}
		out = append(out, m)
	}
	return out, nil
}

// weigh gives every word of s a weight, a higher one winning over a lower.
func weigh(into map[string]float64, s string, weight float64) {
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	}) {
		if t := stem(w); t != "" {
			into[t] = max(into[t], weight)
		}
	}
}

// stopWords say nothing about a job; ranks are told by the title's other words.
var stopWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a an and are as at be by can do for from has have i in is it its me my of on or our
		so that the their them they this to us we what when where which who with work works working job daily day company
		senior junior year years help helps make makes all also new other others people responsible`) {
		m[w] = true
	}
	return m
}()

// stem cuts the commonest endings, so that "loans" meets "loan" and "testing"
// meets "test"; "" for a word that says nothing.
func stem(w string) string {
	if stopWords[w] {
		return ""
	}
	for _, e := range []struct {
		end, put string
		least    int
	}{{"ies", "y", 5}, {"sses", "ss", 5}, {"ing", "", 6}, {"ed", "", 5}, {"s", "", 4}} {
		if len(w) >= e.least && strings.HasSuffix(w, e.end) && !strings.HasSuffix(w, "ss") {
			return strings.TrimSuffix(w, e.end) + e.put
		}
	}
	return w
}
