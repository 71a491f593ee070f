package conversation_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// viewer folds a log as a client does and notes every breach of the rules.
type viewer struct {
	mu     sync.Mutex
	text   map[int64]string // by run
	base   map[int64]int64
	ended  map[int64]string
	breach []string
}

func newViewer() *viewer {
	return &viewer{text: map[int64]string{}, base: map[int64]int64{}, ended: map[int64]string{}}
}

func (v *viewer) take(ev *conversation.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended[ev.Run] != "" {
		return
	}
	if ev.Run != 0 && ev.Base > v.base[ev.Run] {
		v.base[ev.Run], v.text[ev.Run] = ev.Base, ""
	}
	switch {
	case ev.IsDelta() && ev.Base == v.base[ev.Run]:
		have := conversation.UTF16Len(v.text[ev.Run])
		switch {
		case ev.At > have:
			v.breach = append(v.breach, "gap in text")
		case ev.At+ev.Len <= have:
			if !strings.HasPrefix(utf16Cut(v.text[ev.Run], ev.At), ev.Text) {
				v.breach = append(v.breach, "other text at the same place")
			}
		default:
			cut := utf16Cut(ev.Text, have-ev.At)
			v.text[ev.Run] += cut
		}
	case ev.EndsRun():
		v.ended[ev.Run] = ev.Type
	}
}

// utf16Cut drops n UTF-16 units from the front of s.
func utf16Cut(s string, n int64) string {
	for i, r := range s {
		if n <= 0 {
			return s[i:]
		}
		n--
		if r > 0xFFFF {
			n--
		}
	}
	return ""
}

// follow reads a node's log from its start, through new logs, until ctx ends.
func follow(ctx context.Context, n *node, id conversation.ID, v *viewer) {
	var ep conversation.Epoch
	var seq int64
	for ctx.Err() == nil {
		if ep.Zero() {
			a, err := n.keeper.Active(ctx, id)
			if err != nil {
				continue
			}
			ep, seq = a.Epoch, a.Top
			for _, tn := range a.State.Turns {
				if tn.Author == conversation.Partner {
					v.take(&conversation.Event{Type: "partner.delta", Run: tn.Run, Base: v.baseOf(tn.Run), Text: tn.Text, Len: conversation.UTF16Len(tn.Text)})
				}
			}
			if o := a.State.Open; o != nil {
				v.take(&conversation.Event{Type: "partner.delta", Run: o.Run, Base: o.Base, Text: o.Text, Len: a.OpenLen})
			}
			continue
		}
		page, err := n.log.Read(ctx, id, ep, seq, 100)
		if err != nil {
			ep = conversation.Epoch{}
			continue
		}
		for i := range page.Events {
			v.take(&page.Events[i])
			seq = page.Events[i].Seq
		}
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Millisecond):
		}
	}
}

func watch(t *testing.T, n *node, id conversation.ID) *viewer {
	v := newViewer()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { follow(ctx, n, id, v) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if len(v.breach) > 0 {
			t.Errorf("viewer saw: %v", v.breach)
		}
	})
	return v
}

func (v *viewer) has(run int64) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text[run]
}

func (v *viewer) breaches() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.breach)
}

func (v *viewer) baseOf(run int64) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.base[run]
}

func realPair(t *testing.T) (*sqldb.DB, *testenv.RedisServer) {
	return sqldbtest.Postgres(t), testenv.Redis(t)
}

// freeze makes a node silent as SIGKILL does: its loops end without a word,
// its runs stand still in the model and learn nothing.
func TestDeadNodesTextGoesOn(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	gate := make(chan struct{})
	stuck := &model{words: 60, gate: gate}
	a := newNode(t, db, r.Addr, stuck, rigOptions{})
	id := newChat(t, a)
	acc := send(t, a, id, "c", "go")
	eventually(t, "the first node has the run", func() bool { return a.runner.Has(id) })
	for range 20 {
		gate <- struct{}{}
	}
	free := &model{words: 60}
	b := newNode(t, db, r.Addr, free, rigOptions{})
	v := watch(t, b, id)
	eventually(t, "twenty words shown", func() bool { return v.has(acc.Run) == answer(20) })
	a.dead()
	eventually(t, "the reply is complete", func() bool { return lastTurn(snapshot(t, b, id)).Text == answer(60) })
	eventually(t, "the viewer has it all", func() bool { return v.has(acc.Run) == answer(60) })
	free.mu.Lock()
	kept := free.calls[0].Kept
	free.mu.Unlock()
	if kept != answer(20) {
		t.Fatalf("the second node went on from %q", kept)
	}
	// The zombie wakes: nothing of it may be seen or stored.
	close(gate)
	eventually(t, "the zombie has given up", func() bool { return !a.runner.Has(id) })
	if got := lastTurn(snapshot(t, b, id)); got.Text != answer(60) || len(snapshot(t, b, id).Turns) != 3 {
		t.Fatalf("after the zombie: %+v", got)
	}
}

