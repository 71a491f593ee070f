package buildinfo

import (
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadLeavesNothingEmpty(t *testing.T) {
	t.Parallel()
	i := Read()
	if i.Version == "" || i.Commit == "" || i.Date == "" || i.Go == "" || i.Platform == "" {
		t.Fatalf("empty field: %+v", i)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	record := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.0.0"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"}},
	}
	var i Info
	i.fill(record)
	if i.Version != "v1.0.0" || i.Commit != "abc" || i.Date != "2026-01-02T03:04:05Z" || !i.Modified {
		t.Errorf("from the toolchain: %+v", i)
	}
	i = Info{Version: "v2.0.0", Commit: "def", Date: "d"}
	i.fill(record)
	if i.Version != "v2.0.0" || i.Commit != "def" || i.Date != "d" {
		t.Errorf("the linker's values are lost: %+v", i)
	}
	i = Info{}
	i.fill(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}})
	if i.Version != "development" {
		t.Errorf("a local build: %+v", i)
	}
}
