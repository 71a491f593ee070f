package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// TestMigrateAtStart: a node that may not migrate does not run on an older
// schema and says what to do; others bring it up to date.
func TestMigrateAtStart(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.MigrateDown(t.Context()); err != nil {
			t.Fatal(err)
		}
		never := &configs.Config{Database: configs.Database{Migrate: "never"}}
		if err := migrateAtStart(t.Context(), never, db, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "run fluentpro migrate up") {
			t.Fatalf("got %v", err)
		}
		if have, _, err := db.SchemaVersion(t.Context()); err != nil || have != 0 {
			t.Fatalf("schema %d, %v: it was migrated", have, err)
		}
		if err := migrateAtStart(t.Context(), &configs.Config{Database: configs.Database{Migrate: "start"}}, db, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if err := migrateAtStart(t.Context(), never, db, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatalf("up to date, and yet: %v", err)
		}
	})
}
