package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench"
)

func scaleCommand(needs string) *command {
	return &command{
		name: "scale", short: "delay and CPU per token at growing numbers of learners", long: needs,
		setup: func(fs *flag.FlagSet) runner {
			open := benchFlags(fs)
			ro := bench.RelayOptions{}
			list := fs.String("learners", "100,200,300,400", "`numbers` of streams at once, with commas")
			fs.Float64Var(&ro.Rate, "rate", 30, "tokens per second of each")
			fs.DurationVar(&ro.Window, "window", 8*time.Second, "measured time of a round")
			fs.IntVar(&ro.Rounds, "rounds", 1, "rounds of each path")
			fs.IntVar(&ro.Nodes, "nodes", 1, "nodes that share the server's learners")
			fs.DurationVar(&ro.Patience, "patience", 0, "how long a round waits for other work on the machine to pause")
			return func(ctx context.Context, c *call) int {
				learners, err := numbers(*list, 1, 4000)
				if err != nil {
					return c.fail(exitUsage, "--learners: %v", err)
				}
				if ro.Rate <= 0 || ro.Rate > 1000 || ro.Rounds < 1 || ro.Rounds > 100 || ro.Nodes < 1 || ro.Nodes > 10 || ro.Window < time.Second || ro.Window > time.Minute {
					return c.fail(exitUsage, "up to 1000 tokens a second, 100 rounds, 10 nodes, and windows of 1 s to 1 min")
				}
				return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
					rounds, cond, err := bench.Scale(ctx, o, ro, learners)
					if err == nil {
						bench.WriteScale(c.stdout, rounds, learners, ro, cond)
					}
					return err
				})
			}
		},
	}
}

// numbers reads a list of whole numbers with commas.
func numbers(list string, low, high int) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < low || n > high {
			return nil, fmt.Errorf("%q is not a number from %d to %d", part, low, high)
		}
		out = append(out, n)
	}
	return out, nil
}

func resumeCommand(needs string) *command {
	return &command{
		name: "resume", short: "time from a cut to caught up, within long replies", long: needs,
		setup: func(fs *flag.FlagSet) runner {
			open := benchFlags(fs)
			var ro bench.ResumeOptions
			fs.IntVar(&ro.Learners, "learners", 300, "streams at once")
			fs.IntVar(&ro.Tokens, "tokens", 600, "length of a reply")
			fs.IntVar(&ro.Cuts, "cuts", 2, "cuts of each learner")
			fs.Float64Var(&ro.Rate, "rate", 30, "tokens per second of each")
			return func(ctx context.Context, c *call) int {
				if ro.Learners < 1 || ro.Learners > 2000 || ro.Tokens < 20 || ro.Tokens > 2500 || ro.Cuts < 1 || ro.Cuts > ro.Tokens/10 || ro.Rate <= 0 || ro.Rate > 1000 {
					return c.fail(exitUsage, "up to 2000 learners, 20 to 2500 tokens, a cut for 10 tokens at most, 1000 tokens a second")
				}
				return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
					r, cond, err := bench.Resume(ctx, o, ro)
					if err == nil {
						bench.WriteResume(c.stdout, r, ro, cond)
					}
					return err
				})
			}
		},
	}
}

func observersCommand(needs string) *command {
	return &command{
		name: "observers", short: "delay at many viewers of one conversation", long: needs,
		setup: func(fs *flag.FlagSet) runner {
			open := benchFlags(fs)
			n := fs.Int("observers", 200, "how many")
			rate := fs.Float64("rate", 30, "tokens per second")
			return func(ctx context.Context, c *call) int {
				if *n < 1 || *n > 5000 || *rate <= 0 || *rate > 1000 {
					return c.fail(exitUsage, "up to 5000 observers and 1000 tokens a second")
				}
				return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
					r, cond, err := bench.Observers(ctx, o, *n, *rate)
					if err == nil {
						bench.WriteObservers(c.stdout, r, *rate, cond)
					}
					return err
				})
			}
		},
	}
}

func slowCommand(needs string) *command {
	return &command{
		name: "slow", short: "what viewers that hardly read cost a node, and other viewers", long: needs,
		setup: func(fs *flag.FlagSet) runner {
			open := benchFlags(fs)
			n := fs.Int("viewers", 20, "how many read 1 KB a second")
			mb := fs.Int("megabytes", 6, "events that pass each")
			return func(ctx context.Context, c *call) int {
				if *n < 1 || *n > 1000 || *mb < 1 || *mb > 100 {
					return c.fail(exitUsage, "up to 1000 viewers and 100 MB")
				}
				return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
					r, cond, err := bench.SlowViewers(ctx, o, *n, int64(*mb)*1e6)
					if err == nil {
						bench.WriteSlow(c.stdout, r, cond)
					}
					return err
				})
			}
		},
	}
}
