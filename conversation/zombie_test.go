package conversation_test

import (
	"context"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// halt stands still where a node is paused, until the test lets it go on.
type halt struct {
	once    sync.Once
	reached chan struct{}
	goOn    chan struct{}
}

func newHalt() *halt { return &halt{reached: make(chan struct{}), goOn: make(chan struct{})} }

func (h *halt) stand() {
	h.once.Do(func() {
		close(h.reached)
		<-h.goOn
	})
}

// pausedStore is paused on its way to the commit of an end, which carries
// facts of the practice.
type pausedStore struct {
	conversation.Store
	*halt
}

func (p pausedStore) Finish(ctx context.Context, f conversation.Finishing, also func(context.Context) ([]conversation.NewFact, error)) (conversation.Finished, error) {
	p.stand()
	return p.Store.Finish(context.WithoutCancel(ctx), f, also) // what was sent arrives, however late
}

// factTypes are all facts of a conversation in SQL, and all that its log has told.
func factTypes(t *testing.T, n *node, id conversation.ID) (inSQL, inLog []string) {
	t.Helper()
	list, err := n.store.Facts(t.Context(), id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		inSQL = append(inSQL, f.Type)
	}
	a, err := n.keeper.Active(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.log.Read(t.Context(), id, a.Epoch, 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range p.Events {
		if ev.Fact != 0 {
			inLog = append(inLog, ev.Type)
		}
	}
	return inSQL, inLog
}

func count(list []string, typ string) (n int) {
	for _, x := range list {
		if x == typ {
			n++
		}
	}
	return n
}

// TestZombiesFactsNeverLand: a writer is paused on its way to the commit that
// carries its facts. Another takes the run over and ends it with its own. When
// the first wakes, its facts are refused in the step that would write them:
// each fact is there once, in SQL and in the log, and is the successor's.
func TestZombiesFactsNeverLand(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		h := newHalt()
		first := o
		first.store = func(s conversation.Store) conversation.Store { return pausedStore{s, h} }
		a := newNode(t, db, addr, &model{words: 9}, first)
		head, err := a.engine.Create(t.Context(), conversation.CreateInput{Owner: owner, Kind: conversation.KindScenario, ClientID: "r", Run: true})
		if err != nil {
			t.Fatal(err)
		}
		id := head.ID
		<-h.reached
		a.dead() // it beats no more
		b := newNode(t, db, addr, &model{words: 12}, o)
		eventually(t, "the other node has ended the run", func() bool {
			row, err := b.store.RunState(t.Context(), owner, id, 1)
			return err == nil && row.Ended()
		})
		// What it holds back was shown by neither, so the texts may differ: only
		// the successor's counts.
		eventually(t, "its scenario is told", func() bool { return string(snapshot(t, b, id).Result) == `{"scenario":{"words":12}}` })
		before, err := b.store.RunState(t.Context(), owner, id, 1)
		if err != nil {
			t.Fatal(err)
		}
		close(h.goOn)
		eventually(t, "the zombie has given up", func() bool { return !a.runner.Has(id) })
		after, err := b.store.RunState(t.Context(), owner, id, 1)
		if err != nil || after != before {
			t.Errorf("the zombie changed the run: %+v (%v), was %+v", after, err, before)
		}
		inSQL, inLog := factTypes(t, b, id)
		for _, typ := range []string{"scenario.completed", conversation.TypeScenarioReady, conversation.TypeEnded} {
			if count(inSQL, typ) != 1 || count(inLog, typ) != 1 {
				t.Errorf("%s is %d times in SQL and %d times in the log", typ, count(inSQL, typ), count(inLog, typ))
			}
		}
		if got := string(snapshot(t, b, id).Result); got != `{"scenario":{"words":12}}` {
			t.Errorf("the scenario is %s", got)
		}
	})
}

// pausedLog is paused between a commit and the log.
type pausedLog struct {
	conversation.Log
	*halt
	typ string
}

func (p pausedLog) PutFact(ctx context.Context, id conversation.ID, ep conversation.Epoch, f conversation.Fact) (int64, int64, error) {
	if f.Type == p.typ {
		p.stand()
	}
	return p.Log.PutFact(context.WithoutCancel(ctx), id, ep, f)
}

// TestALateFactIsNoSecondOne: a node is paused between the commit of a fact and
// its way into the log; others bring it there, and more behind it. When the
// node wakes the log has it: by its number, whatever else came since.
func TestALateFactIsNoSecondOne(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		h := newHalt()
		first := o
		first.keep = func(l conversation.Log) conversation.Log { return pausedLog{l, h, "partner.completed"} }
		a := newNode(t, db, addr, &model{words: 5}, first)
		id := newChat(t, a)
		send(t, a, id, "c", "go")
		<-h.reached
		a.dead()
		b := newNode(t, db, addr, &model{words: 7}, o)
		send(t, b, id, "d", "and then?")
		eventually(t, "the next reply", func() bool { return lastTurn(snapshot(t, b, id)).Text == answer(7) })
		before, _ := factTypes(t, b, id)
		close(h.goOn)
		eventually(t, "the node has ended its run", func() bool { return !a.runner.Has(id) })
		after, inLog := factTypes(t, b, id)
		if len(after) != len(before) || count(inLog, "partner.completed") > 3 {
			t.Errorf("facts %v, were %v; the log tells %v", after, before, inLog)
		}
		st := snapshot(t, b, id)
		if len(st.Turns) != 5 || st.Turns[2].Text != answer(5) || st.Turns[4].Text != answer(7) {
			t.Errorf("turns %+v", st.Turns)
		}
	})
}
