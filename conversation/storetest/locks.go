package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// Locks checks what the core relies on; wait lets d pass for the locks' clock.
func Locks(t *testing.T, l conversation.Locks, wait func(d time.Duration)) {
	t.Helper()
	ctx := t.Context()
	id := conversation.NewID()
	a := conversation.LockOwner{Node: "a", Run: 1, Since: 5}
	h, err := l.Holder(ctx, id)
	if h != nil || err != nil {
		t.Fatalf("a free lock is held by %v (%v)", h, err)
	}
	first, err := l.Obtain(ctx, id, a, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var locked *conversation.LockedError
	if _, err := l.Obtain(ctx, id, conversation.LockOwner{Node: "b"}, time.Minute); !errors.As(err, &locked) || locked.Holder == nil || locked.Holder.LockOwner != a {
		t.Fatalf("a held lock: %v", err)
	}
	if err := first.Refresh(ctx, time.Minute); err != nil {
		t.Fatalf("refresh: %v", err)
	}
	wrong := *locked.Holder
	wrong.Value += "x"
	if err := l.Break(ctx, id, wrong); err != nil {
		t.Fatal(err)
	}
	if err := first.Refresh(ctx, time.Minute); err != nil {
		t.Fatalf("after breaking another lock: %v", err)
	}
	if err := l.Break(ctx, id, *locked.Holder); err != nil {
		t.Fatal(err)
	}
	if err := first.Refresh(ctx, time.Minute); !errors.Is(err, conversation.ErrLockLost) {
		t.Fatalf("a broken lock: %v", err)
	}
	second, err := l.Obtain(ctx, id, conversation.LockOwner{Node: "b"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Release(ctx); err != nil {
		t.Fatalf("release of a lost lock: %v", err)
	}
	if h, err := l.Holder(ctx, id); err != nil || h == nil || h.Node != "b" {
		t.Fatalf("the loser's release freed the lock: %v (%v)", h, err)
	}
	if err := second.Release(ctx); err != nil {
		t.Fatal(err)
	}
	short, err := l.Obtain(ctx, id, a, 60*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	wait(120 * time.Millisecond)
	if err := short.Refresh(ctx, time.Minute); !errors.Is(err, conversation.ErrLockLost) {
		t.Fatalf("a lock whose term is over: %v", err)
	}
}
