package usage_test

import (
	"testing"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/upstream/usage"
)

func TestExportAndErasePersonal(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db *sqldb.DB) {
		l := usage.New(db)
		for _, day := range []string{"2026-11-22", "2026-11-23"} {
			for _, who := range []string{"ann", "bob"} {
				if err := l.Settle(t.Context(), day, who, usage.Amount{Tokens: 5, Micros: 1}); err != nil {
					t.Fatal(err)
				}
			}
		}
		rows := func(who string) (n int) {
			t.Helper()
			if err := l.ExportPersonal(t.Context(), who, func(string, any) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := rows("ann"); n != 2 {
			t.Fatalf("%d rows", n)
		}
		if n := rows(""); n != 0 {
			t.Fatalf("nobody has %d rows: the totals are no one's", n)
		}
		for _, who := range []string{"ann", ""} {
			if err := l.ErasePersonal(t.Context(), who); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := rows("ann"), rows("bob"); a != 0 || b != 2 {
			t.Fatalf("ann has %d, bob %d", a, b)
		}
		if total, _, err := l.Spent(t.Context(), "2026-11-23", ""); err != nil || total.Tokens != 10 {
			t.Fatalf("the day's total is %+v, %v", total, err)
		}
	})
}
