package docs_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

func TestErrorTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| code | HTTP | close | what helps | title |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range fault.Codes {
		end := "–"
		if s.Close != 0 {
			end = strconv.Itoa(s.Close)
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s | %s |\n", s.Code, s.Status, end, s.Retry, s.Title)
	}
	part(t, "docs/protocol.md", "codes", b.String())
	b.Reset()
	b.WriteString("| close | what helps | meaning |\n| --- | --- | --- |\n")
	for _, c := range sessions.CloseCodes {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", c.Code, c.Retry, c.Meaning)
	}
	part(t, "docs/protocol.md", "closes", b.String())
}

func TestSettingsTable(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(configs.Input{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n| --- | --- | --- |\n")
	for _, v := range c.Values() {
		def := "–"
		if v.Text != "" && v.Key != "data_dir" { // that one depends on the machine
			def = "`" + v.Text + "`"
		}
		doc := strings.ReplaceAll(v.Doc, "|", "\\|")
		if len(v.OneOf) > 0 {
			doc += " (" + strings.Join(v.OneOf, ", ") + ")"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Env, def, doc)
	}
	part(t, "docs/operations.md", "settings", b.String())
}

func TestNamedVariablesAreSettings(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(configs.Input{})
	if err != nil {
		t.Fatal(err)
	}
	known := []string{configs.EnvFile}
	for _, v := range c.Values() {
		known = append(known, v.Env)
		if v.FileEnv != "" {
			known = append(known, v.FileEnv)
		}
	}
	for path, text := range documents(t) {
		for _, name := range regexp.MustCompile(`FLUENTPRO_[A-Z0-9_]*[A-Z0-9]`).FindAllString(text, -1) {
			if !strings.HasPrefix(name, configs.EnvPrefix+"TEST_") && !slices.Contains(known, name) {
				t.Errorf("%s names %s, which is not a setting", path, name)
			}
		}
	}
}

// TestImportTable reads the rules where they stand: in a test of their own.
func TestImportTable(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), root+"/internal/importrules/rules_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| packages | may import of ours | because |\n| --- | --- | --- |\n")
	rows := 0
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "table" || len(spec.Values) != 1 {
			return true
		}
		list, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, e := range list.Elts {
			if words := literals(e); len(words) >= 2 {
				rows++
				may := "nothing"
				if mid := words[1 : len(words)-1]; len(mid) > 0 {
					may = "`" + strings.Join(mid, "`, `") + "`"
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", words[0], strings.ReplaceAll(may, "`...`", "everything"), words[len(words)-1])
			}
		}
		return false
	})
	if rows < 10 {
		t.Fatalf("only %d rows found", rows)
	}
	part(t, "docs/architecture.md", "imports", b.String())
}

// literals are the strings inside a node, in order.
func literals(n ast.Node) (out []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil {
				out = append(out, s)
			}
		}
		return true
	})
	return out
}

// TestBookOfKeysIsWhole finds what keys are built of in the code.
func TestBookOfKeysIsWhole(t *testing.T) {
	t.Parallel()
	var keys []string // the first column of the book
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+:\\{[^`]+)` \\|").FindAllStringSubmatch(read(t, "docs/redis.md"), -1) {
		keys = append(keys, m[1])
	}
	for _, file := range []string{"conversation/redislog/keys.go", "sessions/redisstore/keys.go", "domains/events/redisbus/keys.go", "domains/authentication/redisguard/keys.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		pieces := 0
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			for _, s := range literals(fn) {
				if s == "" || strings.Trim(s, ":{}") == "" {
					continue // glue
				}
				pieces++
				if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, s) || strings.HasSuffix(k, s) }) {
					t.Errorf("%s makes keys with %q, which docs/redis.md does not have", file, s)
				}
			}
		}
		if pieces < 1 {
			t.Errorf("%s: only %d pieces of keys found", file, pieces)
		}
	}
}

