package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// node is a server of the JSON log alone, as scripted.
func node(t *testing.T, answer func(w http.ResponseWriter, log bool)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, strings.HasSuffix(r.URL.Path, "/log"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func problem(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%d,"code":%q}`, status, code)
}

// A node says that the cursor is gone and dies before it gives the snapshot.
// The other node can serve the cursor: its events are asked for, not a breach.
func TestPollWhenTheNodeDiesBetweenGoneAndSnapshot(t *testing.T) {
	s := newScript()
	had := s.begin()
	next := s.delta(0, "Hello")
	page, err := json.Marshal(m{"events": []Event{next}, "cur": next.Cur, "more": false})
	if err != nil {
		t.Fatal(err)
	}
	dying := node(t, func(w http.ResponseWriter, log bool) {
		if log {
			problem(w, http.StatusGone, "cursor_gone")
			return
		}
		problem(w, http.StatusServiceUnavailable, "draining")
	})
	healthy := node(t, func(w http.ResponseWriter, log bool) {
		if !log {
			t.Error("the healthy node was asked for a snapshot")
		}
		_, _ = w.Write(page)
	})
	v := NewView("c")
	if v.events(had) {
		t.Fatal("a gap")
	}
	o := &Options{Bases: []string{dying, healthy}}
	if err := Poll(t.Context(), o, v, 0); CodeOf(err) != "draining" {
		t.Fatalf("first poll: %v", err)
	}
	if err := Poll(t.Context(), o, v, 0); err != nil {
		t.Fatal(err)
	}
	if got := v.Violations(); len(got) > 0 || v.Cursor() != next.Cur {
		t.Errorf("violations %v, stands at %s", got, v.Cursor())
	}
}

// A reset whose snapshot never came belongs to the connection that broke.
func TestResetDiesWithItsConnection(t *testing.T) {
	s := newScript()
	v := NewView("c")
	v.events(s.begin())
	if err := v.control(control{Type: "reset", Reason: "slow"}); err != nil {
		t.Fatal(err)
	}
	v.attached()
	v.events([]Event{s.delta(0, "Hello")})
	if got := v.Violations(); len(got) > 0 {
		t.Errorf("violations %v", got)
	}
}
