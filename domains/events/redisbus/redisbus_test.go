package redisbus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/events/redisbus"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

func TestEveryGroupHasEveryEventOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		groups := []*events.Group{r.noting("a"), r.noting("b")}
		for i := range 3 {
			r.node(fmt.Sprint("n", i), groups...)
		}
		for i := range 60 {
			r.record(fmt.Sprint("l", i%5))
		}
		r.eventually("both groups have all", func() bool { return r.noted("a") == 60 && r.noted("b") == 60 })
		r.eventually("the outbox is empty", func() bool { return r.count("event_outbox") == 0 })
		r.eventually("settled events leave the stream", func() bool {
			n, err := r.rdb.XLen(t.Context(), "ev:{bus}:stream").Result()
			return err == nil && n > 0 && n <= 10
		})
	})
}

// TestOrderOfAnAggregate lets each handler look at what is done already.
func TestOrderOfAnAggregate(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		var disorder atomic.Int64
		g := &events.Group{Name: "a"}
		events.On(g, func(ctx context.Context, e events.Event, _ events.LearnerRegistered) error {
			var before int64
			if err := r.db.Conn(ctx).QueryRowContext(ctx, "SELECT count(*) FROM mails WHERE state = ?", e.Aggregate.ID).Scan(&before); err != nil {
				return err
			}
			if before != e.Sequence-1 {
				disorder.Add(1)
			}
			_, err := r.db.Conn(ctx).ExecContext(ctx, "INSERT INTO mails (key, state, at) VALUES (?, ?, 0)", e.ID, e.Aggregate.ID)
			return err
		})
		for i := range 40 {
			r.record(fmt.Sprint("l", i%2))
		}
		for i := range 4 {
			r.node(fmt.Sprint("n", i), g)
		}
		r.eventually("all are handled", func() bool { return r.count("mails") == 40 })
		if n := disorder.Load(); n != 0 {
			t.Fatalf("%d events were handled before an earlier one", n)
		}
	})
}

func TestTwoRelaysSendOnceAndInOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		silent := &events.Group{Name: "silent", Handlers: map[string]events.Handler{"learner.registered": nil}}
		for range 4 {
			r.start(r.relay(silent).Run)
		}
		for i := range 50 {
			r.record(fmt.Sprint("l", i%7))
		}
		r.eventually("all are sent", func() bool {
			n, err := r.rdb.XLen(t.Context(), "ev:{bus}:stream").Result()
			return err == nil && n >= 50
		})
		msgs, err := r.rdb.XRange(t.Context(), "ev:{bus}:stream", "-", "+").Result()
		if err != nil || len(msgs) != 50 {
			t.Fatalf("got %d entries, %v, want 50", len(msgs), err)
		}
		for i, m := range msgs {
			if m.ID != fmt.Sprint(i+1, "-0") {
				t.Fatalf("place %d has %s", i, m.ID)
			}
		}
	})
}

func TestRedeliveryHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		g := r.noting("a")
		r.record("x")
		if err := r.relay(g).Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		bus := redisbus.New(r.rdb)
		// One node handles the event and dies before it acknowledges; another
		// died before it did anything. Both are taken over.
		for _, dead := range []string{"dead1", "dead2"} {
			if _, err := bus.Read(t.Context(), "a", dead, 10, time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		ds, err := bus.Read(t.Context(), "a", "dead1", 10, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 { // the first Read made the group, the second had it
			if ds, err = bus.Reclaim(t.Context(), "a", "dead1", 0, 10); err != nil {
				t.Fatal(err)
			}
		}
		if len(ds) != 1 || ds[0].Event == nil {
			t.Fatalf("got %+v, want one delivery", ds)
		}
		if err := r.store.Deliver(t.Context(), "a", []string{"learner.registered"}, *ds[0].Event, events.Retry{}, func(ctx context.Context) error {
			return r.note(ctx, "a", *ds[0].Event)
		}); err != nil {
			t.Fatal(err)
		}
		if n, err := bus.Pending(t.Context(), "a"); err != nil || n != 1 {
			t.Fatalf("got %d pending, %v, want 1", n, err)
		}
		r.node("n1", g)
		r.eventually("somebody acknowledged", func() bool { n, err := bus.Pending(t.Context(), "a"); return err == nil && n == 0 })
		if n := r.noted("a"); n != 1 {
			t.Fatalf("the event had %d effects, want 1", n)
		}
	})
}

