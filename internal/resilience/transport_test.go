package resilience

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// server answers with the statuses in turn, the last one for ever, and keeps
// what it was sent.
type server struct {
	*httptest.Server
	statuses []int
	calls    atomic.Int32
	mu       sync.Mutex
	bodies   []string
}

func newServer(t *testing.T, statuses ...int) *server {
	t.Helper()
	s := &server{statuses: statuses}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(s.calls.Add(1)) - 1
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.bodies = append(s.bodies, string(b))
		s.mu.Unlock()
		if st := s.statuses[min(n, len(s.statuses)-1)]; st > 0 {
			w.WriteHeader(st)
			_, _ = io.WriteString(w, "answer")
			return
		}
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // the rest never comes
	}))
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, cfg Config) (*http.Client, *Guard) {
	t.Helper()
	cfg.Service = "x"
	if cfg.Base == 0 {
		cfg.Base = time.Nanosecond
	}
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	g := New(cfg)
	return &http.Client{Transport: g.Transport(base)}, g
}

func TestTransport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method     string
		repeatable bool
		hidden     bool // the body cannot be had twice
		statuses   []int
		status     int
		calls      int32
	}{
		"a GET is repeated":                {http.MethodGet, false, false, []int{502, 503, 200}, 200, 3},
		"a PUT with its body":              {http.MethodPut, false, false, []int{500, 201}, 201, 2},
		"a POST is not":                    {http.MethodPost, false, false, []int{502, 200}, 502, 1},
		"a POST that was refused for now":  {http.MethodPost, false, false, []int{429, 200}, 200, 2},
		"a POST that is marked repeatable": {http.MethodPost, true, false, []int{502, 200}, 200, 2},
		"a body that can be read once":     {http.MethodPut, false, true, []int{502, 200}, 502, 1},
		"the last answer comes through":    {http.MethodGet, false, false, []int{503}, 503, 3},
		"a refusal comes through at once":  {http.MethodGet, false, false, []int{403}, 403, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.statuses...)
			h, _ := client(t, Config{})
			ctx := t.Context()
			if c.repeatable {
				ctx = Repeatable(ctx)
			}
			body, want := io.Reader(http.NoBody), ""
			if c.method != http.MethodGet {
				body, want = strings.NewReader("question"), "question"
			}
			if c.hidden {
				body = io.MultiReader(body)
			}
			req, err := http.NewRequestWithContext(ctx, c.method, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := h.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			b, err := io.ReadAll(resp.Body)
			if err != nil || string(b) != "answer" || resp.StatusCode != c.status || s.calls.Load() != c.calls {
				t.Fatalf("status %d, body %q, %v after %d calls", resp.StatusCode, b, err, s.calls.Load())
			}
			for i, b := range s.bodies {
				if b != want {
					t.Errorf("call %d carried %q", i, b)
				}
			}
		})
	}
}

func get(t *testing.T, ctx context.Context, h *http.Client, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestTransportBreaker(t *testing.T) {
	t.Parallel()
	s := newServer(t, 500)
	h, g := client(t, Config{Failures: 2, Open: time.Hour})
	// The second failure opens it; the answer that is there still comes through.
	if b, err := get(t, t.Context(), h, s.URL); b != "answer" || err != nil {
		t.Fatalf("got %q, %v", b, err)
	}
	if g.State() != "open" || s.calls.Load() != 2 {
		t.Fatalf("%s after %d calls", g.State(), s.calls.Load())
	}
	_, err := get(t, t.Context(), h, s.URL)
	if !IsOpen(err) || fault.CodeOf(err) != fault.DependencyUnavailable || s.calls.Load() != 2 {
		t.Fatalf("got %v after %d calls", err, s.calls.Load())
	}
}

func TestTransportEndsWithItsBody(t *testing.T) {
	t.Parallel()
	s := newServer(t, 0) // begins and hangs
	h, _ := client(t, Config{Attempt: 100 * time.Millisecond})
	if b, err := get(t, t.Context(), h, s.URL); b != "begun" || err == nil {
		t.Fatalf("got %q, %v, want the try's end", b, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := get(t, ctx, h, s.URL); !errors.Is(err, gone) && !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestTransportWithoutServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, 200)
	s.Close()
	h, _ := client(t, Config{})
	_, err := get(t, t.Context(), h, s.URL)
	wantUnavailable(t, err)
}
