package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/internal/fault"
)

func probeCommand() *command {
	return &command{
		name: "probe", short: "ask a model server ten tiny things and print the profile that fits it", settings: true,
		long: "The first step with any new upstream. It asks the configured one (FLUENTPRO_UPSTREAM_BASE_URL and\n" +
			"its sisters, or --upstream-base-url …) whether it can be reached, lists the model, counts tokens,\n" +
			"obeys a cap, takes a temperature, enforces a schema, has a JSON mode, shows its thoughts, forgets\n" +
			"the beginning of a long prompt, and stops when asked. The growing prompt costs about twice\n" +
			"--max-context tokens, the rest a few hundred.\n" +
			"Exit code 0: every guarantee holds, perhaps by another way; 1: one is missing; 4: the key is\n" +
			"refused; 6: cannot be reached; 7: no answer in time.",
		setup: func(fs *flag.FlagSet) runner {
			format := outputFlag(fs, "text", "text", "yaml", "json")
			size := fs.Int("max-context", 16<<10, "`tokens` up to which the prompt grows")
			limit := fs.Duration("timeout", 5*time.Minute, "how long the whole may take")
			return func(ctx context.Context, c *call) int {
				if *size < 1024 || *size > 1<<20 {
					return c.fail(exitUsage, "--max-context must be between 1024 and %d", 1<<20)
				}
				ctx, cancel := context.WithTimeout(ctx, *limit)
				defer cancel()
				return probe(ctx, c, *format, *size)
			}
		},
	}
}

// configured is a client of the configured upstream; nil after it said why not.
func configured(c *call, cfg *configs.Config) (*openai.Client, int) {
	if cfg.EmbeddedUpstream() {
		return nil, c.fail(exitUsage, "no upstream is configured; set FLUENTPRO_UPSTREAM_BASE_URL, FLUENTPRO_UPSTREAM_MODEL and, where needed, FLUENTPRO_UPSTREAM_API_KEY")
	}
	cc, err := clientConfig(&cfg.Upstream, "")
	if err != nil {
		return nil, c.fail(exitUsage, "%v", err)
	}
	client, err := openai.New(cc)
	if err != nil {
		return nil, c.fail(exitUsage, "%v", err)
	}
	return client, exitOK
}

func probe(ctx context.Context, c *call, format string, size int) int {
	cfg, ok := c.config()
	if !ok {
		return exitUsage
	}
	client, code := configured(c, cfg)
	if code != exitOK {
		return code
	}
	defer client.Close()
	o := openai.ProbeOptions{MaxContext: size}
	if format == "text" {
		o.OnStep = func(s openai.ProbeStep) {
			_, _ = fmt.Fprintf(c.stdout, "%-12s %-8s %s\n", s.Name, s.Verdict, printable(s.Detail))
		}
	}
	r := client.Probe(ctx, o)
	lines := pasted(r.Profile)
	switch format {
	case "json":
		settings := map[string]string{}
		for _, l := range lines {
			settings["upstream."+l.Key] = l.Value
		}
		if code := printJSON(c, struct {
			openai.ProbeReport
			Settings map[string]string `json:"settings"`
		}{r, settings}); code != exitOK {
			return code
		}
	default:
		if r.Code != "" {
			break // nothing is known, so nothing is to be pasted
		}
		if format == "text" {
			_, _ = fmt.Fprintln(c.stdout, "\nThe profile, to paste into a configuration file:")
		}
		_, _ = fmt.Fprint(c.stdout, yamlOf(lines))
	}
	return probeCode(c, r, ctx)
}

// probeCode is the exit code of a report, and why on stderr.
func probeCode(c *call, r openai.ProbeReport, ctx context.Context) int {
	detail := r.Steps[0].Detail
	switch {
	case r.Code == fault.UpstreamTimeout || ctx.Err() != nil:
		return c.fail(exitTimeout, "no answer in time: %s", detail)
	case r.Code == fault.UpstreamRejected && strings.Contains(detail, "key is refused"):
		return c.fail(exitNotAllowed, "%s", detail)
	case r.Code != "":
		return c.fail(exitUnavailable, "%s", detail)
	case r.Missing() > 0:
		return c.fail(exitFailure, "%d guarantee(s) are missing; look for the word missing above", r.Missing())
	}
	return exitOK
}

