package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"

	"github.com/fluentpro/fluentpro/configs"
)

func configCommands() []*command {
	return []*command{
		{
			name: "check", short: "list everything that is wrong, exit code 2 if anything is", settings: true,
			setup: func(fs *flag.FlagSet) runner {
				strict := fs.Bool("strict", false, "count warnings as wrong")
				return func(_ context.Context, c *call) int { return configCheck(c, *strict) }
			},
		},
		{
			name: "print", short: "show every value and where it came from, secrets masked", settings: true,
			setup: func(fs *flag.FlagSet) runner {
				format := outputFlag(fs, "table", "table", "json", "yaml")
				return func(_ context.Context, c *call) int { return configPrint(c, *format) }
			},
		},
		{
			name: "env", short: "list every variable with its default and meaning",
			setup: func(fs *flag.FlagSet) runner {
				format := outputFlag(fs, "table", "table", "json")
				return func(_ context.Context, c *call) int { return configEnv(c, *format) }
			},
		},
	}
}

func configCheck(c *call, strict bool) int {
	cfg, ok := c.config()
	if !ok {
		return exitUsage
	}
	if n := len(cfg.Warnings()); strict && n > 0 {
		return c.fail(exitUsage, "%d warning(s), which --strict refuses", n)
	}
	_, _ = fmt.Fprintf(c.stdout, "the configuration is good (profile %s)\n", cfg.Profile)
	return exitOK
}

func configPrint(c *call, format string) int {
	cfg, ok := c.config()
	code := exitOK
	if !ok {
		code = exitUsage // what could be read still helps to find the mistake
	}
	switch format {
	case "json":
		return max(code, printJSON(c, cfg.Values()))
	case "yaml":
		out, err := yaml.Marshal(nest(cfg.Values()))
		if err != nil {
			return c.fail(exitFailure, "%v", err)
		}
		_, _ = c.stdout.Write(out)
		return code
	}
	tw := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "KEY\tVALUE\tFROM")
	for _, v := range cfg.Values() {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", v.Key, orDash(v.Text), v.Origin)
	}
	_ = tw.Flush()
	return code
}

// nest puts dotted keys back into groups, in order.
func nest(values []configs.Value) *yaml.Node {
	root := &yaml.Node{Kind: yaml.MappingNode}
	groups := map[string]*yaml.Node{"": root}
	scalar := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
	var group func(path string) *yaml.Node
	group = func(path string) *yaml.Node {
		if g, ok := groups[path]; ok {
			return g
		}
		parent, name := "", path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			parent, name = path[:i], path[i+1:]
		}
		g := &yaml.Node{Kind: yaml.MappingNode}
		p := group(parent)
		p.Content = append(p.Content, scalar(name), g)
		groups[path] = g
		return g
	}
	for _, v := range values {
		if v.Text == "" {
			continue
		}
		parent, name := "", v.Key
		if i := strings.LastIndexByte(v.Key, '.'); i >= 0 {
			parent, name = v.Key[:i], v.Key[i+1:]
		}
		leaf := scalar(v.Text)
		leaf.LineComment = v.Origin
		g := group(parent)
		g.Content = append(g.Content, scalar(name), leaf)
	}
	return root
}

func configEnv(c *call, format string) int {
	cfg, err := configs.Load(configs.Input{}) // the defaults, whatever is set here
	var ps configs.Problems
	if err != nil && !errors.As(err, &ps) {
		return c.fail(exitFailure, "%v", err)
	}
	if format == "json" {
		return printJSON(c, cfg.Values())
	}
	tw := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "VARIABLE\tDEFAULT\tMEANING")
	_, _ = fmt.Fprintf(tw, "%s\t-\tYAML file with settings\n", configs.EnvFile)
	for _, v := range cfg.Values() {
		doc := v.Doc
		if len(v.OneOf) > 0 {
			doc += " (" + strings.Join(v.OneOf, ", ") + ")"
		}
		if v.FileEnv != "" {
			doc += "; or " + v.FileEnv
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", v.Env, orDash(v.Text), doc)
	}
	_ = tw.Flush()
	return exitOK
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
