package sqldb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// What lies outside a statement and passes is told from what the statement
// itself did wrong; only the former makes the database count as refusing.
func TestRefused(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		write := func(before string, after string) error {
			return db.InTx(t.Context(), func(ctx context.Context) error {
				if before != "" {
					if _, err := db.Conn(ctx).ExecContext(ctx, before); err != nil {
						t.Fatal(err)
					}
				}
				_, err := db.Conn(ctx).ExecContext(ctx, `INSERT INTO redis_incarnations (identity, inc) VALUES ('one', 1)`)
				if after != "" {
					if _, err := db.Conn(ctx).ExecContext(ctx, after); err != nil {
						t.Fatal(err)
					}
				}
				return err
			})
		}
		if err := write("", ""); err != nil {
			t.Fatal(err)
		}
		var refused *sqldb.RefusedError
		if err := write("", ""); err == nil || errors.As(err, &refused) || db.Refusing() != nil {
			t.Errorf("a violated key reads as a refusal: %v", err)
		}
		before, after := "SET TRANSACTION READ ONLY", ""
		if db.Engine == sqldb.SQLite {
			before, after = "PRAGMA query_only = 1", "PRAGMA query_only = 0"
		}
		if err := write(before, after); !errors.As(err, &refused) || refused.Reason != "read_only" || !refused.StorageRefuses() {
			t.Errorf("a read-only database: %v", err)
		}
		if db.Refusing() == nil || testutil.ToFloat64(db.Refusals()) != 1 {
			t.Error("the refusal is not told")
		}
	})
}

// A connection that became read-only, as those to a primary that was replaced,
// is left for a new one, which leads to where writes are taken.
func TestReadOnlyConnectionsAreLeft(t *testing.T) {
	t.Parallel()
	db, err := sqldb.Open(t.Context(), sqldbtest.PostgresURL(t), sqldb.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	do := func(q string) error {
		_, err := db.Conn(t.Context()).ExecContext(t.Context(), q)
		return err
	}
	if err := errors.Join(do("CREATE TABLE x (n INT)"), do("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")); err != nil {
		t.Fatal(err)
	}
	if err := do("INSERT INTO x VALUES (1)"); err == nil {
		t.Fatal("a read-only connection writes")
	}
	testenv.Eventually(t, 30*time.Second, func() error { return do("INSERT INTO x VALUES (1)") })
}