// pasted are the lines of a profile that differ from its preset.
func pasted(p openai.Profile) []openai.Line {
	preset, _ := openai.Preset(p.Preset)
	base := map[string]string{}
	for _, l := range preset.Lines() {
		base[l.Key] = l.Value
	}
	var out []openai.Line
	for _, l := range p.Lines() {
		if l.Key == "preset" || base[l.Key] != l.Value {
			out = append(out, l)
		}
	}
	return out
}

// yamlOf are lines as a configuration file has them.
func yamlOf(lines []openai.Line) string {
	var b strings.Builder
	b.WriteString("upstream:\n")
	group := ""
	for _, l := range lines {
		key, indent := l.Key, "  "
		if g, rest, ok := strings.Cut(l.Key, "."); ok {
			if g != group {
				b.WriteString("  " + g + ":\n")
			}
			group, key, indent = g, rest, "    "
		}
		value := l.Value
		if value == "" || strings.ContainsAny(value, `"{}:#'`) {
			value = "'" + strings.ReplaceAll(value, "'", "''") + "'"
		}
		b.WriteString(indent + key + ": " + value + "\n")
	}
	return b.String()
}

func upstreamListCommand() *command {
	return &command{
		name: "list", short: "the presets, and the profile that is in effect", settings: true,
		long: "The first line of the table is what this configuration amounts to, laid over its preset; what a\nrunning server has learned beside that stands in its log.",
		setup: func(fs *flag.FlagSet) runner {
			format := outputFlag(fs, "table", "table", "json")
			return func(_ context.Context, c *call) int { return listUpstreams(c, *format) }
		},
	}
}

func listUpstreams(c *call, format string) int {
	cfg, ok := c.config()
	if !ok {
		return exitUsage
	}
	type entry struct {
		Upstream string            `json:"upstream"`
		Host     string            `json:"host,omitempty"`
		Model    string            `json:"model,omitempty"`
		Settings map[string]string `json:"settings"`
	}
	var all []entry
	add := func(name, base, model string, p openai.Profile) {
		e := entry{Upstream: name, Model: model, Settings: map[string]string{}}
		if u, err := url.Parse(base); err == nil {
			e.Host = u.Host
		}
		for _, l := range p.Lines() {
			e.Settings[l.Key] = l.Value
		}
		all = append(all, e)
	}
	if !cfg.EmbeddedUpstream() {
		client, code := configured(c, cfg)
		if code != exitOK {
			return code
		}
		defer client.Close()
		add(primaryName, cfg.Upstream.BaseURL, cfg.Upstream.Model, client.Profile())
		if f := cfg.Upstream.Fallback; f.BaseURL != "" {
			second, err := openai.New(fallbackConfig(&cfg.Upstream, openai.Config{}))
			if err != nil {
				return c.fail(exitUsage, "fallback: %v", err)
			}
			defer second.Close()
			add(fallbackName, f.BaseURL, f.Model, second.Profile())
		}
	} else {
		_, _ = fmt.Fprintln(c.stderr, "no upstream is configured: the scripted partner inside the process answers")
	}
	for _, p := range openai.Presets() {
		add("preset "+p.Preset, "", "", p)
	}
	if format == "json" {
		return printJSON(c, map[string]any{"upstreams": all})
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	columns := []string{"cap_field", "temperature", "stream_usage", "structured", "system_role", "think_tags", "reasoning_off", "max_context", "keepalive_comments", "continue", "timeout.first_content"}
	_, _ = fmt.Fprintln(w, "UPSTREAM\tPRESET\tMODEL\t"+strings.ToUpper(strings.Join(columns, "\t")))
	for _, e := range all {
		cells := []string{e.Upstream, e.Settings["preset"], orDash(e.Model)}
		for _, k := range columns {
			cells = append(cells, orDash(printable(e.Settings[k])))
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if w.Flush() != nil {
		return exitFailure
	}
	return exitOK
}
