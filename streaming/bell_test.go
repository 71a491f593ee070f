package streaming_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/streaming"
)

func TestBellLiesAndLoses(t *testing.T) {
	for name, pass := range map[string]func(conversation.Event) int{
		"all twice":    func(conversation.Event) int { return 2 },
		"each second":  func(e conversation.Event) int { return int(e.Seq % 2) },
		"none":         func(conversation.Event) int { return 0 },
		"not the last": func(e conversation.Event) int { return boolInt(!e.EndsRun()) },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
				v := w.view(t, h, "").drain()
				w.lie(pass)
				w.talk(1, 9)
				// A quiet room looks by itself each 30 s, a busy one each second.
				time.Sleep(35 * time.Second)
				v.drain().agrees()
				if len(v.resets) != 0 || v.caughtUp != 1 {
					t.Errorf("resets %v, caught up %d times", v.resets, v.caughtUp)
				}
				v.feed.Close()
			})
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestReorderedBell(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.start(1)
		w.lie(func(conversation.Event) int { return 0 })
		for range 5 {
			w.write("ab ")
		}
		for i := len(w.entries) - 1; i >= 0; i-- { // the newest first
			for e := range w.ears {
				e.fn(w.epoch, w.entries[i])
			}
		}
		synctest.Wait() // the hole is filled at once, without a poll
		v.drain().agrees()
		v.feed.Close()
	})
}

// TestEveryQuietRoomLooks: a reply begins in a quiet room and that is lost; each
// looks for itself within half a minute, whichever its turn is.
func TestEveryQuietRoomLooks(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		for run := range int64(40) {
			w.id = conversation.NewID() // each time another room, of the same log
			v := w.view(t, h, "").drain()
			w.lie(func(conversation.Event) int { return 0 })
			w.start(run + 1)
			time.Sleep(31 * time.Second)
			v.drain().agrees()
			v.feed.Close()
			w.complete()
			time.Sleep(15 * time.Second)
		}
	})
}

// TestHoleIsFilledAtOnce: the second piece tells that the first was lost.
func TestHoleIsFilledAtOnce(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.start(1)
		w.lie(func(e conversation.Event) int { return boolInt(e.Seq != 2) })
		w.write("lost ")
		begun := time.Now()
		w.write("heard ")
		synctest.Wait()
		v.drain().agrees()
		if d := time.Since(begun); d != 0 {
			t.Errorf("it took %v", d)
		}
		v.feed.Close()
	})
}

func TestSuspectedLossLooksAtOnce(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.lie(func(conversation.Event) int { return 0 })
		w.talk(1, 2)
		w.suspect()
		time.Sleep(2 * time.Millisecond)
		v.drain().agrees()
		v.feed.Close()
	})
}

// TestALostConnectionCostsEachRoomOnce: after one, go-redis has every
// subscription confirmed again, one by one. What that costs must grow with the
// rooms, not with their square, and only those read that lack something.
func TestALostConnectionCostsEachRoomOnce(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		const rooms, lost = 1000, 10
		var all []*viewer
		var ids []conversation.ID
		view := func(n int) {
			for range n {
				w.id = conversation.NewID() // another room, of the same log
				ids = append(ids, w.id)
				all = append(all, w.view(t, h, "").drain())
			}
		}
		view(lost)
		w.lie(func(conversation.Event) int { return 0 })
		w.talk(1, 2)
		view(rooms - lost)
		w.mu.Lock()
		reads, active := w.reads, w.active
		w.mu.Unlock()
		for _, id := range ids {
			w.ask(id)
		}
		time.Sleep(50 * time.Millisecond)
		w.mu.Lock()
		reads, active = w.reads-reads, w.active-active
		trips, compared := w.behinds, w.compared
		w.mu.Unlock()
		if reads != lost || active != 0 {
			t.Errorf("%d reads and %d snapshots, want %d reads: so many rooms lack something", reads, active, lost)
		}
		if compared != rooms || trips > rooms/100 {
			t.Errorf("%d rooms compared in %d trips", compared, trips)
		}
		for _, v := range all {
			v.drain().agrees()
			v.feed.Close()
		}
	})
}

// TestADoubtOutlivesAnOutage: the comparison fails, and is made again.
func TestADoubtOutlivesAnOutage(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.lie(func(conversation.Event) int { return 0 })
		w.talk(1, 2)
		w.set(true)
		w.suspect()
		time.Sleep(200 * time.Millisecond)
		w.set(false)
		time.Sleep(1200 * time.Millisecond)
		v.drain().agrees()
		v.feed.Close()
	})
}

// TestOwnEventsNeedNoBell: what this node wrote reaches its viewers directly.
func TestOwnEventsNeedNoBell(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.lie(func(e conversation.Event) int { h.Offer(w.id, w.epoch, e); return 1 })
		w.talk(1, 3)
		v.drain().agrees()
		h.Offer(conversation.NewID(), w.epoch, conversation.Event{Seq: 1}) // nobody watches
		h.Offer(w.id, conversation.Epoch{Counter: 0, Nonce: "old"}, conversation.Event{Seq: w.top + 1, Type: "partner.delta", Text: "ghost"})
		synctest.Wait()
		v.drain().agrees()
		v.feed.Close()
	})
}
