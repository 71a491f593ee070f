package agui

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func lines(parts ...[][]byte) string {
	var out []string
	for _, b := range slices.Concat(parts...) {
		out = append(out, string(b))
	}
	return strings.Join(out, "\n")
}

func TestProfile(t *testing.T) {
	t.Parallel()
	const head = `{"type":"RUN_STARTED","threadId":"t","runId":"r"}
{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant"}
{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"He"}
{"type":"CUSTOM","name":"status","value":{"state":"delayed"}}
{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"y"}
{"type":"TEXT_MESSAGE_END","messageId":"m"}
`
	for name, tc := range map[string]struct {
		end  func(*Encoder) [][]byte
		want string
	}{
		"completed": {func(e *Encoder) [][]byte { return e.Completed("stop") }, `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`},
		"stopped":   {func(e *Encoder) [][]byte { return e.Stopped() }, `{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":{"stopped":true}}`},
		"failed":    {func(e *Encoder) [][]byte { return e.Failed("upstream_timeout", "Slow.") }, `{"type":"RUN_ERROR","message":"Slow.","code":"upstream_timeout"}`},
		"unsaid":    {func(e *Encoder) [][]byte { return e.Failed("", "") }, `{"type":"RUN_ERROR","message":"The reply failed."}`},
	} {
		e := New("t", "r", nil)
		got := lines(e.Open(), e.Begin("m"), e.Text("He"), e.Status("delayed", ""), e.Text("y"), tc.end(e))
		if got != head+tc.want {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
	e := New("t", "r", []json.RawMessage{json.RawMessage(`{"id":"u","role":"user","content":"hi"}`)})
	want := `{"type":"RUN_STARTED","threadId":"t","runId":"r"}
{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"u","role":"user","content":"hi"}]}
{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`
	if got := lines(e.Open(), e.Begin("m"), e.Completed("stop")); got != want {
		t.Errorf("coming back: got\n%s", got)
	}
}
