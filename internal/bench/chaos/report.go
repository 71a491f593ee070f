package chaos

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/check"
	"github.com/fluentpro/fluentpro/internal/buildinfo"
)

// Conditions are what a figure means nothing without.
type Conditions struct {
	Postgres, Fsync, Redis string
	Seed                   uint64
}

func (c *Conditions) read(ctx context.Context, d *database) error {
	if err := d.db.Conn(ctx).QueryRowContext(ctx, "SHOW fsync").Scan(&c.Fsync); err != nil {
		return fmt.Errorf("ask Postgres for fsync: %w", err)
	}
	return nil
}

// Write prints the outcomes as Markdown.
func Write(w io.Writer, outcomes []Outcome, c *Conditions) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("| fault | times | replies hit | accepted | lost, doubled, taken back | not completed | violations | figures | took |")
	p("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for i := range outcomes {
		u := &outcomes[i]
		f := &u.Result.Figures
		p("| %s | %d | %d | %d | %d, %d, %d of %d characters | %d | %s | %s | %.0f s |", u.Short, f.Faults, f.Hits, f.Accepted, f.Lost, f.Doubled, f.TakenBack,
			f.Characters, f.Unfinished, verdict(u), strings.Join(append(figures(f), u.Notes...), "; "), u.Took.Seconds())
	}
	p("")
	for i := range outcomes {
		u := &outcomes[i]
		if u.Err != nil {
			p("- %s: %s", u.Name, strings.ReplaceAll(u.Err.Error(), "\n", "; "))
		}
		for _, v := range u.Result.Violations {
			p("- %s: %s", u.Name, v.Error())
		}
	}
	info := buildinfo.Read()
	p("- seed %d, %s UTC, commit %s, %s, %d cores, Postgres %s (fsync %s), load average %s", c.Seed, time.Now().UTC().Format("2006-01-02 15:04"),
		info.Commit, runtime.Version(), runtime.NumCPU(), c.Postgres, c.Fsync, loadAverage())
}

func verdict(u *Outcome) string {
	if u.Err != nil {
		return fmt.Sprintf("%d, not played to its end", u.Result.Figures.Violations)
	}
	return fmt.Sprint(u.Result.Figures.Violations)
}

// figures are the times that a scenario has.
func figures(f *check.Figures) []string {
	var out []string
	add := func(name string, t check.Times) {
		if len(t) > 0 {
			out = append(out, fmt.Sprintf("%s p50 %d ms, p99 %d ms, longest %d ms (%d)", name, t.Q(0.5).Milliseconds(), t.Q(0.99).Milliseconds(), t.Q(1).Milliseconds(), len(t)))
		}
	}
	add("to the first new character", f.Takeover)
	add("resume", f.Resume)
	add("delivery again", f.Recover)
	add("accept meanwhile", f.Accept)
	add("read meanwhile", f.Read)
	add("exit", f.Exit)
	add("all pending run again", f.Rerun)
	if f.DrainViewers > 0 {
		out = append(out, fmt.Sprintf("at most %d of a node's %d viewers attached elsewhere within one second of its drain", f.DrainPeak, f.DrainViewers))
	}
	if f.MostTries > 0 {
		out = append(out, fmt.Sprintf("no viewer connected more than %d times in 10 s", f.MostTries))
	}
	if f.Needless > 0 {
		out = append(out, fmt.Sprintf("%d takeovers without a fault", f.Needless))
	}
	if f.Restarts > 0 {
		out = append(out, fmt.Sprintf("%d announced restarts", f.Restarts))
	}
	return out
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], " ")
}
