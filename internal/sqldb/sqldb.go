// Package sqldb opens the SQL database behind every store and carries the
// transaction of a unit of work in the context, so that repositories of
// different rooms can take part in one commit without knowing each other.
//
// Two engines stand behind one SQL text: PostgreSQL (pgx in Exec mode) and
// embedded SQLite (WAL, synchronous=FULL). Behind Postgres may be a transaction
// pooler, which gives every transaction another session: nothing here or in a
// store may prepare a statement by name, SET anything beyond a transaction,
// LISTEN, or take a lock that outlives its transaction.
// Write "?" placeholders; bun quotes the arguments for the engine. Times are
// int64 microseconds since 1970 UTC, made by the application, except where a
// comparison between nodes matters: there the database's clock counts (Now).
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Engine names the SQL engine.
type Engine string

// The engines.
const (
	Postgres Engine = "postgres"
	SQLite   Engine = "sqlite"
)

// Options tune Open; zero values mean the defaults in brackets.
type Options struct {
	// MaxConns bounds the pool [16 for Postgres, 4 for SQLite].
	MaxConns int
	// Idle is how long an unused connection to Postgres is kept [5 min],
	// Lifetime how long any [30 min], so that a balancer or pooler in front
	// gets to spread them anew.
	Idle, Lifetime time.Duration
}

// DB is the database. It is safe for concurrent use.
type DB struct {
	// Engine is which SQL engine answers.
	Engine  Engine
	bun     *bun.DB
	unlock  func() error
	queries atomic.Int64
	// refusals is what the database said it cannot do just now.
	refusals *refusals
}

// Open connects to url: "postgres://…" (or "postgresql://…"), or a file path
// (optionally "sqlite:<path>"; ":memory:" for a private one). A SQLite file
// belongs to one process at a time; a second gets an error that says so. It
// does not migrate: call Migrate.
func Open(ctx context.Context, url string, opts Options) (*DB, error) {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return openPostgres(ctx, url, opts)
	}
	return openSQLite(ctx, strings.TrimPrefix(url, "sqlite:"), opts)
}

func openPostgres(ctx context.Context, url string, opts Options) (*DB, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("open postgres: the database URL cannot be parsed")
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := &DB{Engine: Postgres, refusals: newRefusals()}
	pool := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(born), stdlib.OptionResetSession(db.refusals.outlived))
	n := opts.MaxConns
	if n <= 0 {
		n = 16
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	pool.SetConnMaxIdleTime(orElse(opts.Idle, 5*time.Minute))
	pool.SetConnMaxLifetime(orElse(opts.Lifetime, 30*time.Minute))
	db.bun = bun.NewDB(pool, pgdialect.New()).WithQueryHook(counter{&db.queries, db.refusals})
	if err := pool.PingContext(ctx); err != nil {
		_ = pool.Close()
		return nil, fmt.Errorf("open postgres at %s:%d: %w", cfg.Host, cfg.Port, err)
	}
	return db, nil
}

func openSQLite(ctx context.Context, path string, opts Options) (*DB, error) {
	dsn, unlock, err := sqliteDSN(path)
	if err != nil {
		return nil, err
	}
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		_ = unlock()
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	n := opts.MaxConns
	if n <= 0 {
		n = 4
	}
	if path == ":memory:" {
		n = 1
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	db := &DB{Engine: SQLite, unlock: unlock, refusals: newRefusals()}
	db.bun = bun.NewDB(pool, sqlitedialect.New()).WithQueryHook(counter{&db.queries, db.refusals})
	if err := pool.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open sqlite %s: %w", path, err)
	}
	return db, nil
}

// Close closes the pool and frees the file lock.
func (d *DB) Close() error {
	err := d.bun.Close()
	if d.unlock != nil {
		err = errors.Join(err, d.unlock())
	}
	return err
}

// Queries counts the statements sent so far, for metrics and for tests that
// prove a path asks SQL nothing.
func (d *DB) Queries() int64 { return d.queries.Load() }

// Stats are the pool's figures.
func (d *DB) Stats() sql.DBStats { return d.bun.Stats() }

// Collector is the pool's figures as metrics (go_sql_…).
func (d *DB) Collector() prometheus.Collector {
	return collectors.NewDBStatsCollector(d.bun.DB, string(d.Engine))
}

