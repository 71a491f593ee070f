package streaming_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/streaming"
)

// TestAnyInterleaving drives a writer, a lying bell, a Redis that forgets and
// goes away, and viewers that are slow, come and go. Whatever happens, a
// viewer is never told a hole or another text, and when it is quiet again
// everyone has what the log has. A failure prints its seed.
func TestAnyInterleaving(t *testing.T) {
	t.Parallel()
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for seed := range uint64(rounds) {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { interleave(t, rand.New(rand.NewPCG(seed, 7))) })
		})
		if !ok {
			return
		}
	}
}

func interleave(t *testing.T, rnd *rand.Rand) {
	w := newWorld()
	h, stop := w.hub(streaming.Config{RingEvents: 4 + rnd.IntN(30), RingBytes: 500 + rnd.IntN(8000), Replay: int64(5 + rnd.IntN(60)), Linger: 3 * time.Second})
	bad := rnd.Float64() * 0.6 // share of bell messages that go wrong
	type message struct {
		ep conversation.Epoch
		ev conversation.Event
	}
	var later []message
	luck := rand.New(rand.NewPCG(rnd.Uint64(), 1)) // the bell's own: the relay rings it too
	w.lie(func(ev conversation.Event) int {
		if luck.Float64() > bad {
			return 1
		}
		switch luck.IntN(3) {
		case 0:
			return 2
		case 1:
			later = append(later, message{w.epoch, ev}) // arrives in another order, perhaps in another log
		}
		return 0
	})
	viewers := make([]*viewer, 1+rnd.IntN(4))
	for i := range viewers {
		viewers[i] = &viewer{t: t, w: w, done: map[int64]bool{}}
	}
	detach := func(v *viewer) {
		if v.feed != nil {
			v.feed.Close()
			v.feed = nil
		}
	}
	run := int64(0)
	for range 150 {
		w.mu.Lock()
		open, waiting, down, held := w.st.Open != nil, len(w.sql), w.down, len(later)
		w.mu.Unlock()
		switch n := rnd.IntN(100); {
		case n < 40:
			switch {
			case !open && rnd.IntN(3) == 0:
				w.message(fmt.Sprint("m", run), rnd.IntN(3) > 0)
			case !open:
				run++
				w.start(run)
			case rnd.IntN(12) == 0 && waiting == 0:
				w.complete()
			case rnd.IntN(30) == 0:
				w.restart()
			default:
				w.write([]string{"a ", "é", "😀", "long text of some words ", "\n"}[rnd.IntN(5)])
			}
		case n < 70:
			v := viewers[rnd.IntN(len(viewers))]
			if v.feed == nil {
				if rnd.IntN(6) == 0 {
					v.cur, v.known = "", false
				}
				v.attach(h)
			} else if v.awake() && v.pull(1+rnd.IntN(10), 1+rnd.IntN(500)) {
				v.mu.Lock()
				v.woken = true
				v.mu.Unlock()
			}
		case n < 76:
			detach(viewers[rnd.IntN(len(viewers))])
		case n < 82:
			w.trim(int64(5 + rnd.IntN(40)))
		case n < 84:
			w.rename()
		case n < 86:
			w.set(!down)
		case n < 90 && held > 0:
			i := rnd.IntN(held)
			w.mu.Lock()
			x := later[i]
			later = append(later[:i], later[i+1:]...)
			ears := slices.Collect(maps.Keys(w.ears))
			w.mu.Unlock()
			for _, e := range ears {
				e.fn(x.ep, x.ev)
			}
		case n < 92:
			w.suspect()
		case n < 98:
			time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		default:
			synctest.Wait()
		}
	}
	// It becomes quiet; who was not told to look does not look.
	w.set(false)
	for _, v := range viewers {
		for v.feed == nil && !v.attach(h) {
			time.Sleep(time.Second)
		}
	}
	for range 40 {
		time.Sleep(time.Second)
		for _, v := range viewers {
			v.drain()
		}
	}
	for i, v := range viewers {
		v.agrees()
		if v.caughtUp != 1 {
			t.Errorf("viewer %d caught up %d times", i, v.caughtUp)
		}
		detach(v)
	}
	stop()
	if n := w.listeners(); n != 0 {
		t.Errorf("%d listeners stay", n)
	}
}
