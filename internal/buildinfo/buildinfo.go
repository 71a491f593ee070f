// Package buildinfo tells which build this is, from what the linker was given
// and what the Go toolchain recorded by itself.
package buildinfo

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Set by release builds:
//
//	-ldflags "-X github.com/fluentpro/fluentpro/internal/buildinfo.version=v1.2.3"
var version, commit, date string

// Info names one build. What is not known is "unknown".
type Info struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Date is the time of the commit, RFC 3339.
	Date string `json:"date"`
	// Modified says that the work tree had changes beside the commit.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read returns this build's Info.
func Read() Info {
	i := Info{Version: version, Commit: commit, Date: date, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if b, ok := debug.ReadBuildInfo(); ok {
		i.fill(b)
	}
	i.Version, i.Commit, i.Date = cmp.Or(i.Version, "unknown"), cmp.Or(i.Commit, "unknown"), cmp.Or(i.Date, "unknown")
	return i
}

// fill takes from the toolchain's record what the linker was not given.
func (i *Info) fill(b *debug.BuildInfo) {
	if v := b.Main.Version; v != "" && v != "(devel)" {
		i.Version = cmp.Or(i.Version, v)
	}
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = cmp.Or(i.Commit, s.Value)
		case "vcs.time":
			i.Date = cmp.Or(i.Date, s.Value)
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	if i.Version == "" && b.Main.Version == "(devel)" {
		i.Version = "development"
	}
}
