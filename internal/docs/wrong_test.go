package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	shownBy = regexp.MustCompile("((?:`Test[A-Za-z0-9]+`(?:, | and )?)+) in `([a-z0-9/]+)`")
	oneTest = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
)

// Each fault of the old backend names tests that exist.
func TestFaultsAreTests(t *testing.T) {
	t.Parallel()
	rows := 0
	for _, line := range strings.Split(read(t, "docs/what-was-wrong.md"), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| fault") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		named := shownBy.FindAllStringSubmatch(line, -1)
		if len(named) == 0 {
			t.Errorf("no test is named: %s", line)
		}
		for _, m := range named {
			files, err := filepath.Glob(filepath.Join(root, m[2], "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Errorf("there are no tests in %s", m[2])
			}
			all := ""
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				all += string(b)
			}
			for _, name := range oneTest.FindAllStringSubmatch(m[1], -1) {
				if !strings.Contains(all, "func "+name[1]+"(t *testing.T)") {
					t.Errorf("%s has no %s", m[2], name[1])
				}
			}
		}
	}
	if rows < 29 {
		t.Errorf("only %d faults are listed", rows)
	}
}
