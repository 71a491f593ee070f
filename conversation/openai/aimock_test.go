package openai

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// aimockVersion is pinned in scripts/node.sh too.
const aimockVersion = "1.43.0"

var listensOn = regexp.MustCompile(`listening on (http://[0-9.:]+)`)

// aimock runs an independent mock of the OpenAI API, which knows nothing of
// our reading of it, and returns its base URL.
func aimock(t *testing.T) string {
	t.Helper()
	cli, err := filepath.Abs("../../.tools/aimock-" + aimockVersion + "/node_modules/@copilotkit/aimock/dist/cli.js")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cli); err != nil {
		testenv.Missing(t, "@copilotkit/aimock "+aimockVersion+" in .tools")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		found, _ := filepath.Glob("../../.tools/node-*/node_modules/node/bin/node")
		if len(found) == 0 {
			testenv.Missing(t, "Node")
		}
		if node, err = filepath.Abs(found[0]); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), node, cli, "-p", "0", "-f", "testdata/aimock.json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	urls := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(urls)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := listensOn.FindStringSubmatch(lines.Text()); m != nil {
				urls <- m[1]
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	select {
	case url, ok := <-urls:
		if !ok {
			t.Fatal("aimock ended before it listened")
		}
		return url + "/v1"
	case <-time.After(30 * time.Second):
		t.Fatal("aimock does not listen")
	}
	return ""
}

func TestAgainstAnIndependentMock(t *testing.T) {
	t.Parallel()
	base := aimock(t)
	for _, tc := range []struct {
		say, text, finish string
		code              fault.Code
		schema            string
	}{
		{"plain", "Good morning, shall we begin with the invoice?", "stop", "", ""},
		{"scripts", "Grüße aus 北京 😀, alles klar?", "stop", "", ""},
		{"think", "Yes.", "stop", "", ""},
		{"object", `{"title":"A late delivery"}`, "stop", "", `{"type":"object","required":["title"]}`},
		{"cut", "This reply is ne", "", fault.UpstreamTruncated, ""},
		{"length", "Half an ans", "length", "", ""},
		{"filter", "", "", fault.UpstreamFiltered, ""},
		{"busy", "", "", fault.UpstreamUnavailable, ""},
		{"long", "", "", fault.UpstreamRejected, ""},
	} {
		t.Run(tc.say, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{BaseURL: base, Model: "gpt-4o-mini", MaxRetries: -1})
			p := conversation.Prompt{MaxTokens: 200, Correlation: "corr-" + tc.say, Messages: []conversation.Message{{Role: "system", Content: "You are a partner."}, {Role: "user", Content: tc.say}}}
			if tc.schema != "" {
				p.Schema, p.SchemaName = json.RawMessage(tc.schema), "scenario"
			}
			text, fin, err := r.say(t, t.Context(), p)
			if tc.say == "cut" && text != "" && strings.HasPrefix(tc.text, text) {
				text = tc.text // how much gets out before the socket is destroyed is its own affair
			}
			if text != tc.text || fault.CodeOf(err) != tc.code || err == nil && fin.Reason != tc.finish {
				t.Fatalf("%q %+v %v", text, fin, err)
			}
			rec := r.record()
			if err == nil && (rec.Estimated || rec.OutputTokens == 0 || !strings.HasPrefix(rec.ModelServed, "gpt-4o-mini") || rec.RequestID != "corr-"+tc.say) {
				t.Errorf("record %+v", rec)
			}
			if tc.say == "think" && rec.ReasoningBytes == 0 {
				t.Errorf("the thoughts are not counted: %+v", rec)
			}
		})
	}
	t.Run("embeddings", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, Config{BaseURL: base, Model: "m"})
		if got, err := r.Embed(t.Context(), "text-embedding-3-small", []string{"embed me"}); err != nil || len(got) != 1 || len(got[0]) != 3 || got[0][0] != 0.25 {
			t.Fatalf("%v %v", got, err)
		}
	})
	t.Run("moderation", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, Config{BaseURL: base, Model: "m"})
		if flagged, _, err := r.Moderate(t.Context(), "omni-moderation-latest", "harmless"); err != nil || flagged {
			t.Fatalf("%v %v", flagged, err)
		}
	})
	t.Run("models", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, Config{BaseURL: base, Model: "m"})
		if known, _, _ := r.listed(t.Context(), "m"); !known {
			t.Error("its list of models cannot be read")
		}
	})
}
