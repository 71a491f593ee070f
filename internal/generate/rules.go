package generate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// edit is one file of the tree that gets lines.
type edit struct {
	path          string
	before, after []byte
}

// insertion puts text before the first place where anchor stands.
type insertion struct{ path, anchor, text string }

// rules gives the domain its rows in the import rules: who it may import, the
// fixture that breaks that row, and bun for its store.
func rules(root string, n Name) ([]edit, error) {
	table := filepath.Join("internal", "importrules", "rules_test.go")
	fixtures := filepath.Join("internal", "importrules", "check_test.go")
	byPath := map[string]*edit{}
	var out []*edit
	for _, in := range []insertion{
		{table, "\t{\"web/...\", nil,", fmt.Sprintf("\t{%q, []string{%q, \"domains/events\", \"internal/...\"}, \"a domain never knows another\"},\n", "domains/"+n.Package+"/...", "domains/"+n.Package+"/...")},
		{table, "}, \"SQL lives in sqldb", fmt.Sprintf(", %q", "domains/"+n.Package+"/sqlstore")},
		{fixtures, "\t{\"web/...\", \"web\",", fmt.Sprintf("\t{%q, %q, module + \"/domains/practice\", \"another\"},\n", "domains/"+n.Package+"/...", "domains/"+n.Package)},
	} {
		e := byPath[in.path]
		if e == nil {
			b, err := os.ReadFile(filepath.Join(root, in.path))
			if err != nil {
				return nil, fmt.Errorf("import rules: %w", err)
			}
			e = &edit{path: in.path, before: b, after: b}
			byPath[in.path] = e
			out = append(out, e)
		}
		at := bytes.Index(e.after, []byte(in.anchor))
		if at < 0 {
			return nil, fmt.Errorf("import rules: %s has no line with %q any more", in.path, in.anchor)
		}
		e.after = bytes.Join([][]byte{e.after[:at], []byte(in.text), e.after[at:]}, nil)
	}
	edits := make([]edit, len(out))
	for i, e := range out {
		edits[i] = *e
	}
	return edits, nil
}
