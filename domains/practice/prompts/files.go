package prompts

import (
	"embed"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed *.txt *.json
var files embed.FS

// File is one version of a text that the model is told.
type File struct {
	// Name is the text's, Version counts from 1, Kind is txt or schema.
	Name    string
	Version int
	Kind    string
	// InUse says that new calls carry it.
	InUse bool
	Text  string
}

// ID is how records of calls name it: partner.v1.
func (f File) ID() string {
	id := f.Name + ".v" + strconv.Itoa(f.Version)
	if f.Kind != "txt" {
		id += "." + f.Kind
	}
	return id
}

var fileName = regexp.MustCompile(`^([a-z_]+)\.v([0-9]+)(?:\.(schema))?\.(?:txt|json)$`)

// Files lists every embedded text by name, kind and version.
func Files() []File {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil
	}
	var out []File
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		b, err := files.ReadFile(e.Name())
		if m == nil || err != nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			continue
		}
		f := File{Name: m[1], Version: n, Kind: "txt", Text: string(b)}
		if m[3] != "" {
			f.Kind = m[3]
		}
		switch f.Kind {
		case "schema":
			f.InUse = f.Text == string(ScenarioSchema)
		default:
			f.InUse = f.ID() == ScenarioVersion || f.ID() == PartnerVersion || f.ID() == RepairVersion || f.ID() == InterviewVersion
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b File) int {
		if c := strings.Compare(a.Name+"."+a.Kind, b.Name+"."+b.Kind); c != 0 {
			return c
		}
		return a.Version - b.Version
	})
	return out
}
