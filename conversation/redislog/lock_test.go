package redislog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
)

func TestLock(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx, id := t.Context(), conversation.NewID()
		locks := redislog.NewLocks(e.rdb, time.Second)
		if h, err := locks.Holder(ctx, id); h != nil || err != nil {
			t.Fatalf("a free lock is held by %+v (%v)", h, err)
		}
		owner := conversation.LockOwner{Node: `n-1 "{}`, Run: 7, Since: 1780000000000}
		lk, err := locks.Obtain(ctx, id, owner, 10*time.Second)
		errIs(t, "obtain", err, nil)
		h, err := locks.Holder(ctx, id)
		if err != nil || h == nil || h.LockOwner != owner || h.TTL <= 8*time.Second || h.TTL > 10*time.Second {
			t.Fatalf("holder %+v (%v)", h, err)
		}
		var locked *conversation.LockedError
		if _, err := locks.Obtain(ctx, id, owner, time.Second); !errors.As(err, &locked) || locked.Holder.LockOwner != owner {
			t.Fatalf("second obtain: %v", err)
		}
		errIs(t, "refresh", lk.Refresh(ctx, 20*time.Second), nil)
		if h, _ := locks.Holder(ctx, id); h == nil || h.TTL <= 18*time.Second {
			t.Errorf("after a refresh: %+v", h)
		}
		// Break removes exactly the lock that was seen.
		errIs(t, "break of another", locks.Break(ctx, id, conversation.LockHolder{Value: h.Value + " "}), nil)
		if h, _ := locks.Holder(ctx, id); h == nil {
			t.Fatal("another value broke the lock")
		}
		errIs(t, "break", locks.Break(ctx, id, *h), nil)
		errIs(t, "refresh of a broken lock", lk.Refresh(ctx, time.Second), conversation.ErrLockLost)
		next, err := locks.Obtain(ctx, id, conversation.LockOwner{Node: "n-2"}, 10*time.Second)
		errIs(t, "obtain after break", err, nil)
		errIs(t, "late break", locks.Break(ctx, id, *h), nil)
		errIs(t, "release of a lost lock", lk.Release(ctx), nil)
		if h, _ := locks.Holder(ctx, id); h == nil || h.Node != "n-2" {
			t.Fatalf("the lock of n-2 did not stay: %+v", h)
		}
		// A release works after its caller was cancelled.
		gone, cancel := context.WithCancel(ctx)
		cancel()
		errIs(t, "release", next.Release(gone), nil)
		if h, _ := locks.Holder(ctx, id); h != nil {
			t.Errorf("still held by %+v", h)
		}
		// A wiped Redis has no lock; its owner learns it.
		lk, err = locks.Obtain(ctx, id, owner, 10*time.Second)
		errIs(t, "obtain", err, nil)
		e.flush()
		errIs(t, "refresh after a wipe", lk.Refresh(ctx, time.Second), conversation.ErrLockLost)
	})
}

func TestOneOfManyObtains(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		id := conversation.NewID()
		locks := redislog.NewLocks(e.rdb, 5*time.Second)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 20 {
			wg.Go(func() {
				_, err := locks.Obtain(t.Context(), id, conversation.LockOwner{Node: "n"}, time.Minute)
				mu.Lock()
				defer mu.Unlock()
				var locked *conversation.LockedError
				switch {
				case err == nil:
					won++
				case !errors.As(err, &locked):
					t.Errorf("obtain: %v", err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Errorf("%d obtained the lock", won)
		}
	})
}

func TestForeignLock(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx, id := t.Context(), conversation.NewID()
		e.do("SET", redislog.LockKey(id), "somebody else's {", "PX", 5000)
		h, err := redislog.NewLocks(e.rdb, time.Second).Holder(ctx, id)
		if err != nil || h == nil || h.Node != "" || h.Value != "somebody else's {" {
			t.Errorf("got %+v (%v)", h, err)
		}
	})
}

func TestLocksWithoutRedis(t *testing.T) {
	t.Parallel()
	e := newRealEnv(t, "r")
	locks := redislog.NewLocks(e.rdb, 100*time.Millisecond)
	id := conversation.NewID()
	lk, err := locks.Obtain(t.Context(), id, conversation.LockOwner{Node: "n"}, time.Minute)
	errIs(t, "obtain", err, nil)
	e.srv.Pause()
	defer e.srv.Resume()
	begun := time.Now()
	_, err = locks.Obtain(t.Context(), id, conversation.LockOwner{Node: "n"}, time.Minute)
	errIs(t, "obtain", err, conversation.ErrLogDown)
	_, err = locks.Holder(t.Context(), id)
	errIs(t, "holder", err, conversation.ErrLogDown)
	errIs(t, "refresh", lk.Refresh(t.Context(), time.Minute), conversation.ErrLogDown)
	errIs(t, "break", locks.Break(t.Context(), id, conversation.LockHolder{Value: "x"}), conversation.ErrLogDown)
	errIs(t, "release", lk.Release(t.Context()), conversation.ErrLogDown)
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("five calls took %v", d)
	}
}
