package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/configs"
)

// The exit codes of every command.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitNotFound
	exitNotAllowed
	exitConflict
	exitUnavailable
	exitTimeout
)

// command is one node of the tree: either subs or setup is set.
type command struct {
	name, short string
	// args names the positional arguments for the help, nargs counts them.
	args  string
	nargs int
	long  string
	subs  []*command
	// settings says that every setting of the server is a flag here.
	settings bool
	// hidden keeps it out of help and completion.
	hidden bool
	// anyArgs passes everything on unparsed.
	anyArgs bool
	// setup registers flags and returns what runs once they are parsed.
	setup func(fs *flag.FlagSet) runner
}

type runner func(ctx context.Context, c *call) int

// call is one invocation: data goes to stdout, talk to stderr.
type call struct {
	args           []string
	env            []string
	flags          map[string]string // settings given as flags
	stdout, stderr io.Writer
}

// fail says why on stderr and returns the exit code.
func (c *call) fail(code int, format string, args ...any) int {
	_, _ = fmt.Fprintf(c.stderr, "fluentpro: "+format+"\n", args...)
	return code
}

// config loads the configuration; what is wrong and what looks wrong goes to
// stderr.
func (c *call) config() (*configs.Config, bool) {
	cfg, ok := c.load()
	for _, w := range cfg.Warnings() {
		_, _ = fmt.Fprintln(c.stderr, "warning:", w)
	}
	return cfg, ok
}

// load is config for serve, which has a log for warnings.
func (c *call) load() (*configs.Config, bool) {
	cfg, err := configs.Load(configs.Input{Env: c.env, Flags: c.flags})
	if err != nil {
		c.fail(exitUsage, "%v", err)
		return cfg, false
	}
	return cfg, true
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	c := &call{env: env, stdout: stdout, stderr: stderr}
	for _, a := range args {
		if !utf8.ValidString(a) {
			return c.fail(exitUsage, "an argument is not valid UTF-8")
		}
	}
	root := commands()
	cmd, path := root, []string{"fluentpro"}
	for len(args) > 0 && len(cmd.subs) > 0 && !strings.HasPrefix(args[0], "-") {
		sub := cmd.sub(args[0])
		if sub == nil {
			return c.fail(exitUsage, "%q is not a command of %s; try %s help", args[0], strings.Join(path, " "), path[0])
		}
		cmd, path, args = sub, append(path, sub.name), args[1:]
	}
	if len(cmd.subs) > 0 {
		if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
			writeHelp(stdout, cmd, path)
			return exitOK
		}
		if cmd != root {
			writeHelp(stderr, cmd, path)
			return exitUsage
		}
		cmd, path = root.sub("serve"), append(path, "serve") // the default
	}
	return c.dispatch(ctx, cmd, path, args)
}

func (c *call) dispatch(ctx context.Context, cmd *command, path, args []string) int {
	fs, do, settings := cmd.parser()
	c.flags = settings
	if cmd.anyArgs {
		c.args = args
		return do(ctx, c)
	}
	for {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			writeHelp(c.stdout, cmd, path)
			return exitOK
		} else if err != nil {
			return c.fail(exitUsage, "%v; see %s --help", err, strings.Join(path, " "))
		}
		if fs.NArg() == 0 {
			break
		}
		// Flags may also follow what the command is about.
		c.args, args = append(c.args, fs.Arg(0)), fs.Args()[1:]
	}
	if len(c.args) != cmd.nargs {
		return c.fail(exitUsage, "usage: %s %s", strings.Join(path, " "), cmd.args)
	}
	return do(ctx, c)
}

// parser is a fresh flag set for one invocation.
func (cmd *command) parser() (fs *flag.FlagSet, do runner, settings map[string]string) {
	fs = flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // dispatch speaks
	fs.Usage = func() {}
	do = cmd.setup(fs)
	if cmd.settings {
		settings = configs.RegisterFlags(fs)
	}
	return fs, do, settings
}

func (cmd *command) sub(name string) *command {
	for _, s := range cmd.subs {
		if s.name == name {
			return s
		}
	}
	return nil
}

// plain is setup for a command without flags of its own.
func plain(do runner) func(*flag.FlagSet) runner {
	return func(*flag.FlagSet) runner { return do }
}
