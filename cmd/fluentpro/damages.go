package main

import (
	"context"
	"flag"
	"net/url"
	"strconv"
)

const damagesPath = "/ops/v1/damages"

func damagesCommand() *command {
	return &command{
		name: "damages", short: "logs that were found damaged and made anew, newest first", settings: true,
		long: "What was found stays in Redis for a week, under the keys that begin with place; the report stays.",
		setup: func(fs *flag.FlagSet) runner {
			o, v := opsFlags(fs), viewFlags(fs)
			limit := fs.Int("limit", 0, "at most so many")
			return func(ctx context.Context, c *call) int {
				q := url.Values{}
				if *limit < 0 {
					return c.fail(exitUsage, "--limit must not be negative")
				} else if *limit > 0 {
					q.Set("limit", strconv.Itoa(*limit))
				}
				return showState(ctx, c, o, v, damagesPath, q)
			}
		},
	}
}
