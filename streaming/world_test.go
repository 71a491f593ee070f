package streaming_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"unicode/utf16"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/streaming"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const owner = conversation.LearnerID("learner-1")

// world is one conversation with its writer, log, SQL and bell in memory.
// Every write goes through a method below; what the bell makes of it is the
// test's choice.
type world struct {
	id conversation.ID

	mu       sync.Mutex
	down     bool
	deaf     bool // Listen is not confirmed
	active   int  // calls of Active
	reads    int
	catchUps int
	epoch    conversation.Epoch
	low, top int64
	entries  []conversation.Event
	st       conversation.State
	facts    int64                // in the log
	sql      []conversation.Event // facts that only SQL has
	ears     map[*ear]bool
	suspect  func()
	unknown  error // answer of Active for a conversation that is not there
	// pass decides what becomes of a bell message: how often it is delivered.
	pass func(conversation.Event) int
}

type ear struct {
	fn func(conversation.Epoch, conversation.Event)
}

func newWorld() *world {
	w := &world{id: conversation.NewID(), epoch: conversation.Epoch{Counter: 1, Nonce: "a1"}, low: 1, ears: map[*ear]bool{}}
	w.st.Header = conversation.Header{ID: w.id, Kind: conversation.KindChat, Owner: owner, Title: "talk", State: conversation.StateActive}
	return w
}

func units(s string) int64 { return int64(len(utf16.Encode([]rune(s)))) }

// put logs an event and rings; the caller holds no lock.
func (w *world) put(ev conversation.Event) {
	w.mu.Lock()
	w.logLocked(&ev)
	ep := w.epoch
	n := 1
	if w.pass != nil {
		n = w.pass(ev)
	}
	if w.down {
		n = 0
	}
	ears := slices.Collect(maps.Keys(w.ears))
	w.mu.Unlock()
	for range n {
		for _, e := range ears {
			e.fn(ep, ev)
		}
	}
}

func (w *world) logLocked(ev *conversation.Event) {
	w.top++
	ev.Seq = w.top
	ev.TS = 1780000000000 + w.top
	w.entries = append(w.entries, *ev)
}

// message is an accepted message; inLog false leaves it to the relay.
func (w *world) message(text string, inLog bool) {
	w.mu.Lock()
	n := int64(len(w.st.Turns)) + 1
	for _, s := range w.sql {
		if s.Type == conversation.TypeAccepted {
			n++
		}
	}
	data, _ := json.Marshal(conversation.Turn{N: n, Author: conversation.Learner, Text: text})
	ev := conversation.Event{Type: conversation.TypeAccepted, Fact: w.facts + int64(len(w.sql)) + 1, Data: data}
	if !inLog || len(w.sql) > 0 {
		w.sql = append(w.sql, ev)
		w.mu.Unlock()
		return
	}
	w.foldFact(ev)
	w.mu.Unlock()
	w.put(ev)
}

func (w *world) foldFact(ev conversation.Event) {
	w.facts = ev.Fact
	var turn conversation.Turn
	if json.Unmarshal(ev.Data, &turn) == nil && turn.N > 0 {
		w.st.Turns = append(w.st.Turns, turn)
	}
	switch {
	case ev.EndsRun():
		w.st.Open = nil
	case ev.Type == conversation.TypeEnded:
		w.st.Header.State = conversation.StateEnded
	}
}

func (w *world) start(run int64) {
	w.mu.Lock()
	w.st.Open = &conversation.OpenReply{Run: run, Attempt: 1, Base: 1}
	w.mu.Unlock()
	w.put(conversation.Event{Type: "partner.started", Run: run, Attempt: 1, Base: 1, Data: []byte(`{}`)})
}

func (w *world) restart() {
	w.mu.Lock()
	o := w.st.Open
	o.Attempt++
	o.Base, o.Text = o.Attempt, ""
	ev := conversation.Event{Type: "partner.restarted", Run: o.Run, Attempt: o.Attempt, Base: o.Base}
	w.mu.Unlock()
	w.put(ev)
}

func (w *world) write(text string) {
	w.mu.Lock()
	o := w.st.Open
	ev := conversation.Event{Type: "partner.delta", Run: o.Run, Attempt: o.Attempt, Base: o.Base, At: units(o.Text), Len: units(text), Text: text}
	o.Text += text
	w.mu.Unlock()
	w.put(ev)
}

func (w *world) complete() {
	w.mu.Lock()
	o := w.st.Open
	n := len(w.st.Turns) + 1 + len(w.sql)
	data := fmt.Appendf(nil, `{"n":%d,"author":"partner","text":%s}`, n, quote(o.Text))
	ev := conversation.Event{Type: "partner.completed", Run: o.Run, Attempt: o.Attempt, Base: o.Base, Fact: w.facts + 1, Data: data}
	w.foldFact(ev)
	w.mu.Unlock()
	w.put(ev)
}

func quote(s string) []byte { b, _ := json.Marshal(s); return b }

func (w *world) end() {
	w.mu.Lock()
	ev := conversation.Event{Type: conversation.TypeEnded, Fact: w.facts + 1, Data: []byte(`{"reason":"completed"}`)}
	w.foldFact(ev)
	w.mu.Unlock()
	w.put(ev)
}

