package sqlstore_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

func TestExportAndErasePersonal(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("hello")
		e.accept(id, "a")
		rec, _, err := e.Create(e.ctx(), conversation.CreateInput{Owner: stranger, Kind: conversation.KindChat, ClientID: "x", Title: "theirs"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = e.ExportPersonal(e.ctx(), string(owner), func(kind string, row any) error {
			doc, err := json.Marshal(row)
			var v struct{ Title, Text string }
			if err == nil {
				err = json.Unmarshal(doc, &v)
			}
			got = append(got, kind+" "+v.Title+v.Text)
			return err
		})
		if want := []string{"conversation talk", "message hello", "message text a"}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
		if err := e.ErasePersonal(e.ctx(), ""); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Load(e.ctx(), id); err != nil {
			t.Fatalf("erasing nobody took somebody's: %v", err)
		}
		if err := e.ErasePersonal(e.ctx(), string(owner)); err != nil {
			t.Fatal(err)
		}
		_, err = e.Load(e.ctx(), id)
		is(t, "erased conversation", err, conversation.ErrNotFound)
		if left, err := e.Unshredded(e.ctx(), 10); err != nil || left[id] == 0 {
			t.Errorf("its log is not on the list: %v, %v", left, err)
		}
		for _, table := range []string{"turns", "runs", "facts"} {
			var n int
			if err := e.db.Conn(e.ctx()).QueryRowContext(e.ctx(), "SELECT count(*) FROM "+table+" WHERE conversation = ?", id).Scan(&n); err != nil || n != 0 {
				t.Errorf("%d rows left in %s (%v)", n, table, err)
			}
		}
		var left string
		if err := e.db.Conn(e.ctx()).QueryRowContext(e.ctx(), "SELECT owner || title || meta FROM conversations WHERE id = ?", id).Scan(&left); err != nil || left != "{}" {
			t.Errorf("left %q (%v)", left, err)
		}
		if _, err := e.Load(e.ctx(), rec.Header.ID); err != nil {
			t.Errorf("somebody else's went too: %v", err)
		}
		if err := e.ErasePersonal(e.ctx(), string(owner)); err != nil {
			t.Fatalf("the repetition: %v", err)
		}
	})
}
