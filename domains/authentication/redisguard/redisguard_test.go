package redisguard

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// quiet keeps the library's own lines out of the tests' output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	goleak.VerifyTestMain(m)
}

func client(t *testing.T, addr string) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Two nodes count as one; a key that is not there counts nothing; what is
// dropped is gone; no address is in Redis; every count has an end.
func TestAttempts(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]func() string{
		"embedded": func() string { return testenv.Miniredis(t).Addr() }, "real": func() string { return testenv.Redis(t).Addr },
	} {
		t.Run(name, func(t *testing.T) {
			rdb, ctx := client(t, addr()), t.Context()
			one, two := New(rdb), New(rdb)
			// A call that meets a busy machine may end early, as it should.
			try := func(fn func() error) {
				t.Helper()
				testenv.Eventually(t, 30*time.Second, fn)
			}
			for _, node := range []*Attempts{one, two} {
				try(func() error { return node.Count(ctx, time.Minute, "a:ana@example.com", "i:192.0.2.1") })
			}
			try(func() error {
				got, err := two.Look(ctx, "a:ana@example.com", "a:nobody", "i:192.0.2.1")
				if err != nil {
					return err
				}
				if got[0].N < 2 || got[1].N != 0 || got[2].N < 2 || got[0].Left <= 0 || got[0].Left > time.Minute {
					t.Fatalf("got %+v", got)
				}
				return nil
			})
			keys, err := rdb.Keys(ctx, "*").Result()
			if err != nil || len(keys) != 2 {
				t.Fatalf("%v, %v", keys, err)
			}
			for _, k := range keys {
				if left := rdb.PTTL(ctx, k).Val(); left <= 0 || len(k) != len("ga:{}")+22 {
					t.Errorf("%s is forgotten in %v", k, left)
				}
			}
			try(func() error { return one.Drop(ctx, "a:ana@example.com") })
			try(func() error {
				got, err := two.Look(ctx, "a:ana@example.com")
				if err == nil && got[0].N != 0 {
					t.Fatalf("got %+v", got)
				}
				return err
			})
		})
	}
}

// A Redis that hangs or is gone is an error, soon.
func TestAttemptsWithoutRedis(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t)
	a := New(client(t, srv.Addr))
	srv.Pause()
	if _, err := a.Look(t.Context(), "a"); err == nil {
		t.Error("a hanging Redis was believed")
	}
	if err := a.Count(t.Context(), time.Minute, "a"); err == nil {
		t.Error("a hanging Redis counted")
	}
	srv.Resume()
	srv.Kill()
	if a.Drop(t.Context(), "a") == nil {
		t.Error("a dead Redis dropped")
	}
}
