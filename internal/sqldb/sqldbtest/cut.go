package sqldbtest

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Cutter fails one statement of a database, as a connection that is cut before
// it does.
type Cutter struct{ left atomic.Int64 }

// Cut puts a Cutter into a database; it fails nothing until At is called.
// Statements that a library sends past sqldb are not seen, and a COMMIT is
// counted but never cut.
func Cut(t testing.TB, db *sqldb.DB) *Cutter {
	t.Helper()
	conn, ok := db.Conn(t.Context()).(*bun.DB)
	if !ok {
		t.Fatal("no pool to cut")
	}
	c := &Cutter{}
	conn.AddQueryHook(c) //nolint:staticcheck // WithQueryHook makes another DB; the cut is for the one in use
	return c
}

// At has the k-th statement from now fail, from 1; 0 has none.
func (c *Cutter) At(k int64) { c.left.Store(k) }

// Done reports whether the statement was reached.
func (c *Cutter) Done() bool { return c.left.Load() <= 0 }

// BeforeQuery implements bun.QueryHook.
func (c *Cutter) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	if c.left.Add(-1) != 0 {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// AfterQuery implements bun.QueryHook.
func (*Cutter) AfterQuery(context.Context, *bun.QueryEvent) {}
