package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// accountsAction is one command over the use cases of accounts.
type accountsAction func(ctx context.Context, c *call, s *authentication.Service) error

const accountsHelp = "\nIt works on the database of this configuration, also while servers run on it; they learn of the\nchange within seconds. The embedded database belongs to one process: stop the server first."

func userCommands() []*command {
	one := func(name, short, long string, do func(ctx context.Context, s *authentication.Service, id authentication.LearnerID) error) *command {
		return accountsCommand(name, short, long, "<id|e-mail>", 1, func(*flag.FlagSet) accountsAction {
			return func(ctx context.Context, c *call, s *authentication.Service) error {
				v, err := s.Find(ctx, c.args[0])
				if err == nil {
					err = do(ctx, s, v.ID)
				}
				if err == nil {
					_, _ = fmt.Fprintf(c.stdout, "%s: %s\n", v.ID, strings.TrimPrefix(name, "user "))
				}
				return err
			}
		})
	}
	by := authentication.AtTheMachine
	return []*command{
		accountsCommand("list", "accounts, newest first", "", "", 0, func(fs *flag.FlagSet) accountsAction {
			email := fs.String("email", "", "only addresses that begin with this `text`")
			format := outputFlag(fs, "table", "table", "json")
			return func(ctx context.Context, c *call, s *authentication.Service) error {
				return listUsers(ctx, c, s, strings.ToLower(*email), *format)
			}
		}),
		accountsCommand("show", "one account", "", "<id|e-mail>", 1, func(fs *flag.FlagSet) accountsAction {
			format := outputFlag(fs, "table", "table", "json")
			return func(ctx context.Context, c *call, s *authentication.Service) error {
				v, err := s.Find(ctx, c.args[0])
				if err != nil {
					return err
				}
				return show(c, v, *format)
			}
		}),
		accountsCommand("set-role", "say what an account may do", "The account is signed out everywhere, because its tokens say the old role.",
			"<id|e-mail> learner|operator|admin", 2, func(*flag.FlagSet) accountsAction {
				return func(ctx context.Context, c *call, s *authentication.Service) error {
					v, err := s.Find(ctx, c.args[0])
					if err == nil {
						err = s.SetRole(ctx, by, v.ID, authentication.Role(c.args[1]))
					}
					if err == nil {
						_, _ = fmt.Fprintf(c.stdout, "%s: %s\n", v.ID, c.args[1])
					}
					return err
				}
			}),
		one("deactivate", "take an account out of use; it is signed out everywhere", "",
			func(ctx context.Context, s *authentication.Service, id authentication.LearnerID) error {
				return s.Suspend(ctx, by, id)
			}),
		one("reactivate", "take a deactivated account into use again", "",
			func(ctx context.Context, s *authentication.Service, id authentication.LearnerID) error {
				return s.Restore(ctx, by, id)
			}),
		accountsCommand("reset-link", "print a link that sets a new password, once, within an hour", "Bring it to the learner by a way that is sure to be theirs; whoever has the link has the account.",
			"<id|e-mail>", 1, func(*flag.FlagSet) accountsAction {
				return func(ctx context.Context, c *call, s *authentication.Service) error {
					v, err := s.Find(ctx, c.args[0])
					if err != nil {
						return err
					}
					link, until, err := s.PasswordLink(ctx, v.ID)
					if err == nil {
						_, _ = fmt.Fprintln(c.stdout, link)
						_, _ = fmt.Fprintf(c.stderr, "good until %s\n", until.UTC().Format(time.RFC3339))
					}
					return err
				}
			}),
		accountsCommand("export", "print all personal data of an account as NDJSON", "", "<id|e-mail>", 1, func(*flag.FlagSet) accountsAction {
			return func(ctx context.Context, c *call, s *authentication.Service) error {
				v, err := s.Find(ctx, c.args[0])
				if err != nil {
					return err
				}
				enc := json.NewEncoder(c.stdout)
				enc.SetEscapeHTML(false)
				return s.Export(ctx, v.ID, func(r authentication.PersonalRow) error { return enc.Encode(r) })
			}
		}),
		accountsCommand("erase", "delete an account and all its personal data, for good", "", "<id|e-mail>", 1, func(fs *flag.FlagSet) accountsAction {
			yes := fs.Bool("yes", false, "do it; without, nothing happens")
			return func(ctx context.Context, c *call, s *authentication.Service) error {
				v, err := s.Find(ctx, c.args[0])
				if err != nil {
					return err
				}
				if !*yes {
					return fault.New(fault.Invalid, "this cannot be undone; say --yes")
				}
				if err := s.EraseAccount(ctx, by, v.ID); err != nil {
					return err
				}
				_, _ = fmt.Fprintf(c.stdout, "%s: erased\n", v.ID)
				return nil
			}
		}),
	}
}

