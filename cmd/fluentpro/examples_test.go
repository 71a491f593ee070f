package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An example of a document that is marked runs against a fresh server. The mark
// is a comment in front of its fence, which readers do not see:
//
//	<!-- run
//	lines in front of the example
//	then
//	lines behind it
//	prints: a regular expression that a line of its output must match
//	-->
//
// The example finds the server where the text says it is (127.0.0.1:8080), and
// TOKEN and CONVERSATION of a learner who is through onboarding in its
// environment.
var marked = regexp.MustCompile("(?ms)^<!-- run\n(.*?)^-->\n```(\\w+)\n(.*?)^```$")

type docExample struct {
	doc, language, code string
	prints              []*regexp.Regexp
}

func markedExamples(t *testing.T) (out []docExample) {
	t.Helper()
	for _, doc := range []string{"README.md", "docs/protocol.md", "docs/operations.md", "docs/upstreams.md", "web/client/README.md"} {
		raw, err := os.ReadFile("../../" + doc)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(raw), "<!-- run"); n != len(marked.FindAllString(string(raw), -1)) {
			t.Errorf("%s has %d marks, not all of them in front of a fence", doc, n)
		}
		for _, m := range marked.FindAllStringSubmatch(string(raw), -1) {
			e := docExample{doc: doc, language: m[2]}
			before, after, now := "", "", &e.code
			for line := range strings.Lines(m[1]) {
				switch {
				case line == "then\n":
					before, now = e.code, &after
				case strings.HasPrefix(line, "prints: "):
					e.prints = append(e.prints, regexp.MustCompile("(?m)"+strings.TrimSpace(strings.TrimPrefix(line, "prints: "))))
				default:
					*now += line
				}
			}
			if now == &e.code {
				before = e.code
			}
			e.code = before + m[3] + after
			out = append(out, e)
		}
	}
	return out
}

func TestExamplesInTheDocuments(t *testing.T) {
	t.Parallel()
	examples := markedExamples(t)
	if len(examples) < 6 {
		t.Fatalf("only %d examples are marked", len(examples))
	}
	p := start(t, "examples", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=200", "FLUENTPRO_UPSTREAM_SCRIPT_FIRST_TOKEN=50ms")
	l, _ := ready(t, p.base)
	for i, e := range examples {
		t.Run(fmt.Sprintf("%s %d", e.doc, i), func(t *testing.T) {
			conversation := l.converse()
			code := strings.ReplaceAll(e.code, "127.0.0.1:8080", p.addr())
			dir := t.TempDir()
			var cmd *exec.Cmd
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			switch e.language {
			case "sh":
				cmd = exec.CommandContext(ctx, "sh", "-eu", "-c", code) //nolint:gosec // our own documents
			case "js", "jsx":
				cmd = exec.CommandContext(ctx, node(t), "--no-warnings", writeModule(t, dir, e.language, code))
			default:
				t.Fatalf("nothing runs %s here", e.language)
			}
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "TOKEN="+l.token, "CONVERSATION="+conversation)
			errs := &talk{}
			cmd.Stderr = errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, tail(errs.String(), 4000))
			}
			for _, want := range e.prints {
				if !want.Match(out) {
					t.Errorf("it printed nothing like %q:\n%s%s", want, out, errs)
				}
			}
		})
	}
}

// writeModule writes a module with the packages it imports beside it.
func writeModule(t *testing.T, dir, language, code string) string {
	t.Helper()
	web, err := filepath.Abs("../../web")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "node_modules"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"fluentpro": "client", "react": "client/node_modules/react", "ai": "clienttests/node_modules/ai-7",
		"react-test-renderer": "client/node_modules/react-test-renderer"} {
		if err := os.Symlink(filepath.Join(web, at), filepath.Join(dir, "node_modules", name)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "example.mjs")
	if language == "jsx" {
		source := filepath.Join(dir, "example.jsx")
		if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), node(t), filepath.Join(web, "client/node_modules/esbuild/bin/esbuild"), source, "--jsx=automatic", "--outfile="+path).CombinedOutput()
		if err != nil {
			t.Fatalf("esbuild: %v\n%s", err, out)
		}
		return path
	}
	if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
