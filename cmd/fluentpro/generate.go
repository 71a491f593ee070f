package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"

	"github.com/fluentpro/fluentpro/internal/generate"
)

func generateCommand() *command {
	return &command{name: "generate", short: "write code into a source tree of FluentPro", subs: []*command{{
		name: "domain", short: "begin a new domain: aggregate, use cases, store, migration, tests, import rules", args: "<name>", nargs: 1,
		long: "The name is lower-case words with - between them: study-plan. What is written compiles and\n" +
			"passes its tests as it is; nothing is overwritten. It needs the source tree and Go.",
		setup: func(fs *flag.FlagSet) runner {
			dir := fs.String("dir", ".", "`directory` of the source tree, where go.mod is")
			update := fs.Bool("update", true, "make the linter's rules and the documents' tables anew with go test")
			return func(ctx context.Context, c *call) int { return generateDomain(ctx, c, *dir, *update) }
		},
	}}}
}

func generateDomain(ctx context.Context, c *call, dir string, update bool) int {
	res, err := generate.Domain(dir, c.args[0])
	if err != nil {
		return c.fail(exitUsage, "%v", err)
	}
	for _, f := range res.Created {
		_, _ = fmt.Fprintln(c.stdout, "created", f)
	}
	for _, f := range res.Changed {
		_, _ = fmt.Fprintln(c.stdout, "changed", f)
	}
	if update {
		for _, pkg := range []string{"./internal/importrules", "./internal/docs"} {
			cmd := exec.CommandContext(ctx, "go", "test", pkg, "-update")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOWORK=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				return c.fail(exitFailure, "go test %s -update: %v\n%s", pkg, err, out)
			}
		}
	}
	p := res.Name.Package
	_, _ = fmt.Fprintf(c.stdout, "\nnext:\n  go test ./domains/%s/...\n  put its events into the catalogue of domains/events, when somebody shall read them\n"+
		"  make it in cmd/fluentpro/app.go and give server its routes, with a row for domains/%s in the import rules of server\n", p, p)
	return exitOK
}
