package fake

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEveryFaultHappens calls each fault over the wire and checks that the
// server survives it and says so in its log; what a client must make of each
// is tested where the client is.
func TestEveryFaultHappens(t *testing.T) {
	t.Parallel()
	s := listen(t, Options{})
	names := []string{"silent", "400-model", "400-nothing", "418", "429-date", "503-20ms", "429-3", "cut-9-once"}
	for name := range faults {
		names = append(names, name)
	}
	t.Run("all", func(t *testing.T) {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
				defer cancel()
				body := strings.Replace(request("checkable-4+fault-"+name, true, 0, message{"user", name}), "{", `{"n":1,`, 1)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/chat/completions", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Transport.RoundTrip(req)
				if err != nil {
					return // some never answer
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
			})
		}
	})
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for open := 1; open > 0; {
		open = 0
		for _, c := range s.Calls() {
			switch c.End {
			case EndFault, EndCancelled:
			case EndOpen:
				open++
			default:
				t.Fatalf("%s ended %q", c.Model, c.End)
			}
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d calls never ended", open)
		}
	}
	if n := len(s.Calls()); n != len(names) {
		t.Fatalf("%d calls for %d faults", n, len(names))
	}
}
