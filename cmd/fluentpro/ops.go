package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

const statePath = "/ops/v1/state"

func stateCommands() []*command {
	return []*command{
		{
			name: "list", short: "conversations that are live, with what is odd about them", settings: true,
			long: "Filters are those of GET /ops/v1/state, for example --filter state=writing. Data goes to stdout,\ntalk to stderr.",
			setup: func(fs *flag.FlagSet) runner {
				o, v := opsFlags(fs), viewFlags(fs)
				state := fs.String("state", "", "only conversations in this `state`")
				limit := fs.Int("limit", 0, "at most so many")
				filter := filters{}
				fs.Var(filter, "filter", "only where `name=value`; may be repeated")
				return func(ctx context.Context, c *call) int {
					q := url.Values(filter)
					if *state != "" {
						q.Set("state", *state)
					}
					if *limit < 0 {
						return c.fail(exitUsage, "--limit must not be negative")
					} else if *limit > 0 {
						q.Set("limit", strconv.Itoa(*limit))
					}
					return showState(ctx, c, o, v, statePath, q)
				}
			},
		},
		{
			name: "get", short: "everything about one conversation", args: "<conversation>", nargs: 1, settings: true,
			setup: func(fs *flag.FlagSet) runner {
				o, v := opsFlags(fs), viewFlags(fs)
				return func(ctx context.Context, c *call) int {
					return showState(ctx, c, o, v, statePath+"/"+url.PathEscape(c.args[0]), nil)
				}
			},
		},
	}
}

// filters collects --filter name=value.
type filters url.Values

func (filters) String() string { return "" }

func (f filters) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("is not name=value")
	}
	url.Values(f).Add(name, value)
	return nil
}

// view is how a table looks.
type view struct{ noHeaders, noColor *bool }

func viewFlags(fs *flag.FlagSet) view {
	return view{
		noHeaders: fs.Bool("no-headers", false, "leave out the first line of a table"),
		noColor:   fs.Bool("no-color", false, "no colour, as NO_COLOR does"),
	}
}

// color says whether to paint: only a terminal, and only when nobody objects.
func (v view) color(c *call) bool {
	unwanted := func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		return name == "NO_COLOR" && value != "" || kv == "TERM=dumb"
	}
	if *v.noColor || slices.ContainsFunc(c.env, unwanted) {
		return false
	}
	f, ok := c.stdout.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func showState(ctx context.Context, c *call, o opsTarget, v view, path string, q url.Values) int {
	body, code := o.get(ctx, c, path, q)
	if code != exitOK {
		return code
	}
	return o.show(c, v, path, body)
}

// emptyLists are the paths that answer with a list, and what an empty one says.
var emptyLists = map[string]string{
	statePath: "no conversation matches", callsPath: "no call matches", sessionsPath: "no connection matches", findingsPath: "nothing endangers data",
	jobsPath: "no job matches", queuesPath: "there are no queues", eventsPath: "no event matches", groupsPath: "nobody listens", deadPath: "no event waits or is dead",
}

// show prints an answer in the form that was asked for.
func (o opsTarget) show(c *call, v view, path string, body []byte) int {
	if *o.format == "json" {
		_, err := fmt.Fprintf(c.stdout, "%s\n", strings.TrimSpace(string(body)))
		if err != nil {
			return exitFailure
		}
		return exitOK
	}
	doc, err := parseDoc(body)
	if err != nil {
		return c.fail(exitFailure, "read the answer: %v", err)
	}
	t := table{headers: !*v.noHeaders, color: v.color(c)}
	if nothing, listed := emptyLists[path]; listed {
		rows, _ := doc.rows()
		if len(rows) == 0 {
			_, _ = fmt.Fprintln(c.stderr, nothing)
		}
		t.list(c.stdout, rows)
		doc.notes(c.stderr)
		return exitOK
	}
	t.detail(c.stdout, doc)
	return exitOK
}
