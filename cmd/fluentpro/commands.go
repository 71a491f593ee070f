package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/fluentpro/fluentpro/internal/buildinfo"
)

// commands is the tree of everything this binary can do.
func commands() *command {
	return &command{
		name: "fluentpro", short: "practise professional English with an AI partner",
		long: "Without a command it serves. Started with nothing set it needs nothing: SQL, Redis and a\nscripted partner are embedded, and it says so.",
		subs: []*command{
			{
				name: "serve", short: "run the server (also the default)", settings: true,
				long: "Serves the page, the API, WebSocket and SSE on one address, and the operators' listener on\nanother. SIGTERM or Ctrl-C hands over what runs and ends; a second one ends at once.",
				setup: plain(func(ctx context.Context, c *call) int {
					cfg, ok := c.load()
					if !ok {
						return exitUsage
					}
					return runServe(ctx, cfg, c.stdout, c.stderr)
				}),
			},
			{name: "config", short: "check and explain the configuration", subs: configCommands()},
			{name: "migrate", short: "bring the database up to this binary's schema", subs: migrateCommands()},
			{name: "ops", short: "look into a running server", subs: []*command{
				{name: "state", short: "live state of conversations", subs: stateCommands()},
				{name: "sessions", short: "who is connected, on all nodes", subs: sessionCommands()},
				{name: "jobs", short: "work in the background, on all nodes", subs: jobCommands()},
				{name: "events", short: "what happened, and who has not handled it", subs: eventCommands()},
				callsCommand(),
				findingsCommand(),
				damagesCommand(),
			}},
			rolesCommand(),
			{name: "events", short: "the audit trail, without a server", subs: trailCommands()},
			{name: "user", short: "look after accounts", subs: userCommands()},
			{name: "keys", short: "the keys that sign tokens", subs: keysCommands()},
			generateCommand(),
			{name: "upstream", short: "tools for the model's side", subs: upstreamCommands()},
			{name: "prompt", short: "the texts that models are told", subs: promptCommands()},
			{name: "bench", short: "measure delay, CPU, memory and takeover on this machine", subs: benchCommands()},
			healthcheckCommand(),
			{
				name: "version", short: "tell which build this is",
				setup: func(fs *flag.FlagSet) runner {
					format := outputFlag(fs, "text", "text", "json")
					return func(_ context.Context, c *call) int { return printVersion(c, *format) }
				},
			},
			{
				name: "completion", short: "print a completion script for a shell", args: "bash|zsh|fish", nargs: 1,
				long:  "Load it with, for example:\n  source <(fluentpro completion bash)\n  fluentpro completion fish | source",
				setup: plain(printCompletion),
			},
			{name: "help", short: "explain a command", args: "[command …]", anyArgs: true, setup: plain(printHelp)},
			{name: "__complete", hidden: true, anyArgs: true, setup: plain(printCandidates)},
		},
	}
}

func printVersion(c *call, format string) int {
	i := buildinfo.Read()
	if format == "json" {
		return printJSON(c, i)
	}
	_, _ = fmt.Fprintf(c.stdout, "fluentpro %s (commit %s, %s, %s, %s)\n", i.Version, i.Commit, i.Date, i.Go, i.Platform)
	return exitOK
}

func printJSON(c *call, v any) int {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return c.fail(exitFailure, "write: %v", err)
	}
	return exitOK
}

// choice is a flag value that is one of a few words.
type choice struct {
	value string
	allow []string
}

func (o *choice) String() string { return o.value }

func (o *choice) Set(v string) error {
	for _, a := range o.allow {
		if v == a {
			o.value = v
			return nil
		}
	}
	return fmt.Errorf("is none of %v", o.allow)
}

// outputFlag registers -o.
func outputFlag(fs *flag.FlagSet, def string, allow ...string) *string {
	o := &choice{def, allow}
	doc := "form of the output: `"
	for i, a := range allow {
		if i > 0 {
			doc += "|"
		}
		doc += a
	}
	fs.Var(o, "o", doc+"`")
	return &o.value
}
