package streaming

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// feed implements Feed: a cursor in a room.
type feed struct {
	r       *room
	wake    atomic.Pointer[func()]
	opening Opening

	// Guarded by the room's lock.
	epoch    conversation.Epoch
	pos      int64 // delivered up to here
	snapshot bool  // the next delivery is a snapshot
	reason   string
	closed   bool

	// Confined to the goroutine that pulls.
	target   int64 // reaching it for the first time means "caught up"
	caughtUp bool
	troubled bool // the viewer was told of trouble
	// claimed is the cursor of an attach that lay beyond the log, or in a newer
	// log than this node knows.
	claimed conversation.Cursor
}

// Opening implements Feed.
func (f *feed) Opening() Opening { return f.opening }

// Notify implements Feed.
func (f *feed) Notify(wake func()) {
	f.wake.Store(&wake)
	wake()
}

func (f *feed) signal() {
	if w := f.wake.Load(); w != nil {
		(*w)()
	}
}

// Cursor implements Feed.
func (f *feed) Cursor() string {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return conversation.Cursor{Epoch: f.epoch, Seq: f.pos}.String()
}

// Lag implements Feed.
func (f *feed) Lag() int64 {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if f.epoch != f.r.epoch {
		return f.r.last
	}
	return f.r.last - f.pos
}

// Close implements Feed.
func (f *feed) Close() {
	f.r.mu.Lock()
	if f.closed {
		f.r.mu.Unlock()
		return
	}
	f.closed = true
	delete(f.r.feeds, f)
	f.r.mu.Unlock()
	f.r.release()
}

// mergeLimit bounds the text of one merged delta in bytes.
const mergeLimit = 8 << 10

// Pull implements Feed. A viewer that keeps up gets the ring's bytes as they
// are; one that lags gets deltas merged; one that fell out of the ring gets a
// snapshot. At attach a longer way is read from the log.
func (f *feed) Pull(ctx context.Context, limit, maxBytes int) (Batch, error) {
	r := f.r
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return Batch{}, conversation.ErrNotFound
	}
	if f.epoch != r.epoch && !f.snapshot {
		f.snapshot, f.reason = true, "epoch_changed"
	}
	if !f.snapshot && f.pos < r.last && (len(r.ring) == 0 || f.pos+1 < r.ring[0].ev.Seq) {
		if !f.caughtUp {
			ep, pos, known := f.epoch, f.pos, conversation.Cursor{Epoch: r.epoch, Seq: r.last}
			r.mu.Unlock()
			return f.replay(ctx, ep, pos, known, limit, maxBytes)
		}
		f.snapshot, f.reason = true, "slow"
	}
	if f.snapshot {
		r.mu.Unlock()
		return f.snap(ctx)
	}
	var b Batch
	size := 0
	i := 0
	if f.pos < r.last {
		i = int(f.pos + 1 - r.ring[0].ev.Seq)
	}
	for f.pos < r.last && len(b.Items) < limit && (size < maxBytes || size == 0) {
		e := &r.ring[i]
		item := Item{Kind: ItemEvent, JSON: e.json, Cursor: conversation.Cursor{Epoch: f.epoch, Seq: e.ev.Seq}.String()}
		i++
		if m := e.ev; m.IsDelta() && i < len(r.ring) {
			n := i
			for n < len(r.ring) && m.Merge(&r.ring[n].ev, mergeLimit) {
				n++
			}
			if n > i {
				i = n
				item.JSON = m.AppendJSON(nil, f.epoch)
				item.Cursor = conversation.Cursor{Epoch: f.epoch, Seq: m.Seq}.String()
				f.pos = m.Seq
			}
		}
		f.pos = max(f.pos, e.ev.Seq)
		size += len(item.JSON)
		b.Items = append(b.Items, item)
	}
	b.More = f.pos < r.last
	b.Ended = r.ended && !b.More
	pos := f.pos
	r.mu.Unlock()
	f.told(&b, pos)
	return b, nil
}

// told adds "caught up" when everything that was there at attach is out.
func (f *feed) told(b *Batch, pos int64) {
	if !f.caughtUp && pos >= f.target {
		f.caughtUp = true
		b.Items = append(b.Items, Item{Kind: ItemCaughtUp, Cursor: f.Cursor()})
	}
}

