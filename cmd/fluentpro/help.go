package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// writeHelp explains one command. It prints names and defaults only, never a
// value from the environment.
func writeHelp(w io.Writer, cmd *command, path []string) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	name := strings.Join(path, " ")
	p("%s: %s\n\nUsage: %s", name, cmd.short, name)
	switch {
	case len(path) == 1:
		p(" [command] [flags]\n")
	case len(cmd.subs) > 0:
		p(" <command> [flags]\n")
	default:
		p("%s [flags]\n", strings.TrimRight(" "+cmd.args, " "))
	}
	if cmd.long != "" {
		p("\n%s\n", cmd.long)
	}
	if len(cmd.subs) > 0 {
		p("\nCommands:\n")
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, s := range cmd.subs {
			if !s.hidden {
				_, _ = fmt.Fprintf(tw, "  %s\t%s\n", s.name, s.short)
			}
		}
		_ = tw.Flush()
		p("\n%s <command> --help explains one of them.\n", name)
	}
	if cmd.setup != nil {
		writeFlags(w, cmd)
	}
	if len(path) == 1 {
		p("\nExit codes: 0 ok, 1 failure, 2 usage or configuration, 3 not found, 4 not allowed,\n5 conflict, 6 unavailable, 7 timeout.\n")
	}
}

func writeFlags(w io.Writer, cmd *command) {
	all, _, settings := cmd.parser()
	own := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	cmd.setup(own)
	show := own
	if settings != nil && cmd.name == "serve" {
		show = all
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n := 0
	show.VisitAll(func(f *flag.Flag) {
		kind, doc := flag.UnquoteUsage(f)
		if n++; n == 1 {
			_, _ = fmt.Fprintln(tw, "\nFlags:")
		}
		if f.DefValue != "" && f.DefValue != "false" {
			doc += " [" + f.DefValue + "]"
		}
		_, _ = fmt.Fprintf(tw, "  %s %s\t%s\n", dashes(f.Name), kind, doc)
	})
	_ = tw.Flush()
	if settings == nil {
		return
	}
	if show != all {
		_, _ = fmt.Fprintln(w, "\nEvery setting of the server is a flag here too; fluentpro serve --help lists them.")
		return
	}
	_, _ = fmt.Fprintln(w, "\nEvery setting has a variable and a key in a YAML file too; fluentpro config env lists them.")
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func printHelp(_ context.Context, c *call) int {
	cmd, path := commands(), []string{"fluentpro"}
	for _, a := range c.args {
		if strings.HasPrefix(a, "-") {
			continue
		}
		sub := cmd.sub(a)
		if sub == nil {
			return c.fail(exitUsage, "%q is not a command of %s", a, strings.Join(path, " "))
		}
		cmd, path = sub, append(path, a)
	}
	writeHelp(c.stdout, cmd, path)
	return exitOK
}

// printCandidates answers the completion scripts: c.args are the words so
// far, the last one unfinished.
func printCandidates(_ context.Context, c *call) int {
	words := c.args
	if len(words) == 0 {
		words = []string{""}
	}
	cmd, last := commands(), words[len(words)-1]
	for _, w := range words[:len(words)-1] {
		if sub := cmd.sub(w); sub != nil {
			cmd = sub
		}
	}
	var out []string
	if strings.HasPrefix(last, "-") {
		leaf := cmd
		if leaf.name == "fluentpro" {
			leaf = cmd.sub("serve")
		}
		if leaf.setup != nil {
			fs, _, _ := leaf.parser()
			fs.VisitAll(func(f *flag.Flag) { out = append(out, dashes(f.Name)) })
		}
	} else {
		for _, s := range cmd.subs {
			if !s.hidden {
				out = append(out, s.name)
			}
		}
		if cmd.name == "completion" {
			out = []string{"bash", "fish", "zsh"}
		}
	}
	slices.Sort(out)
	for _, o := range out {
		if strings.HasPrefix(o, last) {
			_, _ = fmt.Fprintln(c.stdout, o)
		}
	}
	return exitOK
}

var completionScripts = map[string]string{
	"bash": `_fluentpro() {
  local IFS=$'\n'
  COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _fluentpro fluentpro
`,
	"zsh": `#compdef fluentpro
_fluentpro() {
  local -a found
  found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -- $found
}
compdef _fluentpro fluentpro
`,
	"fish": `function __fluentpro_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c fluentpro -f -a '(__fluentpro_complete)'
`,
}

func printCompletion(_ context.Context, c *call) int {
	script, ok := completionScripts[c.args[0]]
	if !ok {
		return c.fail(exitUsage, "%q is none of bash, zsh, fish", c.args[0])
	}
	_, _ = fmt.Fprint(c.stdout, script)
	return exitOK
}
