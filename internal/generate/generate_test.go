package generate_test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/generate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]generate.Name{
		"invoice":      {Package: "invoice", Type: "Invoice", Human: "invoice", Humans: "invoices", Kind: "invoice", Table: "invoice_items"},
		"invoices":     {Package: "invoices", Type: "Invoice", Human: "invoice", Humans: "invoices", Kind: "invoice", Table: "invoice_items"},
		"study-plan":   {Package: "studyplan", Type: "StudyPlan", Human: "study plan", Humans: "study plans", Kind: "study_plan", Table: "study_plan_items"},
		"study_plans":  {Package: "studyplans", Type: "StudyPlan", Human: "study plan", Humans: "study plans", Kind: "study_plan", Table: "study_plan_items"},
		"categories":   {Package: "categories", Type: "Category", Human: "category", Humans: "categories", Kind: "category", Table: "category_items"},
		"boxes":        {Package: "boxes", Type: "Box", Human: "box", Humans: "boxes", Kind: "box", Table: "box_items"},
		"analysis":     {Package: "analysis", Type: "Analysis", Human: "analysis", Humans: "analyses", Kind: "analysis", Table: "analysis_items"},
		"status":       {Package: "status", Type: "Status", Human: "status", Humans: "statuses", Kind: "status", Table: "status_items"},
		"glass":        {Package: "glass", Type: "Glass", Human: "glass", Humans: "glasses", Kind: "glass", Table: "glass_items"},
		"news":         {Package: "news", Type: "News", Human: "news", Humans: "news", Kind: "news", Table: "news_items"},
		"b2b":          {Package: "b2b", Type: "B2b", Human: "b2b", Humans: "b2bs", Kind: "b2b", Table: "b2b_items"},
		"x":            {Package: "x", Type: "X", Human: "x", Humans: "xes", Kind: "x", Table: "x_items"},
		"order":        {Package: "order", Type: "Order", Human: "order", Humans: "orders", Kind: "order", Table: "order_items"},
		"api-key":      {Package: "apikey", Type: "APIKey", Human: "api key", Humans: "api keys", Kind: "api_key", Table: "api_key_items"},
		"level-2-exam": {Package: "level2exam", Type: "Level2Exam", Human: "level 2 exam", Humans: "level 2 exams", Kind: "level_2_exam", Table: "level_2_exam_items"},
	} {
		got, err := generate.ParseName(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
	for in, why := range map[string]string{
		"": "lower-case words", "2fa": "lower-case words", "Invoice": "lower-case words", "study plan": "lower-case words", "-x": "lower-case words", "x-": "lower-case words",
		"a--b": "lower-case words", "a-_b": "lower-case words", "größe": "lower-case words", "../x": "lower-case words", "x/y": "lower-case words", "x.go": "lower-case words",
		"a;b": "lower-case words", "a'b": "lower-case words", "{{x}}": "lower-case words", strings.Repeat("a", 41): "more than 40",
		"type": "keyword", "func": "keyword", "go-to": "keyword", "select": "keyword",
		"string": "predeclared", "error": "predeclared", "len": "predeclared", "any": "predeclared", "nil": "predeclared", "new": "predeclared", "min": "predeclared", "true": "predeclared",
		"errors": "standard library", "json": "standard library", "time": "standard library", "testing": "standard library",
		"utils": "says nothing", "models": "says nothing", "internal": "go command", "main": "go command", "vendor": "go command", "testdata": "go command",
		"domain": "knows its domain by", "service": "another file", "dto": "another file", "record": "of its own", "records": "of its own", "repository": "of its own", "view": "of its own",
		"id": "of its own", "draft": "of its own", "unit": "of its own", "new-record": "of its own", "unit-test": "test support",
	} {
		if _, err := generate.ParseName(in); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want a refusal that says %q", in, err, why)
		}
	}
}

