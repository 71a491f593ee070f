package sqldb

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// jobsSchema is the version of river's tables that its pinned release works
// with. They are the library's own, so its migrations make them, as number 7
// of ours.
const (
	jobsMigration = 7
	jobsSchema    = 6
)

// RiverDriver is how river reaches this database.
func (d *DB) RiverDriver() riverdriver.Driver[*sql.Tx] {
	if d.Engine == Postgres {
		return riverdatabasesql.New(d.bun.DB)
	}
	return riversqlite.New(d.bun.DB)
}

func (d *DB) jobsMigration() *goose.Migration {
	run := func(dir rivermigrate.Direction, target int) *goose.GoFunc {
		opts := &rivermigrate.MigrateOpts{TargetVersion: target}
		migrator := func() (*rivermigrate.Migrator[*sql.Tx], error) {
			return rivermigrate.New(d.RiverDriver(), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
		}
		if d.Engine == SQLite {
			return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				m, err := migrator()
				if err == nil {
					//nolint:staticcheck // deprecated for Postgres' enums; SQLite has one connection and none of those
					_, err = m.MigrateTx(ctx, tx, dir, opts)
				}
				return err
			}}
		}
		// Postgres does not let a transaction use the value of an enum that it
		// has just added. river remembers how far it is, so a repeat goes on.
		return &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
			m, err := migrator()
			if err == nil {
				_, err = m.Migrate(ctx, dir, opts)
			}
			return err
		}}
	}
	return goose.NewGoMigration(jobsMigration, run(rivermigrate.DirectionUp, jobsSchema), run(rivermigrate.DirectionDown, -1))
}
