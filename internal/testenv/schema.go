package testenv

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schemas holds bodies against the schemas in an OpenAPI 3.1 document, which
// are JSON Schema 2020-12. It is safe for concurrent use.
type Schemas struct {
	mu       sync.Mutex // guards the compiler
	compiler *jsonschema.Compiler
}

// NewSchemas reads a document.
func NewSchemas(t testing.TB, doc []byte) *Schemas {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("read the OpenAPI document: %v", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("doc.json", v); err != nil {
		t.Fatalf("read the OpenAPI document: %v", err)
	}
	return &Schemas{compiler: c}
}

// Check holds a JSON body against the schema under a path of keys.
func (s *Schemas) Check(body []byte, keys ...string) error {
	for i, k := range keys {
		keys[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "+", "%2B").Replace(k)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.compiler.Compile("doc.json#/" + strings.Join(keys, "/"))
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}
