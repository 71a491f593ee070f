package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/buildinfo"
)

// Conditions are what a figure means nothing without.
type Conditions struct {
	Redis, Postgres string
}

// lines describes the machine and the builds.
func (c *Conditions) lines() []string {
	i := buildinfo.Read()
	return []string{
		"date " + time.Now().UTC().Format("2006-01-02 15:04 MST"),
		fmt.Sprintf("machine %s, %d cores, Linux %s", cpuModel(), runtime.NumCPU(), kernel()),
		fmt.Sprintf("%s, Redis %s (no persistence), Postgres %s", runtime.Version(), c.Redis, c.Postgres),
		fmt.Sprintf("build %s, commit %s", i.Version, i.Commit),
		"load average at the end " + loadAverage(),
		"command `" + command() + "`",
	}
}

func command() string {
	args := append([]string{"fluentpro"}, os.Args[1:]...)
	for i, a := range args {
		// An address of a database is of no use to readers and may hold a password.
		if strings.Contains(a, "://") {
			name, _, ok := strings.Cut(a, "=")
			if !ok {
				name = "…"
			} else {
				name += "=…"
			}
			args[i] = name
		}
	}
	return strings.Join(args, " ")
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], " ")
}
