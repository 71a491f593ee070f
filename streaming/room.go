package streaming

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// room is one watched conversation: the newest events, contiguous, and who
// wants to know of more. Events come from the bell, from this node's own
// writers, and from the log whenever a number is missing.
type room struct {
	h     *Hub
	id    conversation.ID
	phase int
	ready chan struct{} // closed when the first read of the log has ended
	stop  func()        // ends the bell; set before ready

	mu      sync.Mutex // guards what follows
	err     error      // why the room cannot serve; cleared when it can
	owner   conversation.LearnerID
	epoch   conversation.Epoch
	last    int64 // newest seq known
	low     int64 // oldest seq that the log can still serve
	facts   int64
	ended   bool
	gone    bool // erased: there is no such conversation any more
	writing bool // a run is open
	wanting bool // a viewer waits for a read that failed
	tries   int  // looks of fails since it failed
	well    int  // times in a row that fails found nothing
	ring    []ringEvent
	bytes   int
	feeds   map[*feed]struct{}
	holders int
	since   time.Time // when the last holder left
	looking bool
	again   bool // something came while looking
	closed  bool
}

type ringEvent struct {
	ev   conversation.Event
	json []byte
}

func newRoom(h *Hub, id conversation.ID) *room {
	return &room{h: h, id: id, phase: rand.IntN(30), ready: make(chan struct{}), stop: func() {}, feeds: map[*feed]struct{}{}, since: time.Now()}
}

// begin subscribes first and reads then, so that nothing falls in between.
func (r *room) begin() {
	defer close(r.ready)
	ctx, cancel := context.WithTimeout(r.h.ctx, 5*time.Second)
	defer cancel()
	sub, done := context.WithTimeout(ctx, 2*time.Second)
	stop, err := r.h.bell.Listen(sub, r.id, r.take)
	done()
	if stop != nil {
		r.stop = stop
	}
	if err != nil {
		r.h.lg.Debug("bell not confirmed; the room polls", "conversation_id", r.id, "err", err)
	}
	r.sync(ctx)
}

// sync reads where the log stands and begins anew from there.
func (r *room) sync(ctx context.Context) {
	r.mu.Lock()
	seen := conversation.Cursor{Epoch: r.epoch, Seq: r.last}
	r.mu.Unlock()
	a, err := r.current(ctx, seen)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	if errors.Is(err, conversation.ErrNotFound) && !r.epoch.Zero() {
		r.gone = true
		r.wakeAll()
	}
	if err != nil {
		return
	}
	r.owner = a.State.Header.Owner
	if a.Epoch == r.epoch && a.Top <= r.last {
		r.low = max(r.low, a.Low)
		return
	}
	if a.Epoch.Counter < r.epoch.Counter {
		return // an older primary answered; what is known is newer
	}
	r.epoch, r.last, r.low, r.facts = a.Epoch, a.Top, a.Low, a.Facts
	r.ended, r.writing = a.State.Header.State == conversation.StateEnded, a.State.Open != nil
	r.ring, r.bytes = nil, 0
	r.wakeAll()
}

// current reads the live state. A log that ends before a place that somebody
// has seen lost its end (a Redis restored from an older copy of itself): it is
// left for a new one, never grown again with other content.
func (r *room) current(ctx context.Context, seen ...conversation.Cursor) (conversation.Active, error) {
	newest := int64(0)
	for _, c := range seen {
		newest = max(newest, c.Counter)
	}
	a, err := r.h.keeper.ActiveFrom(ctx, r.id, newest)
	if err != nil {
		return a, err
	}
	for _, c := range seen {
		if c.Epoch == a.Epoch && c.Seq > a.Top {
			if err := r.h.keeper.Renew(ctx, r.id, a.Epoch); err != nil {
				return a, err
			}
			return r.h.keeper.ActiveFrom(ctx, r.id, newest)
		}
	}
	return a, nil
}

// take is called for every event that arrives live, in any order, perhaps
// twice or not at all.
func (r *room) take(ep conversation.Epoch, ev conversation.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed || ep.Counter < r.epoch.Counter:
	case ep != r.epoch || ev.Seq > r.last+1:
		r.lookLocked()
	case ev.Seq == r.last+1:
		r.push(ev)
		r.wakeAll()
	}
}

// push adds the next event to the ring.
func (r *room) push(ev conversation.Event) {
	js := ev.AppendJSON(make([]byte, 0, 160+len(ev.Text)+len(ev.Data)), r.epoch)
	r.ring = append(r.ring, ringEvent{ev, js})
	r.bytes += len(js)
	r.last = ev.Seq
	if ev.Fact > r.facts {
		r.facts = ev.Fact
	}
	switch {
	case ev.Type == conversation.TypeEnded:
		r.ended = true
	case ev.EndsRun():
		r.writing = false
	case ev.Expects():
		r.writing = true
	}
	for len(r.ring) > r.h.cfg.RingEvents || r.bytes > r.h.cfg.RingBytes && len(r.ring) > 1 {
		r.bytes -= len(r.ring[0].json)
		r.ring[0] = ringEvent{}
		r.ring = r.ring[1:]
	}
}

func (r *room) wakeAll() {
	for f := range r.feeds {
		f.signal()
	}
}

// look reads the log beyond what is known, in a goroutine of the hub.
func (r *room) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookLocked()
}

