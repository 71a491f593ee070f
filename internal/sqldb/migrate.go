package sqldb

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// The lock of migrations: a table of its own, whose row is a lease.
const (
	lockTable = "migration_lock"
	lockLease = 15 * time.Second
)

//go:embed migrations
var migrations embed.FS

func (d *DB) provider() (*goose.Provider, error) {
	dialect, dir := goose.DialectSQLite3, "migrations/sqlite"
	opts := []goose.ProviderOption{goose.WithGoMigrations(d.jobsMigration())}
	if d.Engine == Postgres {
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
		// A row and not an advisory lock: behind a transaction pooler the
		// unlock of a session's lock would reach another session. Who dies
		// with it keeps the others waiting for the lease.
		locker, err := lock.NewPostgresTableLocker(lock.WithTableName(lockTable), lock.WithTableLeaseDuration(lockLease),
			lock.WithTableHeartbeatInterval(lockLease/5), lock.WithTableLockTimeout(500*time.Millisecond, 600),
			lock.WithTableLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			return nil, err
		}
		opts = append(opts, goose.WithLocker(locker))
	}
	sub, err := fs.Sub(migrations, dir)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, d.bun.DB, sub, opts...)
}

// Migrate brings the schema up to this binary's version. Many nodes may call
// it at once: a lock lets one work and the others find it done. It is safe
// through a transaction pooler. It needs two connections.
func (d *DB) Migrate(ctx context.Context) error {
	p, err := d.provider()
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// MigrateDown takes every migration back, for tests of the way down.
func (d *DB) MigrateDown(ctx context.Context) error {
	p, err := d.provider()
	if err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	if _, err := p.DownTo(ctx, 0); err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	return nil
}

// SchemaVersion is the version in the database and the newest this binary has.
func (d *DB) SchemaVersion(ctx context.Context) (have, want int64, err error) {
	p, err := d.provider()
	if err != nil {
		return 0, 0, err
	}
	if have, err = p.GetDBVersion(ctx); err != nil {
		return 0, 0, err
	}
	src := p.ListSources()
	return have, src[len(src)-1].Version, nil
}
