package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fluentpro/fluentpro/domains/events"
	eventsql "github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

const (
	jobsPath   = "/ops/v1/jobs"
	queuesPath = jobsPath + "/queues"
	eventsPath = "/ops/v1/events"
	groupsPath = eventsPath + "/groups"
	deadPath   = eventsPath + "/dead"
	verifyPath = eventsPath + "/verify"
)

// listCommand asks a path with filters that are flags.
func listCommand(name, short, long, path string, filters ...[2]string) *command {
	return &command{name: name, short: short, long: long, settings: true, setup: func(fs *flag.FlagSet) runner {
		o, v := opsFlags(fs), viewFlags(fs)
		given := map[string]*string{}
		for _, f := range filters {
			given[f[0]] = fs.String(f[0], "", f[1])
		}
		return func(ctx context.Context, c *call) int {
			q := url.Values{}
			for name, value := range given {
				if *value != "" {
					q.Set(name, *value)
				}
			}
			return showState(ctx, c, o, v, path, q)
		}
	}}
}

// doCommand posts to a path made of the arguments.
func doCommand(name, short, long, args string, nargs int, path func(args []string) string) *command {
	return &command{name: name, short: short, long: long, args: args, nargs: nargs, settings: true, setup: func(fs *flag.FlagSet) runner {
		o, v := opsFlags(fs), viewFlags(fs)
		return func(ctx context.Context, c *call) int {
			at := path(c.args)
			body, code := o.ask(ctx, c, http.MethodPost, at, nil, nil)
			if code != exitOK {
				return code
			}
			return o.show(c, v, at, body)
		}
	}}
}

func jobCommands() []*command {
	return []*command{
		listCommand("queues", "how many jobs wait, run, are tried again and are dead", "", queuesPath),
		listCommand("list", "jobs, newest first", "What is done is kept for a day, what is dead for a month.", jobsPath,
			[2]string{"state", "only `available, scheduled, running, retrying, done or dead`"}, [2]string{"queue", "only of one `queue`"},
			[2]string{"kind", "only of one `kind`"}, [2]string{"before", "only with a lower `id`"}, [2]string{"limit", "at most so many, up to 500 [50]"}),
		{
			name: "show", short: "one job with its arguments and errors", args: "<id>", nargs: 1, settings: true,
			setup: func(fs *flag.FlagSet) runner {
				o, v := opsFlags(fs), viewFlags(fs)
				return func(ctx context.Context, c *call) int {
					return showState(ctx, c, o, v, jobsPath+"/"+url.PathEscape(c.args[0]), nil)
				}
			},
		},
		doCommand("retry", "run a job now that waits or is dead", "", "<id>", 1, func(a []string) string { return jobsPath + "/" + url.PathEscape(a[0]) + "/retry" }),
		doCommand("drop", "give a job up", "One that runs ends its try and is not tried again; any other is removed.", "<id>", 1,
			func(a []string) string { return jobsPath + "/" + url.PathEscape(a[0]) + "/drop" }),
	}
}