// trim drops entries from the front until only keep are left.
func (w *world) trim(keep int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for int64(len(w.entries)) > keep {
		w.entries = w.entries[1:]
		w.low++
	}
}

// rename is a Redis that lost everything: the writer rebuilds its text in a
// log of another name.
func (w *world) rename() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch = conversation.Epoch{Counter: w.epoch.Counter + 1, Nonce: fmt.Sprintf("n%d", w.epoch.Counter)}
	w.entries, w.low, w.top = nil, 1, 0
	if o := w.st.Open; o != nil {
		w.logLocked(&conversation.Event{Type: "partner.started", Run: o.Run, Attempt: o.Attempt, Base: o.Base})
		if o.Text != "" {
			w.logLocked(&conversation.Event{Type: "partner.delta", Run: o.Run, Attempt: o.Attempt, Base: o.Base, Len: units(o.Text), Text: o.Text})
		}
	}
}

// lie sets what the bell does; pass is called one at a time.
func (w *world) lie(pass func(conversation.Event) int) { w.mu.Lock(); w.pass = pass; w.mu.Unlock() }

func (w *world) set(down bool) { w.mu.Lock(); w.down = down; w.mu.Unlock() }

func (w *world) cursor(seq int64) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return conversation.Cursor{Epoch: w.epoch, Seq: seq}.String()
}

// Read implements streaming.Log.
func (w *world) Read(_ context.Context, _ conversation.ID, ep conversation.Epoch, after int64, limit int) (conversation.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	switch {
	case w.down:
		return conversation.Page{}, conversation.ErrLogDown
	case ep != w.epoch:
		return conversation.Page{}, conversation.ErrLogEpoch
	case after > w.top:
		return conversation.Page{}, conversation.ErrAhead
	case after+1 < w.low:
		return conversation.Page{}, conversation.ErrTrimmed
	}
	i := after + 1 - w.low
	return conversation.Page{Top: w.top, Events: slices.Clone(w.entries[i:min(i+int64(limit), int64(len(w.entries)))])}, nil
}

// Active implements streaming.Keeper.
func (w *world) ActiveFrom(ctx context.Context, id conversation.ID, _ int64) (conversation.Active, error) {
	return w.Active(ctx, id)
}

func (w *world) Active(context.Context, conversation.ID) (conversation.Active, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active++
	if w.down {
		return conversation.Active{}, fmt.Errorf("%w: refused", conversation.ErrLogDown)
	}
	if w.unknown != nil {
		return conversation.Active{}, w.unknown
	}
	st := w.st
	st.Turns = slices.Clone(st.Turns)
	if st.Open != nil {
		o := *st.Open
		st.Open = &o
	}
	return conversation.Active{Epoch: w.epoch, Top: w.top, Low: w.low, Facts: w.facts, State: st, StopAt: -1}, nil
}

// Renew implements streaming.Keeper.
func (w *world) Renew(_ context.Context, _ conversation.ID, ep conversation.Epoch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return conversation.ErrLogDown
	}
	if ep == w.epoch {
		w.epoch = conversation.Epoch{Counter: ep.Counter + 1, Nonce: "renewed"}
		w.low, w.top, w.entries = 1, 0, nil
	}
	return nil
}

// CatchUp implements streaming.Keeper: it brings what only SQL has.
func (w *world) CatchUp(context.Context, conversation.ID, int64) error {
	w.mu.Lock()
	w.catchUps++
	if w.down {
		w.mu.Unlock()
		return conversation.ErrLogDown
	}
	missing := w.sql
	w.sql = nil
	for _, ev := range missing {
		w.foldFact(ev)
	}
	w.mu.Unlock()
	for _, ev := range missing {
		w.put(ev)
	}
	return nil
}

// FactCounts implements streaming.Counts.
func (w *world) FactCounts(_ context.Context, ids []conversation.ID) (map[conversation.ID]int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[conversation.ID]int64{}
	for _, id := range ids {
		out[id] = w.facts + int64(len(w.sql))
	}
	return out, nil
}

// Listen implements streaming.Bell.
func (w *world) Listen(ctx context.Context, _ conversation.ID, fn func(conversation.Epoch, conversation.Event)) (func(), error) {
	w.mu.Lock()
	e := &ear{fn}
	w.ears[e] = true
	deaf := w.deaf || w.down
	w.mu.Unlock()
	stop := func() { w.mu.Lock(); delete(w.ears, e); w.mu.Unlock() }
	if deaf {
		<-ctx.Done()
		return stop, conversation.ErrLogDown
	}
	return stop, nil
}

// OnSuspect implements streaming.Bell.
func (w *world) OnSuspect(fn func()) { w.suspect = fn }

func (w *world) listeners() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.ears) }

// hub runs a Hub on the world; stop ends it and waits.
func (w *world) hub(cfg streaming.Config) (h *streaming.Hub, stop func()) {
	h = streaming.NewHub(cfg, w, w, w, w, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.Run(ctx) })
	return h, sync.OnceFunc(func() { cancel(); wg.Wait() })
}

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
