package streaming_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
)

// inTime runs a test with a world and a hub in a bubble of fake time.
func inTime(t *testing.T, cfg streaming.Config, fn func(t *testing.T, w *world, h *streaming.Hub)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, stop := w.hub(cfg)
		fn(t, w, h)
		stop()
		synctest.Wait()
		if n := w.listeners(); n != 0 {
			t.Errorf("%d rooms still listen after Run", n)
		}
	})
}

// talk writes a run of n pieces, complete.
func (w *world) talk(run int64, n int) {
	w.message(fmt.Sprint("question ", run), true)
	w.start(run)
	for i := range n {
		w.write(fmt.Sprintf("w%d😀 ", i))
	}
	w.complete()
}

func TestSnapshotThenLive(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 3)
		v := w.view(t, h, "")
		if o := v.feed.Opening(); o.Mode != "snapshot" || o.Reason != "no_cursor" || o.Cursor != w.cursor(w.top) {
			t.Errorf("opening %+v", o)
		}
		v.drain().agrees()
		if v.caughtUp != 1 || len(v.resets) != 0 {
			t.Errorf("caught up %d times, resets %v", v.caughtUp, v.resets)
		}
		reads, actives := w.reads, w.active
		w.talk(2, 3)
		v.drain().agrees()
		if w.reads != reads || w.active != actives {
			t.Errorf("live events cost %d reads and %d snapshots", w.reads-reads, w.active-actives)
		}
		v.feed.Close()
		v.feed.Close()
	})
}

func TestReplay(t *testing.T) {
	inTime(t, streaming.Config{RingEvents: 4}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 30)
		w.talk(2, 30)
		for _, after := range []int64{0, 1, 2, 17, w.top - 5, w.top - 1, w.top} {
			v := &viewer{t: t, w: w, done: map[int64]bool{}, cur: w.cursor(after)}
			for _, ev := range w.entries[:after] { // what this viewer had before
				v.epoch, v.last, v.known = 1, ev.Seq-1, true
				v.take(streaming.Item{Kind: streaming.ItemEvent, JSON: ev.AppendJSON(nil, w.epoch), Cursor: w.cursor(ev.Seq)})
			}
			v.cur = w.cursor(after)
			if !v.attach(h) {
				t.Fatal("attach")
			}
			if o := v.feed.Opening(); o.Mode != "replay" || o.Cursor != v.cur || o.Reason != "" {
				t.Errorf("opening %+v", o)
			}
			v.drain().agrees()
			if v.caughtUp != 1 || len(v.resets) != 0 {
				t.Errorf("after %d: caught up %d times, resets %v", after, v.caughtUp, v.resets)
			}
			v.feed.Close()
		}
	})
}

// Two nodes hear of an event at different times. A viewer that brings a cursor
// from the node that heard first is served by replay: this one looks before it
// judges.
func TestCursorFromANodeThatHeardFirst(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 5)
		slow := w.view(t, h, "").drain()
		w.lie(func(conversation.Event) int { return 0 }) // the bell is silent
		w.start(2)
		w.write("heard elsewhere ")
		w.lie(nil)
		v := w.view(t, h, w.cursor(w.top))
		if o := v.feed.Opening(); o.Mode != "replay" || o.Cursor != w.cursor(w.top) {
			t.Errorf("opening %+v", o)
		}
		v.drain()
		if len(v.resets) != 0 || v.caughtUp != 1 {
			t.Errorf("resets %v, caught up %d times", v.resets, v.caughtUp)
		}
		slow.drain().agrees()
		v.feed.Close()
		slow.feed.Close()
	})
}

func TestSmallBatches(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 20)
		v := w.view(t, h, w.cursor(0))
		pulls := 1
		for v.pull(1, 1) {
			pulls++
		}
		v.agrees()
		if pulls < 4 || v.caughtUp != 1 {
			t.Errorf("%d pulls, caught up %d times", pulls, v.caughtUp)
		}
		if v.merged == 0 {
			t.Error("no deltas were merged")
		}
		v.feed.Close()
	})
}

