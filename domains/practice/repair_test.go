package practice

import (
	"errors"
	"strings"
	"testing"
)

func TestRepairTellsWhatWasWrong(t *testing.T) {
	t.Parallel()
	const bad = `{"title":"Hi"}`
	_, why := ParseScenario(bad)
	ms := RepairMessages(bad, why)
	if len(ms) != 2 || ms[0].Role != "assistant" || ms[0].Content != bad || ms[1].Role != "user" {
		t.Fatalf("got %+v", ms)
	}
	if c := ms[1].Content; !strings.Contains(c, "breaks") || !strings.Contains(c, "summary") || strings.Contains(c, "{{") {
		t.Fatalf("the rules are not named: %q", c)
	}
}

func TestRepairIsBounded(t *testing.T) {
	t.Parallel()
	ms := RepairMessages(strings.Repeat("\u00e9", repairText), errors.New("sql: secret"))
	if len(ms[0].Content) > repairText || strings.Contains(ms[1].Content, "secret") {
		t.Fatalf("%d bytes, %q", len(ms[0].Content), ms[1].Content)
	}
	if ms := RepairMessages("  ", nil); ms[0].Content != "{}" {
		t.Fatalf("an empty answer became %q", ms[0].Content)
	}
}