func orElse(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}

// Ping asks the database for a sign of life.
func (d *DB) Ping(ctx context.Context) error { return d.bun.PingContext(ctx) }

type txKey struct{ db *DB }

// unit is one transaction in the making. Like the transaction it belongs to
// one goroutine.
type unit struct {
	tx    bun.Tx
	after []func()
}

func (d *DB) tx(ctx context.Context) (*unit, bool) {
	u, ok := ctx.Value(txKey{d}).(*unit)
	return u, ok
}

// Conn is the transaction that ctx carries for this database, else the pool.
func (d *DB) Conn(ctx context.Context) bun.IDB {
	if u, ok := d.tx(ctx); ok {
		return u.tx
	}
	return d.bun
}

// InTx runs fn in a transaction and commits when fn returns nil. Inside an
// outer InTx it joins that one. An error of the commit itself leaves the
// outcome unknown (ErrCommitUnknown): repeat with the same natural keys. What
// the database refuses for now is a RefusedError.
func (d *DB) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if _, ok := d.tx(ctx); ok {
		return fn(ctx)
	}
	tx, err := d.bun.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", refused(err))
	}
	defer func() { _ = tx.Rollback() }() // a no-op after Commit
	u := &unit{tx: tx}
	if err := fn(context.WithValue(ctx, txKey{d}, u)); err != nil {
		return refused(err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: %w", ErrCommitUnknown, refused(err))
	}
	for _, after := range u.after {
		after()
	}
	return nil
}

// AfterCommit calls fn once the transaction that ctx carries is committed, at
// once where there is none, and never after a rollback or an unknown outcome.
// It is for wake-ups: fn must be quick, and whatever it does must be found
// without it too.
func (d *DB) AfterCommit(ctx context.Context, fn func()) {
	if u, ok := d.tx(ctx); ok {
		u.after = append(u.after, fn)
		return
	}
	fn()
}

// Tx is the transaction that ctx carries, for libraries that take one.
func (d *DB) Tx(ctx context.Context) (*sql.Tx, bool) {
	u, ok := d.tx(ctx)
	if !ok {
		return nil, false
	}
	return u.tx.Tx, true
}

// Pool is the connection pool, for libraries that take one.
func (d *DB) Pool() *sql.DB { return d.bun.DB }

// ErrCommitUnknown says that a COMMIT was sent and its answer was lost or bad.
var ErrCommitUnknown = errors.New("commit outcome unknown")

// Now is an SQL expression for the database's clock in microseconds.
func (d *DB) Now() string {
	if d.Engine == Postgres {
		return "(extract(epoch from clock_timestamp())*1000000)::bigint"
	}
	return "CAST(unixepoch('subsec')*1000000 AS INTEGER)"
}

// ForUpdate is the row lock clause; SQLite needs none, its transactions that
// write begin IMMEDIATE.
func (d *DB) ForUpdate() string {
	if d.Engine == Postgres {
		return " FOR UPDATE"
	}
	return ""
}

// SkipLocked is ForUpdate that passes over rows somebody else holds.
func (d *DB) SkipLocked() string {
	if d.Engine == Postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// LocalAddr is this process's address as the database connection shows it,
// "" where there is none (SQLite, a unix socket).
func (d *DB) LocalAddr(ctx context.Context) string {
	if d.Engine != Postgres {
		return ""
	}
	conn, err := d.bun.DB.Conn(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	var host string
	_ = conn.Raw(func(dc any) error {
		if pc, ok := dc.(*stdlib.Conn); ok {
			if a := pc.Conn().PgConn().Conn().LocalAddr(); a.Network() == "tcp" {
				host = a.String()
			}
		}
		return nil
	})
	return host
}

// IsUnique reports a violated unique constraint.
func IsUnique(err error) bool {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code == "23505"
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		return se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// Micros is t as this package stores times.
func Micros(t time.Time) int64 { return t.UnixMicro() }

type counter struct {
	n        *atomic.Int64
	refusals *refusals
}

func (c counter) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	c.n.Add(1)
	return ctx
}
func (c counter) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if e.Err != nil {
		c.refusals.note(e.Err)
	}
}
