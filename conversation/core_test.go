package conversation_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// everywhere runs a test on the embedded pair and on the real one.
func everywhere(t *testing.T, fn func(t *testing.T, db *sqldb.DB, addr string, o rigOptions)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		fn(t, sqldbtest.SQLite(t), testenv.Miniredis(t).Addr(), rigOptions{checkpoint: true, solo: true, mode: "m"})
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		fn(t, sqldbtest.Postgres(t), testenv.Redis(t).Addr, rigOptions{})
	})
}

func TestReplyIsWrittenAndStored(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 30}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		acc := send(t, n, id, "c1", "Hi!")
		if acc.Turn != 2 || acc.Run != 2 || acc.Duplicate {
			t.Fatalf("got %+v, want turn 2 and run 2 after the opening", acc)
		}
		eventually(t, "the reply is complete", func() bool {
			return lastTurn(snapshot(t, n, id)).Author == conversation.Partner && lastTurn(snapshot(t, n, id)).N == 3
		})
		st := snapshot(t, n, id)
		if got := lastTurn(st); got.Text != answer(30) || got.Finish != "stop" {
			t.Fatalf("got %+v", got)
		}
		if st.Open != nil {
			t.Fatalf("a reply is still open: %+v", st.Open)
		}
		// The state in Redis is the state in SQL.
		rec, err := n.store.Load(t.Context(), id)
		if err != nil || len(rec.Turns) != 3 || rec.Turns[2].Text != answer(30) {
			t.Fatalf("SQL has %+v (%v)", rec.Turns, err)
		}
	})
}

func TestWarmReadAsksNoSQL(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 3}, o)
		id := newChat(t, n)
		snapshot(t, n, id)
		n.stopAllLoops()
		before := db.Queries()
		for range 5 {
			snapshot(t, n, id)
		}
		if got := db.Queries() - before; got != 0 {
			t.Fatalf("5 warm reads made %d SQL queries, want 0", got)
		}
	})
}

func TestSameMessageTwentyTimesAtOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 3}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		var wg sync.WaitGroup
		var mu sync.Mutex
		fresh, ids := 0, map[string]bool{}
		for range 20 {
			wg.Go(func() {
				acc, err := n.engine.Send(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "same", Text: "Hi"})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if !acc.Duplicate {
					fresh++
				}
				ids[acc.MessageID] = true
			})
		}
		wg.Wait()
		if fresh != 1 || len(ids) != 1 {
			t.Fatalf("%d first answers and %d message ids, want 1 and 1", fresh, len(ids))
		}
		_, err := n.engine.Send(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "same", Text: "other"})
		if fault.CodeOf(err) != fault.IdempotencyMismatch {
			t.Fatalf("other text under the same id: %v", err)
		}
		eventually(t, "one reply", func() bool { return len(snapshot(t, n, id).Turns) == 3 })
		if m.Calls() != 1 {
			t.Fatalf("%d model calls, want 1", m.Calls())
		}
	})
}

// TestNothingToSee: text of which a learner sees nothing is refused whichever
// way it comes.
func TestNothingToSee(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 3}, o)
		id := newChat(t, n)
		for _, text := range []string{"", " \n\t", "\u200b", "\u2060\ufeff \u200d", "\u202e\u00ad", "\x07\u00a0"} {
			for _, policy := range []string{"", "interrupt"} {
				_, err := n.engine.Send(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "k", Text: text, Policy: policy})
				if fault.CodeOf(err) != fault.Invalid {
					t.Errorf("%q: %v", text, err)
				}
			}
		}
		// What has something to see keeps its invisible parts.
		if acc := send(t, n, id, "k", "\u202eשלום\u200d"); acc.Duplicate {
			t.Error("a refused message was there")
		}
		if turns := snapshot(t, n, id).Turns; turns[1].Text != "\u202eשלום\u200d" {
			t.Errorf("stored %q", turns[1].Text)
		}
	})
}

