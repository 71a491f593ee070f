package importrules

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// goCmd runs the go command in dir, offline.
func goCmd(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, ee.Stderr)
		}
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func list(t *testing.T, dir string) (pkgs []pkg) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(goCmd(t, dir, "list", "-json=ImportPath,Imports", "./..."))))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

const root = "../.."

// touch looks at every Go file, so that the go command does not take a result
// from its cache after an import has changed somewhere.
func touch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil // a file that went away while we looked is no rule's business
		}
		if strings.HasSuffix(path, ".go") {
			_, _ = os.Stat(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheHouseKeepsItsRules(t *testing.T) {
	t.Parallel()
	touch(t)
	pkgs := list(t, root)
	if len(pkgs) < 5 {
		t.Fatalf("go list found %d packages only", len(pkgs))
	}
	for _, b := range check(pkgs) {
		t.Error(b)
	}
	for _, e := range exceptions {
		used := slices.ContainsFunc(pkgs, func(p pkg) bool {
			return p.rel() == e.from && slices.Contains(p.Imports, module+"/"+e.imp)
		})
		if !used {
			t.Errorf("the exception %s -> %s is not needed any more", e.from, e.imp)
		}
	}
}

// TestABrokenModuleIsCaught reads a real module with go list, so the way from
// a source file to a finding is covered, not only the table.
func TestABrokenModuleIsCaught(t *testing.T) {
	t.Parallel()
	got := strings.Join(check(list(t, "testdata/broken")), "\n")
	for _, want := range []string{
		"conversation may not import server: the heart",
		"helpers has a name that does not say",
		"helpers is in none of the rooms",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not caught: %s\ngot %s", want, got)
		}
	}
	if strings.Count(got, "\n") != 2 {
		t.Errorf("more is caught than is broken:\n%s", got)
	}
}

// fixtures break one rule each; rule is the row or gate it breaks.
var fixtures = []struct{ rule, from, imp, says string }{
	{"cmd/...", "cmd/fluentpro", module + "/cmd/other", "nobody looks up"},
	{"server", "server", module + "/conversation/redislog", "the front door"},
	{"server", "server", module + "/domains/practice/sqlstore", "the front door"},
	{"server/v1", "server/v1", module + "/server", "no router"},
	{"sessions", "sessions", module + "/conversation/redislog", "no transport"},
	{"sessions/...", "sessions/redisstore", module + "/streaming", "knows its port"},
	{"streaming", "streaming", module + "/sessions", "facts travel"},
	{"streaming/...", "streaming/sse", module + "/conversation", "frames only"},
	{"conversation", "conversation", module + "/internal/sqldb", "the heart"},
	{"conversation", "conversation", module + "/conversation/sqlstore", "the heart"},
	{"conversation/...", "conversation/sqlstore", module + "/conversation/redislog", "an adapter"},
	{"conversation/inspector", "conversation/inspector", module + "/conversation/redislog", "through ports"},
	{"domains/authentication/...", "domains/authentication/sqlstore", module + "/domains/onboarding", "another"},
	{"domains/onboarding/...", "domains/onboarding", module + "/domains/practice", "another"},
	{"domains/practice/...", "domains/practice", module + "/conversation", "nor conversation"},
	{"domains/jobs/...", "domains/jobs", module + "/domains/practice", "know none"},
	{"domains/events/...", "domains/events", module + "/domains/jobs", "know none"},
	{"web/...", "web", module + "/internal/fault", "is data"},
	{"docs", "docs", module + "/internal/fault", "are data"},
	{"configs", "configs", module + "/internal/fault", "know nobody"},
	{"api/...", "api", module + "/internal/fault", "is data"},
	{"internal/...", "internal/sqldb", module + "/conversation", "does not look up"},

	{"support", "server", module + "/internal/testenv", "for tests"},
	{"support", "conversation/sqlstore", module + "/conversation/storetest", "for tests"},
	{"configs only cmd", "server", module + "/configs", "only cmd knows settings"},
	{"cmd is the top", "server", module + "/cmd/fluentpro", "nobody looks up"},
	{"rooms", "tools/x", "fmt", "in none of the rooms"},
	{"rooms", "", "fmt", "in none of the rooms"},
	{"names", "internal/utils", "fmt", "does not say"},
	{"no row", "domains/billing", "fmt", "no row"},
	{"no gate", "server", "github.com/labstack/echo/v4", "until a gate"},
	{"cgo", "internal/sqldb", "C", "C compiler"},

	{"github.com/gin-gonic/gin", "sessions", "github.com/gin-gonic/gin", "lives in server"},
	{"github.com/danielgtaylor/huma/v2", "domains/practice", "github.com/danielgtaylor/huma/v2/sse", "lives in server"},
	{"github.com/coder/websocket", "server", "github.com/coder/websocket", "live in streaming/ws"},
	{"github.com/sashabaranov/go-openai", "domains/practice", "github.com/sashabaranov/go-openai", "one adapter"},
	{"github.com/redis/go-redis/v9", "sessions", "github.com/redis/go-redis/v9", "four owners"},
	{"github.com/bsm/redislock", "sessions/redisstore", "github.com/bsm/redislock", "one lock"},
	{"github.com/alicebob/miniredis/v2", "conversation/redislog", "github.com/alicebob/miniredis/v2", "wired"},
	{"github.com/jackc/pgx/v5", "conversation/sqlstore", "github.com/jackc/pgx/v5/pgconn", "drivers"},
	{"modernc.org/sqlite", "domains/practice/sqlstore", "modernc.org/sqlite", "drivers"},
	{"github.com/pressly/goose/v3", "cmd/fluentpro", "github.com/pressly/goose/v3", "migrations"},
	{"github.com/riverqueue/river", "domains/jobs", "github.com/riverqueue/river/rivertype", "one adapter"},
	{"github.com/gofrs/flock", "server", "github.com/gofrs/flock", "file lock"},
	{"github.com/uptrace/bun", "domains/practice", "github.com/uptrace/bun/dialect/pgdialect", "SQL lives"},
	{"github.com/golang-jwt/jwt/v5", "server", "github.com/golang-jwt/jwt/v5", "one place"},
	{"github.com/alexedwards/argon2id", "server", "github.com/alexedwards/argon2id", "one place"},
	{"github.com/failsafe-go/failsafe-go", "sessions", "github.com/failsafe-go/failsafe-go/retrypolicy", "guard what is outside"},
	{"go.yaml.in/yaml/v3", "server", "go.yaml.in/yaml/v3", "for settings"},
	{"github.com/prometheus/client_golang", "web", "github.com/prometheus/client_golang/prometheus", "metrics"},
	{"golang.org/x/crypto", "server", "golang.org/x/crypto/argon2", "one place"},
	{"go.uber.org/goleak", "server", "go.uber.org/goleak", "for tests"},
	{"github.com/google/go-cmp", "server", "github.com/google/go-cmp/cmp", "for tests"},
	{"github.com/chromedp/chromedp", "cmd/fluentpro", "github.com/chromedp/chromedp", "for tests"},
	{"github.com/santhosh-tekuri/jsonschema/v6", "server", "github.com/santhosh-tekuri/jsonschema/v6", "for tests"},
	{"github.com/anishathalye/porcupine", "conversation", "github.com/anishathalye/porcupine", "judges histories"},
}

func TestEveryRuleCatchesItsFixture(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, f := range fixtures {
		covered[f.rule] = true
		p := pkg{ImportPath: strings.TrimSuffix(module+"/"+f.from, "/"), Imports: []string{"context", f.imp}}
		got := check([]pkg{p})
		if len(got) != 1 || !strings.Contains(got[0], f.says) {
			t.Errorf("%s imports %s: got %q, want one finding with %q", f.from, f.imp, got, f.says)
		}
	}
	for _, r := range table {
		if !covered[r.pkg] {
			t.Errorf("no fixture breaks the row %s", r.pkg)
		}
		if got, ok := rowOf(strings.TrimSuffix(strings.ReplaceAll(r.pkg, "...", "x"), "/")); !ok || got.pkg != r.pkg {
			t.Errorf("the row %s is never used: %s is", r.pkg, got.pkg)
		}
	}
	for _, g := range gates {
		if !covered[g.path] && g.only[0] != "..." {
			t.Errorf("no fixture breaks the gate %s", g.path)
		}
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	t.Parallel()
	for _, p := range []pkg{
		{module + "/cmd/fluentpro", []string{module + "/conversation/redislog", module + "/configs", "github.com/redis/go-redis/v9"}},
		{module + "/server", []string{module + "/domains/practice", module + "/streaming/ws", "github.com/gin-gonic/gin/binding"}},
		{module + "/conversation/redislog", []string{module + "/conversation", "github.com/bsm/redislock", module + "/internal/fault"}},
		{module + "/domains/practice/sqlstore", []string{module + "/domains/practice", module + "/internal/sqldb"}},
		{module + "/internal/testenv", []string{module + "/internal/sqldb/sqldbtest", "testing"}},
	} {
		if got := check([]pkg{p}); len(got) != 0 {
			t.Errorf("%q", got)
		}
	}
}

// TestGinKeepsTheUpgrade guards against a dependency pulling gin back: 1.11.0
// breaks the WebSocket upgrade.
func TestGinKeepsTheUpgrade(t *testing.T) {
	t.Parallel()
	var m struct {
		Version string
		Replace *struct{ Version string }
	}
	if err := json.Unmarshal(goCmd(t, root, "list", "-m", "-json", "github.com/gin-gonic/gin"), &m); err != nil {
		t.Fatal(err)
	}
	if m.Replace != nil {
		m.Version = m.Replace.Version
	}
	if !atLeast(m.Version, 1, 12) {
		t.Fatalf("gin %s is selected, at least v1.12.0 is needed", m.Version)
	}
	for version, want := range map[string]bool{"v1.11.0": false, "v1.12.0": true, "v2.0.0": true, "v1.9.1": false, "": false} {
		if got := atLeast(version, 1, 12); got != want {
			t.Errorf("%q: got %v", version, got)
		}
	}
}

func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return false
	}
	ma, err1 := strconv.Atoi(parts[0])
	mi, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (ma > major || ma == major && mi >= minor)
}
