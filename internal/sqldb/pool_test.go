package sqldb_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// gauges are the pool's metrics by name.
func gauges(t *testing.T, db *sqldb.DB) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	if err := reg.Register(db.Collector()); err != nil {
		t.Fatal(err)
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range all {
		m := f.GetMetric()[0]
		out[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return out
}

// TestPoolLimit: no more connections than allowed, who comes later waits, and
// both show in the metrics.
func TestPoolLimit(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, url string) {
		db := openAt(t, url, 3)
		var open, most atomic.Int64
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				err := db.InTx(t.Context(), func(ctx context.Context) error {
					most.Store(max(most.Load(), open.Add(1)))
					defer open.Add(-1)
					var n int
					return db.Conn(ctx).QueryRowContext(ctx, "SELECT count(*) FROM pg_class").Scan(&n)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		g := gauges(t, db)
		if most.Load() > 3 || g["go_sql_max_open_connections"] != 3 || g["go_sql_open_connections"] > 3 || g["go_sql_in_use_connections"] != 0 || g["go_sql_wait_count_total"] == 0 {
			t.Fatalf("%d at once, metrics %v", most.Load(), g)
		}
	})
}

// TestNothingStaysInASession: what one transaction sets or locks is gone for
// the next, or a pooler would hand it to somebody else.
func TestNothingStaysInASession(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, url string) {
		db := openAt(t, url, 4)
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Statements of many shapes, more than once, on more clients than the
		// pooler has servers.
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if err := insertNode(t.Context(), db, string(rune('A'+i))); err != nil {
					t.Error(err)
				}
				var n int
				if err := db.Conn(t.Context()).QueryRowContext(t.Context(), "SELECT count(*) FROM nodes WHERE node_id = ? AND started_at = ?", string(rune('A'+i)), i*0).Scan(&n); err != nil || n != 1 {
					t.Errorf("%d rows, %v", n, err)
				}
			})
		}
		wg.Wait()
		for what, query := range map[string]string{
			"prepared statements": "SELECT count(*) FROM pg_prepared_statements",
			"advisory locks":      "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid = pg_backend_pid()",
		} {
			for range 10 {
				var n int
				if err := db.Conn(t.Context()).QueryRowContext(t.Context(), query).Scan(&n); err != nil || n != 0 {
					t.Fatalf("%d %s, %v", n, what, err)
				}
			}
		}
	})
}

func TestSQLiteHasMetricsToo(t *testing.T) {
	t.Parallel()
	if g := gauges(t, sqldbtest.SQLite(t)); g["go_sql_max_open_connections"] != 4 {
		t.Fatalf("metrics %v", g)
	}
}
