package docs_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// example is one command line of a document.
type example struct {
	doc, line string
	words     []string
}

// examples are the command lines of all shell blocks, without the settings in
// front of them.
func examples(t *testing.T) (out []example) {
	t.Helper()
	for path, text := range documents(t) {
		for _, block := range fence.FindAllString(text, -1) {
			if !strings.HasPrefix(block, "```sh\n") {
				continue
			}
			for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
				words := strings.Fields(strings.TrimSuffix(line, "&"))
				for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
					words = words[1:]
				}
				if len(words) > 0 {
					out = append(out, example{path, line, words})
				}
			}
		}
	}
	return out
}

// TestCommandsExist asks the program itself about each command and flag that
// a document tells people to type, and the Makefile about each target.
func TestCommandsExist(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "fluentpro")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", bin, "./cmd/fluentpro")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	n := 0
	for _, e := range examples(t) {
		w := e.words
		switch {
		case w[0] == "make":
			n++
			if len(w) > 1 && !slices.Contains(targets, w[1]) {
				t.Errorf("%s: make has no target %s", e.doc, w[1])
			}
		case strings.HasPrefix(e.line, "go run ./cmd/fluentpro") || slices.Contains(w, "go") && slices.Contains(w, "./cmd/fluentpro") && slices.Contains(w, "run"):
			n++
			asks(t, bin, e, w[slices.Index(w, "./cmd/fluentpro")+1:])
		case w[0] == "fluentpro" || w[0] == "bin/fluentpro":
			n++
			asks(t, bin, e, w[1:])
		}
	}
	if n < 5 {
		t.Errorf("only %d commands found in the documents", n)
	}
}

// asks has the program explain the command that args begin with, and looks
// for the flags in what it says.
func asks(t *testing.T, bin string, e example, args []string) {
	t.Helper()
	path := []string{"help"}
	var flags []string
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "-"):
			name, _, _ := strings.Cut(a, "=")
			flags = append(flags, name)
		case regexp.MustCompile(`^[a-z]+$`).MatchString(a) && len(flags) == 0 && len(path) < 4:
			path = append(path, a)
		}
	}
	if len(path) == 1 {
		path = append(path, "serve")
	}
	out, err := exec.CommandContext(t.Context(), bin, path...).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %q: the program does not know %v: %s", e.doc, e.line, path[1:], out)
		return
	}
	text := string(out)
	if strings.Contains(text, "Every setting of the server is a flag here too") {
		all, err := exec.CommandContext(t.Context(), bin, "help", "serve").Output()
		if err != nil {
			t.Error(err)
		}
		text += string(all)
	}
	for _, f := range flags {
		if !strings.Contains(text, "  "+f+" ") && !strings.Contains(text, "  "+f+"\n") {
			t.Errorf("%s: %q: %v has no flag %s", e.doc, e.line, path[1:], f)
		}
	}
}
