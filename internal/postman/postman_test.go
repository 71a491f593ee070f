package postman

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write api/postman.json anew")

const (
	source = "../../api/openapi.json"
	target = "../../api/postman.json"
)

// The committed collection is made from the committed document. Run
// go test ./internal/postman -update after a change of routes.
func TestCollectionIsFresh(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Generate(doc)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(target, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(target)
	if err != nil || string(got) != string(want) {
		t.Fatalf("%s is not made from %s; run: go test ./internal/postman -update (%v)", target, source, err)
	}
}

// Every operation of the document has a request with a test, and what the
// journey uses is set before it is used.
func TestCollectionIsWhole(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Generate(doc)
	if err != nil {
		t.Fatal(err)
	}
	var c Collection
	var d document
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, ops := range d.Paths {
		want += len(ops)
	}
	got := 0
	for _, folder := range c.Item[1:] {
		for _, item := range folder.Item {
			got++
			if item.Request == nil || len(item.Event) != 1 || strings.Contains(item.Request.URL.Raw, "{id}") {
				t.Errorf("%s: %+v", item.Name, item)
			}
		}
	}
	if got != want || want == 0 || c.Info.Schema != schemaURL {
		t.Errorf("%d requests for %d operations", got, want)
	}
	known := map[string]bool{"base_url": true, "email": true}
	for _, item := range c.Item[0].Item {
		r, err := json.Marshal(item.Request)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range variables {
			if strings.Contains(string(r), "{{"+v.Key+"}}") && !known[v.Key] {
				t.Errorf("%s uses %s, which nothing has set", item.Name, v.Key)
			}
			for _, e := range item.Event {
				if strings.Contains(strings.Join(e.Script.Exec, "\n"), "set('"+v.Key+"'") {
					known[v.Key] = true
				}
			}
		}
	}
}

func TestGenerateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for doc, says := range map[string]string{
		`{`: "read the OpenAPI document", `{"paths":{"/a":{"get":{"operationId":"x"}}}}`: "x has no server or no tag",
		`{"paths":{}}`: "goes over sign-up",
	} {
		if _, err := Generate([]byte(doc)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", doc, err)
		}
	}
}
