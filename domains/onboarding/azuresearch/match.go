package azuresearch

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/fluentpro/fluentpro/domains/onboarding"
)

var _ onboarding.RoleMatcher = (*Client)(nil)

// What a search asks for at most, and how many words of a job it sends: Azure
// refuses more than 1024 clauses.
const (
	topRoles = 5
	topWords = 200
)

type query struct {
	Search       string `json:"search"`
	QueryType    string `json:"queryType"`
	SearchMode   string `json:"searchMode"`
	SearchFields string `json:"searchFields,omitempty"`
	Filter       string `json:"filter,omitempty"`
	Select       string `json:"select,omitempty"`
	Top          int    `json:"top"`
	Count        bool   `json:"count,omitempty"`
}

type results struct {
	Count int `json:"@odata.count"`
	Value []struct {
		ID string `json:"id"`
	} `json:"value"`
}

// Match implements onboarding.RoleMatcher. Azure decides who is in the list
// and in which order; strong means what it means everywhere (ByWords), because
// Azure's scores have no bounds.
func (c *Client) Match(ctx context.Context, q onboarding.Question) ([]onboarding.RoleMatch, error) {
	ask := query{Search: plain(q.Job.Title + " " + q.Job.Description), QueryType: "simple", SearchMode: "any",
		SearchFields: "title,keywords,description", Select: "id", Top: topRoles}
	if ask.Search == "" {
		return []onboarding.RoleMatch{}, nil
	}
	if q.Industry != "" {
		ask.Filter = "industry eq " + literal(q.Industry)
	}
	var got results
	if err := c.call(ctx, http.MethodPost, "docs/search", ask, &got); err != nil {
		return nil, err
	}
	var ranked []onboarding.Role
	for _, v := range got.Value {
		i := slices.IndexFunc(q.Candidates, func(r onboarding.Role) bool { return r.Slug == v.ID })
		if i >= 0 && len(ranked) < topRoles { // what we do not know any more is not shown
			ranked = append(ranked, q.Candidates[i])
		}
	}
	return onboarding.Fused(func(r onboarding.Role) bool { return onboarding.ByWords(q.Job, r) }, ranked), nil
}

// plain leaves words only: in a search - means not, and " ( ) + | * ~ mean
// something too. A learner's words are no operators.
func plain(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	return strings.Join(words[:min(len(words), topWords)], " ")
}
