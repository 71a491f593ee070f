package streaming_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/streaming"
)

// viewer reads a feed as docs/protocol.md tells a client to, and notes every
// breach of the protocol.
type viewer struct {
	t     *testing.T
	w     *world
	feed  streaming.Feed
	woken bool
	mu    sync.Mutex // guards woken

	epoch    int64
	cur      string
	last     int64
	known    bool // last counts: a cursor or a snapshot was given
	turns    []string
	open     *conversation.OpenReply
	done     map[int64]bool
	state    string
	resets   []string
	trouble  int
	caughtUp int
	merged   int
	ended    bool
}

func (w *world) view(t *testing.T, h *streaming.Hub, cursor string) *viewer {
	t.Helper()
	v := &viewer{t: t, w: w, done: map[int64]bool{}, cur: cursor}
	if !v.attach(h) {
		t.Fatal("attach failed")
	}
	return v
}

// attach subscribes with the viewer's own cursor.
func (v *viewer) attach(h *streaming.Hub) bool {
	f, err := h.Attach(v.t.Context(), v.w.id, owner, v.cur)
	if err != nil {
		return false
	}
	v.feed, v.caughtUp, v.resets, v.trouble = f, 0, nil, 0
	if f.Opening().Mode == "replay" {
		c, _ := conversation.ParseCursor(v.cur)
		v.last, v.epoch, v.known = c.Seq, c.Counter, true
	}
	f.Notify(func() { v.mu.Lock(); v.woken = true; v.mu.Unlock() })
	return true
}

func (v *viewer) awake() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.woken
	v.woken = false
	return was
}

// pull takes one batch and reports whether there is more at once.
func (v *viewer) pull(limit, size int) bool {
	v.t.Helper()
	b, err := v.feed.Pull(v.t.Context(), limit, size)
	if err != nil {
		v.t.Fatalf("pull: %v", err)
	}
	n := 0
	for _, it := range b.Items {
		v.take(it)
		if it.Kind == streaming.ItemEvent {
			n++
		}
	}
	if n > limit {
		v.t.Errorf("%d events, asked for at most %d", n, limit)
	}
	if len(b.Items) > 0 && b.Items[len(b.Items)-1].Cursor != "" && v.cur != v.feed.Cursor() {
		v.t.Errorf("feed stands at %s, delivered up to %s", v.feed.Cursor(), v.cur)
	}
	v.ended = b.Ended
	return b.More
}

// drain pulls while it is told to.
func (v *viewer) drain() *viewer {
	v.t.Helper()
	for n := 0; v.awake(); n++ {
		for v.pull(64, 16<<10) {
			if n++; n > 10000 {
				v.t.Fatal("more, more, more, and nothing comes")
			}
		}
	}
	return v
}

type envelope struct {
	V                  int
	Seq, From          int64
	Cur, Type          string
	Run, Attempt, Base int64
	Data               struct {
		At, N        int64
		Text, Author string
	}
}

func (v *viewer) take(it streaming.Item) {
	v.t.Helper()
	breach := func(format string, args ...any) { v.t.Helper(); v.t.Errorf("breach: "+format, args...) }
	cur, ok := conversation.ParseCursor(it.Cursor)
	if !ok && it.Kind != streaming.ItemError {
		breach("item %d has the cursor %q", it.Kind, it.Cursor)
	}
	switch it.Kind {
	case streaming.ItemReset:
		v.resets = append(v.resets, it.Reason)
	case streaming.ItemError:
		v.trouble++
	case streaming.ItemCaughtUp:
		v.caughtUp++
		if v.caughtUp > 1 {
			breach("caught up %d times", v.caughtUp)
		}
	case streaming.ItemSnapshot:
		if cur.Counter < v.epoch {
			breach("led back to epoch %d from %d", cur.Counter, v.epoch)
		}
		v.epoch, v.last, v.known, v.cur = cur.Counter, cur.Seq, true, it.Cursor
		v.snapshot(it.JSON)
	case streaming.ItemEvent:
		var e envelope
		if err := json.Unmarshal(it.JSON, &e); err != nil {
			breach("%s: %v", it.JSON, err)
		}
		if e.From == 0 {
			e.From = e.Seq
		} else {
			v.merged++
			if e.From >= e.Seq {
				breach("range %d..%d", e.From, e.Seq)
			}
		}
		if e.V != 1 || e.Cur != it.Cursor || cur.Seq != e.Seq {
			breach("item cursor %s, envelope %+v", it.Cursor, e)
		}
		if !v.known || e.From != v.last+1 || cur.Counter != v.epoch {
			breach("range %d..%d of epoch %d after %d of epoch %d", e.From, e.Seq, cur.Counter, v.last, v.epoch)
		}
		v.last, v.cur = e.Seq, it.Cursor
		v.fold(e, breach)
	}
}

