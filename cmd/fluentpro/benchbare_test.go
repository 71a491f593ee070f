package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func TestTheBareRelayCarriesEveryToken(t *testing.T) {
	t.Parallel()
	up, err := fake.Listen(fake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Close() }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	relay := &bareRelay{client: client, upstream: up.URL, model: "checkable-30"}
	srv := httptest.NewServer(http.HandlerFunc(relay.serve))
	defer srv.Close()
	ws, resp, err := websocket.Dial(t.Context(), srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	if resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	want := fake.Checkable(fake.Tag("Please go on."), 30)
	for range 2 {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("go")); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		frames := 0
		for {
			_, msg, err := ws.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(msg) == 0 {
				break
			}
			got.Write(msg)
			frames++
		}
		if got.String() != want || frames != 30 {
			t.Fatalf("%d frames: %q", frames, got.String())
		}
	}
}

func TestBenchRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"bench", "relay", "--database-url", "postgres://x", "--learners", "0"},
		{"bench", "relay", "--database-url", "postgres://x", "--window", "1h"},
		{"bench", "idle", "--database-url", "postgres://x", "--connections", "1"},
		{"bench", "kill", "--database-url", "postgres://x", "--kills", "0"},
		{"bench", "scale", "--database-url", "postgres://x", "--learners", "100,many"},
		{"bench", "resume", "--database-url", "postgres://x", "--cuts", "100"},
		{"bench", "observers", "--database-url", "postgres://x", "--observers", "0"},
		{"bench", "slow", "--database-url", "postgres://x", "--megabytes", "0"},
		{"bench", "memory", "--database-url", "postgres://x", "--conversations", "0"},
		{"bench", "memory", "--database-url", "postgres://x", "--rate", "0"},
		{"bench", "switch", "--database-url", "postgres://x", "--hold", "0s"},
		{"bench", "relay"}, // no database
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), args, nil, &out, &errs); code != exitUsage || out.String() != "" {
			t.Errorf("%v: code %d, %s", args, code, errs.String())
		}
	}
}

// The benchmarks of viewers run for real, small: what they count must be whole.
// What they time is not looked at.
func TestBenchOfViewers(t *testing.T) {
	t.Parallel()
	binaryUsed.Store(true)
	bin, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Redis(t) // the command starts its own; without redis-server there is nothing to do
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"resume":    {[]string{"--learners", "3", "--tokens", "60", "--rate", "100"}, "| 0 | 0, 0 |"},
		"observers": {[]string{"--observers", "5", "--rate", "300"}, "| 0, 0 |"},
		"slow":      {[]string{"--viewers", "2", "--megabytes", "1"}, "| 2 | 1."},
		"memory":    {[]string{"--conversations", "1", "--rate", "1000"}, "| 1 live | "},
		"scale":     {[]string{"--learners", "2", "--nodes", "2", "--window", "1s"}, "| 2 | server |"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"bench", name, "--database-url", sqldbtest.PostgresURL(t)}, tc.args...)
			cmd := exec.CommandContext(t.Context(), bin, args...)
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("%v\n%s\n%s", err, out, errs.String())
			}
		})
	}
}
