// Package standin is an Azure AI Search service in miniature, for tests: the
// part of the REST surface (2024-07-01) that our adapter uses, strict about
// what it is sent. It refuses a wrong version, key, name, field or filter as
// Azure does, and understands the operators of simple queries, so that a
// learner's dash that should not be one shows.
package standin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The keys that the stand-in takes.
const (
	AdminKey = "admin-key-of-the-stand-in"
	QueryKey = "query-key-of-the-stand-in"
)

// Service implements http.Handler. The zero value has no index. It is safe for
// concurrent use.
type Service struct {
	mu      sync.Mutex
	indexes map[string]*index
	queries []Query
	// Down answers every request with 503.
	down bool
	// lag hides the last write from searches, as Azure may for seconds.
	lag bool
	// refuse are keys that a write does not take.
	refuse map[string]bool
}

// Query is a search as it came.
type Query struct {
	Search       string `json:"search"`
	QueryType    string `json:"queryType"`
	SearchMode   string `json:"searchMode"`
	SearchFields string `json:"searchFields"`
	Filter       string `json:"filter"`
	Select       string `json:"select"`
	Top          *int   `json:"top"`
	Count        bool   `json:"count"`
}

type document map[string]any

type index struct {
	fields map[string]field
	docs   map[string]document
	seen   map[string]document // what a lagging search sees
}

type field struct {
	Name, Type, Analyzer                                          string
	Key, Searchable, Filterable, Sortable, Facetable, Retrievable bool
}

// SetDown makes every request fail, or not.
func (s *Service) SetDown(down bool) { s.mu.Lock(); s.down = down; s.mu.Unlock() }

// SetLag hides writes from now on from searches, or shows all.
func (s *Service) SetLag(lag bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lag
	for _, ix := range s.indexes {
		ix.seen = clone(ix.docs)
	}
}

// Refuse names documents that a write does not take.
func (s *Service) Refuse(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = map[string]bool{}
	for _, k := range keys {
		s.refuse[k] = true
	}
}

// Put sets a document past all checks.
func (s *Service) Put(name string, doc map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indexes[name].docs[fmt.Sprint(doc["id"])] = doc
}

// Keys are an index's documents.
func (s *Service) Keys(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indexes[name] == nil {
		return nil
	}
	var out []string
	for k := range s.indexes[name].docs {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Queries are the searches so far.
func (s *Service) Queries() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

func clone(m map[string]document) map[string]document {
	out := make(map[string]document, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

var (
	indexName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])$`)
	fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,127}$`)
	docKey    = regexp.MustCompile(`^[A-Za-z0-9_=-]+$`)
)

type problem struct {
	status  int
	message string
}

func bad(format string, args ...any) *problem { return &problem{400, fmt.Sprintf(format, args...)} }

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, answer, p := s.serve(r)
	w.Header().Set("Content-Type", "application/json; odata.metadata=none")
	if p != nil {
		status, answer = p.status, map[string]any{"error": map[string]any{"code": "", "message": p.message}}
	}
	w.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (s *Service) serve(r *http.Request) (int, any, *problem) {
	admin := r.Header.Get("Api-Key") == AdminKey
	switch {
	case s.down:
		return 0, nil, &problem{503, "The service is busy."}
	case !admin && r.Header.Get("Api-Key") != QueryKey:
		return 0, nil, &problem{403, "Forbidden"}
	case r.URL.Query().Get("api-version") != "2024-07-01" || len(r.URL.Query()) != 1:
		return 0, nil, bad("api-version must be 2024-07-01")
	case r.Method != http.MethodGet && r.Header.Get("Content-Type") != "application/json":
		return 0, nil, &problem{415, "Content-Type must be application/json"}
	}
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/indexes/"), "/", 2)
	name, rest := parts[0], ""
	if len(parts) == 2 {
		rest = strings.TrimSuffix(parts[1], "/")
	}
	if !indexName.MatchString(name) || strings.Contains(name, "--") {
		return 0, nil, bad("Index name %q is not allowed", name)
	}
	switch r.Method + " " + rest {
	case "PUT ":
		if !admin {
			return 0, nil, &problem{403, "Forbidden"}
		}
		return s.define(name, r)
	case "POST docs/index":
		if !admin {
			return 0, nil, &problem{403, "Forbidden"}
		}
		return s.write(name, r)
	case "POST docs/search":
		return s.search(name, r)
	}
	return 0, nil, &problem{404, "No such resource"}
}

// read decodes a body, refusing what is unknown.
func read(r *http.Request, into any) *problem {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return bad("The request is invalid: %v", err)
	}
	return nil
}

