package asyncapi

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write api/asyncapi.json anew")

const golden = "../../api/asyncapi.json"

func TestDocumentIsCommitted(t *testing.T) {
	t.Parallel()
	got, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatalf("%s is not what the types say; run: go test ./internal/asyncapi -update", golden)
	}
}

// Every reference leads somewhere, and every message is used.
func TestReferences(t *testing.T) {
	t.Parallel()
	raw, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case []any:
			for _, e := range x {
				walk(e)
			}
		case map[string]any:
			for k, e := range x {
				if ref, ok := e.(string); ok && k == "$ref" {
					used[ref] = true
					var at any = doc
					for _, p := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
						m, ok := at.(map[string]any)
						if at = m[p]; !ok || at == nil {
							t.Errorf("%s leads nowhere", ref)
							break
						}
					}
				}
				walk(e)
			}
		}
	}
	walk(doc)
	for name := range doc["components"].(map[string]any)["messages"].(map[string]any) {
		if !used["#/components/messages/"+name] {
			t.Errorf("message %s is in no channel", name)
		}
	}
}

// docs/protocol.md tells of every type and frame.
func TestProseKnowsThem(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	prose := string(raw)
	for _, e := range runEvents {
		if !strings.Contains(prose, "`P."+e.name+"`") {
			t.Errorf("the prose does not know P.%s", e.name)
		}
	}
	for _, e := range append(append([]entry{}, otherEvents...), controls...) {
		if !strings.Contains(prose, "`"+e.name+"`") {
			t.Errorf("the prose does not know %s", e.name)
		}
	}
	for _, e := range append(append([]entry{}, serverFrames...), clientFrames...) {
		if !strings.Contains(prose, `{"t":"`+e.name+`"`) {
			t.Errorf("the prose does not know the frame %s", e.name)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const ok = `{"v":1,"seq":2,"cur":"1.a.2","type":"partner.delta","run":1,"attempt":1,"base":1,"ts":1,"data":{"at":0,"text":"x"}}`
	frame := func(event string) string { return `{"t":"ev","c":"c","e":[` + event + `]}` }
	for _, tc := range []struct{ frame, wrong string }{
		{frame(ok), ""},
		{`{"t":"pong","n":1}`, ""},
		{frame(strings.Replace(ok, `"at":0,`, "", 1)), "partner.delta.at is missing"},
		{frame(strings.Replace(ok, `"at":0,`, `"at":"0",`, 1)), "is no int64"},
		{frame(strings.Replace(ok, `"at":0,`, `"at":0,"x":1,`, 1)), "x is not in the document"},
		{frame(strings.Replace(ok, "delta", "smile", 1)), "not in the document"},
		{frame(strings.Replace(ok, `"ts":1,`, "", 1)), "ts is missing"},
		{`{"t":"dance"}`, "not in the document"},
		{`{"t":"ev","c":"c","e":null}`, "no list"},
		{`[]`, "cannot unmarshal"},
	} {
		err := CheckFrame([]byte(tc.frame))
		if tc.wrong == "" && err != nil || tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)) {
			t.Errorf("%s: got %v, want %q", tc.frame, err, tc.wrong)
		}
	}
}

// The conformance vectors speak the documented language.
func TestVectorsFit(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../api/vectors/client.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name    string
			Receive []json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range file.Vectors {
		for _, msg := range v.Receive {
			if strings.Contains(string(msg), `"seq"`) && !strings.Contains(v.Name, "unknown") {
				n++
				if err := CheckEvent(msg); err != nil {
					t.Errorf("%s: %v", v.Name, err)
				}
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d events were checked", n)
	}
}
