package sqldb_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// forSeed are values for columns that a CHECK or a type keeps from taking the
// usual ones: every text is "seed" and every number 1, so that rows refer to
// each other.
var forSeed = map[string]any{}

// changed are columns whose data a later migration changes on purpose.
var changed = map[string]bool{}

type column struct {
	name, kind string
	filled     bool // needs no value: it has a default, may be null or is generated
}

// schema reads the tables and their columns as they are now.
func schema(t *testing.T, db *sqldb.DB) map[string][]column {
	t.Helper()
	query := "SELECT m.name, c.name, lower(c.type), c.dflt_value IS NOT NULL OR (c.\"notnull\" = 0 AND c.pk = 0) FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
	if db.Engine == sqldb.Postgres {
		query = "SELECT c.table_name, c.column_name, c.data_type, c.column_default IS NOT NULL OR c.is_nullable = 'YES' OR c.is_identity = 'YES' FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name) WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' ORDER BY c.ordinal_position"
	}
	rows, err := db.Conn(t.Context()).QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string][]column{}
	for rows.Next() {
		var table string
		var c column
		if err := rows.Scan(&table, &c.name, &c.kind, &c.filled); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(table, "goose_") && table != sqldb.LockTable {
			out[table] = append(out[table], c)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// value is what a column is seeded with, nil to leave it out.
func value(table string, c column) any {
	if v, ok := forSeed[table+"."+c.name]; ok {
		return v
	}
	if c.filled && strings.HasPrefix(table, "river_") {
		return nil // river's rules for its columns are its own
	}
	switch c.kind {
	case "timestamp", "timestamp with time zone", "timestamp without time zone":
		return "2026-01-01 00:00:00"
	case "json", "jsonb":
		return "{}"
	case "text", "character varying":
		return "seed"
	case "bigint", "integer", "smallint":
		return 1
	case "boolean":
		return true
	case "bytea", "blob":
		return []byte("seed")
	}
	return nil
}

// seed puts a row into every table that has none. Who refers to whom is found
// out by trying: a row whose parent is not there yet comes in the next round.
func seed(t *testing.T, db *sqldb.DB, tables map[string][]column) {
	t.Helper()
	left := map[string]error{}
	for name := range tables {
		var n int
		if err := db.Conn(t.Context()).QueryRowContext(t.Context(), "SELECT count(*) FROM "+name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			left[name] = nil
		}
	}
	for len(left) > 0 {
		before := len(left)
		for name := range left {
			var cols, marks []string
			var args []any
			for _, c := range tables[name] {
				if v := value(name, c); v != nil && !(c.filled && c.name == "n") {
					cols, marks, args = append(cols, c.name), append(marks, "?"), append(args, v)
				}
			}
			_, err := db.Conn(t.Context()).ExecContext(t.Context(),
				fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", name, strings.Join(cols, ", "), strings.Join(marks, ", ")), args...)
			if left[name] = err; err == nil {
				delete(left, name)
			}
		}
		if len(left) == before {
			t.Fatalf("these tables cannot be seeded (see forSeed): %v", left)
		}
	}
}

// data reads every row of the given columns, where they still are.
func data(t *testing.T, db *sqldb.DB, tables map[string][]column) map[string]string {
	t.Helper()
	now := schema(t, db)
	out := map[string]string{}
	for table, cols := range tables {
		for _, c := range cols {
			at := table + "." + c.name
			if changed[at] {
				continue
			}
			if !slices.ContainsFunc(now[table], func(n column) bool { return n.name == c.name }) {
				out[at] = "is gone"
				continue
			}
			rows, err := db.Conn(t.Context()).QueryContext(t.Context(), fmt.Sprintf("SELECT %s FROM %s ORDER BY 1", c.name, table))
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var v any
				if err := rows.Scan(&v); err != nil {
					t.Fatal(err)
				}
				out[at] += fmt.Sprintf("%s|", v)
			}
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// TestMigrationsKeepData starts from every version that ever was, with a row
// in each of its tables: the way up to now and back to there keeps the rows,
// the way down to nothing leaves nothing, and up again works.
func TestMigrationsKeepData(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		versions, err := db.Versions()
		if err != nil || len(versions) < 5 {
			t.Fatalf("%v, %v", versions, err)
		}
		newest := versions[len(versions)-1]
		to := func(v int64) {
			t.Helper()
			if err := db.MigrateTo(t.Context(), v); err != nil {
				t.Fatalf("to version %d: %v", v, err)
			}
			if have, want, err := db.SchemaVersion(t.Context()); err != nil || have != v || want != newest {
				t.Fatalf("schema %d of %d, %v, want %d", have, want, err, v)
			}
		}
		for _, v := range versions {
			to(0)
			if left := schema(t, db); len(left) != 0 {
				t.Fatalf("version 0 has tables: %v", left)
			}
			to(v)
			tables := schema(t, db)
			seed(t, db, tables)
			before := data(t, db, tables)
			if len(before) < 20 {
				t.Fatalf("version %d: %d columns were seeded", v, len(before))
			}
			to(newest)
			if d := cmp.Diff(before, data(t, db, tables)); d != "" {
				t.Fatalf("from version %d up to %d (see changed):\n%s", v, newest, d)
			}
			seed(t, db, schema(t, db)) // the newer tables have rows too on the way down
			to(v)
			if d := cmp.Diff(tables, schema(t, db), cmp.AllowUnexported(column{})); d != "" {
				t.Fatalf("version %d is another after coming back from %d:\n%s", v, newest, d)
			}
			if d := cmp.Diff(before, data(t, db, tables)); d != "" {
				t.Fatalf("from version %d back down to %d:\n%s", newest, v, d)
			}
		}
		to(0)
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatalf("a second time: %v", err)
		}
	})
}

// both are the ways to a real Postgres.
func both(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	t.Run("postgres", func(t *testing.T) { t.Parallel(); fn(t, sqldbtest.PostgresURL(t)) })
	t.Run("pooled", func(t *testing.T) { t.Parallel(); fn(t, sqldbtest.PooledURL(t)) })
}

func openAt(t *testing.T, url string, max int) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{MaxConns: max})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestTenNodesMigrateOnce starts ten nodes on an empty database.
func TestTenNodesMigrateOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		dbs := make([]*sqldb.DB, 10)
		for i := range dbs {
			dbs[i] = openAt(t, url, 2)
		}
		for _, db := range dbs {
			wg.Go(func() {
				if err := db.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		versions, err := dbs[0].Versions()
		if err != nil {
			t.Fatal(err)
		}
		rows, err := dbs[0].Conn(t.Context()).QueryContext(t.Context(), "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		var applied []int64
		for rows.Next() {
			var v int64
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			applied = append(applied, v)
		}
		if err := rows.Err(); err != nil || !slices.Equal(applied, versions) {
			t.Fatalf("applied %v, %v, want each of %v once", applied, err, versions)
		}
	})
}

// TestANodeThatDiedMigrating leaves its lock behind: who comes next waits for
// the lease and goes on.
func TestANodeThatDiedMigrating(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, url string) {
		db := openAt(t, url, 2)
		versions, err := db.Versions()
		if err != nil {
			t.Fatal(err)
		}
		if err := db.MigrateTo(t.Context(), versions[2]); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Conn(t.Context()).ExecContext(t.Context(), "UPDATE "+sqldb.LockTable+
			" SET locked = true, locked_by = 'dead', lease_expires_at = now() + interval '1 second'"); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if have, want, err := db.SchemaVersion(t.Context()); err != nil || have != want {
			t.Fatalf("schema %d of %d, %v", have, want, err)
		}
	})
}