func (s *Service) define(name string, r *http.Request) (int, any, *problem) {
	var def struct {
		Name     string
		Fields   []field
		Profiles []struct {
			Name string
			Text struct{ Weights map[string]float64 }
		} `json:"scoringProfiles"`
		Default string `json:"defaultScoringProfile"`
	}
	if p := read(r, &def); p != nil {
		return 0, nil, p
	}
	if def.Name != name {
		return 0, nil, bad("The name in the body differs from the URL's")
	}
	ix := &index{fields: map[string]field{}, docs: map[string]document{}, seen: map[string]document{}}
	keys := 0
	for _, f := range def.Fields {
		switch {
		case !fieldName.MatchString(f.Name) || ix.fields[f.Name].Name != "":
			return 0, nil, bad("Field name %q is not allowed", f.Name)
		case f.Type != "Edm.String" && f.Type != "Collection(Edm.String)":
			return 0, nil, bad("Type %q is not allowed", f.Type)
		case f.Key && (f.Type != "Edm.String" || !f.Retrievable):
			return 0, nil, bad("The key must be a retrievable Edm.String")
		case f.Sortable && f.Type != "Edm.String":
			return 0, nil, bad("A collection cannot be sortable")
		case f.Analyzer != "" && (!f.Searchable || f.Analyzer != "en.microsoft" && f.Analyzer != "en.lucene"):
			return 0, nil, bad("Analyzer %q is not allowed", f.Analyzer)
		}
		if f.Key {
			keys++
		}
		ix.fields[f.Name] = f
	}
	if keys != 1 {
		return 0, nil, bad("There must be one key field")
	}
	known := def.Default == ""
	for _, p := range def.Profiles {
		known = known || p.Name == def.Default
		for f := range p.Text.Weights {
			if !ix.fields[f].Searchable {
				return 0, nil, bad("Field %q of a scoring profile is not searchable", f)
			}
		}
	}
	if !known {
		return 0, nil, bad("There is no scoring profile %q", def.Default)
	}
	if old := s.indexes[name]; old != nil {
		for n, f := range old.fields {
			if ix.fields[n] != f {
				return 0, nil, bad("Existing field %q cannot be changed", n)
			}
		}
		old.fields = ix.fields
		return 204, nil, nil
	}
	if s.indexes == nil {
		s.indexes = map[string]*index{}
	}
	s.indexes[name] = ix
	return 201, def, nil
}

func (s *Service) write(name string, r *http.Request) (int, any, *problem) {
	ix := s.indexes[name]
	if ix == nil {
		return 0, nil, &problem{404, "No such index"}
	}
	var in struct{ Value []document }
	if p := read(r, &in); p != nil {
		return 0, nil, p
	}
	if len(in.Value) == 0 || len(in.Value) > 1000 {
		return 0, nil, bad("A batch has 1 to 1000 documents")
	}
	if s.lag {
		ix.seen = clone(ix.docs)
	}
	status := 200
	rows := make([]map[string]any, 0, len(in.Value))
	for _, doc := range in.Value {
		action := doc["@search.action"]
		key, _ := doc["id"].(string)
		if p := ix.check(doc); p != nil {
			return 0, nil, p
		}
		row := map[string]any{"key": key, "status": true, "errorMessage": nil, "statusCode": 200}
		switch {
		case s.refuse[key]:
			status = 207
			row["status"], row["statusCode"], row["errorMessage"] = false, 422, "refused"
		case action == "delete":
			delete(ix.docs, key)
		case action == "upload":
			delete(doc, "@search.action")
			ix.docs[key] = doc
		default:
			return 0, nil, bad("Action %v is not known", action)
		}
		rows = append(rows, row)
	}
	if !s.lag {
		ix.seen = clone(ix.docs)
	}
	return status, map[string]any{"value": rows}, nil
}

// check holds a document against the index.
func (ix *index) check(doc document) *problem {
	if key, ok := doc["id"].(string); !ok || !docKey.MatchString(key) || len(key) > 1024 {
		return bad("Document key %v is not allowed", doc["id"])
	}
	for n, v := range doc {
		f, ok := ix.fields[n]
		if !ok && n != "@search.action" {
			return bad("There is no field %q", n)
		}
		_, isString := v.(string)
		_, isList := v.([]any)
		if ok && (f.Type == "Edm.String" && !isString || f.Type != "Edm.String" && !isList) {
			return bad("Field %q is no %s", n, f.Type)
		}
	}
	return nil
}