func TestWipedRedisIsGivenBackEverything(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	m := &model{words: 60, gate: make(chan struct{})}
	n := newNode(t, db, r.Addr, m, rigOptions{})
	id := newChat(t, n)
	acc := send(t, n, id, "c", "go")
	v := watch(t, n, id)
	for i := range 60 {
		m.gate <- struct{}{}
		if i%13 == 12 {
			r.Flush()
		}
	}
	eventually(t, "the reply is complete", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(60) })
	eventually(t, "the viewer has it all", func() bool { return v.has(acc.Run) == answer(60) })
	if m.Calls() != 1 {
		t.Fatalf("%d model calls, want 1: the writer lived", m.Calls())
	}
}

// deafLog loses the answers of some rebuilds: they happened, nobody was told.
type deafLog struct {
	conversation.Log
	left atomic.Int64
}

func (l *deafLog) Begin(ctx context.Context, id conversation.ID, ep conversation.Epoch, b conversation.Begin) (conversation.Began, error) {
	out, err := l.Log.Begin(ctx, id, ep, b)
	if err == nil && b.How == conversation.BeginRebuild && l.left.Add(-1) >= 0 {
		return conversation.Began{}, conversation.ErrLogDown
	}
	return out, err
}

// A writer that made a new log and did not hear that its text is in it says
// the same again. Were it to leave that log too, a node that died meanwhile
// would leave SQL with the name of a log without the text, which stands in the
// one before.
func TestARebuildThatWasNotHeardIsRepeated(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	m := &model{words: 40, gate: make(chan struct{})}
	deaf := &deafLog{}
	deaf.left.Store(3)
	n := newNode(t, db, r.Addr, m, rigOptions{lossy: func(l conversation.Log) conversation.Log { deaf.Log = l; return deaf }})
	id := newChat(t, n)
	acc := send(t, n, id, "c", "go")
	v := watch(t, n, id)
	for range 10 {
		m.gate <- struct{}{}
	}
	eventually(t, "text is shown", func() bool { return v.has(acc.Run) != "" })
	before, err := n.store.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r.Flush()
	close(m.gate)
	eventually(t, "the reply is complete", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(40) })
	eventually(t, "the viewer has it all", func() bool { return v.has(acc.Run) == answer(40) })
	after, err := n.store.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if deaf.left.Load() >= 0 {
		t.Fatal("no answer was lost")
	}
	if after.Log.Counter != before.Log.Counter+1 {
		t.Errorf("the log's counter went from %d to %d, want one step", before.Log.Counter, after.Log.Counter)
	}
	if breach := v.breaches(); len(breach) > 0 {
		t.Errorf("the viewer objects: %v", breach)
	}
}

func TestRedisAwayWhileWriting(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	m := &model{words: 40, gate: make(chan struct{})}
	n := newNode(t, db, r.Addr, m, rigOptions{})
	id := newChat(t, n)
	acc := send(t, n, id, "c", "go")
	v := watch(t, n, id)
	for range 10 {
		m.gate <- struct{}{}
	}
	r.Kill()
	for range 10 {
		m.gate <- struct{}{}
	}
	// A message is accepted while Redis is away: SQL is the authority.
	send(t, n, id, "d", "and then?")
	r.Restart()
	close(m.gate)
	eventually(t, "both replies", func() bool {
		st := snapshot(t, n, id)
		return len(st.Turns) == 5 && lastTurn(st).Text == answer(40)
	})
	eventually(t, "the viewer has it all", func() bool { return v.has(acc.Run) == answer(40) })
	if m.Calls() != 2 {
		t.Fatalf("%d model calls, want 2", m.Calls())
	}
}

// What was committed while Redis hung is in the first read after it, on the
// node that committed it and on one that looked meanwhile.
func TestAReadAfterAHangHasWhatWasCommitted(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	n := newNode(t, db, r.Addr, &model{words: 3}, rigOptions{})
	other := newNode(t, db, r.Addr, &model{words: 3}, rigOptions{})
	id := newChat(t, n)
	snapshot(t, n, id) // both know the log by now
	snapshot(t, other, id)
	n.dead() // nobody claims the run: only the read can notice
	other.dead()
	r.Pause()
	send(t, n, id, "c", "go")
	snapshot(t, other, id)
	r.Resume()
	for name, who := range map[string]*node{"who committed it": n, "who looked meanwhile": other} {
		eventually(t, name+" reads from Redis again", func() bool {
			st, cur, err := who.engine.Snapshot(t.Context(), owner, id)
			if err == nil && lastTurn(st).Text != "go" {
				t.Fatalf("%s reads a picture without the message, cursor %q", name, cur)
			}
			return err == nil && cur != ""
		})
	}
}

