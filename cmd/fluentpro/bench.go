package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench"
)

func benchCommands() []*command {
	const needs = "It starts every process itself, on loopback: this binary as node, stand-in and relay, and redis-server\n" +
		"unless --redis-url names one. It writes into the database given, which should be its own.\n" +
		"The table goes to stdout as Markdown, talk to stderr. docs/benchmarks.md says how to read it."
	return []*command{
		{
			name: "relay", short: "delay and CPU per token, beside a bare relay", long: needs,
			setup: func(fs *flag.FlagSet) runner {
				open := benchFlags(fs)
				ro := bench.RelayOptions{Direct: true}
				fs.IntVar(&ro.Learners, "learners", 300, "streams at once")
				fs.Float64Var(&ro.Rate, "rate", 30, "tokens per second of each")
				fs.DurationVar(&ro.Window, "window", 10*time.Second, "measured time of a round")
				fs.IntVar(&ro.Rounds, "rounds", 3, "rounds of each path")
				fs.DurationVar(&ro.Patience, "patience", 0, "how long a round waits for other work on the machine to pause")
				fs.StringVar(&ro.Profile, "profile", "", "`file` for a CPU profile of the server's last round")
				other := fs.String("other", "", "a second `binary` to measure beside this one")
				return func(ctx context.Context, c *call) int {
					if ro.Learners < 1 || ro.Learners > 2000 || ro.Rate <= 0 || ro.Rate > 1000 || ro.Rounds < 1 || ro.Rounds > 100 ||
						ro.Window < time.Second || ro.Window > time.Minute {
						return c.fail(exitUsage, "between 1 and 2000 learners, 1000 tokens a second, 100 rounds, and windows of 1 s to 1 min")
					}
					return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
						o.Other = *other
						rounds, cond, err := bench.Relay(ctx, o, ro)
						if err == nil {
							bench.WriteRelay(c.stdout, rounds, ro, cond)
						}
						return err
					})
				}
			},
		},
		{
			name: "idle", short: "resident memory per idle connection", long: needs,
			setup: func(fs *flag.FlagSet) runner {
				open := benchFlags(fs)
				n := fs.Int("connections", 5000, "how many of each transport")
				profile := fs.String("profile", "", "`file` for heap profiles; the transport is added to its name")
				return func(ctx context.Context, c *call) int {
					if *n < 100 || *n > 50_000 {
						return c.fail(exitUsage, "between 100 and 50000 connections")
					}
					return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
						o.HeapProfile = *profile
						rs, cond, err := bench.IdleMemory(ctx, o, *n)
						if err == nil {
							bench.WriteIdle(c.stdout, rs, cond)
						}
						return err
					})
				}
			},
		},
		{
			name: "kill", short: "time from kill -9 of the writing node to the next character", long: needs,
			setup: func(fs *flag.FlagSet) runner {
				open := benchFlags(fs)
				n := fs.Int("kills", 50, "how many nodes to kill")
				return func(ctx context.Context, c *call) int {
					if *n < 1 || *n > 10_000 {
						return c.fail(exitUsage, "between 1 and 10000 kills")
					}
					return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
						k, cond, err := bench.Kill(ctx, o, *n)
						if err == nil {
							bench.WriteKill(c.stdout, k, cond)
						}
						return err
					})
				}
			},
		},
		scaleCommand(needs), resumeCommand(needs), observersCommand(needs), slowCommand(needs), memoryCommand(needs),
		chaosCommand(),
		{
			name: "switch", short: "break off and resume at random moments, over another transport each time", long: needs,
			setup: func(fs *flag.FlagSet) runner {
				open := benchFlags(fs)
				ro := bench.SwitchOptions{}
				fs.IntVar(&ro.Resumes, "resumes", 10_000, "how many")
				fs.IntVar(&ro.Learners, "readers", 40, "learners who read at once")
				fs.IntVar(&ro.Tokens, "tokens", 300, "length of a reply")
				fs.Float64Var(&ro.Rate, "rate", 60, "tokens per second of a reply")
				fs.DurationVar(&ro.Hold, "hold", 150*time.Millisecond, "mean `time` that a connection lives")
				fs.Uint64Var(&ro.Seed, "seed", 1, "of what is random")
				return func(ctx context.Context, c *call) int {
					if ro.Resumes < 1 || ro.Resumes > 10_000_000 || ro.Learners < 1 || ro.Learners > 2000 || ro.Tokens < 10 || ro.Tokens > 10_000 ||
						ro.Rate <= 0 || ro.Rate > 1000 || ro.Hold <= 0 || ro.Hold > time.Minute {
						return c.fail(exitUsage, "between 1 and 10000000 resumes, 2000 readers, 10 to 10000 tokens, up to 1000 a second, and up to 1 min")
					}
					return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
						r, cond, err := bench.Switch(ctx, o, ro)
						if err != nil {
							return err
						}
						bench.WriteSwitches(c.stdout, r, ro, cond)
						if r.Wrong > 0 || len(r.Breaches) > 0 {
							return errors.New("a text was not what it should be")
						}
						return nil
					})
				}
			},
		},
		{
			name: "bare", hidden: true, short: "the relay without state that others are compared with",
			setup: func(fs *flag.FlagSet) runner {
				listen := fs.String("listen", "127.0.0.1:8091", "`host:port`")
				upstream := fs.String("upstream", "http://127.0.0.1:8090/v1", "base `URL` of the model")
				model := fs.String("model", "stamped-300", "`name` of the model")
				return func(ctx context.Context, c *call) int { return serveBare(ctx, c, *listen, *upstream, *model) }
			},
		},
	}
}

// benchFlags registers what all benchmarks need; the result opens a directory
// for logs and runs one.
func benchFlags(fs *flag.FlagSet) func(context.Context, *call, func(context.Context, *bench.Options) error) int {
	var o bench.Options
	fs.StringVar(&o.DatabaseURL, "database-url", "", "`URL` of a Postgres database; default FLUENTPRO_DATABASE_URL")
	fs.StringVar(&o.RedisURL, "redis-url", "", "`URL` of a Redis; none: start redis-server")
	return func(ctx context.Context, c *call, do func(context.Context, *bench.Options) error) int {
		for _, kv := range c.env {
			if v, ok := strings.CutPrefix(kv, "FLUENTPRO_DATABASE_URL="); ok && o.DatabaseURL == "" {
				o.DatabaseURL = v
			}
		}
		if o.DatabaseURL == "" {
			return c.fail(exitUsage, "--database-url or FLUENTPRO_DATABASE_URL must name a Postgres database")
		}
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		var err error
		if o.Binary, err = os.Executable(); err != nil {
			return c.fail(exitFailure, "%v", err)
		}
		if o.Dir, err = os.MkdirTemp("", "fluentpro-bench-"); err != nil {
			return c.fail(exitFailure, "%v", err)
		}
		o.Talk = c.stderr
		if err := do(ctx, &o); err != nil {
			return c.fail(exitFailure, "%v (logs in %s)", err, o.Dir)
		}
		_ = os.RemoveAll(o.Dir)
		return exitOK
	}
}
