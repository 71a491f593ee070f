package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The worked example of the migration guide does what it says, on the binary
// that ships, word by word.
func TestMigrationGuideRuns(t *testing.T) {
	t.Parallel()
	sh, _ := testenv.Tool(t, "sh"), testenv.Tool(t, "curl")
	raw, err := os.ReadFile("../../docs/migrating-to-v2.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := shellBlock.FindAllSubmatch(raw, -1)
	if len(blocks) != 1 {
		t.Fatalf("the guide has %d examples, want one", len(blocks))
	}
	p := start(t, "guide")
	ctx, cancel := context.WithTimeout(t.Context(), 3*soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, sh, "-eu")
	cmd.Stdin = strings.NewReader(string(blocks[0][1]))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "BASE=" + p.base}
	out, err := cmd.CombinedOutput()
	want := []string{"job", "role", "partners", "situations", "level", "summary", "complete", "moved to v2"}
	if err != nil || strings.Join(strings.Fields(string(out)), " ") != strings.Join(want, " ") {
		t.Fatalf("got %v:\n%s", err, out)
	}
}

// Each route of the table is one that exists.
func TestMigrationGuideNamesRealRoutes(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/migrating-to-v2.md")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "routes")
	web, n := webClient(t), 0
	for _, m := range regexp.MustCompile("`(GET|POST|PUT|PATCH) (/[a-z0-9/{}_-]+)`").FindAllStringSubmatch(string(raw), -1) {
		method, path := m[1], strings.NewReplacer("{id}", "clients", "{step}", "role").Replace(m[2])
		switch {
		case strings.HasSuffix(path, "/"):
			path = "/api/v1" + path
		case path != "/readyz":
			path = "/api/v2" + path
		}
		req, err := http.NewRequestWithContext(t.Context(), method, p.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		drainBody(res)
		if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", method, path, res.StatusCode)
		}
		n++
	}
	if n < 40 {
		t.Errorf("only %d routes are named", n)
	}
}
