package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// TestE2EChaosShort breaks three nodes, Redis and SQL in every way that
// docs/reliability.md lists, some times each, and has the history judged. It
// runs a build without the race detector: what it asks is what viewers see,
// and three instrumented nodes would starve each other. It takes three to five
// minutes.
func TestE2EChaosShort(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short: takes minutes")
	}
	t.Parallel()
	testenv.Tool(t, "redis-server")
	sqldbtest.PostgresURL(t) // skips, or fails where it must not
	bin := filepath.Join(t.TempDir(), "fluentpro")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := filepath.Join(t.ArtifactDir(), "chaos")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "bench", "chaos", "--short", "--history", dir, "--database-url", os.Getenv(sqldbtest.EnvURL))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = dieWithTest()
	var said, table strings.Builder
	cmd.Stderr, cmd.Stdout = &said, &table
	err := cmd.Run()
	t.Logf("%s", table.String())
	if err != nil {
		t.Fatalf("%v; run it alone with fluentpro bench chaos --short --seed …\n%s", err, tail(said.String(), 4000))
	}
	if !strings.Contains(table.String(), "kill") || strings.Contains(table.String(), "not played") {
		t.Error("not every fault was played")
	}
	if !t.Failed() {
		_ = os.RemoveAll(dir)
	}
}