func TestDeadLetterAndReplay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		var calls atomic.Int64
		g := r.noting("a")
		note := g.Handlers["learner.registered"]
		g.Handlers["learner.registered"] = func(ctx context.Context, e events.Event) error {
			if err := note(ctx, e); err != nil {
				return err
			}
			if broken.Load() && strings.HasPrefix(e.Aggregate.ID, "bad") {
				calls.Add(1)
				if e.Aggregate.ID == "bad1" {
					panic("a bad day")
				}
				return errors.New("no luck")
			}
			return nil
		}
		r.node("n1", g)
		r.record("bad0", "bad1", "good", "bad0")
		letters := func() []events.Letter {
			ls, err := r.store.Letters(t.Context(), "a", 10)
			if err != nil {
				t.Fatal(err)
			}
			return slices.DeleteFunc(ls, func(l events.Letter) bool { return l.Outcome != events.Dead })
		}
		r.eventually("three are dead", func() bool { return len(letters()) == 3 })
		if calls.Load() != 9 || r.noted("a") != 1 {
			t.Fatalf("%d calls and %d effects, want three tries each, and the good one's effect", calls.Load(), r.noted("a"))
		}
		for _, l := range letters() {
			want := "no luck"
			if l.Event.Aggregate.ID == "bad1" {
				want = "panic: a bad day"
			}
			if l.Reason != want || l.Tries != 3 || l.Event.Type != "learner.registered" {
				t.Errorf("got %+v, want the reason %q", l, want)
			}
		}
		dead, err := r.rdb.XRange(t.Context(), "ev:{bus}:dead", "-", "+").Result()
		if err != nil || len(dead) != 3 || !strings.Contains(dead[0].Values["l"].(string), "reason") {
			t.Fatalf("the stream of the dead: %v, %v", dead, err)
		}
		r.eventually("the outbox does not wait for the dead", func() bool { return r.count("event_outbox") == 0 })

		broken.Store(false)
		all := letters()
		if err := r.store.Reopen(t.Context(), "other", all[0].Event.ID); fault.CodeOf(err) != fault.NotFound {
			t.Fatalf("replay for a group without it: %v", err)
		}
		for _, l := range all[:2] {
			if err := r.store.Reopen(t.Context(), "a", l.Event.ID); err != nil {
				t.Fatal(err)
			}
		}
		r.eventually("replayed", func() bool { return r.noted("a") == 3 })
		if err := r.store.Drop(t.Context(), "a", all[2].Event.ID); err != nil {
			t.Fatal(err)
		}
		if err := r.store.Drop(t.Context(), "a", all[2].Event.ID); fault.CodeOf(err) != fault.NotFound {
			t.Fatalf("dropped twice: %v", err)
		}
		r.eventually("no letter is left", func() bool { return len(letters()) == 0 })
	})
}

func TestReplayThatFailsIsDeadAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		g := &events.Group{Name: "a"}
		events.On(g, func(context.Context, events.Event, events.LearnerRegistered) error { return errors.New("still broken") })
		r.node("n1", g)
		r.record("x")
		dead := func(tries int) func() bool {
			return func() bool {
				ls, err := r.store.Letters(t.Context(), "a", 10)
				return err == nil && len(ls) == 1 && ls[0].Outcome == events.Dead && ls[0].Tries == tries
			}
		}
		r.eventually("dead", dead(3))
		ls, err := r.store.Letters(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.Reopen(t.Context(), "a", ls[0].Event.ID); err != nil {
			t.Fatal(err)
		}
		r.eventually("dead again after one try", dead(4))
	})
}

func TestFailingEventHoldsBackItsAggregateOnly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		g := r.noting("a")
		note := g.Handlers["learner.registered"]
		g.Handlers["learner.registered"] = func(ctx context.Context, e events.Event) error {
			if e.Aggregate.ID == "bad" && e.Sequence == 1 && broken.Load() {
				return errors.New("wait")
			}
			return note(ctx, e)
		}
		c := events.NewConsumers(r.store, redisbus.New(r.rdb), []*events.Group{g}, events.ConsumerConfig{
			Name: "n", Wait: 20 * time.Millisecond, Sweep: 20 * time.Millisecond, Idle: 50 * time.Millisecond, Stuck: 100 * time.Millisecond,
			Retry: events.Retry{Tries: 1000000, First: 5 * time.Millisecond, Longest: 5 * time.Millisecond},
		}, newMetrics(), log)
		r.start(r.relay(g).Run, c.Run)
		r.record("bad", "bad", "good", "bad", "good")
		r.eventually("the others go on", func() bool { return r.noted("a") == 2 })
		if n := r.count("event_outbox"); n < 3 {
			t.Fatalf("%d rows in the outbox, want the three that wait", n)
		}
		broken.Store(false)
		r.eventually("all are handled", func() bool { return r.noted("a") == 5 })
	})
}

// TestNothingIsLostWithRedis wipes Redis again and again while events flow.
func TestNothingIsLostWithRedis(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		groups := []*events.Group{r.noting("a"), r.noting("b")}
		r.node("n1", groups...)
		r.node("n2", groups...)
		for i := range 30 {
			r.record(fmt.Sprint("l", i%4))
			if i%6 == 5 {
				r.wipe()
			}
		}
		r.eventually("both groups have all", func() bool { return r.noted("a") == 30 && r.noted("b") == 30 })
		r.eventually("the outbox is empty", func() bool { return r.count("event_outbox") == 0 })
	})
}