func TestReasonsForASnapshot(t *testing.T) {
	for _, tc := range []struct {
		reason string
		cursor func(w *world) string
	}{
		{"no_cursor", func(*world) string { return "" }},
		{"bad_cursor", func(*world) string { return "1.a1.-3" }},
		{"bad_cursor", func(*world) string { return strings.Repeat("9", 65) }},
		{"bad_cursor", func(*world) string { return "'; --" }},
		{"epoch_changed", func(*world) string { return "1.other.3" }},
		{"epoch_changed", func(*world) string { return "2.a1.3" }},
		{"ahead", func(w *world) string { return w.cursor(w.top + 1) }},
		{"trimmed", func(w *world) string { return w.cursor(w.low - 2) }},
		{"too_far", func(w *world) string { return w.cursor(w.low - 1) }},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			inTime(t, streaming.Config{Replay: 20}, func(t *testing.T, w *world, h *streaming.Hub) {
				w.talk(1, 40)
				w.trim(30)
				v := w.view(t, h, tc.cursor(w))
				if o := v.feed.Opening(); o.Mode != "snapshot" || o.Reason != tc.reason || o.Cursor != w.cursor(w.top) {
					t.Errorf("opening %+v", o)
				}
				v.drain().agrees()
				want := []string{tc.reason}
				if tc.reason == "no_cursor" {
					want = nil
				}
				if !slices.Equal(v.resets, want) || v.caughtUp != 1 {
					t.Errorf("resets %v, caught up %d times", v.resets, v.caughtUp)
				}
				v.feed.Close()
			})
		})
	}
	t.Run("slow", func(t *testing.T) {
		inTime(t, streaming.Config{RingEvents: 8}, func(t *testing.T, w *world, h *streaming.Hub) {
			v := w.view(t, h, "").drain()
			quick := w.view(t, h, "").drain()
			w.start(1)
			for range 20 {
				w.write("ab ")
				quick.drain()
			}
			if lag := v.feed.Lag(); lag != 21 {
				t.Errorf("lag %d, want 21", lag)
			}
			v.drain().agrees()
			quick.agrees()
			if !slices.Equal(v.resets, []string{"slow"}) || len(quick.resets) != 0 {
				t.Errorf("resets %v and %v", v.resets, quick.resets)
			}
			v.feed.Close()
			quick.feed.Close()
		})
	})
	t.Run("ring bytes", func(t *testing.T) {
		inTime(t, streaming.Config{RingBytes: 2000}, func(t *testing.T, w *world, h *streaming.Hub) {
			v := w.view(t, h, "").drain()
			w.start(1)
			for range 10 {
				w.write(strings.Repeat("x", 1000))
			}
			v.drain().agrees()
			if !slices.Equal(v.resets, []string{"slow"}) {
				t.Errorf("resets %v", v.resets)
			}
			v.feed.Close()
		})
	})
}

func TestMergedDeltas(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.start(1)
		for range 10 {
			w.write("é😀")
		}
		w.restart()
		w.write("other")
		w.message("in between", true)
		w.write(strings.Repeat("y", 5000))
		w.write(strings.Repeat("z", 5000)) // two of these are over the limit of one
		b, err := v.feed.Pull(t.Context(), 64, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range b.Items {
			s, _, _ := strings.Cut(string(it.JSON), `"cur"`)
			got = append(got, s)
			v.take(it)
		}
		want := []string{`{"v":1,"seq":1,`, `{"v":1,"seq":11,"from":2,`, `{"v":1,"seq":12,`, `{"v":1,"seq":13,`, `{"v":1,"seq":14,`, `{"v":1,"seq":15,`, `{"v":1,"seq":16,`}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if v.open == nil || !strings.HasPrefix(v.open.Text, "otheryyy") {
			t.Errorf("open %+v", v.open)
		}
		v.feed.Close()
	})
}

func TestForeignAndUnknown(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		_, err := h.Attach(t.Context(), w.id, "somebody", "")
		if !errors.Is(err, conversation.ErrNotFound) {
			t.Errorf("foreign: %v", err)
		}
		_, err = h.Attach(t.Context(), w.id, "", "")
		if !errors.Is(err, conversation.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		w.unknown = conversation.ErrNotFound
		_, err = h.Attach(t.Context(), conversation.NewID(), owner, "")
		if !errors.Is(err, conversation.ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		time.Sleep(15 * time.Second)
		if n := h.Watched(); n != 0 {
			t.Errorf("%d rooms stay", n)
		}
	})
}

func TestEnded(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.talk(1, 3)
		w.end()
		if v.pull(1, 1) && v.ended {
			t.Error("ended before all was delivered")
		}
		v.drain().agrees()
		if !v.ended {
			t.Error("not ended")
		}
		for _, cursor := range []string{"", w.cursor(0), w.cursor(w.top)} {
			again := w.view(t, h, cursor)
			again.drain()
			if !again.ended || again.caughtUp != 1 {
				t.Errorf("attached at %q: ended %v, caught up %d times", cursor, again.ended, again.caughtUp)
			}
			again.feed.Close()
		}
		v.feed.Close()
	})
}

