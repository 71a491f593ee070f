package sqlstore_test

import (
	"slices"
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

func TestPathOfABranch(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("Good morning.")
		e.accept(id, "a")
		e.accept(id, "b")
		edited := e.asks(conversation.SendInput{Conversation: id, ClientID: "other", Op: conversation.OpEdit, Message: "a", Text: "text other"})
		e.accept(id, "c")
		for _, tc := range []struct {
			run  int64
			want []string
		}{
			{0, []string{"Good morning.", "text other", "text c"}},
			{edited, []string{"Good morning.", "text other"}},
			{3, []string{"Good morning.", "text a", "text b"}},
			{2, []string{"Good morning.", "text a"}},
		} {
			ns, err := e.Path(e.ctx(), owner, id, tc.run)
			if err != nil {
				t.Fatal(err)
			}
			turns, err := e.TurnsOf(e.ctx(), owner, id, ns)
			var got []string
			for _, turn := range turns {
				got = append(got, turn.Text)
			}
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("branch of run %d: %q (%v), want %q", tc.run, got, err, tc.want)
			}
		}
		ns, err := e.Path(e.ctx(), owner, id, 0)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(ns)
		turns, err := e.TurnsOf(e.ctx(), owner, id, ns[:2])
		if err != nil || len(turns) != 2 || turns[0].N != ns[0] || turns[1].N != ns[1] {
			t.Errorf("turns %v: %+v (%v)", ns[:2], turns, err)
		}
		if turns, err = e.TurnsOf(e.ctx(), owner, id, nil); err != nil || len(turns) != 0 {
			t.Errorf("no turns: %+v (%v)", turns, err)
		}
		unknown := func(what string, who conversation.LearnerID, run, n int64) {
			t.Helper()
			_, err := e.Path(e.ctx(), who, id, run)
			if n == 0 || who != owner {
				is(t, what+": path", err, conversation.ErrNotFound)
			}
			if n != 0 {
				_, err = e.TurnsOf(e.ctx(), who, id, []int64{n})
				is(t, what+": turns", err, conversation.ErrNotFound)
			}
		}
		unknown("no such run", owner, 99, 0)
		unknown("no such turn", owner, 0, 99)
		unknown("a stranger", stranger, 0, 1)
		e.sql("UPDATE conversations SET deleted_at = 1 WHERE id = ?", id)
		_, err = e.Path(e.ctx(), owner, id, 0)
		is(t, "an erased path", err, conversation.ErrNotFound)
		_, err = e.TurnsOf(e.ctx(), owner, id, ns)
		is(t, "erased turns", err, conversation.ErrNotFound)
	})
}