// tree copies what go needs of this module to a directory of the test's own.
func tree(t *testing.T) string {
	t.Helper()
	from, to := filepath.Join("..", ".."), t.TempDir()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); rel != "." && (strings.HasPrefix(n, ".") || n == "node_modules" || n == "data") {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o750)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(from, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, ".golangci.yml"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// files are all files below a directory with their texts.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod -buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestGeneratedDomainsWork generates domains of awkward names into a copy of
// this tree: they pass vet, their own tests and the import rules.
func TestGeneratedDomainsWork(t *testing.T) {
	t.Parallel()
	root := tree(t)
	var packages []string
	for _, name := range []string{"study-plan", "invoices", "b2b", "test"} {
		before := files(t, root)
		res, err := generate.Domain(root, name)
		if err != nil {
			t.Fatal(err)
		}
		after := files(t, root)
		var created, changed []string
		for path, text := range after {
			if old, ok := before[path]; !ok {
				created = append(created, strings.TrimPrefix(path, "/"))
			} else if old != text {
				changed = append(changed, strings.TrimPrefix(path, "/"))
			}
		}
		slices.Sort(created)
		slices.Sort(changed)
		if d := cmp.Diff([][]string{created, changed}, [][]string{slices.Sorted(slices.Values(res.Created)), slices.Sorted(slices.Values(res.Changed))}); d != "" {
			t.Fatalf("%s tells something else than it did:\n%s", name, d)
		}
		packages = append(packages, "./domains/"+res.Name.Package+"/...")

		// A second time nothing is touched, whatever form the name has.
		for _, again := range []string{name, strings.ReplaceAll(name, "-", "_")} {
			if _, err := generate.Domain(root, again); err == nil || !strings.Contains(err.Error(), "already") {
				t.Fatalf("%s again: %v", again, err)
			}
		}
		if d := cmp.Diff(after, files(t, root)); d != "" {
			t.Fatalf("a refused run changed:\n%s", d)
		}
	}
	// The plural has the same table.
	if _, err := generate.Domain(root, "invoice"); err == nil || !strings.Contains(err.Error(), "table invoice_items already") {
		t.Fatalf("got %v", err)
	}
	flags := []string{}
	if race {
		flags = append(flags, "-race") // so that what this run has compiled is used
	}
	run(t, root, append([]string{"vet"}, packages...)...)
	run(t, root, slices.Concat([]string{"test"}, flags, packages)...)
	run(t, root, slices.Concat([]string{"test"}, flags, []string{"./internal/importrules", "-update"})...)
	run(t, root, slices.Concat([]string{"test", "-count=1"}, flags, []string{"./internal/importrules"})...)
}

// TestNothingIsHalfWritten: a tree that is not as expected stays as it is.
func TestNothingIsHalfWritten(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(root string) error{
		"no go.mod":     func(root string) error { return os.Remove(filepath.Join(root, "go.mod")) },
		"no migrations": func(root string) error { return os.RemoveAll(filepath.Join(root, "internal/sqldb/migrations/sqlite")) },
		"no rules":      func(root string) error { return os.Remove(filepath.Join(root, "internal/importrules/rules_test.go")) },
		"rules of another kind": func(root string) error {
			return os.WriteFile(filepath.Join(root, "internal/importrules/check_test.go"), []byte("package importrules\n"), 0o600)
		},
		"a file where a room was": func(root string) error { return os.WriteFile(filepath.Join(root, "domains"), []byte("x"), 0o600) },
		"a migration in the way": func(root string) error {
			return os.MkdirAll(filepath.Join(root, "internal/sqldb/migrations/sqlite/00002_invoice.sql"), 0o750)
		},
		"a domain that is a file":  func(root string) error { return os.Symlink("/nowhere", filepath.Join(root, "domains/invoice")) },
		"a directory for the name": func(root string) error { return os.MkdirAll(filepath.Join(root, "domains/invoice"), 0o750) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for path, text := range map[string]string{
				"go.mod": "module example.com/x\n", "internal/sqldb/migrations/sqlite/00001_a.sql": "", "internal/sqldb/migrations/postgres/00001_a.sql": "",
				"internal/importrules/rules_test.go": "\t{\"web/...\", nil,\n}, \"SQL lives in sqldb", "internal/importrules/check_test.go": "\t{\"web/...\", \"web\",\n",
			} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if what != "a file where a room was" {
				if err := os.Mkdir(filepath.Join(root, "domains"), 0o750); err != nil {
					t.Fatal(err)
				}
			}
			if err := spoil(root); err != nil {
				t.Fatal(err)
			}
			list := func() []string {
				var out []string
				err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error { out = append(out, path); return err })
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			before := list()
			rules := func() string {
				b, _ := os.ReadFile(filepath.Join(root, "internal/importrules/rules_test.go"))
				return string(b)
			}
			was := rules()
			if _, err := generate.Domain(root, "invoice"); err == nil {
				t.Fatal("no error")
			}
			if d := cmp.Diff(before, list()); d != "" || was != rules() {
				t.Fatalf("something is left:\n%s", d)
			}
		})
	}
}

func TestMigrationsInGoCount(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for path, text := range map[string]string{
		"go.mod": "module example.com/x\n", "internal/sqldb/migrations/sqlite/00004_a.sql": "", "internal/sqldb/migrations/postgres/00003_a.sql": "",
		"internal/sqldb/jobs.go":             "package sqldb\n\nconst (\n\tjobsMigration = 9\n)\n",
		"internal/importrules/rules_test.go": "\t{\"web/...\", nil,\n}, \"SQL lives in sqldb", "internal/importrules/check_test.go": "\t{\"web/...\", \"web\",\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := generate.Domain(root, "invoice"); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(files(t, filepath.Join(root, "internal/sqldb/migrations/sqlite")))); !slices.Contains(got, "/00010_invoice.sql") {
		t.Fatalf("got %v", got)
	}
}