func TestReplyCompletesInSQLWithoutRedis(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	m := &model{words: 10}
	n := newNode(t, db, r.Addr, m, rigOptions{})
	id := newChat(t, n)
	snapshot(t, n, id)
	r.Kill()
	send(t, n, id, "c", "go")
	eventually(t, "the reply is in SQL", func() bool {
		rec, err := n.store.Load(t.Context(), id)
		return err == nil && len(rec.Turns) == 3 && rec.Turns[2].Text == answer(10)
	})
	if got := lastTurn(snapshot(t, n, id)).Text; got != answer(10) {
		t.Fatalf("a snapshot without Redis has %q", got)
	}
	r.Restart()
	eventually(t, "the log has it too", func() bool {
		_, cur, err := n.engine.Snapshot(t.Context(), owner, id)
		return err == nil && cur != ""
	})
}

func TestEmbeddedRestartGoesOnFromTheCheckpoint(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	o := rigOptions{checkpoint: true, solo: true, mode: "m"}
	first := testenv.Miniredis(t)
	stuck := &model{words: 50, gate: make(chan struct{})}
	a := newNode(t, db, first.Addr(), stuck, o)
	id := newChat(t, a)
	acc := send(t, a, id, "c", "go")
	for range 15 {
		stuck.gate <- struct{}{}
	}
	eventually(t, "fifteen words shown", func() bool { st := snapshot(t, a, id); return st.Open != nil && st.Open.Text == answer(15) })
	// Writer and Redis die together; the next process has the same database.
	a.dead()
	first.Close()
	free := &model{words: 50}
	b := newNode(t, db, testenv.Miniredis(t).Addr(), free, o)
	eventually(t, "the reply is complete", func() bool { return lastTurn(snapshot(t, b, id)).Text == answer(50) })
	free.mu.Lock()
	defer free.mu.Unlock()
	if free.calls[0].Kept != answer(15) {
		t.Fatalf("went on from %q, want the shown text", free.calls[0].Kept)
	}
	row, err := b.store.RunState(t.Context(), owner, id, acc.Run)
	if err != nil || row.Base != 1 {
		t.Fatalf("base %d (%v), want 1: nothing was taken back", row.Base, err)
	}
	close(stuck.gate)
}

func TestCommittedButNeverPublishedIsRelayed(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions) {
		n := newNode(t, db, addr, &model{words: 3}, o)
		id := newChat(t, n)
		snapshot(t, n, id)
		// A node that dies between its commit and its publish leaves just this.
		_, _, err := n.store.Accept(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "c", Text: "hello?"}, 4, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the sweep found and answered it", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(3) })
	})
}

// A Redis restored from an older copy of itself keeps its marker, so only the
// shorter log tells. It must not grow again with other content.
func TestLogThatLostItsEndIsLeft(t *testing.T) {
	t.Parallel()
	db, r := realPair(t)
	n := newNode(t, db, r.Addr, &model{words: 3}, rigOptions{mode: "m"})
	id := newChat(t, n)
	send(t, n, id, "c", "go")
	eventually(t, "the reply", func() bool { return lastTurn(snapshot(t, n, id)).Text == answer(3) })
	before, err := n.keeper.Active(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	// The suffix is gone: what an older dump would hold.
	rdb := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer func() { _ = rdb.Close() }()
	keys, err := rdb.Keys(t.Context(), "*"+string(id)+":m").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v (%v)", keys, err)
	}
	if err := rdb.HSet(t.Context(), keys[0], "top", 1).Err(); err != nil {
		t.Fatal(err)
	}
	if err := n.keeper.Renew(t.Context(), id, before.Epoch); err != nil {
		t.Fatal(err)
	}
	after, err := n.keeper.Active(t.Context(), id)
	if err != nil || after.Epoch.Counter <= before.Epoch.Counter || lastTurn(after.State).Text != answer(3) {
		t.Fatalf("epoch %v after %v (%v), last turn %+v", after.Epoch, before.Epoch, err, lastTurn(after.State))
	}
	// Once more for the old epoch changes nothing.
	if err := n.keeper.Renew(t.Context(), id, before.Epoch); err != nil {
		t.Fatal(err)
	}
	if again, err := n.keeper.Active(t.Context(), id); err != nil || again.Epoch != after.Epoch {
		t.Fatalf("epoch %v (%v), want %v", again.Epoch, err, after.Epoch)
	}
}
