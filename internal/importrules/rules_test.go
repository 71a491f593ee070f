package importrules

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "github.com/fluentpro/fluentpro"

// row says which packages of ours a package may import. Patterns are paths in
// the module: "a/b" is one package, "a/..." that one and all below it, "..."
// everything. The longest pattern that fits a package is its row.
type row struct {
	pkg string
	may []string
	why string
}

var table = []row{
	{"cmd/...", []string{"..."}, "the switchboard wires everything"},
	{"server", []string{"server/v1", "sessions", "streaming/...", "conversation", "conversation/inspector", "domains/authentication", "domains/onboarding", "domains/practice", "web/...", "docs", "internal/..."}, "the front door translates and decides nothing"},
	{"server/v1", []string{"domains/authentication", "domains/onboarding", "internal/fault"}, "the first version is another shape of the same use cases; it knows no router"},
	{"sessions", []string{"streaming", "conversation", "internal/..."}, "a session knows no transport and no store"},
	{"sessions/...", []string{"sessions", "conversation", "internal/..."}, "a store knows its port, and the ids and cursors it keeps"},
	{"streaming", []string{"conversation", "internal/..."}, "facts travel; nothing is decided here"},
	{"streaming/...", []string{"streaming", "internal/..."}, "a transport knows frames only"},
	{"conversation", []string{"internal/fault", "internal/correlation"}, "the heart knows no transport, store or model"},
	{"conversation/...", []string{"conversation", "internal/..."}, "an adapter knows the heart only"},
	{"conversation/inspector", []string{"conversation", "internal/fault"}, "the inspector reads through ports"},
	{"domains/authentication/...", []string{"domains/authentication", "domains/events", "internal/..."}, "a domain never knows another"},
	{"domains/onboarding/...", []string{"domains/onboarding/...", "domains/events", "internal/..."}, "a domain never knows another"},
	{"domains/practice/...", []string{"domains/practice/...", "domains/events", "internal/..."}, "a domain never knows another, nor conversation"},
	{"domains/jobs/...", []string{"domains/jobs", "domains/events", "internal/..."}, "jobs serve every domain, so they know none"},
	{"domains/events/...", []string{"domains/events", "internal/..."}, "events serve every domain, so they know none"},
	{"web/...", nil, "the page is data"},
	{"docs", nil, "documents are data"},
	{"configs", nil, "settings know nobody, and only cmd knows them"},
	{"api/...", nil, "the contract is data"},
	{"internal/...", []string{"internal/..."}, "the basement carries the house, it does not look up"},
}

// exception is one import that the table forbids and that is there all the
// same; one that is no longer needed fails the test.
type exception struct{ from, imp, why string }

var exceptions = []exception{
	{"sessions", "streaming/ws", "a session drives its socket itself; a port for it would have one implementation"},
	{"sessions", "streaming/sse", "as with streaming/ws"},
}

// gate says which packages may import something of others, outside tests. A
// path that no gate names may be imported by nobody: a new dependency is a
// decision, so it gets a line.
type gate struct {
	path string
	only []string
	why  string
}

var gates = []gate{
	{"github.com/gin-gonic/gin", []string{"server"}, "HTTP routing lives in server"},
	{"github.com/danielgtaylor/huma/v2", []string{"server"}, "HTTP routing lives in server"},
	{"github.com/coder/websocket", []string{"streaming/ws", "cmd/...", "internal/client/..."}, "WebSockets live in streaming/ws; clients for tests and bench may dial"},
	{"github.com/sashabaranov/go-openai", []string{"conversation/openai"}, "one adapter speaks to models"},
	{"github.com/redis/go-redis/v9", []string{"conversation/redislog", "sessions/redisstore", "domains/events/redisbus", "domains/authentication/redisguard", "internal/testenv", "cmd/..."}, "Redis keys have four owners"},
	{"github.com/bsm/redislock", []string{"conversation/redislog"}, "one lock per run, in one place"},
	{"github.com/alicebob/miniredis/v2", []string{"cmd/...", "internal/testenv"}, "the embedded Redis is wired, not known"},
	{"github.com/jackc/pgx/v5", []string{"internal/sqldb"}, "drivers live in sqldb"},
	{"modernc.org/sqlite", []string{"internal/sqldb"}, "drivers live in sqldb"},
	{"github.com/pressly/goose/v3", []string{"internal/sqldb"}, "migrations live in sqldb"},
	{"github.com/riverqueue/river", []string{"domains/jobs/riverqueue", "internal/sqldb"}, "one adapter knows the queue, and sqldb its tables"},
	{"github.com/gofrs/flock", []string{"internal/sqldb"}, "the file lock belongs to the SQLite file"},
	{"github.com/uptrace/bun", []string{"internal/sqldb", "internal/sqldb/sqldbtest", "conversation/sqlstore", "domains/authentication/sqlstore", "domains/onboarding/sqlstore", "domains/practice/sqlstore"}, "SQL lives in sqldb and the sqlstores"},
	{"github.com/golang-jwt/jwt/v5", []string{"domains/authentication/..."}, "tokens are made and read in one place"},
	{"github.com/alexedwards/argon2id", []string{"domains/authentication/..."}, "passwords are hashed in one place"},
	{"github.com/failsafe-go/failsafe-go", []string{"conversation/openai", "internal/upstream", "internal/resilience"}, "retry and breakers guard what is outside"},
	{"go.yaml.in/yaml/v3", []string{"configs", "cmd/..."}, "YAML is for settings"},
	{"github.com/prometheus/client_golang", []string{"cmd/...", "server", "sessions/...", "streaming/...", "conversation/...", "domains/...", "internal/..."}, "metrics are everywhere but in settings and the page"},
	{"github.com/google/uuid", []string{"..."}, "ids are everywhere"},
	{"golang.org/x/sync", []string{"..."}, "part of Go in all but name"},
	{"golang.org/x/text", []string{"..."}, "part of Go in all but name"},
	{"golang.org/x/crypto", []string{"domains/authentication/..."}, "cryptography is used in one place"},
	{"go.uber.org/goleak", []string{"internal/testenv", "conversation/storetest", "sessions/storetest"}, "for tests"},
	{"github.com/google/go-cmp", []string{"internal/testenv", "conversation/storetest", "sessions/storetest"}, "for tests"},
	{"github.com/chromedp/chromedp", []string{"internal/testenv"}, "for tests"},
	{"github.com/santhosh-tekuri/jsonschema/v6", []string{"internal/testenv"}, "for tests"},
	{"github.com/anishathalye/porcupine", []string{"internal/bench/chaos/check"}, "one checker judges histories"},
}