func TestQueueRejectAndOrder(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 2, gate: make(chan struct{})}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		for i, c := range []string{"a", "b", "c", "d", "e"} {
			if acc := send(t, n, id, c, "text "+c); acc.Position != int64(i) {
				t.Fatalf("message %s at position %d, want %d", c, acc.Position, i)
			}
		}
		_, err := n.engine.Send(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "f", Text: "x"})
		if fault.CodeOf(err) != fault.QueueFull {
			t.Fatalf("sixth message: %v", err)
		}
		_, err = n.engine.Send(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "g", Text: "x", Policy: "reject"})
		if fault.CodeOf(err) != fault.RunActive {
			t.Fatalf("policy reject: %v", err)
		}
		close(m.gate)
		eventually(t, "all answered", func() bool { return len(snapshot(t, n, id).Turns) == 11 })
		// Each prompt saw the talk in order, and nothing sent later.
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, p := range m.calls {
			if last := p.Messages[len(p.Messages)-1]; last.Role != "learner" || last.Content != "text "+string(rune('a'+i)) || len(p.Messages) != 2+2*i {
				t.Fatalf("call %d ended with %+v after %d messages", i, last, len(p.Messages))
			}
		}
	})
}

func TestCancelIsAnExactPlace(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 100, gate: make(chan struct{})}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		acc := send(t, n, id, "c", "go")
		for range 10 {
			m.gate <- struct{}{}
		}
		eventually(t, "ten words", func() bool { st := snapshot(t, n, id); return st.Open != nil && st.Open.Text == answer(10) })
		stop, err := n.engine.Cancel(t.Context(), owner, id, acc.Run)
		if err != nil || stop.State != conversation.RunStopped || stop.TextLen != conversation.UTF16Len(answer(10)) {
			t.Fatalf("got %+v (%v)", stop, err)
		}
		again, err := n.engine.Cancel(t.Context(), owner, id, acc.Run)
		if err != nil || again != stop {
			t.Fatalf("again: %+v (%v), want %+v", again, err, stop)
		}
		eventually(t, "the stopped turn", func() bool { return lastTurn(snapshot(t, n, id)).Finish == "stopped" })
		if got := lastTurn(snapshot(t, n, id)).Text; got != answer(10) {
			t.Fatalf("got %q", got)
		}
		if _, err := n.engine.Cancel(t.Context(), owner, id, 99); !errors.Is(err, conversation.ErrNotFound) {
			t.Fatalf("unknown run: %v", err)
		}
		if _, err := n.engine.Cancel(t.Context(), "somebody", id, acc.Run); !errors.Is(err, conversation.ErrNotFound) {
			t.Fatalf("foreign run: %v", err)
		}
		// The next message is answered as ever.
		send(t, n, id, "d", "more")
		close(m.gate)
		eventually(t, "the next reply", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(100) })
	})
}

func TestInterruptKeepsTheTextAndAnswers(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 40, gate: make(chan struct{})}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		send(t, n, id, "a", "first")
		for range 5 {
			m.gate <- struct{}{}
		}
		eventually(t, "five words", func() bool { st := snapshot(t, n, id); return st.Open != nil && st.Open.Text == answer(5) })
		in := conversation.SendInput{Conversation: id, Learner: owner, ClientID: "b", Text: "no, wait", Policy: "interrupt"}
		acc, err := n.engine.Send(t.Context(), in)
		if err != nil || acc.Position != 0 {
			t.Fatalf("got %+v (%v), want position 0: nothing is before it any more", acc, err)
		}
		close(m.gate)
		eventually(t, "the answer", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(40) })
		again, err := n.engine.Send(t.Context(), in)
		if err != nil || !again.Duplicate || again.Run != acc.Run {
			t.Fatalf("the same again: %+v (%v)", again, err)
		}
		turns := snapshot(t, n, id).Turns
		if len(turns) != 5 || turns[2].Text != answer(5) || turns[2].Finish != "stopped" || turns[3].ClientID != "b" {
			t.Fatalf("turns %+v", turns)
		}
	})
}

