package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
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
const roomy = 5 * time.Second

func TestContractMini(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB, ttl time.Duration) sessions.Store {
		return New(client(tb, testenv.Miniredis(tb).Addr()), Options{SessionTTL: ttl, Timeout: roomy})
	})
}

func TestContractReal(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB, ttl time.Duration) sessions.Store {
		return New(client(tb, testenv.Redis(tb).Addr), Options{SessionTTL: ttl, Timeout: roomy})
	})
}

// TestKeysAndLives: what stands in Redis, for how long, and no secret in it.
func TestKeysAndLives(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := client(t, testenv.Redis(t).Addr)
	st := New(rdb, Options{Timeout: roomy})
	const secret = "the-secret-id-of-a-session"
	s := sessions.Session{ID: secret, User: "ann", Created: time.Now(), LastSeen: time.Now()}
	if err := st.Save(ctx, s); err != nil {
		t.Fatal(err)
	}
	c := conversation.NewID()
	if err := st.PutViewers(ctx, []sessions.Viewer{{Conversation: c, Conn: "x", At: time.Now().UnixMilli()}}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]time.Duration{
		keySession(secret): 15 * time.Minute, keyUser("ann"): 15 * time.Minute, keyViewers(c): time.Hour,
	} {
		ttl, err := rdb.PTTL(ctx, key).Result()
		if err != nil || ttl > want || ttl < want-time.Minute {
			t.Errorf("%s: lives %v, %v; want %v", key, ttl, err, want)
		}
		if strings.Contains(key, secret) {
			t.Errorf("key %s holds the session's id", key)
		}
	}
	n, err := rdb.DBSize(ctx).Result()
	if err != nil || n != 3 {
		t.Fatalf("%d keys, %v; want 3", n, err)
	}
	if err := st.Delete(ctx, secret, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := st.DropViewers(ctx, []sessions.Viewer{{Conversation: c, Conn: "x"}}); err != nil {
		t.Fatal(err)
	}
	if n, err := rdb.DBSize(ctx).Result(); err != nil || n != 0 {
		t.Fatalf("%d keys are left, %v", n, err)
	}
}

// TestDeadFieldsGo: what a dead node left is not shown and not kept.
func TestDeadFieldsGo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := client(t, testenv.Redis(t).Addr)
	st := New(rdb, Options{ViewerTTL: time.Hour, Timeout: roomy})
	c := conversation.NewID()
	old := sessions.Viewer{Conversation: c, Conn: "old", At: time.Now().Add(-2 * time.Hour).UnixMilli()}
	live := sessions.Viewer{Conversation: c, Conn: "live", At: time.Now().UnixMilli()}
	if err := st.PutViewers(ctx, []sessions.Viewer{old, live}); err != nil {
		t.Fatal(err)
	}
	got, err := st.ListViewers(ctx, c)
	if err != nil || len(got) != 1 || got[0].Conn != "live" {
		t.Fatalf("got %v, %v", got, err)
	}
	if n, err := rdb.HLen(ctx, keyViewers(c)).Result(); err != nil || n != 1 {
		t.Fatalf("%d fields are kept, %v", n, err)
	}
}

// TestHangingRedis: a server that takes connections and says nothing costs no
// call more than its deadline, and everything works again after it.
func TestHangingRedis(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t)
	st := New(client(t, srv.Addr), Options{})
	s := sessions.Session{ID: "x", User: "ann", Created: time.UnixMilli(1), LastSeen: time.UnixMilli(2)}
	srv.Pause()
	begun := time.Now()
	if _, _, err := st.Get(t.Context(), "x", "ann"); err == nil {
		t.Error("get from a server that hangs succeeded")
	}
	if err := st.Save(t.Context(), s); err == nil {
		t.Error("save to a server that hangs succeeded")
	}
	took := time.Since(begun)
	srv.Resume()
	if took > 3*time.Second {
		t.Errorf("two calls took %v", took)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		if err := st.Save(t.Context(), s); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("after the pause: %v", err)
		}
	}
	if _, ok, err := st.Get(t.Context(), "x", "ann"); !ok || err != nil {
		t.Fatalf("after the pause: got %v, %v", ok, err)
	}
}
