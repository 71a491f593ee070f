package standin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func (s *Service) search(name string, r *http.Request) (int, any, *problem) {
	ix := s.indexes[name]
	if ix == nil {
		return 0, nil, &problem{404, "No such index"}
	}
	var q Query
	if p := read(r, &q); p != nil {
		return 0, nil, p
	}
	s.queries = append(s.queries, q)
	if q.QueryType != "simple" && q.QueryType != "" || q.SearchMode != "any" && q.SearchMode != "all" && q.SearchMode != "" {
		return 0, nil, bad("queryType or searchMode is not known")
	}
	fields := []string{"title", "keywords", "description"}
	if q.SearchFields != "" {
		fields = strings.Split(q.SearchFields, ",")
	}
	for _, f := range fields {
		if !ix.fields[f].Searchable {
			return 0, nil, bad("Field %q is not searchable", f)
		}
	}
	for _, f := range strings.Split(q.Select, ",") {
		if q.Select != "" && !ix.fields[f].Retrievable {
			return 0, nil, bad("Field %q is not retrievable", f)
		}
	}
	keep, p := ix.filter(q.Filter)
	if p != nil {
		return 0, nil, p
	}
	type hit struct {
		key   string
		score float64
	}
	var hits []hit
	docs := ix.docs
	if s.lag {
		docs = ix.seen
	}
	for key, doc := range docs {
		if !keep(doc) {
			continue
		}
		if score := rank(q.Search, doc, fields); score > 0 {
			hits = append(hits, hit{key, score})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.key, b.key)) })
	answer := map[string]any{}
	if q.Count {
		answer["@odata.count"] = len(hits)
	}
	top := 50
	if q.Top != nil {
		top = *q.Top
	}
	rows := []map[string]any{}
	for _, h := range hits[:min(top, len(hits))] {
		rows = append(rows, map[string]any{"@search.score": h.score, "id": h.key})
	}
	answer["value"] = rows
	return http.StatusOK, answer, nil
}

// rank counts the words of a simple query; -word excludes.
func rank(search string, doc document, fields []string) float64 {
	if search == "*" || search == "" {
		return 1
	}
	var all []string
	for _, f := range fields {
		all = append(all, strings.Fields(strings.ToLower(strings.NewReplacer(",", " ", ".", " ", "[", " ", "]", " ").Replace(fmt.Sprint(doc[f]))))...)
	}
	var score float64
	for _, w := range strings.Fields(strings.ToLower(search)) {
		if not, ok := strings.CutPrefix(w, "-"); ok {
			if slices.Contains(all, not) {
				return 0
			}
			continue
		}
		for _, have := range all {
			if have == w || strings.TrimSuffix(have, "s") == w {
				score++
			}
		}
	}
	return score
}

// filter understands what we use of OData: field eq|ne 'text'.
func (ix *index) filter(s string) (func(document) bool, *problem) {
	if s == "" {
		return func(document) bool { return true }, nil
	}
	name, rest, ok1 := strings.Cut(s, " ")
	op, lit, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !ix.fields[name].Filterable || op != "eq" && op != "ne" {
		return nil, bad("Invalid expression: %s", s)
	}
	value, ok := unquote(lit)
	if !ok {
		return nil, bad("Invalid expression: there is an unterminated string literal in %s", s)
	}
	return func(d document) bool { return (d[name] == value) == (op == "eq") }, nil
}

// unquote reads an OData string literal that is the whole of s.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' {
		return "", false
	}
	inner := s[1 : len(s)-1]
	if strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
		return "", false
	}
	return strings.ReplaceAll(inner, "''", "'"), true
}