func eventCommands() []*command {
	letter := func(verb string) func([]string) string {
		return func(a []string) string {
			return deadPath + "/" + url.PathEscape(a[0]) + "/" + url.PathEscape(a[1]) + "/" + verb
		}
	}
	return []*command{
		listCommand("groups", "how far behind each group of handlers is", "", groupsPath),
		listCommand("list", "the audit trail, oldest first", "What an event says may be a learner's own words; it is shown with --data true only.", eventsPath,
			[2]string{"kind", "only of aggregates of this `kind`, as learner"}, [2]string{"aggregate", "only of the aggregate with this `id`, in its own order"},
			[2]string{"type", "only of one `type`, as learner.registered"}, [2]string{"since", "from this `time` on, as 2026-01-02T15:04:05Z"},
			[2]string{"until", "before this `time`"}, [2]string{"after", "behind this `position`, or sequence of the aggregate"},
			[2]string{"limit", "at most so many, up to 500 [50]"}, [2]string{"data", "`true` shows what events say"}),
		listCommand("dead", "events that a group tries again or has given up, with the reason", "", deadPath,
			[2]string{"group", "only of one `group`"}, [2]string{"limit", "at most so many, up to 500 [50]"}),
		doCommand("replay", "let a group try a dead event once more", "", "<group> <event>", 2, letter("replay")),
		doCommand("drop", "give a dead event up", "", "<group> <event>", 2, letter("drop")),
		{
			name: "verify", short: "walk the trail's chains of hashes, exit code 5 if something was changed", settings: true, long: verifyLong,
			setup: func(fs *flag.FlagSet) runner {
				o, v, expect := opsFlags(fs), viewFlags(fs), expectFlag(fs)
				return func(ctx context.Context, c *call) int {
					q := url.Values{}
					if *expect != "" {
						q.Set("expect", *expect)
					}
					body, code := o.get(ctx, c, verifyPath, q)
					if code != exitOK {
						return code
					}
					if code := o.show(c, v, verifyPath, body); code != exitOK {
						return code
					}
					var r events.Report
					if err := json.Unmarshal(body, &r); err != nil {
						return c.fail(exitFailure, "read the answer: %v", err)
					}
					return verdictOf(c, r)
				}
			},
		},
	}
}

const verifyLong = "The seal that it prints is the end of the trail. Keep it elsewhere: given as --expect later, it proves\nthat nothing before it was changed, even by somebody who can write the database."

func expectFlag(fs *flag.FlagSet) *string {
	return fs.String("expect", "", "a `seal` that was printed earlier")
}

func verdictOf(c *call, r events.Report) int {
	if n := len(r.Findings); n > 0 {
		return c.fail(exitConflict, "the trail was changed: %d finding(s)", n)
	}
	return exitOK
}

// trailCommands read the trail without a server.
func trailCommands() []*command {
	return []*command{{
		name: "verify", short: "walk the trail's chains of hashes, exit code 5 if something was changed", settings: true,
		long: verifyLong + "\nThe embedded database belongs to one process at a time; while it is served, use fluentpro ops events verify.",
		setup: func(fs *flag.FlagSet) runner {
			format, expect := outputFlag(fs, "text", "text", "json"), expectFlag(fs)
			return func(ctx context.Context, c *call) int {
				cfg, ok := c.config()
				if !ok {
					return exitUsage
				}
				db, err := sqldb.Open(ctx, cfg.SQL(), sqldb.Options{MaxConns: 2})
				if err != nil {
					return c.fail(exitUnavailable, "%v", err)
				}
				defer func() { _ = db.Close() }()
				if have, want, err := db.SchemaVersion(ctx); err != nil {
					return c.fail(exitFailure, "read the schema version: %v", err)
				} else if have != want {
					return c.fail(exitConflict, "the database has schema %d, this binary %d; see fluentpro migrate", have, want)
				}
				r, err := eventsql.New(db, eventsql.Options{}).Verify(ctx, *expect)
				if err != nil {
					code := exitFailure
					if fault.CodeOf(err) == fault.BadRequest {
						code = exitUsage
					}
					return c.fail(code, "verify: %v", err)
				}
				if *format == "json" {
					if code := printJSON(c, r); code != exitOK {
						return code
					}
				} else {
					_, _ = fmt.Fprintf(c.stdout, "events      %s\naggregates  %s\nerased      %s\nseal        %s\n",
						strconv.FormatInt(r.Events, 10), strconv.FormatInt(r.Aggregates, 10), strconv.FormatInt(r.Erased, 10), r.Seal)
					for _, f := range r.Findings {
						_, _ = fmt.Fprintf(c.stdout, "%s  %s\n", f.Code, f.Where)
					}
				}
				return verdictOf(c, r)
			}
		},
	}}
}