func TestUpstreamLostGoesOn(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 9, fails: []error{fault.New(fault.UpstreamTruncated, "cut"), fault.New(fault.UpstreamTruncated, "cut")}}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		send(t, n, id, "c", "go")
		eventually(t, "the reply", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(9) })
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.calls) != 3 || m.calls[1].Kept != answer(2) || m.calls[2].Kept != answer(4) {
			t.Fatalf("%d calls; kept %q", len(m.calls), m.calls[len(m.calls)-1].Kept)
		}
	})
}

func TestBudgetOfAttempts(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		cut := fault.New(fault.UpstreamTruncated, "cut")
		m := &model{words: 50, fails: []error{cut, cut, cut, cut, cut}}
		n := newNode(t, db, addr, m, o)
		id := newChat(t, n)
		send(t, n, id, "c", "go")
		eventually(t, "the failure", func() bool { return snapshot(t, n, id).Failure != nil })
		st := snapshot(t, n, id)
		if !strings.Contains(string(st.Failure), `"code":"upstream_truncated"`) || st.Open != nil {
			t.Fatalf("got %s, open %v", st.Failure, st.Open)
		}
		if m.Calls() != 3 {
			t.Fatalf("%d attempts, want 3", m.Calls())
		}
	})
}

func TestScenarioRunEndsItsRequest(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 12}, o)
		in := conversation.CreateInput{Owner: owner, Kind: conversation.KindScenario, ClientID: "r1", Run: true}
		h, err := n.engine.Create(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		again, err := n.engine.Create(t.Context(), in)
		if err != nil || again.ID != h.ID {
			t.Fatalf("the same request again: %s (%v), want %s", again.ID, err, h.ID)
		}
		eventually(t, "the scenario", func() bool { return snapshot(t, n, h.ID).Result != nil })
		eventually(t, "the end", func() bool { return snapshot(t, n, h.ID).Header.State == conversation.StateEnded })
		if got := string(snapshot(t, n, h.ID).Result); got != `{"scenario":{"words":12}}` {
			t.Fatalf("the script saw %s, want the whole text of 12 words", got)
		}
		row, err := n.store.RunState(t.Context(), owner, h.ID, 1)
		if err != nil || row.Text != answer(7) {
			t.Fatalf("stored text %q (%v), want only what may be shown", row.Text, err)
		}
		_, err = n.engine.Send(t.Context(), conversation.SendInput{Conversation: h.ID, Learner: owner, ClientID: "x", Text: "hi"})
		if fault.CodeOf(err) != fault.ConversationEnded {
			t.Fatalf("a message to a scenario: %v", err)
		}
	})
}

// picky refuses the first scenario and says why to the model.
type picky struct {
	script
	mu      sync.Mutex
	refused bool
}

func (p *picky) Finish(ctx context.Context, st conversation.State, run conversation.Run, text string) ([]conversation.NewFact, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.refused {
		p.refused = true
		return nil, fault.Wrap(errors.New("title: too short"), fault.UpstreamInvalid, "unusable")
	}
	return p.script.Finish(ctx, st, run, text)
}

func (*picky) Repair(p conversation.Prompt, text string, why error) conversation.Prompt {
	p.Messages = append(p.Messages, conversation.Message{Role: "assistant", Content: text}, conversation.Message{Role: "user", Content: why.Error()})
	return p
}

func TestUnusableAnswerIsRepaired(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		m := &model{words: 12}
		o.script = &picky{}
		n := newNode(t, db, addr, m, o)
		h, err := n.engine.Create(t.Context(), conversation.CreateInput{Owner: owner, Kind: conversation.KindScenario, ClientID: "r1", Run: true})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the scenario", func() bool { return snapshot(t, n, h.ID).Result != nil })
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.calls) != 2 {
			t.Fatalf("%d calls, want 2", len(m.calls))
		}
		second := m.calls[1].Messages
		if len(second) != 2 || second[0].Content != answer(12) || !strings.Contains(second[1].Content, "too short") || m.calls[1].Kept != "" {
			t.Fatalf("the second call got %+v", second)
		}
		row, err := n.store.RunState(t.Context(), owner, h.ID, 1)
		if err != nil || row.Base != 2 || row.State != conversation.RunCompleted {
			t.Fatalf("run %+v (%v), want base 2: the text began anew", row, err)
		}
	})
}
