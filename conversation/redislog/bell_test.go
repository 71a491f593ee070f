package redislog_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// ear collects what a bell delivers.
type ear struct {
	mu  sync.Mutex
	eps []conversation.Epoch
	evs []conversation.Event
}

func (r *ear) hear(ep conversation.Epoch, ev conversation.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.eps, r.evs = append(r.eps, ep), append(r.evs, ev)
}

func (r *ear) heard() []conversation.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]conversation.Event(nil), r.evs...)
}

func (r *ear) waitFor(t *testing.T, n int) []conversation.Event {
	t.Helper()
	testenv.EventuallyTrue(t, 10*time.Second, "enough events", func() bool { return len(r.heard()) >= n })
	return r.heard()
}

// ring runs a bell until the test ends; suspects counts its alarms.
func (e *env) ring() (b *redislog.Bell, suspects func() int) {
	b = redislog.NewBell(e.rdb, quiet())
	var mu sync.Mutex
	n := 0
	b.OnSuspect(func(conversation.ID) { mu.Lock(); n++; mu.Unlock() })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			e.t.Errorf("bell: %v", err)
		}
	})
	e.t.Cleanup(func() { cancel(); wg.Wait() })
	return b, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func (e *env) listen(b *redislog.Bell, id conversation.ID, r *ear) func() {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 10*time.Second)
	defer cancel()
	stop, err := b.Listen(ctx, id, r.hear)
	if err != nil {
		e.t.Fatalf("listen: %v", err)
	}
	return stop
}

func TestBellCarriesWhatTheLogHas(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		b, suspects := e.ring()
		id, ep := e.create()
		other, otherEp := e.create()
		var mine ear
		stop := e.listen(b, id, &mine) // confirmed: nothing after it is missed
		if _, err := e.log.Begin(ctx, id, ep, begin(conversation.BeginRestart, 1, fence+1)); err != nil {
			t.Fatal(err)
		}
		if _, err := e.log.Begin(ctx, other, otherEp, begin(conversation.BeginRestart, 1, fence+1)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.log.Append(ctx, id, ep, piece(1, fence+1, 0, "he|😀\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := e.log.Stop(ctx, id, ep, 2); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.log.PutFact(ctx, id, ep, completed(3)); err != nil {
			t.Fatal(err)
		}
		got := mine.waitFor(t, 4)
		p, err := e.log.Read(ctx, id, ep, 0, 10)
		errIs(t, "read", err, nil)
		same(t, "the bell", p.Events, got)
		for _, x := range mine.eps {
			if x != ep {
				t.Errorf("epoch %v, want %v", x, ep)
			}
		}
		if suspects() != 0 {
			t.Errorf("%d alarms without a loss", suspects())
		}
		// After stop nothing comes; a second listener of the same conversation
		// is not silenced by the end of the first.
		var second ear
		stop2 := e.listen(b, id, &second)
		stop()
		stop()
		if _, _, err := e.log.PutFact(ctx, id, ep, accepted(4)); err != nil {
			t.Fatal(err)
		}
		second.waitFor(t, 1)
		stop2()
		if _, _, err := e.log.PutFact(ctx, id, ep, accepted(5)); err != nil {
			t.Fatal(err)
		}
		// When this one hears fact 6, fact 5 has come or never will. Redis may
		// not have read the end of the subscription yet when fact 5 was made, so
		// that it still comes, to whoever listens by then.
		var third ear
		e.listen(b, id, &third)
		if _, _, err := e.log.PutFact(ctx, id, ep, accepted(6)); err != nil {
			t.Fatal(err)
		}
		testenv.EventuallyTrue(t, 10*time.Second, "fact 6", func() bool {
			got := third.heard()
			return len(got) > 0 && got[len(got)-1].Fact == 6
		})
		if len(second.heard()) != 1 || len(mine.heard()) != 4 {
			t.Errorf("after stop: %d, %d", len(second.heard()), len(mine.heard()))
		}
	})
}

// TestBellStopAndListenAtOnce: a room that closes while the next one opens
// must not take its subscription away.
func TestBellStopAndListenAtOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		b, _ := e.ring()
		id, ep := e.create()
		stop := e.listen(b, id, &ear{})
		for n := range int64(30) {
			var r ear
			var wg sync.WaitGroup
			wg.Go(stop)
			stop = e.listen(b, id, &r)
			wg.Wait()
			if _, _, err := e.log.PutFact(t.Context(), id, ep, accepted(3+n)); err != nil {
				t.Fatal(err)
			}
			r.waitFor(t, 1)
		}
		stop()
	})
}

func TestBellSuspectsALoss(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"kill the client", "restart redis"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			e := newRealEnv(t, "r")
			b, suspects := e.ring()
			id, ep := e.create()
			var r ear
			e.listen(b, id, &r)
			if how == "restart redis" {
				e.srv.Restart()
			} else {
				e.do("CLIENT", "KILL", "TYPE", "pubsub")
			}
			testenv.EventuallyTrue(t, 10*time.Second, "an alarm", func() bool { return suspects() > 0 })
			testenv.EventuallyTrue(t, 10*time.Second, "the subscription again", func() bool {
				n, err := e.rdb.PubSubNumSub(t.Context(), redislog.Channel(id)).Result()
				return err == nil && n[redislog.Channel(id)] == 1
			})
			if how == "restart redis" {
				var err error
				if ep, err = e.log.Create(t.Context(), id, 2, conversation.Seed{Facts: 2, Header: header(id)}); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := e.log.PutFact(t.Context(), id, ep, accepted(3)); err != nil {
				t.Fatal(err)
			}
			r.waitFor(t, 1)
		})
	}
}

func TestBellWithoutRedis(t *testing.T) {
	t.Parallel()
	e := newRealEnv(t, "r")
	b, _ := e.ring()
	e.srv.Kill()
	id := conversation.NewID()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var r ear
	stop, err := b.Listen(ctx, id, r.hear)
	errIs(t, "listen", err, conversation.ErrLogDown)
	// It is delivered all the same once Redis is back.
	e.srv.Restart()
	testenv.EventuallyTrue(t, 10*time.Second, "the subscription", func() bool {
		n, err := e.rdb.PubSubNumSub(t.Context(), redislog.Channel(id)).Result()
		return err == nil && n[redislog.Channel(id)] == 1
	})
	ep, err := e.log.Create(t.Context(), id, 1, conversation.Seed{Header: header(id)})
	errIs(t, "create", err, nil)
	if _, _, err := e.log.PutFact(t.Context(), id, ep, accepted(1)); err != nil {
		t.Fatal(err)
	}
	r.waitFor(t, 1)
	stop()
}

// TestBellRefusesForeignMessages: a message that names another conversation,
// or none, is dropped and the ones after it still come.
func TestBellRefusesForeignMessages(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		b, _ := e.ring()
		id, ep := e.create()
		var r ear
		e.listen(b, id, &r)
		e.do("PUBLISH", redislog.Channel(id), "garbage")
		e.do("PUBLISH", redislog.Channel(id), ep.String()+".1|aaaaaaaaaaaa|partner.delta|2|1|1|0|1|0|5|secret")
		if _, _, err := e.log.PutFact(t.Context(), id, ep, accepted(3)); err != nil {
			t.Fatal(err)
		}
		if got := r.waitFor(t, 1); got[0].Type != conversation.TypeAccepted {
			t.Errorf("heard %+v", got)
		}
	})
}
