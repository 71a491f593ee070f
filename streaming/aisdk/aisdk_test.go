package aisdk

import (
	"net/http"
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

// The exact chunks: a key that is not here breaks version 5.0.0.
func TestProfile(t *testing.T) {
	t.Parallel()
	const head = `{"type":"start","messageId":"m"}
{"type":"start-step"}
{"type":"text-start","id":"text"}
{"type":"text-delta","id":"text","delta":"He"}
{"type":"data-status","data":{"state":"recovering","reason":"node_dead"},"transient":true}
{"type":"text-delta","id":"text","delta":"y"}
{"type":"text-end","id":"text"}
`
	for name, tc := range map[string]struct {
		end  func(*Encoder) [][]byte
		want string
	}{
		"completed": {func(e *Encoder) [][]byte { return e.Completed("length") }, "{\"type\":\"finish-step\"}\n{\"type\":\"finish\"}\n[DONE]"},
		"stopped":   {func(e *Encoder) [][]byte { return e.Stopped() }, "{\"type\":\"abort\"}\n[DONE]"},
		"failed":    {func(e *Encoder) [][]byte { return e.Failed("upstream_timeout", "Slow.") }, "{\"type\":\"error\",\"errorText\":\"Slow. (upstream_timeout)\"}\n[DONE]"},
		"unsaid":    {func(e *Encoder) [][]byte { return e.Failed("", "") }, "{\"type\":\"error\",\"errorText\":\"The reply failed.\"}\n[DONE]"},
	} {
		e := &Encoder{}
		got := lines(e.Open(), e.Begin("m"), e.Text("He"), e.Status("recovering", "node_dead"), e.Text("y"), tc.end(e))
		if got != head+tc.want {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
	e := &Encoder{}
	if got := lines(e.Begin("m"), e.Stopped()); got != "{\"type\":\"start\",\"messageId\":\"m\"}\n{\"type\":\"start-step\"}\n{\"type\":\"abort\"}\n[DONE]" {
		t.Errorf("without text: got\n%s", got)
	}
	got := lines(e.Fact("feedback", "f1", "feedback.ready", []byte(`{"id":"f1"}`)))
	if got != `{"type":"data-feedback","id":"f1","data":{"type":"feedback.ready","data":{"id":"f1"}}}` {
		t.Errorf("a fact: got\n%s", got)
	}
	h := http.Header{}
	if Header(h); h.Get("x-vercel-ai-ui-message-stream") != "v1" {
		t.Errorf("headers %v", h)
	}
}
