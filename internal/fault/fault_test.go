package fault

import (
	"errors"
	"fmt"
	"testing"
)

func TestOfHidesForeignErrors(t *testing.T) {
	t.Parallel()
	got := Of(errors.New("pq: secret table missing"))
	if got.Code != Internal || got.Message == "pq: secret table missing" {
		t.Fatalf("got %q %q, want the internal code and no cause text", got.Code, got.Message)
	}
}

func TestCodeSurvivesWrapping(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("begin turn: %w", New(RunActive, "busy"))
	if got := CodeOf(err); got != RunActive {
		t.Fatalf("got %q, want %q", got, RunActive)
	}
	if !errors.Is(err, New(RunActive, "")) {
		t.Fatal("errors.Is does not match by code")
	}
	if CodeOf(nil) != "" {
		t.Fatal("nil has a code")
	}
}

func TestTableIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[Code]bool{}
	for _, s := range Codes {
		if seen[s.Code] {
			t.Errorf("%s stands twice", s.Code)
		}
		seen[s.Code] = true
		if s.Status < 400 || s.Status > 599 || s.Title == "" || s.Retry == "" {
			t.Errorf("%s: incomplete row %+v", s.Code, s)
		}
		if s.Close != 0 && (s.Close < 1000 || s.Close > 4999) {
			t.Errorf("%s: close code %d", s.Code, s.Close)
		}
	}
	if SpecOf("no_such_code").Code != Internal {
		t.Error("unknown code does not read as internal")
	}
}
