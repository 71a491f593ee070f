package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"time"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/azuresearch"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

func rolesCommand() *command {
	index := func(name, short, long string, do func(context.Context, *call, *azuresearch.Client) int) *command {
		return &command{name: name, short: short, long: long, settings: true, setup: plain(func(ctx context.Context, c *call) int { return withIndex(ctx, c, do) })}
	}
	return &command{name: "roles", short: "the roles that jobs are matched to", subs: []*command{
		{name: "index", short: "the index of roles in Azure AI Search", subs: []*command{
			index("create", "make the index, or bring its definition up to date",
				"Needs an admin key in FLUENTPRO_ROLES_AZURE_KEY. Azure refuses a change of what a field is;\nthen give the index another name.",
				func(ctx context.Context, c *call, az *azuresearch.Client) int {
					if err := az.Create(ctx); err != nil {
						return failAzure(c, err)
					}
					_, _ = fmt.Fprintln(c.stdout, "the index is there")
					return exitOK
				}),
			index("fill", "put our roles into the index and take out what is no role any more",
				"Needs an admin key in FLUENTPRO_ROLES_AZURE_KEY. Safe to repeat; run it after each update of this binary.",
				func(ctx context.Context, c *call, az *azuresearch.Client) int {
					roles := onboarding.Reference().Roles
					if err := az.Fill(ctx, roles); err != nil {
						return failAzure(c, err)
					}
					_, _ = fmt.Fprintf(c.stdout, "%d roles are in the index\n", len(roles))
					return exitOK
				}),
			{
				name: "status", short: "compare the index with this binary's roles, exit code 5 if they differ", settings: true,
				setup: func(fs *flag.FlagSet) runner {
					format := outputFlag(fs, "text", "text", "json")
					return func(ctx context.Context, c *call) int {
						return withIndex(ctx, c, func(ctx context.Context, c *call, az *azuresearch.Client) int {
							return indexStatus(ctx, c, az, *format)
						})
					}
				},
			},
		}},
	}}
}

func indexStatus(ctx context.Context, c *call, az *azuresearch.Client, format string) int {
	s, err := az.Status(ctx, onboarding.Reference().Roles)
	if err != nil {
		return failAzure(c, err)
	}
	if format == "json" {
		if code := printJSON(c, s); code != exitOK {
			return code
		}
	} else {
		_, _ = fmt.Fprintf(c.stdout, "index      %s\ndata       %s\nroles      %d\ndocuments  %d\ncurrent    %d\n", s.Index, s.Data, s.Roles, s.Documents, s.Current)
	}
	switch {
	case !s.Exists:
		return c.fail(exitConflict, "there is no index %s; run fluentpro roles index create, then fill", s.Index)
	case !s.Good():
		return c.fail(exitConflict, "the index differs from this binary's roles; run fluentpro roles index fill (what was just written is counted after some seconds)")
	}
	return exitOK
}

func withIndex(ctx context.Context, c *call, do func(context.Context, *call, *azuresearch.Client) int) int {
	cfg, ok := c.config()
	if !ok {
		return exitUsage
	}
	if cfg.Roles.Azure.Endpoint == "" {
		return c.fail(exitUsage, "set FLUENTPRO_ROLES_AZURE_ENDPOINT and FLUENTPRO_ROLES_AZURE_KEY first")
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	az, err := azureIndex(cfg, resilience.New(resilience.Config{Service: "azure_search", Attempt: 30 * time.Second, Total: 2 * time.Minute}), transport)
	if err != nil {
		return c.fail(exitUsage, "%v", err)
	}
	return do(ctx, c, az)
}

// failAzure tells what Azure said and what helps.
func failAzure(c *call, err error) int {
	var e *azuresearch.Error
	if !errors.As(err, &e) {
		return c.fail(exitUnavailable, "%v", err)
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return c.fail(exitNotAllowed, "%v: is FLUENTPRO_ROLES_AZURE_KEY an admin key of this service?", e)
	case http.StatusNotFound:
		return c.fail(exitNotFound, "%v: run fluentpro roles index create first", e)
	}
	return c.fail(exitFailure, "%v", e)
}
