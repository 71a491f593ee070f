package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/domains/practice/prompts"
)

func TestPromptCommands(t *testing.T) {
	t.Parallel()
	if code, out, _ := runCommand(t, nil, "prompt", "list"); code != exitOK || !strings.Contains(out, prompts.PartnerVersion) || !strings.Contains(out, "yes") {
		t.Errorf("list: %d %s", code, out)
	}
	if code, out, _ := runCommand(t, nil, "prompt", "list", "-o", "json"); code != exitOK || !strings.Contains(out, `"id": "`+prompts.ScenarioVersion+`"`) {
		t.Errorf("list: %d %s", code, out)
	}
	for _, name := range []string{"partner", prompts.PartnerVersion} {
		if code, out, _ := runCommand(t, nil, "prompt", "show", name); code != exitOK || strings.TrimSpace(out) != strings.TrimSpace(prompts.Partner) {
			t.Errorf("show %s: %d %.80s", name, code, out)
		}
	}
	mine := filepath.Join(t.TempDir(), "mine.txt")
	if err := os.WriteFile(mine, []byte(strings.TrimRight(prompts.Partner, "\n")+"\nBe brief.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := runCommand(t, nil, "prompt", "diff", "partner", mine); code != exitConflict || out != "+Be brief.\n" {
		t.Errorf("diff: %d %s", code, out)
	}
	if code, out, _ := runCommand(t, nil, "prompt", "diff", "partner", prompts.PartnerVersion); code != exitOK || out != "" {
		t.Errorf("diff of one text with itself: %d %s", code, out)
	}
	for _, args := range [][]string{{"prompt", "show", "nobody"}, {"prompt", "diff", "partner", "/nonexistent"}, {"prompt", "diff", mine, "partner"}} {
		if code, _, errs := runCommand(t, nil, args...); code != exitNotFound || errs == "" {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

func TestDiffLines(t *testing.T) {
	t.Parallel()
	got := diffLines(strings.Fields("a b c d"), strings.Fields("a x c d e"))
	if !slices.Equal(got, []string{"-b", "+x", "+e"}) {
		t.Fatalf("%q", got)
	}
}
