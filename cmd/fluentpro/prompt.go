package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/fluentpro/fluentpro/domains/practice/prompts"
)

func promptCommands() []*command {
	return []*command{
		{
			name: "list", short: "the texts that models are told, with their versions",
			setup: func(fs *flag.FlagSet) runner {
				format := outputFlag(fs, "table", "table", "json")
				return func(_ context.Context, c *call) int { return listPrompts(c, *format) }
			},
		},
		{
			name: "show", short: "print one text", args: "<name[.vN]>", nargs: 1,
			long: "Without a version it is the one in use. Records of calls name the version they carried.",
			setup: plain(func(_ context.Context, c *call) int {
				f, ok := findPrompt(c.args[0])
				if !ok {
					return c.fail(exitNotFound, "there is no prompt %q; see fluentpro prompt list", c.args[0])
				}
				if _, err := fmt.Fprint(c.stdout, strings.TrimRight(f.Text, "\n")+"\n"); err != nil {
					return exitFailure
				}
				return exitOK
			}),
		},
		{
			name: "diff", short: "compare two versions, or one with a file of yours", args: "<name[.vN]> <name.vN|file>", nargs: 2,
			long:  "Prints the lines that differ, - for the first and + for the second. Exit code 5 when they differ.",
			setup: plain(diffPrompts),
		},
	}
}

// findPrompt finds a text by its id, or the one in use by its name.
func findPrompt(id string) (prompts.File, bool) {
	all := prompts.Files()
	for _, f := range all {
		if f.ID() == id {
			return f, true
		}
	}
	for _, f := range all {
		if f.InUse && (f.Name == id && f.Kind == "txt" || f.Name+"."+f.Kind == id) {
			return f, true
		}
	}
	return prompts.File{}, false
}

func listPrompts(c *call, format string) int {
	type row struct {
		ID    string `json:"id"`
		Kind  string `json:"kind"`
		InUse bool   `json:"in_use"`
		Bytes int    `json:"bytes"`
	}
	rows := []row{}
	for _, f := range prompts.Files() {
		rows = append(rows, row{f.ID(), f.Kind, f.InUse, len(f.Text)})
	}
	if format == "json" {
		return printJSON(c, map[string]any{"prompts": rows})
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "PROMPT\tKIND\tIN USE\tBYTES")
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", r.ID, r.Kind, map[bool]string{true: "yes", false: "no"}[r.InUse], r.Bytes)
	}
	if w.Flush() != nil {
		return exitFailure
	}
	return exitOK
}

func diffPrompts(_ context.Context, c *call) int {
	var texts [2]string
	for i, name := range c.args {
		if f, ok := findPrompt(name); ok {
			texts[i] = f.Text
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil || i == 0 {
			return c.fail(exitNotFound, "there is neither a prompt nor a readable file %q; see fluentpro prompt list", name)
		}
		texts[i] = string(b)
	}
	lines := diffLines(strings.Split(strings.TrimRight(texts[0], "\n"), "\n"), strings.Split(strings.TrimRight(texts[1], "\n"), "\n"))
	for _, l := range lines {
		if _, err := fmt.Fprintln(c.stdout, l); err != nil {
			return exitFailure
		}
	}
	if len(lines) > 0 {
		return exitConflict
	}
	return exitOK
}

// diffLines are the lines that differ, marked, by the longest common part.
func diffLines(a, b []string) []string {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "-"+a[i])
			i++
		default:
			out = append(out, "+"+b[j])
			j++
		}
	}
	return out
}
