// Package generate writes the beginning of a new domain into a source tree:
// aggregate, repository port, use cases, DTOs, events, errors, a store with
// its migration for both engines and its contract suite, tests for all, and
// the rows of the import rules. What it writes compiles and passes its tests
// as it is; it overwrites nothing.
package generate

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// Result is what was done.
type Result struct {
	Name Name
	// Created and Changed are paths below the root.
	Created, Changed []string
}

// file is one that will be created.
type file struct{ template, path string }

// Domain writes the domain called name into the tree at root, the directory
// with go.mod. On an error nothing has changed.
func Domain(root, name string) (Result, error) {
	n, err := ParseName(name)
	if err != nil {
		return Result{}, err
	}
	module, err := moduleOf(root)
	if err != nil {
		return Result{}, err
	}
	dir := filepath.Join("domains", n.Package)
	if _, err := os.Lstat(filepath.Join(root, dir)); err == nil {
		return Result{}, fmt.Errorf("there is a domain %s already: %s", n.Package, dir)
	}
	version, err := nextMigration(root, n.Table)
	if err != nil {
		return Result{}, err
	}
	store := filepath.Join(dir, "sqlstore")
	files := []file{
		{"aggregate.go", filepath.Join(dir, n.Package+".go")}, {"aggregate_test.go", filepath.Join(dir, n.Package+"_test.go")},
		{"dto.go", filepath.Join(dir, "dto.go")}, {"errors.go", filepath.Join(dir, "errors.go")}, {"events.go", filepath.Join(dir, "events.go")},
		{"service.go", filepath.Join(dir, "service.go")}, {"service_test.go", filepath.Join(dir, "service_test.go")},
		{"sqlstore.go", filepath.Join(store, "sqlstore.go")}, {"sqlstore_test.go", filepath.Join(store, "sqlstore_test.go")},
	}
	for _, engine := range []string{"postgres", "sqlite"} {
		files = append(files, file{"migration.sql", filepath.Join("internal", "sqldb", "migrations", engine, fmt.Sprintf("%05d_%s.sql", version, n.Package))})
	}
	return apply(root, n, module, files)
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)\s*$`)

func moduleOf(root string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("%s is not the root of the source tree: %w", root, err)
	}
	m := moduleLine.FindSubmatch(b)
	if m == nil {
		return "", errors.New("go.mod names no module")
	}
	return string(m[1]), nil
}

var (
	migrationFile  = regexp.MustCompile(`^(\d{5})_.*\.sql$`)
	migrationConst = regexp.MustCompile(`(?m)^\s*\w*[mM]igration\s*=\s*(\d+)\s*$`)
)

// nextMigration is the number behind all there are, those in Go included.
func nextMigration(root, table string) (next int, err error) {
	base := filepath.Join(root, "internal", "sqldb")
	for _, engine := range []string{"postgres", "sqlite"} {
		entries, err := os.ReadDir(filepath.Join(base, "migrations", engine))
		if err != nil {
			return 0, fmt.Errorf("%s is not the root of the source tree: %w", root, err)
		}
		for _, e := range entries {
			m := migrationFile.FindStringSubmatch(e.Name())
			if m == nil {
				continue
			}
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return 0, err
			}
			next = max(next, n)
			b, err := os.ReadFile(filepath.Join(base, "migrations", engine, e.Name()))
			if err != nil {
				return 0, err
			}
			if regexp.MustCompile(`(?i)CREATE TABLE\s+` + table + `\b`).Match(b) {
				return 0, fmt.Errorf("there is a table %s already: %s", table, e.Name())
			}
		}
	}
	sources, err := filepath.Glob(filepath.Join(base, "*.go"))
	if err != nil {
		return 0, err
	}
	for _, path := range sources {
		b, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		for _, m := range migrationConst.FindAllSubmatch(b, -1) {
			n, err := strconv.Atoi(string(m[1]))
			if err != nil {
				return 0, err
			}
			next = max(next, n)
		}
	}
	return next + 1, nil
}

// apply makes everything in memory first, then writes; what was written is
// taken back when a later write fails.
func apply(root string, n Name, module string, files []file) (res Result, err error) {
	res.Name = n
	set, err := template.ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return Result{}, fmt.Errorf("templates: %w", err)
	}
	data := struct {
		Name
		Module string
	}{n, module}
	texts := make([][]byte, len(files))
	for i, f := range files {
		var b bytes.Buffer
		if err := set.ExecuteTemplate(&b, f.template+".tmpl", data); err != nil {
			return Result{}, fmt.Errorf("%s: %w", f.path, err)
		}
		texts[i] = b.Bytes()
		if strings.HasSuffix(f.path, ".go") {
			if texts[i], err = format.Source(b.Bytes()); err != nil {
				return Result{}, fmt.Errorf("%s: %w", f.path, err)
			}
		}
	}
	edits, err := rules(root, n)
	if err != nil {
		return Result{}, err
	}

	var undo []func()
	defer func() {
		if err == nil {
			return
		}
		res = Result{}
		for i := range undo {
			undo[len(undo)-1-i]()
		}
	}()
	for i, f := range files {
		path := filepath.Join(root, f.path)
		var missing []string
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			if _, serr := os.Stat(dir); serr == nil {
				break
			}
			missing = append(missing, dir)
		}
		for _, dir := range slices.Backward(missing) { // the upper ones go last
			undo = append(undo, func() { _ = os.Remove(dir) })
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return res, fmt.Errorf("write: %w", err)
		}
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return res, fmt.Errorf("write: %w", err) // it is there already, too
		}
		undo = append(undo, func() { _ = os.Remove(path) })
		_, err = out.Write(texts[i])
		if err := errors.Join(err, out.Close()); err != nil {
			return res, fmt.Errorf("write: %w", err)
		}
		res.Created = append(res.Created, f.path)
	}
	for _, e := range edits {
		path := filepath.Join(root, e.path)
		undo = append(undo, func() { _ = os.WriteFile(path, e.before, 0o600) })
		if err := os.WriteFile(path, e.after, 0o600); err != nil {
			return res, fmt.Errorf("write: %w", err)
		}
		res.Changed = append(res.Changed, e.path)
	}
	return res, nil
}