func (r *room) lookLocked() {
	if r.closed {
		return
	}
	if r.looking {
		r.again = true
		return
	}
	r.looking = true
	r.h.wg.Go(r.lookLoop)
}

func (r *room) lookLoop() {
	for {
		r.lookOnce()
		r.mu.Lock()
		if !r.again || r.closed {
			r.looking = false
			r.mu.Unlock()
			return
		}
		r.again = false
		r.mu.Unlock()
	}
}

func (r *room) lookOnce() {
	select {
	case <-r.ready:
	case <-r.h.ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(r.h.ctx, 5*time.Second)
	defer cancel()
	r.readOn(ctx)
}

// hear looks before a cursor is judged that lies beyond what is known: another
// node may have heard, and delivered, what this one has not.
func (r *room) hear(ctx context.Context, cursor string) {
	c, ok := conversation.ParseCursor(cursor)
	if !ok {
		return
	}
	r.mu.Lock()
	known := c.Counter < r.epoch.Counter || c.Epoch == r.epoch && c.Seq <= r.last
	r.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r.readOn(ctx)
}

// readOn reads the log once beyond what is known.
func (r *room) readOn(ctx context.Context) {
	r.mu.Lock()
	ep, after := r.epoch, r.last
	r.mu.Unlock()
	if ep.Zero() {
		r.sync(ctx)
		return
	}
	page, err := r.h.read(ctx, r.id, ep, after)
	switch {
	case errors.Is(err, conversation.ErrLogDown):
		return // what is known stays; the next look tries again
	case err != nil:
		// Another log, a shorter one, or a hole: begin anew from its state.
		r.sync(ctx)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != ep {
		return
	}
	n := 0
	for _, ev := range page.Events {
		if ev.Seq == r.last+1 {
			r.push(ev)
			n++
		}
	}
	if n > 0 {
		r.wakeAll()
	}
	if r.last < page.Top {
		r.again = true
	}
}

// hold and release count those who need the room.
func (r *room) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holders++
}

func (r *room) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holders--
	r.since = time.Now()
}

func (r *room) idleFor(d time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holders == 0 && (time.Since(r.since) > d || r.err != nil)
}

// stands is where the room is; whole is false while it has read nothing, or
// its last read failed.
func (r *room) stands() (at conversation.Cursor, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return conversation.Cursor{Epoch: r.epoch, Seq: r.last}, !r.epoch.Zero() && r.err == nil
}

// busy reports a room whose silence could be a loss.
func (r *room) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writing || r.wanting || r.err != nil || r.epoch.Zero()
}

// fails reports a room that could not read its log and is to try again, and
// lets viewers try again whose own read failed: twice at once, then at the pace
// of the polls, so that a Redis that is only slow is not asked ever more.
func (r *room) fails() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.wanting && r.err == nil {
		// A viewer's try takes its time; only a while without one is health.
		if r.well++; r.well >= 5 {
			r.tries = 0
		}
		return false
	}
	r.well = 0
	r.tries++
	if r.tries > 2 && r.tries%5 != 0 {
		return false
	}
	if r.wanting {
		r.wanting = false
		r.wakeAll()
	}
	return true
}

// log names the log that the room reads.
func (r *room) log() conversation.Epoch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

func (r *room) factsKnown() (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.facts, !r.epoch.Zero() && !r.closed
}

func (r *room) close() {
	<-r.ready
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.mu.Unlock()
	r.stop()
}

// attach makes a viewer's feed and judges its cursor.
func (r *room) attach(viewer conversation.LearnerID, cursor string) (*feed, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch.Zero() {
		r.lookLocked()
		return nil, unavailable(r.err)
	}
	if r.gone || r.owner != viewer {
		return nil, conversation.ErrNotFound
	}
	f := &feed{r: r, epoch: r.epoch}
	f.opening, f.pos = r.judge(cursor)
	f.snapshot = f.opening.Mode == "snapshot"
	if c, ok := conversation.ParseCursor(cursor); ok && (f.opening.Reason == "ahead" || c.Counter > r.epoch.Counter) {
		f.claimed = c
	}
	f.target = r.last
	r.feeds[f] = struct{}{}
	return f, nil
}

// judge says whether a cursor can be served by replay. A cursor beyond the log
// means that Redis lost writes, never "nothing new".
func (r *room) judge(cursor string) (Opening, int64) {
	at := conversation.Cursor{Epoch: r.epoch, Seq: r.last}.String()
	c, ok := conversation.ParseCursor(cursor)
	reason := ""
	switch {
	case cursor == "":
		reason = "no_cursor"
	case !ok:
		reason = "bad_cursor"
	case c.Epoch != r.epoch:
		reason = "epoch_changed"
	case c.Seq > r.last:
		// hear has looked; should that have failed, another look is due.
		r.lookLocked()
		reason = "ahead"
	case c.Seq+1 < r.low:
		reason = "trimmed"
	case r.last-c.Seq > r.h.cfg.Replay:
		reason = "too_far"
	default:
		return Opening{Mode: "replay", Cursor: cursor}, c.Seq
	}
	return Opening{Mode: "snapshot", Cursor: at, Reason: reason}, 0
}

// unavailable turns a failure of the log into what a viewer may be told.
func unavailable(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fault.Wrap(err, fault.StorageUnavailable, "The conversation cannot be read right now.")
}
