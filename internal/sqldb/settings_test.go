package sqldb_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func names(t *testing.T, db *sqldb.DB) string {
	t.Helper()
	got, err := db.CheckSettings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range got {
		if !f.Grave || f.Value == "" || f.Why == "" || f.Fix == "" {
			t.Errorf("incomplete %+v", f)
		}
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

// TestSettings: what the database says of itself. The server of the tests may
// itself be set to forget (fsync=off), so only what the session sets is judged.
func TestSettingsPostgres(t *testing.T) {
	t.Parallel()
	raw := sqldbtest.PostgresURL(t)
	for value, want := range map[string]bool{"off": true, "on": false, "remote_apply": false} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("synchronous_commit", value)
		u.RawQuery = q.Encode()
		db, err := sqldb.Open(t.Context(), u.String(), sqldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := names(t, db)
		if strings.Contains(got, "sql-async-commit") != want || strings.Contains(got, "sql-standby") || strings.Contains(got, "sql-version") {
			t.Errorf("synchronous_commit=%s: found %q", value, got)
		}
		var fsync string
		if err := db.Conn(t.Context()).QueryRowContext(t.Context(), "SHOW fsync").Scan(&fsync); err != nil {
			t.Error(err)
		}
		if strings.Contains(got, "sql-fsync") != (fsync == "off") {
			t.Errorf("fsync is %s: found %q", fsync, got)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSettingsSQLite(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	if got := names(t, db); got != "" {
		t.Errorf("found %q", got)
	}
	one, err := sqldb.Open(t.Context(), ":memory:", sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = one.Close() }()
	if _, err := one.Conn(t.Context()).ExecContext(t.Context(), "PRAGMA synchronous=NORMAL"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, one); got != "sqlite-sync" {
		t.Errorf("found %q", got)
	}
}
