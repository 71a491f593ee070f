package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// curl and a few lines of reading are a whole client: the event stream, broken
// off again and again, taken up by Last-Event-ID at the other node each time.
func TestClientsCurl(t *testing.T) {
	t.Parallel()
	bin := testenv.Tool(t, "curl")
	c := newCluster(t)
	l, conversation := ready(t, c.a.base)
	c.model.slow(pace)
	tag := newTag()
	run := l.say(conversation, tag).Run
	f := client.NewFold()
	rounds := 0
	for ; (f.Runs[run] == nil || f.Runs[run].Ended == "") && rounds < 50; rounds++ {
		node := []*process{c.a, c.b}[rounds%2]
		// 28 is curl's own time-out, which is the cut here.
		out, err := exec.CommandContext(t.Context(), bin, "-sN", "--max-time", "0.4", "-H", "Authorization: Bearer "+l.token,
			"-H", "Accept: text/event-stream", "-H", "Last-Event-ID: "+f.Cursor(), node.base+"/api/v2/conversations/"+conversation+"/events").Output()
		if err != nil && err.Error() != "exit status 28" {
			t.Fatalf("curl: %v", err)
		}
		for _, block := range strings.SplitAfter(string(out), "\n\n") {
			if _, data, ok := strings.Cut(block, "data: "); ok && strings.HasSuffix(data, "\n\n") && !strings.HasPrefix(block, "event:") {
				take(t, f, data)
			}
		}
	}
	r := f.Runs[run]
	if r == nil || r.Ended != "completed" || r.Text() != reply(tag) || len(f.Violations) > 0 || rounds < 4 {
		t.Fatalf("after %d rounds: %+v, violations %v", rounds, r, f.Violations)
	}
	// And the same reply as other chat clients get it, in one piece.
	body := fmt.Sprintf(`{"id":%q,"messages":[{"id":%q,"role":"user","content":%q}]}`, conversation, tag, message(tag))
	out, err := exec.CommandContext(t.Context(), bin, "-sN", "--max-time", "20", "-H", "Authorization: Bearer "+l.token,
		"-H", "Content-Type: application/json", "-d", body, c.b.base+"/api/chat").Output()
	if err != nil || strings.Count(string(out), "text-delta") != 1 || !strings.Contains(string(out), `"delta":"`+reply(tag)+`"`) ||
		!strings.Contains(string(out), `{"type":"finish"}`) || !strings.HasSuffix(string(out), "data: [DONE]\n\n") {
		t.Errorf("curl: %v, %.300s", err, out)
	}
	// The transcript in both forms.
	for accept, lines := range map[string]int{"application/x-ndjson": 3, "application/json": 4} {
		out, err := exec.CommandContext(t.Context(), bin, "-sf", "-H", "Authorization: Bearer "+l.token, "-H", "Accept: "+accept,
			c.a.base+"/api/v2/conversations/"+conversation+"/transcript").Output()
		if err != nil || !strings.Contains(string(out), reply(tag)) || strings.Count(string(out), "\n") < lines-1 {
			t.Errorf("transcript as %s: %v, %.300s", accept, err, out)
		}
		var list []client.Turn
		if accept == "application/json" && json.Unmarshal(out, &list) != nil {
			t.Errorf("the array is none: %.300s", out)
		}
	}
}

// take folds the data of one message.
func take(t *testing.T, f *client.Fold, data string) {
	t.Helper()
	var e struct {
		client.Event
		Reason string
		State  json.RawMessage
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	switch e.Type {
	case "snapshot":
		if err := f.Snapshot(e.Cur, e.State); err != nil {
			t.Fatal(err)
		}
	case "reset":
		f.Reset(e.Reason)
	case "caught_up", "goaway", "error":
	default:
		if f.Apply(e.Event) == client.Gap {
			t.Fatalf("a gap at %d", e.Seq)
		}
	}
}
