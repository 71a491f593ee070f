package conversation_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/memstore"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// inMemory is one node on stores in memory, in a bubble of fake time.
type inMemory struct {
	server *memstore.Server
	store  *memstore.Store
	log    *memstore.Log
	runner *conversation.Runner
	engine *conversation.Engine
	id     conversation.ID
	// down has Redis answer nothing; lose names the script whose next answer it
	// loses, and is down then.
	down atomic.Bool
	lose atomic.Pointer[string]
}

func (n *inMemory) hook(_ context.Context, c memstore.Call) error {
	if n.down.Load() && !strings.HasPrefix(c.Op, "sql.") {
		return memstore.ErrLost
	}
	c.Exec()
	if op := n.lose.Load(); op != nil && c.Op == *op {
		n.lose.Store(nil)
		n.down.Store(true)
		return memstore.ErrLost
	}
	return nil
}

// inBubble runs fn with a node and one conversation.
func inBubble(t *testing.T, m conversation.Model, fn func(t *testing.T, n *inMemory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &inMemory{server: memstore.NewServer("one", nil)}
		n.store = memstore.NewStore(memstore.NewDB(nil, nil), n.hook)
		n.log = memstore.NewLog(n.server, n.store, memstore.LogOptions{Hook: n.hook})
		locks := memstore.NewLocks(n.log, n.hook)
		lg := slog.New(slog.DiscardHandler)
		keeper := conversation.NewKeeper(n.store, n.log, nil)
		members, err := conversation.Join(t.Context(), n.store, conversation.Node{ID: "n"}, conversation.MembershipConfig{Solo: true}, lg)
		if err != nil {
			t.Fatal(err)
		}
		metrics := conversation.NewMetrics(nil)
		n.runner = conversation.NewRunner(conversation.RunnerConfig{}, conversation.RunnerDeps{Store: n.store, Log: n.log, Keeper: keeper, Model: m,
			Script: script{}, Members: members, Locks: locks, Metrics: metrics, Logger: lg})
		claimer := conversation.NewClaimer(n.store, n.runner, members, locks, time.Second, 50*time.Millisecond, metrics, lg)
		n.engine = conversation.NewEngine(n.store, n.log, keeper, n.runner, claimer, metrics, conversation.Limits{})
		rec, _, err := n.store.Create(t.Context(), conversation.CreateInput{Owner: owner, Kind: conversation.KindChat, ClientID: "c"})
		if err != nil {
			t.Fatal(err)
		}
		n.id = rec.Header.ID
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = n.runner.Run(ctx) })
		wg.Go(func() { _ = claimer.Run(ctx) })
		defer func() { n.down.Store(false); cancel(); wg.Wait() }()
		fn(t, n)
	})
}

func (n *inMemory) send(t *testing.T) int64 {
	t.Helper()
	acc, err := n.engine.Send(t.Context(), conversation.SendInput{Conversation: n.id, Learner: owner, ClientID: "m", Text: "go"})
	if err != nil {
		t.Fatal(err)
	}
	return acc.Run
}

// ended waits for the end of a run and returns it with the log's own story.
func (n *inMemory) ended(t *testing.T, run int64) (conversation.RunRow, string) {
	t.Helper()
	for range 600 {
		<-time.After(100 * time.Millisecond) // fake time
		r, err := n.store.RunState(t.Context(), owner, n.id, run)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Ended() || n.runner.Has(n.id) {
			continue
		}
		var told string
		p, err := n.log.Read(t.Context(), n.id, r.Log, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range p.Events {
			told += ev.Text
		}
		return r, told
	}
	t.Fatal("the run never ended")
	return conversation.RunRow{}, ""
}

// TestRedisComesBackAtTheVeryEnd: the rebuild carries the last piece too, so
// it must not be appended once more.
func TestRedisComesBackAtTheVeryEnd(t *testing.T) {
	t.Parallel()
	m := &model{words: 3, fails: []error{fault.New(fault.UpstreamTruncated, "cut")}}
	inBubble(t, m, func(t *testing.T, n *inMemory) {
		run := n.send(t)
		synctest.Wait()
		n.down.Store(true) // after two words, before the next attempt
		for m.Calls() < 2 {
			<-time.After(100 * time.Millisecond) // it waits long for Redis, then writes on without
		}
		<-time.After(300 * time.Millisecond)
		n.down.Store(false)
		r, told := n.ended(t, run)
		if r.State != conversation.RunCompleted || r.Text != answer(3) || told != answer(3) {
			t.Fatalf("%s with %q, the log tells %q", r.State, r.Text, told)
		}
	})
}

// TestLongWaitThenAnEmptyRedis: the writer lives and has the text; however long
// it waited, it gives the new Redis all of it.
func TestLongWaitThenAnEmptyRedis(t *testing.T) {
	t.Parallel()
	m := &model{words: 5, fails: []error{fault.New(fault.UpstreamTruncated, "cut")}}
	inBubble(t, m, func(t *testing.T, n *inMemory) {
		run := n.send(t)
		synctest.Wait()
		n.down.Store(true)
		<-time.After(14900 * time.Millisecond)
		n.server.Flush()
		n.down.Store(false)
		r, told := n.ended(t, run)
		if r.State != conversation.RunCompleted || r.Base != 1 || told != answer(5) {
			t.Fatalf("%s, base %d, the log tells %q", r.State, r.Base, told)
		}
	})
}

// TestStopWhileAnAnswerIsLost: what may have been shown stays. The fourth word
// is in the log, by an append or by the rebuild of a log that was lost, and its
// writer does not know.
func TestStopWhileAnAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, wiped := range map[string]bool{"log.append": false, "log.begin": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &model{words: 9}
			inBubble(t, m, func(t *testing.T, n *inMemory) {
				m.gate = make(chan struct{}) // of the bubble
				run := n.send(t)
				for range 3 {
					m.gate <- struct{}{}
				}
				synctest.Wait()
				if wiped {
					n.server.Flush()
				}
				n.lose.Store(&name)
				m.gate <- struct{}{}
				synctest.Wait()
				if !n.down.Load() {
					t.Fatal("no answer was lost")
				}
				st, err := n.engine.Cancel(t.Context(), owner, n.id, run)
				if err != nil || st.State != "stopping" {
					t.Fatalf("got %+v (%v)", st, err)
				}
				for range 50 {
					<-time.After(100 * time.Millisecond)
				}
				r, err := n.store.RunState(t.Context(), owner, n.id, run)
				if err != nil || r.State != conversation.RunStopped || r.Text != answer(4) {
					t.Fatalf("%s with %q (%v), want the four words that the log has", r.State, r.Text, err)
				}
				n.down.Store(false)
			})
		})
	}
}