// TestEveryScriptIsInTheBook wants each script with each of its answers.
func TestEveryScriptIsInTheBook(t *testing.T) {
	t.Parallel()
	book := read(t, "docs/redis.md")
	files, err := filepath.Glob(root + "/conversation/redislog/scripts/*.lua")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		m := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "` \\|.*$").FindString(book)
		if m == "" {
			t.Errorf("docs/redis.md has no row for %s", name)
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range regexp.MustCompile(`\{'([A-Z]+)'`).FindAllStringSubmatch(string(src), -1) {
			if !strings.Contains(m, "`"+a[1]+"`") {
				t.Errorf("docs/redis.md does not say that %s may answer %s", name, a[1])
			}
		}
	}
}

// TestMetricsAreListed compares the names in the code with those in the
// operators' document.
func TestMetricsAreListed(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`Name:\s+"(fluentpro_[a-z_]+)"`)
	var have, listed []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "docs") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		for _, m := range name.FindAllStringSubmatch(string(src), -1) {
			have = append(have, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(fluentpro_[a-z_]+)`").FindAllStringSubmatch(read(t, "docs/operations.md"), -1) {
		listed = append(listed, m[1])
	}
	slices.Sort(have)
	slices.Sort(listed)
	if !slices.Equal(have, listed) {
		t.Errorf("docs/operations.md lists\n%v\nthe code has\n%v", listed, have)
	}
}

// TestPathsAreInTheContract wants every path of the API that a document names
// in the OpenAPI document.
func TestPathsAreInTheContract(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(read(t, "api/openapi.json")), &doc); err != nil {
		t.Fatal(err)
	}
	param := regexp.MustCompile(`\{[^}]+\}|\$[A-Z]+`)
	known := []string{"", "/openapi.json"}
	for p := range doc.Paths {
		known = append(known, param.ReplaceAllString(p, "*"))
	}
	if len(known) < 10 {
		t.Fatalf("the contract has only %d paths", len(known))
	}
	for path, text := range documents(t) {
		for _, m := range regexp.MustCompile(`/api/v2((?:/(?:[a-z_.-]+|\{[a-z_]+\}|\$[A-Z]+))*)`).FindAllStringSubmatch(text, -1) {
			p := strings.TrimRight(param.ReplaceAllString(m[1], "*"), ".")
			if !slices.ContainsFunc(known, func(k string) bool { return k == p || strings.HasPrefix(k, p+"/") }) {
				t.Errorf("%s names /api/v2%s, which the contract does not have", path, m[1])
			}
		}
	}
}

// TestFieldsOfTheLogAreNamed wants each field that a script reads in the
// sentence that explains them.
func TestFieldsOfTheLogAreNamed(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(read(t, "docs/redis.md"), "Fields of ")
	text, _, ok := strings.Cut(text, "\n")
	if !ok {
		t.Fatal("docs/redis.md does not explain the fields of a log's hash")
	}
	files, err := filepath.Glob(root + "/conversation/redislog/scripts/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`'HMGET', KEYS\[1\](.*)\)`).FindAllStringSubmatch(string(src), -1) {
			for _, f := range regexp.MustCompile(`'([a-z]+)'`).FindAllStringSubmatch(m[1], -1) {
				if !strings.Contains(text, "`"+f[1]+"`") {
					t.Errorf("docs/redis.md does not explain the field %s that %s reads", f[1], filepath.Base(file))
				}
			}
		}
	}
}

// TestAnomaliesAreListed compares what the inspector can find with what the
// operators' document explains.
func TestAnomaliesAreListed(t *testing.T) {
	t.Parallel()
	src, doc := read(t, "conversation/inspector/judge.go"), read(t, "docs/operations.md")
	found := regexp.MustCompile(`add\("([a-z_]+)"`).FindAllStringSubmatch(src, -1)
	if len(found) < 5 {
		t.Fatalf("only %d anomalies found", len(found))
	}
	for _, m := range found {
		if !strings.Contains(doc, "| `"+m[1]+"` |") {
			t.Errorf("docs/operations.md does not explain %s", m[1])
		}
	}
}