func TestRowsWaitForEveryGroup(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		a, b := r.noting("a"), r.noting("b")
		relay := r.relay(a, b)
		r.start(relay.Run)
		stopA := r.start(r.consumers("n1", a).Run)
		r.record("x", "y")
		r.eventually("one group has them", func() bool { return r.noted("a") == 2 })
		if err := relay.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := r.count("event_outbox"); n != 2 {
			t.Fatalf("%d rows, want both kept for the other group", n)
		}
		lags, err := r.store.Lags(t.Context(), events.WantsOf([]*events.Group{a, b}))
		if err != nil || len(lags) != 2 || lags[0].Open != 0 || lags[1].Open != 2 || lags[1].Oldest <= 0 {
			t.Fatalf("got %+v, %v", lags, err)
		}
		stopA()
		r.wipe() // the other group's word of them is gone with Redis
		r.start(r.consumers("n1", b).Run)
		r.eventually("the other group has them", func() bool { return r.noted("b") == 2 })
		r.eventually("the outbox is empty", func() bool { return r.count("event_outbox") == 0 })
		if n := r.noted("a"); n != 2 {
			t.Fatalf("the first group has %d effects, want 2", n)
		}
	})
}

func TestRedisRestartsAndStaysAway(t *testing.T) {
	t.Parallel()
	r := newRealRig(t)
	g := r.noting("a")
	r.node("n1", g)
	r.record("l1")
	r.eventually("handled over Redis", func() bool { return r.noted("a") == 1 })
	r.redis.Restart() // without persistence: empty
	r.record("l2")
	r.eventually("handled after a restart", func() bool { return r.noted("a") == 2 })
	r.redis.Kill()
	r.record("l3")
	r.eventually("handled from SQL while Redis is away", func() bool { return r.noted("a") == 3 })
	r.redis.Restart()
	r.record("l4")
	r.eventually("handled when it is back", func() bool { return r.noted("a") == 4 })
}

func newRealRig(t *testing.T) *rig {
	t.Helper()
	var out *rig
	s := testenv.Redis(t)
	out = newRig(t, sqliteDB(t), s.Addr, s, s.Flush)
	return out
}

func TestStreamAheadOfSQLIsMadeAnew(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		g := r.noting("a")
		// Another database's stream, far ahead.
		bus := redisbus.New(r.rdb)
		foreign := events.New("", events.LearnerRegistered{LearnerID: "foreign"})
		foreign.Position, foreign.Sequence = 900, 1
		if err := bus.Append(t.Context(), 0, []events.Event{foreign}); err != nil {
			t.Fatal(err)
		}
		if err := bus.Append(t.Context(), 0, []events.Event{foreign}); !errors.Is(err, events.ErrMoved) {
			t.Fatalf("got %v, want ErrMoved", err)
		}
		r.record("x")
		if err := r.relay(g).Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if top, err := bus.Top(t.Context()); err != nil || top != 1 {
			t.Fatalf("the stream ends at %d, %v, want 1", top, err)
		}
	})
}

func TestUnreadableEntryIsReadFromSQL(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		g := r.noting("a")
		r.record("x", "y")
		for {
			n, err := r.store.Seal(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		for _, id := range []string{"1-0", "2-0"} {
			if err := r.rdb.Do(t.Context(), "XADD", "ev:{bus}:stream", id, "e", "nonsense").Err(); err != nil {
				t.Fatal(err)
			}
		}
		r.node("n1", g)
		r.eventually("both are handled", func() bool { return r.noted("a") == 2 })
	})
}

// What is said of an erased learner leaves both streams, the newest entry
// stays as the end of the stream, and everybody else's comes as before.
func TestForgetTakesAnAggregateOff(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		bus, ctx := redisbus.New(r.rdb), t.Context()
		var evs []events.Event
		for n := range int64(1202) { // more than one page
			e := events.New("", events.LearnerRegistered{LearnerID: []string{"ann", "ben"}[n%2]})
			e.Position = n + 1
			evs = append(evs, e)
		}
		last := events.New("", events.LearnerErased{LearnerID: "ann"})
		last.Position = 1203
		evs = append(evs, last)
		for top := int64(0); top < 1203; top += 401 {
			if err := bus.Append(ctx, top, evs[top:top+401]); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range evs[:4] {
			if err := bus.Bury(ctx, events.Letter{Group: "g", Outcome: events.Dead, Event: e}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // again finds nothing more
			if err := bus.Forget(ctx, events.Aggregate{Kind: "onboarding", ID: "ann"}, events.Aggregate{Kind: "learner", ID: "ann"}); err != nil {
				t.Fatal(err)
			}
		}
		for stream, want := range map[string]int{"ev:{bus}:stream": 602, "ev:{bus}:dead": 2} {
			left, err := r.rdb.XRange(ctx, stream, "-", "+").Result()
			if err != nil || len(left) != want {
				t.Fatalf("%s: %d entries, %v, want %d", stream, len(left), err, want)
			}
			for _, m := range left[:len(left)-1] {
				if strings.Contains(fmt.Sprint(m.Values), `"ann"`) {
					t.Fatalf("%s still has %v", stream, m)
				}
			}
		}
		if top, err := bus.Top(ctx); err != nil || top != 1203 {
			t.Fatalf("the stream ends at %d, %v", top, err)
		}
	})
}