// TestStopWhoseMarkWasNotHeard: the mark stands in the log, and neither who set
// it nor the writer, whose next piece it refused, was told in time. The reply
// ends at the mark all the same, which viewers have seen.
func TestStopWhoseMarkWasNotHeard(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{"the piece was refused": true, "nothing was answered": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &model{words: 9}
			inBubble(t, m, func(t *testing.T, n *inMemory) {
				m.gate = make(chan struct{}) // of the bubble
				run := n.send(t)
				for range 3 {
					m.gate <- struct{}{}
				}
				synctest.Wait()
				stop := "log.stop"
				n.lose.Store(&stop)
				st, err := n.engine.Cancel(t.Context(), owner, n.id, run)
				if err != nil || st.State != "stopping" || !n.down.Load() {
					t.Fatalf("got %+v (%v)", st, err)
				}
				if refused {
					// One answer, then nothing for longer than anybody waits.
					n.lose.Store(&stop)
					n.down.Store(false)
				}
				m.gate <- struct{}{}
				if <-time.After(900 * time.Millisecond); refused {
					<-time.After(9 * time.Second)
				}
				n.down.Store(false)
				r, told := n.ended(t, run)
				if r.State != conversation.RunStopped || r.Text != answer(3) || told != answer(3) {
					t.Fatalf("%s with %q, the log tells %q, want the three words before the mark", r.State, r.Text, told)
				}
			})
		})
	}
}

// TestStopAfterAnUnheardRebuild: the log was lost while more was written; the
// rebuild showed all of that, and its writer does not know. Asked to stop
// through SQL it keeps what was shown, whether it can read that log or not.
func TestStopAfterAnUnheardRebuild(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"redis is back": true, "redis is away": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &model{words: 9}
			inBubble(t, m, func(t *testing.T, n *inMemory) {
				m.gate = make(chan struct{}) // of the bubble
				run := n.send(t)
				for range 3 {
					m.gate <- struct{}{}
				}
				synctest.Wait()
				n.down.Store(true)
				for range 3 {
					m.gate <- struct{}{}
					synctest.Wait() // the first of them is what is being appended
				}
				n.server.Flush()
				begin := "log.begin"
				n.lose.Store(&begin)
				n.down.Store(false)
				for range 20 {
					if <-time.After(100 * time.Millisecond); n.down.Load() {
						break
					}
				}
				m.gate <- struct{}{} // one more, which no log has
				synctest.Wait()
				if err := n.store.AskCancel(t.Context(), n.id, run); err != nil {
					t.Fatal(err)
				}
				n.down.Store(!back)
				n.runner.Interrupt(n.id, run) // as its watch does
				for n.runner.Has(n.id) {
					<-time.After(100 * time.Millisecond)
				}
				n.down.Store(false)
				r, told := n.ended(t, run)
				if r.State != conversation.RunStopped || r.Text != answer(6) || told != answer(6) {
					t.Fatalf("%s with %q, the log tells %q, want the six words that it has", r.State, r.Text, told)
				}
			})
		})
	}
}
