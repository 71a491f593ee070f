package sqlstore

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestExportAndErasePersonal(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx, s := t.Context(), New(db)
		for i := range int64(exportPage + 3) { // more than a page
			save(t, s, doc("ann", i))
		}
		save(t, s, doc("ben", 1))
		if _, err := s.Next(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := s.ExportPersonal(ctx, "ann", func(kind string, row any) error {
			n++
			text, err := json.Marshal(row)
			if kind != "scenario" || strings.Contains(string(text), "hidden") {
				t.Errorf("%s %s: the partner's secrets are no personal data", kind, text)
			}
			return err
		})
		if err != nil || n != exportPage+3 {
			t.Fatalf("%d rows, %v", n, err)
		}
		if err := s.ErasePersonal(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
		if list, err := s.List(ctx, "ann", "", 10); err != nil || len(list) != 0 {
			t.Fatalf("left %d, %v", len(list), err)
		}
		if n, err := s.Next(ctx, "ann"); err != nil || n != 1 {
			t.Fatalf("the counter stands at %d, %v", n, err)
		}
		if list, err := s.List(ctx, "ben", "", 10); err != nil || len(list) != 1 {
			t.Fatalf("ben has %d, %v", len(list), err)
		}
	})
}
