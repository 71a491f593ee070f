package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Every example in the document is what its schema says: a reader who copies
// one is not misled.
func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	c, err := schemas(f.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
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
			at := "/paths/" + pointer(path) + "/" + method
			if op.RequestBody != nil {
				checked += op.RequestBody.check(t, c, at+"/requestBody")
			}
			for status, res := range op.Responses {
				checked += res.check(t, c, at+"/responses/"+status)
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

func (x *exampleContent) check(t *testing.T, c *jsonschema.Compiler, at string) (n int) {
	t.Helper()
	for media, m := range x.Content {
		if !strings.HasSuffix(media, "json") {
			continue // streams are text in their schema
		}
		s, err := c.Compile("doc.json#" + at + "/content/" + pointer(media) + "/schema")
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		values := map[string]json.RawMessage{"example": m.Example}
		for name, e := range m.Examples {
			values[name] = e.Value
		}
		for name, raw := range values {
			if raw == nil {
				continue
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err == nil {
				err = s.Validate(v)
			}
			if err != nil {
				t.Errorf("%s %s, %s: %v", at, media, name, err)
			}
			n++
		}
	}
	return n
}

// schemas compiles what stands in an OpenAPI 3.1 document, whose schemas are
// JSON Schema 2020-12.
func schemas(doc []byte) (*jsonschema.Compiler, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("doc.json", v); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return c, nil
}

// pointer writes a key as a part of a JSON pointer in a URL.
func pointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(s)
}