// replay serves an attach from the log.
func (f *feed) replay(ctx context.Context, ep conversation.Epoch, pos int64, known conversation.Cursor, limit, maxBytes int) (Batch, error) {
	page, err := f.r.h.log.Read(ctx, f.r.id, ep, pos, 500)
	if err != nil {
		if errors.Is(err, conversation.ErrLogDown) {
			return f.trouble(err)
		}
		f.r.mu.Lock()
		f.snapshot, f.reason = true, "epoch_changed"
		if errors.Is(err, conversation.ErrTrimmed) {
			f.reason = "trimmed"
		}
		f.r.mu.Unlock()
		return f.snap(ctx)
	}
	if len(page.Events) == 0 && f.lacks(known, ep, pos) {
		return f.trouble(conversation.ErrLogMissing)
	}
	var b Batch
	size := 0
	for i := 0; i < len(page.Events) && len(b.Items) < limit && (size < maxBytes || size == 0); {
		ev := page.Events[i]
		for i++; i < len(page.Events) && ev.Merge(&page.Events[i], mergeLimit); i++ {
		}
		js := ev.AppendJSON(nil, ep)
		pos = ev.Seq
		size += len(js)
		b.Items = append(b.Items, Item{Kind: ItemEvent, JSON: js, Cursor: conversation.Cursor{Epoch: ep, Seq: pos}.String()})
	}
	f.r.mu.Lock()
	if f.epoch == ep {
		f.pos = pos
	}
	b.More = f.pos < f.r.last || f.epoch != f.r.epoch
	b.Ended = f.r.ended && !b.More
	f.r.mu.Unlock()
	f.troubled = false
	f.told(&b, pos)
	return b, nil
}

// lacks reports that a log, read after the room stood at known, ends before
// that: its end was lost. To ask it again would find the same until its writer,
// or the room's next look, has left it for a new one.
func (f *feed) lacks(known conversation.Cursor, ep conversation.Epoch, top int64) bool {
	if ep != known.Epoch || top >= known.Seq {
		return false
	}
	f.r.look()
	return true
}

// snap delivers the folded state and goes on from its position.
func (f *feed) snap(ctx context.Context) (Batch, error) {
	f.r.mu.Lock()
	seen := conversation.Cursor{Epoch: f.r.epoch, Seq: f.r.last}
	f.r.mu.Unlock()
	a, err := f.r.current(ctx, seen, f.claimed)
	if err != nil {
		return f.trouble(err)
	}
	if f.lacks(seen, a.Epoch, a.Top) {
		return f.trouble(conversation.ErrLogMissing)
	}
	f.claimed = conversation.Cursor{}
	js, err := a.State.AppendStateJSON(nil)
	if err != nil {
		return Batch{}, err
	}
	at := conversation.Cursor{Epoch: a.Epoch, Seq: a.Top}.String()
	var b Batch
	r := f.r
	r.mu.Lock()
	reason := f.reason
	if reason == "" {
		reason = f.opening.Reason
	}
	if a.Epoch.Counter < f.epoch.Counter {
		// Never lead a viewer back to a log it has left.
		r.mu.Unlock()
		return f.trouble(conversation.ErrLogMissing)
	}
	f.epoch, f.pos, f.snapshot, f.reason = a.Epoch, a.Top, false, ""
	if a.Epoch != r.epoch || a.Top > r.last {
		r.lookLocked()
	}
	if a.Epoch != r.epoch {
		// The room learns of the new log by its look; until then this feed is
		// ahead of it and must not be reset again.
		r.adopt(a)
	}
	b.More = f.pos < r.last
	b.Ended = a.State.Header.State == conversation.StateEnded && !b.More
	r.mu.Unlock()
	if reason != "no_cursor" {
		b.Items = append(b.Items, Item{Kind: ItemReset, Reason: reason, Cursor: at})
	}
	b.Items = append(b.Items, Item{Kind: ItemSnapshot, JSON: js, Cursor: at})
	f.troubled, f.target = false, 0
	f.told(&b, a.Top)
	return b, nil
}

// adopt takes a newer log's state as where the room stands.
func (r *room) adopt(a conversation.Active) {
	if a.Epoch.Counter < r.epoch.Counter {
		return
	}
	r.epoch, r.last, r.low, r.facts = a.Epoch, a.Top, a.Low, a.Facts
	r.ended, r.writing = a.State.Header.State == conversation.StateEnded, a.State.Open != nil
	r.ring, r.bytes = nil, 0
	r.wakeAll()
}

// trouble tells the viewer once that delivery waits, and keeps it.
func (f *feed) trouble(err error) (Batch, error) {
	if errors.Is(err, conversation.ErrNotFound) {
		return Batch{}, err
	}
	f.r.mu.Lock()
	f.r.wanting = true
	f.r.mu.Unlock()
	if f.troubled {
		return Batch{}, nil
	}
	f.troubled = true
	return Batch{Items: []Item{{Kind: ItemError, Reason: string(fault.StorageUnavailable)}}}, nil
}
