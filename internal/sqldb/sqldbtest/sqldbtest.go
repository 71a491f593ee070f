// Package sqldbtest gives tests migrated databases: a private SQLite file
// always, a private schema on a real Postgres where
// FLUENTPRO_TEST_DATABASE_URL names one.
package sqldbtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// EnvURL names the variable with a Postgres URL for tests.
const EnvURL = "FLUENTPRO_TEST_DATABASE_URL"

// EnvRequire, set to 1, turns "no Postgres, no Redis, no Chromium" from a
// skip into a failure; CI sets it.
const EnvRequire = "FLUENTPRO_TEST_REQUIRE"

// EnvPooler names the variable with the URL of a PgBouncer in transaction mode
// before the same server, which takes any database name; scripts/test.sh
// starts one.
const EnvPooler = "FLUENTPRO_TEST_POOLER_URL"

// SQLite opens a migrated SQLite database in the test's own directory.
func SQLite(t testing.TB) *sqldb.DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "test.db"))
}

// Postgres opens a migrated Postgres database of the test's own, or skips
// with the reason where there is no server.
func Postgres(t testing.TB) *sqldb.DB {
	t.Helper()
	return open(t, PostgresURL(t))
}

// PostgresURL makes an empty schema for this test and returns a URL whose
// connections live in it.
func PostgresURL(t testing.TB) string {
	t.Helper()
	base := os.Getenv(EnvURL)
	if base == "" {
		if os.Getenv(EnvRequire) == "1" {
			t.Fatalf("%s is not set, and %s=1 forbids to skip", EnvURL, EnvRequire)
		}
		t.Skipf("left out: needs a real Postgres; set %s, or run make test", EnvURL)
	}
	ctx := context.Background()
	admin, err := sqldb.Open(ctx, base, sqldb.Options{MaxConns: 1})
	if err != nil {
		t.Fatalf("open %s: %v", EnvURL, err)
	}
	schema := fmt.Sprintf("t%016x", rand.Uint64())
	if _, err := admin.Conn(ctx).ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		t.Fatalf("create schema: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.Conn(ctx).ExecContext(ctx, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Errorf("drop schema: %v", err)
		}
		_ = admin.Close()
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("parse %s: %v", EnvURL, err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// PooledURL makes an empty database for this test and returns a URL that
// reaches it through a transaction pooler, or skips where there is none. A
// database and not a schema, because a search path is state of a session.
func PooledURL(t testing.TB) string {
	t.Helper()
	pooler := os.Getenv(EnvPooler)
	if pooler == "" {
		if os.Getenv(EnvRequire) == "1" {
			t.Fatalf("%s is not set, and %s=1 forbids to skip", EnvPooler, EnvRequire)
		}
		t.Skipf("left out: needs a PgBouncer; set %s, or run make test", EnvPooler)
	}
	ctx := context.Background()
	admin, err := sqldb.Open(ctx, os.Getenv(EnvURL), sqldb.Options{MaxConns: 1})
	if err != nil {
		t.Fatalf("open %s: %v", EnvURL, err)
	}
	name := fmt.Sprintf("t%016x", rand.Uint64())
	if _, err := admin.Conn(ctx).ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.Conn(ctx).ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
		_ = admin.Close()
	})
	u, err := url.Parse(pooler)
	if err != nil {
		t.Fatalf("parse %s: %v", EnvPooler, err)
	}
	u.Path = "/" + name
	return u.String()
}

// Each runs fn as a subtest on every engine, and on Postgres also through a
// transaction pooler.
func Each(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); fn(t, Postgres(t)) })
	t.Run("pooled", func(t *testing.T) { t.Parallel(); fn(t, open(t, PooledURL(t))) })
}

func open(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	ctx := context.Background()
	db, err := sqldb.Open(ctx, url, sqldb.Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	return db
}
