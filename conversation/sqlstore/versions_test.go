package sqlstore_test

import (
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// TestOfANewerVersion: what this version does not know it leaves alone, with
// everything behind it, and says that another node may be asked.
func TestOfANewerVersion(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id, other := e.chat(""), e.chat("")
		e.accept(id, "a")
		e.accept(id, "b")
		e.accept(other, "a")
		e.sql("UPDATE runs SET purpose = 'duel' WHERE conversation = ? AND run = 1", id)
		got, err := e.Claimable(e.ctx(), []string{"n1"}, "", 10)
		if err != nil || len(got) != 1 || got[0].ID != other {
			t.Errorf("claimable %+v, %v", got, err)
		}
		e.sql("UPDATE conversations SET kind = 'duel' WHERE id = ?", id)
		_, _, err = e.Accept(e.ctx(), conversation.SendInput{Conversation: id, Learner: e.load(id).Header.Owner, ClientID: "c", Text: "hi"}, 5, "", nil)
		if fault.CodeOf(err) != fault.StorageUnavailable {
			t.Errorf("a message there: %v", err)
		}
		if rec := e.load(id); rec.Header.Kind != "duel" || len(rec.Turns) != 2 {
			t.Errorf("it reads %+v", rec)
		}
	})
}
