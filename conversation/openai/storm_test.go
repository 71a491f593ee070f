package openai

import (
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// TestAThousandStallsAndCuts has every call fail in mid-reply. Afterwards there
// is no goroutine and no socket left, and no call said that it was complete.
// It runs alone: it counts the goroutines of the process.
func TestAThousandStallsAndCuts(t *testing.T) {
	faults := [...]string{"stall-2", "cut-3", "rst-2", "stall-comments-1", "no-finish", "error-midstream-2", "utf8-2", "error-noline-1", "silent", "garbage-2"}
	var open atomic.Int64
	srv := httptest.NewUnstartedServer(fake.New(fake.Options{KeepCalls: 1}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	srv.Start()
	defer srv.Close()
	before := runtime.NumGoroutine()
	clients := make([]*Client, len(faults))
	for i, f := range faults {
		c, err := New(Config{BaseURL: srv.URL + "/v1", Model: "checkable-8+fault-" + f, MaxRetries: -1,
			Profile: Profile{Timeouts: upstream.Timeouts{FirstContent: 100 * time.Millisecond, Idle: 40 * time.Millisecond, Total: 5 * time.Second}}})
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = c
	}
	full := fake.Checkable(fake.Tag("x"), 8)
	var wg sync.WaitGroup
	var failed atomic.Int64
	work := make(chan int)
	for range 50 {
		wg.Go(func() {
			for i := range work {
				var b strings.Builder
				_, err := clients[i%len(clients)].Generate(t.Context(), conversation.Prompt{Messages: []conversation.Message{{Role: "user", Content: "x"}}},
					func(s string) error { b.WriteString(s); return nil })
				switch fault.CodeOf(err) {
				case fault.UpstreamTruncated, fault.UpstreamTimeout, fault.UpstreamUnavailable, fault.UpstreamInvalid:
					failed.Add(1)
				default:
					t.Errorf("%s: %v", faults[i%len(faults)], err)
				}
				// Half a character, which one fault ends with, is no text.
				if got := strings.TrimSuffix(b.String(), "caf"); !strings.HasPrefix(full, got) {
					t.Errorf("%s: %q", faults[i%len(faults)], b.String())
				}
			}
		})
	}
	for i := range 1000 {
		work <- i
	}
	close(work)
	wg.Wait()
	if failed.Load() != 1000 {
		t.Fatalf("%d of 1,000 failed, all had to", failed.Load())
	}
	for _, c := range clients {
		c.Close()
	}
	eventually(t, func() bool { return open.Load() == 0 })
	eventually(t, func() bool { return runtime.NumGoroutine() <= before })
}
