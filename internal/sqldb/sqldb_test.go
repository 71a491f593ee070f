package sqldb_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func insertNode(ctx context.Context, db *sqldb.DB, id string) error {
	_, err := db.Conn(ctx).ExecContext(ctx,
		"INSERT INTO nodes (node_id, instance, boot_id, addr, version, state, hb, started_at) VALUES (?, 'i', 'b', 'a', 'v', 'active', "+db.Now()+", 0)", id)
	return err
}

func count(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	if err := db.Conn(t.Context()).QueryRowContext(t.Context(), "SELECT count(*) FROM nodes").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestInTxIsAllOrNothing(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		boom := errors.New("boom")
		err := db.InTx(t.Context(), func(ctx context.Context) error {
			if err := insertNode(ctx, db, "a"); err != nil {
				return err
			}
			// The inner call joins the outer transaction.
			if err := db.InTx(ctx, func(ctx context.Context) error { return insertNode(ctx, db, "b") }); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatalf("got %v, want %v", err, boom)
		}
		if n := count(t, db); n != 0 {
			t.Fatalf("%d rows survived a rollback", n)
		}
	})
}

func TestAfterCommitFollowsTheOutcome(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var told []string
		tell := func(ctx context.Context, what string) {
			db.AfterCommit(ctx, func() { told = append(told, what) })
		}
		tell(t.Context(), "outside")
		if err := db.InTx(t.Context(), func(ctx context.Context) error {
			tell(ctx, "first")
			if len(told) != 1 {
				t.Errorf("told %q before the commit", told)
			}
			return db.InTx(ctx, func(ctx context.Context) error { tell(ctx, "inner"); return nil })
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.InTx(t.Context(), func(ctx context.Context) error {
			tell(ctx, "never")
			return errors.New("boom")
		}); err == nil {
			t.Fatal("the error was lost")
		}
		if got := strings.Join(told, " "); got != "outside first inner" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestUniqueIsTold(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := insertNode(t.Context(), db, "a"); err != nil {
			t.Fatal(err)
		}
		err := insertNode(t.Context(), db, "a")
		if !sqldb.IsUnique(err) {
			t.Fatalf("got %v, want a unique violation", err)
		}
		if sqldb.IsUnique(errors.New("other")) {
			t.Fatal("a foreign error reads as unique violation")
		}
	})
}

func TestClockIsMicroseconds(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var us int64
		if err := db.Conn(t.Context()).QueryRowContext(t.Context(), "SELECT "+db.Now()).Scan(&us); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(time.UnixMicro(us)).Abs(); d > time.Minute {
			t.Fatalf("database clock is off by %v", d)
		}
	})
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqldb.Open(t.Context(), path, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sqldb.Open(t.Context(), path, sqldb.Options{})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("got %v, want a refusal that names the reason", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = sqldb.Open(t.Context(), path, sqldb.Options{})
	if err != nil {
		t.Fatalf("after close: %v", err)
	}
	_ = db.Close()
}

func TestBadURLHidesPassword(t *testing.T) {
	t.Parallel()
	_, err := sqldb.Open(t.Context(), "postgres://u:s3cret@127.0.0.1:1/x?connect_timeout=1", sqldb.Options{})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("got %v, want an error without the password", err)
	}
}