func (v *viewer) snapshot(js []byte) {
	var st conversation.State
	if err := json.Unmarshal(js, &st); err != nil {
		v.t.Errorf("snapshot %s: %v", js, err)
		return
	}
	old := v.open
	v.turns, v.state, v.open = nil, st.Header.State, st.Open
	for _, t := range st.Turns {
		v.turns = append(v.turns, string(t.Author)+": "+t.Text)
	}
	if old != nil && st.Open != nil && old.Run == st.Open.Run && old.Base == st.Open.Base && units(old.Text) > units(st.Open.Text) {
		v.t.Errorf("breach: a snapshot shortens the text of run %d", old.Run)
	}
}

func (v *viewer) fold(e envelope, breach func(string, ...any)) {
	if v.done[e.Run] {
		return
	}
	ev := conversation.Event{Type: e.Type}
	switch {
	case e.Type == conversation.TypeAccepted:
		v.turns = append(v.turns, "learner: "+e.Data.Text)
	case e.Type == conversation.TypeEnded:
		v.state = conversation.StateEnded
	case ev.EndsRun():
		v.done[e.Run], v.open = true, nil
		v.turns = append(v.turns, "partner: "+e.Data.Text)
	default:
		if v.open == nil || v.open.Run != e.Run || e.Base > v.open.Base {
			v.open = &conversation.OpenReply{Run: e.Run, Base: e.Base}
		}
		if e.Base < v.open.Base || !ev.IsDelta() {
			return
		}
		have := units(v.open.Text)
		switch {
		case e.Data.At > have:
			breach("text at %d, have %d", e.Data.At, have)
		case e.Data.At+units(e.Data.Text) > have:
			u := utf16.Encode([]rune(e.Data.Text))
			v.open.Text += string(utf16.Decode(u[have-e.Data.At:]))
		}
	}
}

// agrees fails the test unless the viewer has what the log has.
func (v *viewer) agrees() {
	v.t.Helper()
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	var turns []string
	for _, t := range v.w.st.Turns {
		turns = append(turns, string(t.Author)+": "+t.Text)
	}
	if !slices.Equal(turns, v.turns) {
		v.t.Errorf("turns %q, want %q", v.turns, turns)
	}
	have, want := "", ""
	if v.open != nil {
		have = fmt.Sprint(v.open.Run, " ", v.open.Base, " ", v.open.Text)
	}
	if o := v.w.st.Open; o != nil {
		want = fmt.Sprint(o.Run, " ", o.Base, " ", o.Text)
	}
	if have != want || v.state != "" && v.state != v.w.st.Header.State {
		v.t.Errorf("open %q in state %s, want %q in %s", have, v.state, want, v.w.st.Header.State)
	}
	if want := (conversation.Cursor{Epoch: v.w.epoch, Seq: v.w.top}).String(); v.cur != want {
		v.t.Errorf("stands at %s, the log at %s", v.cur, want)
	}
	if lag := v.feed.Lag(); lag != 0 {
		v.t.Errorf("lag %d of a viewer that has everything", lag)
	}
}
