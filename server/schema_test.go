package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// Every example in the document is what its schema says: a reader who copies
// one is not misled.
func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	c := testenv.NewSchemas(t, f.OpenAPI())
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody *exampleContent           `json:"requestBody"`
			Responses   map[string]exampleContent `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(f.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for path, ops := range doc.Paths {
		for method, op := range ops {
			if op.RequestBody != nil {
				checked += op.RequestBody.check(t, c, "paths", path, method, "requestBody")
			}
			for status, res := range op.Responses {
				checked += res.check(t, c, "paths", path, method, "responses", status)
			}
		}
	}
	if checked < 200 {
		t.Errorf("only %d examples were checked", checked)
	}
}

type exampleContent struct {
	Content map[string]struct {
		Example  json.RawMessage `json:"example"`
		Examples map[string]struct {
			Value json.RawMessage `json:"value"`
		} `json:"examples"`
	} `json:"content"`
}

func (x *exampleContent) check(t *testing.T, c *testenv.Schemas, at ...string) (n int) {
	t.Helper()
	for media, m := range x.Content {
		if !strings.HasSuffix(media, "json") {
			continue // streams are text in their schema
		}
		values := map[string]json.RawMessage{"example": m.Example}
		for name, e := range m.Examples {
			values[name] = e.Value
		}
		for name, raw := range values {
			if raw == nil {
				continue
			}
			if err := c.Check(raw, slices.Concat(at, []string{"content", media, "schema"})...); err != nil {
				t.Errorf("%v %s, %s: %v", at, media, name, err)
			}
			n++
		}
	}
	return n
}
