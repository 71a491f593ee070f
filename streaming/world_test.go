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
	"time"
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
	written  bool // a writer is at it: only it leaves the log
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
	ask      func(conversation.ID) // tells the hub of a possible loss
	behinds  int                   // calls of Behind
	compared int                   // rooms in them
	unknown  error                 // answer of Active for a conversation that is not there
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
	if ep == w.epoch && !w.written {
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
func (w *world) OnSuspect(fn func(conversation.ID)) { w.ask = fn }

// suspect says that the bell may have lost something.
func (w *world) suspect() { w.ask(w.id) }

// Behind implements streaming.Log.
func (w *world) Behind(_ context.Context, at map[conversation.ID]conversation.Cursor) ([]conversation.ID, error) {
	time.Sleep(time.Millisecond) // a trip takes its time
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behinds++
	w.compared += len(at)
	if w.down {
		return nil, conversation.ErrLogDown
	}
	var out []conversation.ID
	for id, c := range at {
		if c.Epoch != w.epoch || c.Seq != w.top {
			out = append(out, id)
		}
	}
	return out, nil
}

func (w *world) listeners() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.ears) }

// hub runs a Hub on the world; stop ends it and waits.
func (w *world) hub(cfg streaming.Config) (h *streaming.Hub, stop func()) {
	h = streaming.NewHub(cfg, w, w, w, w, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.Run(ctx) })
	return h, sync.OnceFunc(func() { cancel(); wg.Wait() })
}
