package azuresearch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/fluentpro/fluentpro/domains/onboarding"
)

type field struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Key         bool   `json:"key"`
	Searchable  bool   `json:"searchable"`
	Filterable  bool   `json:"filterable"`
	Sortable    bool   `json:"sortable"`
	Facetable   bool   `json:"facetable"`
	Retrievable bool   `json:"retrievable"`
	Analyzer    string `json:"analyzer,omitempty"`
}

type definition struct {
	Name     string           `json:"name"`
	Fields   []field          `json:"fields"`
	Profiles []scoringProfile `json:"scoringProfiles"`
	Default  string           `json:"defaultScoringProfile"`
}

type scoringProfile struct {
	Name string `json:"name"`
	Text struct {
		Weights map[string]float64 `json:"weights"`
	} `json:"text"`
}

func define(name string) definition {
	const english = "en.microsoft" // knows word forms
	text := func(name, kind string) field {
		return field{Name: name, Type: kind, Searchable: true, Retrievable: true, Analyzer: english}
	}
	filter := func(name string) field {
		return field{Name: name, Type: "Edm.String", Filterable: true, Retrievable: true}
	}
	d := definition{Name: name, Default: "roles", Fields: []field{
		{Name: "id", Type: "Edm.String", Key: true, Filterable: true, Retrievable: true},
		text("title", "Edm.String"), text("keywords", "Collection(Edm.String)"), text("description", "Edm.String"),
		filter("industry"), filter("hierarchy"), filter("data"),
	}}
	p := scoringProfile{Name: "roles"}
	p.Text.Weights = map[string]float64{"title": 3, "keywords": 2, "description": 1}
	d.Profiles = []scoringProfile{p}
	return d
}

// document is a role in the index. Data names the reference data that it was
// made from.
type document struct {
	Action      string   `json:"@search.action"`
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Keywords    []string `json:"keywords"`
	Description string   `json:"description"`
	Industry    string   `json:"industry"`
	Hierarchy   string   `json:"hierarchy"`
	Data        string   `json:"data"`
}

// Data is the version of the reference data of this binary.
func Data(roles []onboarding.Role) string {
	b, err := json.Marshal(roles)
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Create makes the index, or brings its definition up to this binary's. Azure
// refuses a change of what a field is; then another name is needed.
func (c *Client) Create(ctx context.Context) error {
	return c.call(ctx, http.MethodPut, "", define(c.cfg.Index), nil)
}

// batch is how many documents go at once; Azure takes 1000.
const batch = 500

// Fill puts every role into the index and takes out what is no role any more.
// It may be repeated; an error says how many documents Azure did not take.
func (c *Client) Fill(ctx context.Context, roles []onboarding.Role) error {
	data := Data(roles)
	docs := make([]any, len(roles))
	current := map[string]bool{}
	for i, r := range roles {
		docs[i] = document{"upload", r.Slug, r.Title, r.Keywords, r.Description, r.Industry, r.Hierarchy, data}
		current[r.Slug] = true
	}
	if err := c.write(ctx, docs); err != nil {
		return err
	}
	// A search may not see yet what was just written, so a document with old
	// data may be one of ours: only unknown names go.
	var old results
	if err := c.call(ctx, http.MethodPost, "docs/search", query{Search: "*", QueryType: "simple", SearchMode: "any", Filter: "data ne " + literal(data), Select: "id", Top: 1000}, &old); err != nil {
		return err
	}
	var gone []any
	for _, v := range old.Value {
		if !current[v.ID] {
			gone = append(gone, map[string]string{"@search.action": "delete", "id": v.ID})
		}
	}
	return c.write(ctx, gone)
}

func (c *Client) write(ctx context.Context, docs []any) error {
	for part := range slices.Chunk(docs, batch) {
		var got struct {
			Value []struct {
				Key    string `json:"key"`
				OK     bool   `json:"status"`
				Status int    `json:"statusCode"`
			} `json:"value"`
		}
		if err := c.call(ctx, http.MethodPost, "docs/index", map[string]any{"value": part}, &got); err != nil {
			return err
		}
		refused, first := 0, ""
		for _, v := range got.Value {
			if !v.OK {
				if refused++; first == "" {
					first = fmt.Sprintf("%s with status %d", v.Key, v.Status)
				}
			}
		}
		if refused > 0 || len(got.Value) != len(part) {
			return fmt.Errorf("azure search took %d of %d documents; the first it refused is %q; fill again", len(got.Value)-refused, len(part), first)
		}
	}
	return nil
}

// Status is how the index stands to this binary's roles.
type Status struct {
	Index string `json:"index"`
	// Exists says that there is an index of that name.
	Exists bool `json:"exists"`
	// Documents are all in it; Current those made from this binary's data.
	Documents int `json:"documents"`
	Current   int `json:"current"`
	// Roles is how many there should be.
	Roles int `json:"roles"`
	// Data is this binary's version of the data.
	Data string `json:"data"`
}

// Good says that the index holds this binary's roles and nothing else.
func (s Status) Good() bool { return s.Exists && s.Current == s.Roles && s.Documents == s.Roles }

// Status asks how the index stands. What was written seconds ago may not be
// counted yet.
func (c *Client) Status(ctx context.Context, roles []onboarding.Role) (Status, error) {
	s := Status{Index: c.cfg.Index, Roles: len(roles), Data: Data(roles)}
	count := func(filter string) (int, error) {
		var got results
		err := c.call(ctx, http.MethodPost, "docs/search", query{Search: "*", QueryType: "simple", SearchMode: "any", Filter: filter, Select: "id", Count: true}, &got)
		return got.Count, err
	}
	var err error
	s.Documents, err = count("")
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Exists = true
	s.Current, err = count("data eq " + literal(s.Data))
	return s, err
}
