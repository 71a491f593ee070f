package redisstore

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/sessions/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(tb testing.TB, addr string) *redis.Client {
	tb.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	tb.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// roomy is a timeout for machines that are busy with other tests.
const roomy = 20 * time.Second

func options(o storetest.Options) Options {
	return Options{SessionTTL: o.TTL, SessionsPerUser: o.SessionsPerUser, Lease: o.Lease, Timeout: roomy}
}

func TestContractMini(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB, o storetest.Options) storetest.Backend {
		m := testenv.Miniredis(tb)
		return storetest.Backend{Store: New(client(tb, m.Addr()), options(o)), Lose: m.FlushAll}
	})
}

func TestContractReal(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB, o storetest.Options) storetest.Backend {
		srv := testenv.Redis(tb)
		return storetest.Backend{Store: New(client(tb, srv.Addr), options(o)), Lose: srv.Flush}
	})
}

// A Redis without persistence that is restarted has lost everything too, and
// its connections.
func TestContractRestart(t *testing.T) {
	t.Parallel()
	storetest.Lost(t, func(tb testing.TB, o storetest.Options) storetest.Backend {
		srv := testenv.Redis(tb)
		return storetest.Backend{Store: New(client(tb, srv.Addr), options(o)), Lose: func() { srv.Kill(); srv.Restart() }}
	})
}

// TestKeysAndLives: what stands in Redis, for how long, and no secret in it.
func TestKeysAndLives(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := client(t, testenv.Redis(t).Addr)
	st := New(rdb, Options{Timeout: roomy})
	const secret = "the-secret-id-of-a-session"
	s := sessions.Session{ID: secret, User: "ann", Holder: "c1", Created: time.Now()}
	c, conn := conversation.NewID(), sessions.Connection{ID: "x", Node: "n1", User: "ann", Session: sessions.HashID(secret)}
	for _, err := range []error{
		st.Create(ctx, s), st.PutViewers(ctx, []sessions.Viewer{{Conversation: c, Conn: "x", Node: "n1"}}),
		st.PutConnections(ctx, []sessions.Connection{conn}), st.PutTicket(ctx, sessions.HashID("ticket"), sessions.Ticket{User: "ann"}, time.Minute),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Beat(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]time.Duration{
		keyVisits("ann"): 15 * time.Minute, keyConnections("ann"): time.Hour, keyViewers(c): time.Hour, keyNodes: time.Minute,
		keyTicket(sessions.HashID("ticket")): time.Minute,
	} {
		ttl, err := rdb.PTTL(ctx, key).Result()
		if err != nil || ttl > want || ttl < want-time.Minute {
			t.Errorf("%s: lives %v, %v; want %v", key, ttl, err, want)
		}
		dump, err := rdb.Dump(ctx, key).Result()
		if err != nil || strings.Contains(key+dump, secret) {
			t.Errorf("%s holds the session's id, %v", key, err)
		}
	}
	n, err := rdb.DBSize(ctx).Result()
	if err != nil || n != 5 {
		t.Fatalf("%d keys, %v; want 5", n, err)
	}
	_, _, terr := st.TakeTicket(ctx, sessions.HashID("ticket"))
	for _, err := range []error{
		st.Delete(ctx, secret, "ann"), st.DropViewers(ctx, []sessions.Viewer{{Conversation: c, Conn: "x"}}),
		st.Exit(ctx, []sessions.Connection{conn}), st.Leave(ctx, "n1"), terr,
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := rdb.DBSize(ctx).Result(); err != nil || n != 0 {
		t.Fatalf("%d keys are left, %v", n, err)
	}
}

// TestForeignValues: what another version or a person left is as good as none.
func TestForeignValues(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := client(t, testenv.Redis(t).Addr)
	st := New(rdb, Options{Timeout: roomy})
	s := sessions.Session{ID: "x", User: "ann", Holder: "c1", Created: time.Now()}
	for _, v := range []string{"", "nonsense", "{}", "99999999999999", "99999999999999|c1", "99999999999999|c1|{", "abc|c1|{}"} {
		if err := rdb.HSet(ctx, keyVisits("ann"), sessions.HashID("x"), v).Err(); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := st.Take(ctx, "x", "ann", "c1"); ok || err != nil {
			t.Errorf("%q: took %v, %v", v, ok, err)
		}
		if _, err := st.List(ctx, "ann"); err != nil {
			t.Errorf("%q: list %v", v, err)
		}
		if err := st.Create(ctx, s); err != nil {
			t.Errorf("%q: create %v", v, err)
		}
		if _, ok, err := st.Get(ctx, "x", "ann"); !ok || err != nil {
			t.Errorf("%q: get %v, %v", v, ok, err)
		}
	}
	if err := rdb.HSet(ctx, keyConnections("ann"), "c9", "nonsense").Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := st.Connections(ctx, "ann"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestBus: an order reaches the other node and the one that gave it, also
// after Redis was away.
func TestBus(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t)
	one, two := NewBus(client(t, srv.Addr), client(t, srv.Addr), slog.New(slog.DiscardHandler)), NewBus(client(t, srv.Addr), client(t, srv.Addr), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var heard [2]atomic.Int64
	ended := make(chan struct{}, 2)
	for i, b := range []*Bus{one, two} {
		go func() {
			b.Listen(ctx, func(o sessions.Order) {
				if o.User == "ann" && o.End == fault.Unauthenticated && o.Family == "f" && o.From == "n1" {
					heard[i].Add(1)
				}
			})
			ended <- struct{}{}
		}()
	}
	// Until both have subscribed an order is lost, which is a bus's right.
	arrives := func() {
		t.Helper()
		before := [2]int64{heard[0].Load(), heard[1].Load()}
		testenv.EventuallyTrue(t, time.Minute, "both hear", func() bool {
			_ = one.Publish(ctx, sessions.Order{From: "n1", User: "ann", Family: "f", End: fault.Unauthenticated}) // tried again
			return heard[0].Load() > before[0] && heard[1].Load() > before[1]
		})
	}
	arrives()
	if _, err := srv.Do("PUBLISH", channelOrders, "nonsense"); err != nil {
		t.Fatal(err)
	}
	arrives()
	srv.Kill()
	if err := one.Publish(ctx, sessions.Order{User: "ann"}); err == nil {
		t.Error("published into the void")
	}
	srv.Restart()
	arrives()
	cancel()
	<-ended
	<-ended
}

// TestHangingRedis: a server that takes connections and says nothing costs no
// call more than its deadline, and everything works again after it.
func TestHangingRedis(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t)
	st := New(client(t, srv.Addr), Options{})
	s := sessions.Session{ID: "x", User: "ann", Created: time.UnixMilli(1)}
	srv.Pause()
	if _, _, err := st.Get(t.Context(), "x", "ann"); err == nil {
		t.Error("get from a server that hangs succeeded")
	}
	if err := st.Create(t.Context(), s); err == nil {
		t.Error("create on a server that hangs succeeded")
	}
	if _, err := st.Beat(t.Context(), "n1"); err == nil {
		t.Error("a lease from a server that hangs")
	}
	srv.Resume()
	testenv.Eventually(t, time.Minute, func() error { return st.Create(t.Context(), s) })
	testenv.EventuallyTrue(t, time.Minute, "it is there", func() bool {
		_, ok, err := st.Get(t.Context(), "x", "ann")
		return ok && err == nil
	})
}
