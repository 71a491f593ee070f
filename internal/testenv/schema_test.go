package testenv

import "testing"

func TestSchemas(t *testing.T) {
	t.Parallel()
	s := NewSchemas(t, []byte(`{"openapi":"3.1.0","paths":{"/a/{id}":{"get":{"schema":{"$ref":"#/components/schemas/A"}}}},
		"components":{"schemas":{"A":{"type":"object","required":["id"],"properties":{"id":{"type":"string","format":"uuid"}},"additionalProperties":false}}}}`))
	for body, ok := range map[string]bool{
		`{"id":"0198c2a4-6f1e-7c3a-9d2b-5a1f0e7b4c21"}`: true, `{"id":"x"}`: false, `{"id":7}`: false, `{}`: false,
		`{"id":"0198c2a4-6f1e-7c3a-9d2b-5a1f0e7b4c21","x":1}`: false, `{`: false,
	} {
		if err := s.Check([]byte(body), "paths", "/a/{id}", "get", "schema"); (err == nil) != ok {
			t.Errorf("%s: %v", body, err)
		}
	}
	if err := s.Check([]byte(`{}`), "paths", "/b"); err == nil {
		t.Error("a schema that is not there fits")
	}
}
