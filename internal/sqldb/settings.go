package sqldb

import (
	"context"
	"fmt"
	"strconv"

	"github.com/fluentpro/fluentpro/internal/finding"
)

// oldestPostgres is the oldest version that the statements here run on.
const oldestPostgres = 130000

// CheckSettings looks for settings of the database under which a commit that
// was confirmed may be lost.
func (d *DB) CheckSettings(ctx context.Context) ([]finding.Finding, error) {
	if d.Engine == SQLite {
		return d.checkSQLite(ctx)
	}
	get := func(expr string) (v string, err error) {
		if err = d.bun.QueryRowContext(ctx, "SELECT "+expr).Scan(&v); err != nil {
			return "", fmt.Errorf("read %s: %w", expr, err)
		}
		return v, nil
	}
	var out []finding.Finding
	for _, c := range []struct {
		expr, bad string
		f         finding.Finding
	}{
		{"current_setting('fsync')", "off", finding.Finding{Name: "sql-fsync", Setting: "fsync",
			Why: "after a power cut the whole database may be damaged", Fix: "set fsync = on in postgresql.conf"}},
		{"current_setting('full_page_writes')", "off", finding.Finding{Name: "sql-torn-pages", Setting: "full_page_writes",
			Why: "a page half written at a power cut is not repaired", Fix: "set full_page_writes = on in postgresql.conf, unless the file system makes pages whole"}},
		{"current_setting('synchronous_commit')", "off", finding.Finding{Name: "sql-async-commit", Setting: "synchronous_commit",
			Why: "messages that were acknowledged may be lost when the database crashes", Fix: "set it to on, for the server or by ALTER ROLE … SET synchronous_commit = on"}},
		{"pg_is_in_recovery()::text", "true", finding.Finding{Name: "sql-standby", Setting: "pg_is_in_recovery()",
			Why: "a standby takes no writes", Fix: "name the primary in FLUENTPRO_DATABASE_URL, or add target_session_attrs=read-write"}},
	} {
		v, err := get(c.expr)
		if err != nil {
			return nil, err
		}
		if v == c.bad {
			c.f.Grave, c.f.Value = true, v
			out = append(out, c.f)
		}
	}
	v, err := get("current_setting('server_version_num')")
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(v); err != nil || n < oldestPostgres {
		out = append(out, finding.Finding{Name: "sql-version", Grave: true, Setting: "server_version_num", Value: v,
			Why: "it is older than what this was tried with", Fix: "use Postgres 13 or later"})
	}
	return out, nil
}

// full is the level of SQLite at which a commit is on the disk.
const full = 2

func (d *DB) checkSQLite(ctx context.Context) ([]finding.Finding, error) {
	var level int
	if err := d.bun.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level); err != nil {
		return nil, fmt.Errorf("read synchronous: %w", err)
	}
	if level >= full {
		return nil, nil
	}
	return []finding.Finding{{Name: "sqlite-sync", Grave: true, Setting: "synchronous", Value: strconv.Itoa(level),
		Why: "messages that were acknowledged may be lost at a power cut", Fix: "leave synchronous at FULL"}}, nil
}
