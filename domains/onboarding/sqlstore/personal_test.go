package sqlstore_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestExportAndErasePersonal(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store := sqlstore.New(db)
		s := onboarding.New(store, nil, nil)
		for _, who := range []onboarding.LearnerID{"ana", "ben"} {
			if _, err := s.Answer(t.Context(), who, "language", json.RawMessage(`{"language":"pt-BR"}`)); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		add := func(kind string, row any) error {
			text, err := json.Marshal(row)
			got = append(got, kind+" "+string(text))
			return err
		}
		if err := store.ExportPersonal(t.Context(), "ana", add); err != nil || len(got) != 1 || !strings.HasPrefix(got[0], "profile ") || !strings.Contains(got[0], "pt_BR") {
			t.Fatalf("got %q, %v", got, err)
		}
		if err := store.ErasePersonal(t.Context(), "ana"); err != nil {
			t.Fatal(err)
		}
		got = nil
		if err := store.ExportPersonal(t.Context(), "ana", add); err != nil || len(got) != 0 {
			t.Fatalf("left %q, %v", got, err)
		}
		if err := store.ExportPersonal(t.Context(), "ben", add); err != nil || len(got) != 1 {
			t.Fatalf("ben has %q, %v", got, err)
		}
	})
}
