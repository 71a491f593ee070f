package sqlstore_test

import (
	"strconv"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

func TestTurnsInPages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("Good morning.")
		for i := range 5 {
			e.accept(id, "c"+strconv.Itoa(i))
		}
		want := e.load(id).Turns
		var got []conversation.Turn
		for after := int64(0); ; after = got[len(got)-1].N {
			page, err := e.Turns(e.ctx(), owner, id, after, 4)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if len(page) < 4 {
				break
			}
		}
		if len(got) != 6 || len(want) != 6 {
			t.Fatalf("%d turns, %d stored", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("turn %d: %+v, want %+v", i, got[i], want[i])
			}
		}
		_, err := e.Turns(e.ctx(), stranger, id, 0, 4)
		is(t, "a stranger's transcript", err, conversation.ErrNotFound)
		e.sql("UPDATE conversations SET deleted_at = 1 WHERE id = ?", id)
		_, err = e.Turns(e.ctx(), owner, id, 0, 4)
		is(t, "an erased transcript", err, conversation.ErrNotFound)
	})
}