func TestRoomLingers(t *testing.T) {
	inTime(t, streaming.Config{Linger: 10 * time.Second}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		w.talk(1, 3)
		v.drain()
		v.feed.Close()
		time.Sleep(8 * time.Second)
		active := w.active
		v.attach(h) // a quick reconnect costs no read
		v.drain().agrees()
		if w.active != active || h.Watched() != 1 {
			t.Errorf("%d snapshots, %d rooms", w.active-active, h.Watched())
		}
		time.Sleep(time.Minute) // watched rooms stay
		if h.Watched() != 1 || w.listeners() != 1 {
			t.Error("a watched room was closed")
		}
		v.feed.Close()
		time.Sleep(12 * time.Second)
		if h.Watched() != 0 || w.listeners() != 0 {
			t.Errorf("%d rooms and %d listeners stay", h.Watched(), w.listeners())
		}
		w.talk(2, 3)
		v.attach(h)
		v.drain().agrees()
		v.feed.Close()
	})
}

func TestRelayBringsMissingFacts(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		v := w.view(t, h, "").drain()
		time.Sleep(10 * time.Second)
		if w.catchUps != 0 {
			t.Errorf("%d catch-ups with nothing missing", w.catchUps)
		}
		w.message("committed, never published", false)
		w.message("a second one", false)
		time.Sleep(2100 * time.Millisecond)
		v.drain().agrees()
		if len(v.turns) != 2 || w.catchUps == 0 {
			t.Errorf("turns %q after %d catch-ups", v.turns, w.catchUps)
		}
		// With Redis away it tries on.
		w.set(true)
		w.message("third", false)
		time.Sleep(10 * time.Second)
		w.set(false)
		time.Sleep(2100 * time.Millisecond)
		v.drain().agrees()
		if len(v.turns) != 3 {
			t.Errorf("turns %q", v.turns)
		}
		v.feed.Close()
	})
}

func TestAttachAfterRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, stop := w.hub(streaming.Config{})
		v := w.view(t, h, "").drain()
		stop()
		if _, err := h.Attach(t.Context(), w.id, owner, ""); fault.CodeOf(err) != fault.Draining {
			t.Errorf("attach after Run: %v", err)
		}
		h.Offer(w.id, w.epoch, conversation.Event{Seq: 1})
		v.feed.Close()
	})
}

// A Redis restored from an older copy of itself has a shorter log under the
// same name: it is left, so that no number gets a second content.
func TestALogThatLostItsEndIsRenewed(t *testing.T) {
	inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
		w.talk(1, 40)
		v := w.view(t, h, "").drain()
		old := w.epoch
		w.mu.Lock()
		w.top -= 5
		w.entries = w.entries[:len(w.entries)-5]
		w.mu.Unlock()
		time.Sleep(40 * time.Second) // a quiet room looks each half minute, in fake time
		synctest.Wait()
		v.drain()
		if w.epoch == old || !slices.Equal(v.resets, []string{"epoch_changed"}) {
			t.Errorf("epoch %v after %v, resets %v", w.epoch, old, v.resets)
		}
		v.feed.Close()
		// A viewer that comes back with a cursor beyond the log says it too.
		old = w.epoch
		c := w.view(t, h, w.cursor(w.top+3)).drain()
		if w.epoch == old {
			t.Error("a cursor beyond the log left the log as it was")
		}
		c.feed.Close()
	})
}

// A log that lost its end has nothing more for a viewer, though the room knows
// of more: the viewer waits for the room, or the writer, to leave it, and does
// not ask again and again.
func TestALogThatLostItsEndIsNotAskedForEver(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(w *world) string{
		"cursor where it ends":   func(w *world) string { return w.cursor(w.top - 5) },
		"cursor in what is lost": func(w *world) string { return w.cursor(w.top - 2) },
		"no cursor":              func(*world) string { return "" },
	} {
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, written %v", name, written), func(t *testing.T) {
				inTime(t, streaming.Config{}, func(t *testing.T, w *world, h *streaming.Hub) {
					w.talk(1, 40)
					first := w.view(t, h, "").drain()
					late := w.view(t, h, at(w))
					old := w.epoch
					w.mu.Lock()
					w.written = written
					w.top -= 5
					w.entries = w.entries[:len(w.entries)-5]
					w.mu.Unlock()
					pulls := 0
					for more := true; more && pulls < 10; pulls++ {
						b, err := late.feed.Pull(t.Context(), 64, 16<<10)
						if err != nil {
							t.Fatal(err)
						}
						more = b.More
					}
					if pulls == 10 {
						t.Error("the log is asked again and again")
					}
					w.mu.Lock()
					w.written = false
					w.mu.Unlock()
					time.Sleep(40 * time.Second)
					synctest.Wait()
					late.drain()
					if w.epoch == old || late.feed.Cursor() != w.cursor(w.top) {
						t.Errorf("epoch %v after %v, the viewer stands at %s", w.epoch, old, late.feed.Cursor())
					}
					first.feed.Close()
					late.feed.Close()
				})
			})
		}
	}
}
