package importrules

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the depguard section of .golangci.yml anew")

const (
	lintFile = root + "/.golangci.yml"
	begin    = "        # BEGIN import rules (made by: go test ./internal/importrules -update)\n"
	end      = "        # END import rules\n"
)

// depguard says the same as the table in the linter's words, so that an
// editor shows a broken rule while it is typed.
func depguard() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "        "+format+"\n", args...) }
	files := func(not, pattern string) {
		tree, below := strings.CutSuffix(pattern, "/...")
		line(`    - %q`, not+"**/"+tree+"/*.go")
		if below {
			line(`    - %q`, not+"**/"+tree+"/**/*.go")
		}
	}
	for _, r := range table {
		if r.may != nil && r.may[0] == "..." {
			continue
		}
		line("%s:", strings.NewReplacer("/...", "_below", "/", "_").Replace(r.pkg))
		line("  list-mode: lax")
		line("  files:")
		files("", r.pkg)
		line(`    - "!$test"`)
		for _, other := range table { // a longer pattern has its own rule
			if strings.HasSuffix(r.pkg, "/...") && other.pkg != r.pkg && fits(r.pkg, strings.TrimSuffix(other.pkg, "/...")) {
				files("!", other.pkg)
			}
		}
		may := r.may
		for _, e := range exceptions {
			if e.from == r.pkg {
				may = append(slices.Clone(may), e.imp)
			}
		}
		if len(may) > 0 {
			line("  allow:")
			for _, m := range may {
				if tree, ok := strings.CutSuffix(m, "/..."); ok {
					line("    - %s/%s", module, tree)
				} else {
					line("    - %s/%s$", module, m)
				}
			}
		}
		line("  deny:")
		line("    - pkg: %s/", module)
		line("      desc: %q", r.why)
	}
	for _, g := range gates {
		if g.only[0] == "..." {
			continue
		}
		line("%s:", strings.NewReplacer("/", "_", ".", "_").Replace(g.path))
		line("  files:")
		line(`    - "!$test"`)
		for _, o := range g.only {
			files("!", o)
		}
		line("  deny:")
		line("    - pkg: %s", g.path)
		line("      desc: %q", g.why)
	}
	return b.String()
}

func TestTheLinterHasTheSameRules(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(lintFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(data), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no section between %q and %q", lintFile, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	want := depguard()
	if *update {
		if err := os.WriteFile(lintFile, []byte(head+begin+want+end+tail), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s differs from the table; run go test ./internal/importrules -update", lintFile)
	}
}
