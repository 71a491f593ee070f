package main

import (
	"context"
	"flag"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/conversation/sqlstore"
	"github.com/fluentpro/fluentpro/internal/bench"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

func memoryCommand(needs string) *command {
	return &command{
		name: "memory", short: "Redis memory per live conversation, per finished and per compacted one", long: needs,
		setup: func(fs *flag.FlagSet) runner {
			open := benchFlags(fs)
			var mo bench.MemoryOptions
			fs.IntVar(&mo.Conversations, "conversations", 500, "how many of each kind")
			fs.IntVar(&mo.AtOnce, "at-once", 50, "how many replies are written at the same time")
			fs.Float64Var(&mo.Rate, "rate", 30, "tokens per second of each; a fast reply has fewer, longer entries")
			return func(ctx context.Context, c *call) int {
				if mo.Conversations < 1 || mo.Conversations > 10_000 || mo.AtOnce < 1 || mo.AtOnce > 1000 || mo.Rate <= 0 || mo.Rate > 1000 {
					return c.fail(exitUsage, "between 1 and 10000 conversations, 1000 at once and 1000 tokens a second")
				}
				return open(ctx, c, func(ctx context.Context, o *bench.Options) error {
					mo.Compact = func(ctx context.Context, redisURL string, ids []string) error {
						return compactLogs(ctx, redisURL, o.DatabaseURL, ids)
					}
					r, cond, err := bench.RedisMemory(ctx, o, mo)
					if err == nil {
						bench.WriteMemory(c.stdout, r, mo, cond)
					}
					return err
				})
			}
		},
	}
}

// compactLogs does at once what the janitor does to logs that have been still
// for long enough.
func compactLogs(ctx context.Context, redisURL, databaseURL string, ids []string) error {
	rdb, err := newRedis(redisURL)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	db, err := sqldb.Open(ctx, databaseURL, sqldb.Options{MaxConns: 1})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	mode, err := redislog.DetectMode(ctx, rdb)
	if err != nil {
		return err
	}
	log := redislog.New(rdb, sqlstore.New(db), redislog.Options{Mode: mode})
	for _, id := range ids {
		if _, err := log.Compact(ctx, conversation.ID(id)); err != nil {
			return err
		}
	}
	return nil
}
