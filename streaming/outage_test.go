package streaming_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
)

func TestEpochChangesInMidStream(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		late := w.view(t, h, "").drain()
		w.start(1)
		w.write("before ")
		v.drain()
		w.rename()
		w.write("after ")
		synctest.Wait()
		v.drain().agrees()
		w.write("more ")
		v.drain().agrees()
		w.rename()
		w.write("again ")
		synctest.Wait()
		v.drain().agrees()
		late.drain().agrees()
		if !slices.Equal(v.resets, []string{"epoch_changed", "epoch_changed"}) || !slices.Equal(late.resets, []string{"epoch_changed"}) {
			t.Errorf("resets %v and %v", v.resets, late.resets)
		}
		if v.caughtUp != 1 || late.caughtUp != 1 {
			t.Errorf("caught up %d and %d times", v.caughtUp, late.caughtUp)
		}
		// A cursor of the first log.
		old := w.view(t, h, "1.a1.2").drain()
		old.agrees()
		if !slices.Equal(old.resets, []string{"epoch_changed"}) {
			t.Errorf("resets %v", old.resets)
		}
		for _, x := range []*viewer{v, late, old} {
			x.feed.Close()
		}
	})
}

// TestStalePrimary: a viewer is never led back to a log that it has left.
func TestStalePrimary(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.rename()
		w.rename()
		w.start(1)
		w.write("new")
		v := w.view(t, h, "").drain()
		newer := w.epoch
		w.mu.Lock()
		w.epoch, w.entries, w.top = conversation.Epoch{Counter: 2, Nonce: "n1"}, nil, 0
		w.mu.Unlock()
		time.Sleep(3 * time.Second)
		v.drain()
		if v.epoch != newer.Counter || len(v.resets) != 0 {
			t.Errorf("led to epoch %d, resets %v", v.epoch, v.resets)
		}
		v.feed.Close()
	})
}

func TestRedisAwayAndBack(t *testing.T) {
	inTime(t, streaming.Config{RingEvents: 4}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 3)
		v := w.view(t, h, "").drain()
		second := w.view(t, h, "")
		w.set(true)
		// One is told, once, and kept.
		for range 5 {
			second.drain()
			time.Sleep(time.Second)
		}
		if second.trouble != 1 || second.caughtUp != 0 {
			t.Errorf("told of trouble %d times, caught up %d", second.trouble, second.caughtUp)
		}
		// One that has everything needs not be told.
		v.drain()
		if v.trouble != 0 {
			t.Errorf("told of trouble %d times without need", v.trouble)
		}
		w.talk(2, 9) // the writer got through, this node did not
		w.set(false)
		time.Sleep(35 * time.Second)
		v.drain().agrees()
		second.drain().agrees()
		if second.trouble != 1 || second.caughtUp != 1 {
			t.Errorf("afterwards: trouble %d, caught up %d", second.trouble, second.caughtUp)
		}
		v.feed.Close()
		second.feed.Close()
	})
}

// TestARoomThatFailsLooksOften: who waits for Redis has what it lacks within
// a fifth of a second, not with the next poll; in fake time.
func TestARoomThatFailsLooksOften(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 3)
		v := w.view(t, h, "")
		w.set(true)
		v.drain()
		time.Sleep(3*time.Second + 50*time.Millisecond) // a poll has just gone by
		v.drain()
		w.talk(2, 3)
		w.set(false)
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		v.drain().agrees()
		if v.caughtUp != 1 {
			t.Errorf("caught up %d times a quarter of a second after Redis came back", v.caughtUp)
		}
		v.feed.Close()
	})
}

func TestReplayWhileRedisIsAway(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 9)
		keep := w.view(t, h, "").drain()
		v := w.view(t, h, w.cursor(0))
		w.set(true)
		for range 3 {
			v.drain()
			time.Sleep(time.Second)
		}
		w.set(false)
		time.Sleep(2 * time.Second)
		v.drain().agrees()
		if v.trouble != 1 || len(v.resets) != 0 || v.caughtUp != 1 {
			t.Errorf("trouble %d, resets %v, caught up %d", v.trouble, v.resets, v.caughtUp)
		}
		keep.feed.Close()
		v.feed.Close()
	})
}

func TestAttachWithoutRedis(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 2)
		w.set(true)
		_, err := h.Attach(t.Context(), w.id, owner, "")
		if fault.CodeOf(err) != fault.StorageUnavailable || !errors.Is(err, conversation.ErrLogDown) {
			t.Errorf("attach: %v", err)
		}
		w.set(false)
		time.Sleep(3 * time.Second)
		v := w.view(t, h, "").drain()
		v.agrees()
		v.feed.Close()
		// An attach that is given up leaves nothing behind.
		w.id = conversation.NewID()
		w.deaf = true
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := h.Attach(ctx, w.id, owner, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("attach: %v", err)
		}
		time.Sleep(time.Minute)
		if n := h.Watched(); n != 0 {
			t.Errorf("%d rooms", n)
		}
	})
}

// TestUnconfirmedBell: without a bell the room polls.
func TestUnconfirmedBell(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.deaf = true
		w.start(1)
		v := w.view(t, h, "").drain()
		w.lie(func(conversation.Event) int { return 0 })
		w.write("unheard")
		time.Sleep(1100 * time.Millisecond)
		v.drain().agrees()
		v.feed.Close()
	})
}
