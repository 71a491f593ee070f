package onboarding

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
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

// Question is what a matcher is asked.
type Question struct {
	Learner LearnerID
	Job     Job
	// Industry narrows the roles; empty where the learner's has no name of ours.
	Industry string
	// Candidates are the roles of that industry: nothing else may be found.
	Candidates []Role
}

// RoleMatcher finds the roles that fit a job, best first, at most five. To
// find none is an answer, not an error. What it returns is a slice of the
// caller's own. It is safe for concurrent use.
type RoleMatcher interface {
	Match(ctx context.Context, q Question) ([]RoleMatch, error)
}

// WordMatcher matches by the words that a job and a role share: full text in
// memory, ranked by BM25 as databases rank theirs (ADR 0018). It needs no
// network and may find nothing: a job told in another language shares no words
// with our roles.
type WordMatcher struct{}

const (
	maxMatches = 5
	// strongTitle is the share of a role's title that makes it strong.
	strongTitle = 0.6
	// strongScore makes a role strong without its title: about three rare
	// words. leastScore is one. relative drops what is far behind the best.
	strongScore = 14.0
	leastScore  = 4.0
	relative    = 0.25

	// What a word counts for, by where it stands, and how soon more of the
	// same counts for no more.
	inTitle, inKeywords, inDescription = 3.0, 2.0, 1.0
	saturation                         = 1.2
)

// roleWords is one role as the index knows it.
type roleWords struct {
	weight map[string]float64
	title  map[string]bool
}

func wordsOf(r Role) roleWords {
	w := roleWords{map[string]float64{}, map[string]bool{}}
	for _, t := range tokens(r.Title) {
		w.weight[t] += inTitle
		w.title[t] = true
	}
	for _, t := range tokens(strings.Join(r.Keywords, " ")) {
		w.weight[t] += inKeywords
	}
	for _, t := range tokens(r.Description) {
		w.weight[t] += inDescription
	}
	return w
}

// wordIndex is the reference roles' words, and how many roles have each.
var wordIndex = sync.OnceValues(func() (map[string]roleWords, map[string]int) {
	index, df := map[string]roleWords{}, map[string]int{}
	for _, r := range Reference().Roles {
		w := wordsOf(r)
		index[r.Slug] = w
		for t := range w.weight {
			df[t]++
		}
	}
	return index, df
})

// Match implements RoleMatcher.
func (WordMatcher) Match(_ context.Context, q Question) ([]RoleMatch, error) {
	type scored struct {
		role    Role
		score   float64
		covered float64
	}
	var found []scored
	for _, r := range q.Candidates {
		if score, covered := score(q.Job, r); score >= leastScore {
			found = append(found, scored{r, score, covered})
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
		out = append(out, matchOf(s.role, s.covered >= strongTitle || s.score >= strongScore))
	}
	return out, nil
}

// ByWords says whether the words alone make a role a strong match for a job:
// what every matcher means by strong, whatever else it knows.
func ByWords(job Job, r Role) bool {
	score, covered := score(job, r)
	return score >= leastScore && (covered >= strongTitle || score >= strongScore)
}

// matchOf is a role as it is shown.
func matchOf(r Role, strong bool) RoleMatch {
	m := RoleMatch{Role: r.Slug, Title: r.Title, Description: r.Description, Strength: Possible}
	if strong {
		m.Strength = Strong
	}
	return m
}

// score is the BM25 of a job against a role, and how much of the role's title
// the job's title covers, rare words counting for more.
func score(job Job, r Role) (score, covered float64) {
	index, df := wordIndex()
	w, ok := index[r.Slug]
	if !ok {
		w = wordsOf(r)
	}
	n := float64(len(index))
	rare := func(t string) float64 {
		d := float64(max(df[t], 1))
		return math.Log(1 + (n-d+0.5)/(d+0.5))
	}
	asked, inJobTitle := map[string]bool{}, map[string]bool{}
	for _, t := range tokens(job.Title) {
		asked[t], inJobTitle[t] = true, true
	}
	for _, t := range tokens(job.Description) {
		asked[t] = true
	}
	for _, t := range slices.Sorted(maps.Keys(asked)) { // sums of one order, so that equals stay equal
		if tf := w.weight[t]; tf > 0 {
			score += rare(t) * tf * (saturation + 1) / (tf + saturation)
		}
	}
	var all, hit float64
	for t := range w.title {
		all += rare(t)
		if inJobTitle[t] {
			hit += rare(t)
		}
	}
	if all > 0 {
		covered = hit / all
	}
	return score, covered
}

// tokens are the telling words of a text by their stems.
func tokens(s string) []string {
	out := words(s)
	for i, w := range out {
		out[i] = stem(w)
	}
	return out
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
// meets "test".
func stem(w string) string {
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
