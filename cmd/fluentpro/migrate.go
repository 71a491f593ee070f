package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

func migrateCommands() []*command {
	return []*command{
		{
			name: "up", short: "apply what is missing; safe to run on many machines at once", settings: true,
			long:  "serve does this by itself at start. The embedded database belongs to one process at a time.",
			setup: plain(func(ctx context.Context, c *call) int { return migrate(ctx, c, true) }),
		},
		{
			name: "status", short: "compare the database's schema with this binary's, exit code 5 if they differ", settings: true,
			setup: plain(func(ctx context.Context, c *call) int { return migrate(ctx, c, false) }),
		},
	}
}

func migrate(ctx context.Context, c *call, up bool) int {
	cfg, ok := c.config()
	if !ok {
		return exitUsage
	}
	db, err := sqldb.Open(ctx, cfg.SQL(), sqldb.Options{MaxConns: 2})
	if err != nil {
		return c.fail(exitUnavailable, "%v", err)
	}
	defer func() { _ = db.Close() }()
	have, want, err := db.SchemaVersion(ctx)
	if err != nil {
		return c.fail(exitFailure, "read the schema version: %v", err)
	}
	if have > want {
		return c.fail(exitConflict, "the database has schema %d, newer than this binary's %d; use a newer binary", have, want)
	}
	if !up {
		_, _ = fmt.Fprintf(c.stdout, "database %s\nschema   %d\nbinary   %d\n", shown(cfg), have, want)
		if have < want {
			return c.fail(exitConflict, "%d migration(s) behind; run fluentpro migrate up", want-have)
		}
		return exitOK
	}
	if err := db.Migrate(ctx); err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	_, _ = fmt.Fprintf(c.stdout, "schema %d -> %d\n", have, want)
	return exitOK
}

// shown is the database's address without its password.
func shown(cfg *configs.Config) string { return configs.NewURL(cfg.SQL()).String() }

func poolOptions(cfg *configs.Config) sqldb.Options {
	d := cfg.Database
	return sqldb.Options{MaxConns: d.MaxConns, Idle: d.ConnIdle, Lifetime: d.ConnLifetime}
}

// migrateAtStart brings the schema up to date where a node may do that itself,
// and else refuses to run on one that is too old. One that is newer is run on:
// in the middle of an upgrade, or of its way back, a node of the version before
// may have to start.
func migrateAtStart(ctx context.Context, cfg *configs.Config, db *sqldb.DB, log *slog.Logger) error {
	if cfg.Database.Migrate != "never" {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
	}
	have, want, err := db.SchemaVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if have > want {
		log.Warn("the database's schema is newer than this binary; it runs beside the next version only", "schema", have, "binary", want)
	}
	if have < want {
		return fmt.Errorf("the database has schema %d, this binary needs %d, and FLUENTPRO_DATABASE_MIGRATE=never: run fluentpro migrate up", have, want)
	}
	return nil
}
