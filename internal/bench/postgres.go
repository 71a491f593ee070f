package bench

import (
	"context"
	"fmt"

	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// postgres finds the server processes that work for this database, and those
// that work for all.
type postgres struct {
	db      *sqldb.DB
	version string
}

func (o *Options) postgres(ctx context.Context) (*postgres, error) {
	db, err := sqldb.Open(ctx, o.DatabaseURL, sqldb.Options{MaxConns: 1})
	if err != nil {
		return nil, err
	}
	p := &postgres{db: db}
	if err := db.Conn(ctx).QueryRowContext(ctx, "SHOW server_version").Scan(&p.version); err != nil {
		p.close()
		return nil, fmt.Errorf("benchmarks need Postgres: %w", err)
	}
	return p, nil
}

func (p *postgres) close() { _ = p.db.Close() }

// cpu sums the CPU time of all of them. A backend that ended is not counted,
// so the pools must be warm.
func (p *postgres) cpu(ctx context.Context) (map[int]float64, error) {
	rows, err := p.db.Conn(ctx).QueryContext(ctx, `SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() OR backend_type <> 'client backend'`)
	if err != nil {
		return nil, fmt.Errorf("list postgres processes: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := map[int]float64{}
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			return nil, err
		}
		if s, err := cpuSeconds(pid); err == nil { // it may have ended by now
			out[pid] = s
		}
	}
	return out, rows.Err()
}
