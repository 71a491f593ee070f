package practice

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/fluentpro/fluentpro/domains/practice/prompts"
)

// schema is the part of JSON Schema that our own schema uses; conform checks a
// value against it, because an upstream without structured output may answer
// anything, and encoding/json forgives missing, unknown and misspelt fields.
type schema struct {
	Type       string            `json:"type"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	Enum       []string          `json:"enum"`
}

var scenarioSchema = mustSchema(prompts.ScenarioSchema)

func mustSchema(raw []byte) schema {
	var s schema
	if err := json.Unmarshal(raw, &s); err != nil {
		panic(fmt.Sprintf("practice: embedded schema: %v", err))
	}
	return s
}

// conform appends to out what in v does not fit s. The lines name places and
// rules, never values.
func (s schema) conform(v any, path string, out []string) []string {
	switch s.Type {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return append(out, path+": not an object")
		}
		for _, k := range s.Required {
			if _, ok := m[k]; !ok {
				out = append(out, path+"."+k+": missing")
			}
		}
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			p, ok := s.Properties[k]
			if !ok {
				out = append(out, path+": unknown field")
				continue
			}
			out = p.conform(m[k], path+"."+k, out)
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return append(out, path+": not an array")
		}
		for i, e := range list {
			out = s.Items.conform(e, fmt.Sprintf("%s[%d]", path, i), out)
		}
	case "string":
		t, ok := v.(string)
		if !ok {
			return append(out, path+": not a string")
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, t) {
			out = append(out, path+": not one of the allowed words")
		}
	case "integer":
		n, ok := v.(json.Number)
		if !ok {
			return append(out, path+": not a number")
		}
		if _, err := n.Int64(); err != nil {
			out = append(out, path+": not a whole number")
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			out = append(out, path+": not true or false")
		}
	}
	return out
}
