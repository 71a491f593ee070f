package correlation

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTravelsInContext(t *testing.T) {
	t.Parallel()
	if got := From(t.Context()); got != "" {
		t.Fatalf("an empty context carries %q", got)
	}
	if got := From(With(t.Context(), "abc")); got != "abc" {
		t.Fatalf("got %q, want abc", got)
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "A.b_c-9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\nb": false, "ä": false, "a/b": false, "{x}": false,
	} {
		if got := Valid(id); got != want {
			t.Errorf("Valid(%q) = %v, want %v", id, got, want)
		}
	}
	a, b := New(), New()
	if !Valid(a) || a == b {
		t.Fatalf("New made %q and %q", a, b)
	}
}