// support are packages for tests; nothing that ships may import them.
var support = []string{"internal/testenv", "internal/sqldb/sqldbtest", "conversation/storetest", "sessions/storetest", "internal/importrules", "domains/onboarding/azuresearch/standin", "domains/authentication/oidc/standin"}

// rooms are the directories at the top that may hold Go code.
var rooms = []string{"cmd", "server", "sessions", "streaming", "conversation", "domains", "web", "configs", "internal", "api", "docs"}

// noNames are package names that say nothing about what is inside.
var noNames = []string{"common", "util", "utils", "helper", "helpers", "models", "types", "misc", "base", "pkg"}

// pkg is what go list says of one package.
type pkg struct {
	ImportPath string
	Imports    []string // of the files that ship, not of tests
}

func (p pkg) rel() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// fits reports whether a path in the module matches a pattern.
func fits(pattern, rel string) bool {
	if tree, ok := strings.CutSuffix(pattern, "..."); ok {
		tree = strings.TrimSuffix(tree, "/")
		return tree == "" || rel == tree || strings.HasPrefix(rel, tree+"/")
	}
	return rel == pattern
}

func fitsAny(patterns []string, rel string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, rel) })
}

// rowOf is the longest pattern that fits; an exact one beats a tree.
func rowOf(rel string) (best row, ok bool) {
	weight := func(p string) int {
		if tree, isTree := strings.CutSuffix(p, "/..."); isTree {
			return 2 * len(tree)
		}
		return 2*len(p) + 1
	}
	for _, r := range table {
		if fits(r.pkg, rel) && (!ok || weight(r.pkg) > weight(best.pkg)) {
			best, ok = r, true
		}
	}
	return best, ok
}

func gateOf(imp string) (gate, bool) {
	for _, g := range gates {
		if imp == g.path || strings.HasPrefix(imp, g.path+"/") {
			return g, true
		}
	}
	return gate{}, false
}

// check returns every broken rule, one sentence each.
func check(pkgs []pkg) (broken []string) {
	for _, p := range pkgs {
		rel := p.rel()
		say := func(format string, args ...any) { broken = append(broken, rel+" "+fmt.Sprintf(format, args...)) }
		if slices.Contains(noNames, path.Base(rel)) {
			say("has a name that does not say what is inside")
		}
		if top, _, _ := strings.Cut(rel, "/"); !slices.Contains(rooms, top) {
			say("is in none of the rooms %s", strings.Join(rooms, ", "))
			continue
		}
		r, ok := rowOf(rel)
		if !ok {
			say("has no row in the table")
			continue
		}
		for _, imp := range p.Imports {
			if imp == module || strings.HasPrefix(imp, module+"/") {
				checkOurs(say, rel, r, strings.TrimPrefix(strings.TrimPrefix(imp, module), "/"))
			} else if host, _, _ := strings.Cut(imp, "/"); strings.Contains(host, ".") { // the standard library has no dot
				if g, ok := gateOf(imp); !ok {
					say("may not import %s: nobody may, until a gate names it", imp)
				} else if !fitsAny(g.only, rel) {
					say("may not import %s: %s", imp, g.why)
				}
			} else if imp == "C" {
				say("may not import C: one command must do without a C compiler")
			}
		}
	}
	return broken
}

func checkOurs(say func(string, ...any), rel string, r row, imp string) {
	switch {
	case slices.Contains(support, imp) && !slices.Contains(support, rel):
		say("may not import %s: it is for tests", imp)
	case imp == "configs" && !fits("cmd/...", rel):
		say("may not import configs: only cmd knows settings")
	case fits("cmd/...", imp):
		say("may not import %s: nobody looks up to the switchboard", imp)
	case slices.ContainsFunc(exceptions, func(e exception) bool { return e.from == rel && e.imp == imp }):
	case !fitsAny(r.may, imp):
		say("may not import %s: %s", imp, r.why)
	}
}