func keysCommands() []*command {
	return []*command{
		accountsCommand("list", "the keys that sign tokens, and their states", "", "", 0, func(fs *flag.FlagSet) accountsAction {
			format := outputFlag(fs, "table", "table", "json")
			return func(_ context.Context, c *call, s *authentication.Service) error {
				return show(c, map[string]any{"keys": s.SigningKeys()}, *format)
			}
		}),
		accountsCommand("rotate", "make a new key for tokens",
			"It is published now and signs ten minutes later, on every node; the old one verifies until its last\ntoken has ended. With --replace the new key signs at once and all others are deleted: for a key that\nbecame known. Nodes follow within 30 s; who is signed in stays so.", "", 0,
			func(fs *flag.FlagSet) accountsAction {
				replace := fs.Bool("replace", false, "withdraw all other keys at once")
				return func(ctx context.Context, c *call, s *authentication.Service) error {
					do := s.RotateSigningKey
					if *replace {
						do = s.ReplaceSigningKeys
					}
					if err := do(ctx); err != nil {
						return err
					}
					return show(c, map[string]any{"keys": s.SigningKeys()}, "table")
				}
			}),
	}
}

// accountsCommand is a command that opens the use cases, does one thing and
// turns its failure into words and an exit code.
func accountsCommand(name, short, long, args string, nargs int, setup func(*flag.FlagSet) accountsAction) *command {
	return &command{
		name: name, short: short, long: strings.TrimPrefix(long+accountsHelp, "\n"), args: args, nargs: nargs, settings: true,
		setup: func(fs *flag.FlagSet) runner {
			do := setup(fs)
			return func(ctx context.Context, c *call) int {
				s, done, code := openAccounts(ctx, c)
				if code != exitOK {
					return code
				}
				defer done()
				if err := do(ctx, c, s); err != nil {
					return c.failed(err)
				}
				return exitOK
			}
		},
	}
}

// failed tells a use case's failure and finds its exit code.
func (c *call) failed(err error) int {
	f := fault.Of(err)
	msg := f.Message
	for _, field := range f.Fields {
		msg += " " + field.Message
	}
	code := exitFailure
	switch f.Code {
	case fault.NotFound:
		code = exitNotFound
	case fault.Invalid:
		code = exitUsage
	case fault.Forbidden:
		code = exitNotAllowed
	case fault.Conflict:
		code = exitConflict
	case fault.StorageUnavailable:
		code = exitUnavailable
	case fault.Internal:
		msg = err.Error()
	}
	return c.fail(code, "%s", printable(msg))
}

func listUsers(ctx context.Context, c *call, s *authentication.Service, email, format string) error {
	all := []authentication.AccountView{}
	for before := authentication.LearnerID(""); ; {
		page, next, err := s.Accounts(ctx, email, before, 200)
		if err != nil {
			return err
		}
		if all = append(all, page...); next == "" {
			break
		}
		before = next
	}
	return show(c, map[string]any{"accounts": all}, format)
}

// show prints a value for people or as JSON.
func show(c *call, v any, format string) error {
	if format == "json" {
		printJSON(c, v)
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d, err := parseDoc(text)
	if err != nil {
		return err
	}
	t := table{headers: true, color: false}
	if rows, ok := d.rows(); ok {
		t.list(c.stdout, rows)
		return nil
	}
	t.detail(c.stdout, d)
	return nil
}
