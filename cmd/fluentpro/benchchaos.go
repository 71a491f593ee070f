package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/fluentpro/fluentpro/internal/bench/chaos"
	"github.com/fluentpro/fluentpro/internal/bench/chaos/check"
)

func chaosCommand() *command {
	var b strings.Builder
	b.WriteString("It starts three nodes of this binary, redis-server and the model's stand-in itself, on loopback,\n" +
		"and makes a database of its own on the Postgres named, which it drops at the end. Learners and\n" +
		"viewers write down what they ask and see; afterwards that history alone is judged. The table goes\n" +
		"to stdout as Markdown, talk to stderr, exit code 1 says that a promise was broken or could not be\n" +
		"tried. docs/reliability.md says what is promised. Faults, with their usual and their short counts:\n\n")
	for _, s := range chaos.List() {
		fmt.Fprintf(&b, "  %-12s %s (%d, short %d %s)\n", s.Name, s.Short, s.Count, s.Brief, s.Unit)
	}
	return &command{
		name: "chaos", short: "break nodes, Redis and SQL under load and check what was promised", long: strings.TrimRight(b.String(), "\n"),
		setup: func(fs *flag.FlagSet) runner {
			var o chaos.Options
			fs.StringVar(&o.DatabaseURL, "database-url", "", "`URL` of a Postgres whose user may create databases; default FLUENTPRO_DATABASE_URL")
			faults := fs.String("fault", "", "`names` of the faults to inject, with commas; none: all")
			fs.IntVar(&o.Count, "count", 0, "how many, instead of each fault's own count")
			fs.Uint64Var(&o.Seed, "seed", 0, "repeats a schedule; 0 draws one")
			fs.BoolVar(&o.Brief, "short", false, "the short counts: all faults in some minutes")
			fs.BoolVar(&o.Busy, "busy", false, "count takeovers without a fault and announced restarts instead of judging them, for a machine that others use too")
			long := fs.Int("long", 1, "multiplies every count, for a run of hours")
			fs.StringVar(&o.Dir, "history", "", "`directory` for histories and logs, kept; none: kept only when a promise was broken")
			only := fs.String("check", "", "judge this history `file` and do nothing else")
			return func(ctx context.Context, c *call) int {
				if *only != "" {
					return checkHistory(c, *only)
				}
				if o.Count < 0 || o.Count > 1_000_000 || *long < 1 || *long > 1000 {
					return c.fail(exitUsage, "counts are 1 to 1000000, --long multiplies by 1 to 1000")
				}
				o.Times = *long
				if *faults != "" {
					o.Faults = strings.Split(*faults, ",")
				}
				return runChaos(ctx, c, &o)
			}
		},
	}
}

func runChaos(ctx context.Context, c *call, o *chaos.Options) int {
	for _, kv := range c.env {
		if v, ok := strings.CutPrefix(kv, "FLUENTPRO_DATABASE_URL="); ok && o.DatabaseURL == "" {
			o.DatabaseURL = v
		}
	}
	if o.DatabaseURL == "" {
		return c.fail(exitUsage, "--database-url or FLUENTPRO_DATABASE_URL must name a Postgres")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.Binary, err = os.Executable(); err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	keep := o.Dir != ""
	if !keep {
		if o.Dir, err = os.MkdirTemp("", "fluentpro-chaos-"); err != nil {
			return c.fail(exitFailure, "%v", err)
		}
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64() >> 32
	}
	o.Talk = c.stderr
	outcomes, cond, err := chaos.Run(ctx, o)
	if len(outcomes) > 0 {
		chaos.Write(c.stdout, outcomes, cond)
	}
	if err != nil {
		return c.fail(exitFailure, "%v (files in %s)", err, o.Dir)
	}
	for i := range outcomes {
		if !outcomes[i].OK() {
			return c.fail(exitFailure, "%s does not hold; histories and logs are in %s, repeat with --seed %d", outcomes[i].Name, o.Dir, o.Seed)
		}
	}
	if !keep {
		_ = os.RemoveAll(o.Dir)
	}
	return exitOK
}

func checkHistory(c *call, path string) int {
	records, err := chaos.Load(path)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	r := check.Check(records)
	for _, v := range r.Violations {
		_, _ = fmt.Fprintln(c.stdout, v.Error())
	}
	_, _ = fmt.Fprintf(c.stdout, "%d lines, %d violations\n", len(records), r.Figures.Violations)
	if len(r.Violations) > 0 {
		return exitFailure
	}
	return exitOK
}
