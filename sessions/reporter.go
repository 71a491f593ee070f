package sessions

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// reporter writes sessions and attachments to the Store from one goroutine, in
// groups, so that no viewer ever waits for it and a Store that is down costs
// nothing but what it would have shown.
type reporter struct {
	store Store
	tim   Times
	log   *slog.Logger
	// failing is set while the Store fails, so that it is logged once.
	failing atomic.Bool
	kick    chan struct{}

	// mu guards the lists of what waits to be written.
	mu       sync.Mutex
	views    []*attachment
	sessions []*visit
	gone     []Viewer
}

// group is the time in which changes are collected.
const group = 50 * time.Millisecond

// farewell bounds the last flush at Close.
const farewell = time.Second

func newReporter(s Store, t Times, log *slog.Logger) *reporter {
	return &reporter{store: s, tim: t, log: log, kick: make(chan struct{}, 1)}
}

func (r *reporter) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// run flushes until ctx ends, then once more.
func (r *reporter) run(ctx context.Context) {
	if r.store == nil {
		<-ctx.Done()
		return
	}
	t := time.NewTimer(r.tim.Report)
	defer t.Stop()
	soon := false // or kicks that never stop would put the flush off for ever
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			r.flush(last, true)
			cancel()
			return
		case <-r.kick:
			if !soon {
				soon = true
				t.Reset(group)
			}
		case <-t.C:
			soon = false
			r.flush(ctx, false)
			t.Reset(r.tim.Report)
		}
	}
}

// flush writes what is due; all says that nothing may wait longer.
func (r *reporter) flush(ctx context.Context, all bool) {
	now := time.Now()
	r.mu.Lock()
	views, visits, gone := r.views, r.sessions, r.gone
	r.views, r.sessions, r.gone = nil, nil, nil
	r.mu.Unlock()

	var put []Viewer
	var laterViews []*attachment
	for _, a := range views {
		switch v, due, drop := a.take(now, r.tim.Report, all); {
		case drop:
		case due:
			put = append(put, v)
		default:
			laterViews = append(laterViews, a)
		}
	}
	var laterVisits []*visit
	for i, v := range visits {
		s, due := v.take(now, r.tim.Report, all)
		if !due {
			laterVisits = append(laterVisits, v)
			continue
		}
		if err := r.store.Save(ctx, s); err != nil {
			// One answer is enough to know; each more would cost a time-out.
			r.note(err)
			v.change(true, func(*Session) {})
			laterVisits = append(laterVisits, visits[i+1:]...)
			break
		}
		r.note(nil)
	}
	if len(put) > 0 {
		r.note(r.store.PutViewers(ctx, put))
	}
	if len(gone) > 0 {
		r.note(r.store.DropViewers(ctx, gone))
	}
	r.mu.Lock()
	r.views = append(r.views, laterViews...)
	r.sessions = append(r.sessions, laterVisits...)
	r.mu.Unlock()
}

// note logs the first failure of a row and its end.
func (r *reporter) note(err error) {
	switch {
	case err != nil && r.failing.CompareAndSwap(false, true):
		r.log.Warn("session store does not answer; viewers go on without it", "err", err)
	case err == nil && r.failing.CompareAndSwap(true, false):
		r.log.Info("session store answers again")
	}
}

// attachment is what a connection's feed tells the reporter.
type attachment struct {
	rep *reporter

	// mu guards v and the flags.
	mu sync.Mutex
	v  Viewer
	// queued: it stands in rep.views. closed: it will never be written again.
	queued, closed bool
	written        time.Time
}

func (r *reporter) attach(v Viewer) *attachment {
	v.Since = time.Now().UnixMilli()
	a := &attachment{rep: r, v: v}
	a.update(func(*Viewer) {})
	r.wake()
	return a
}

// update changes the viewer and has it written in due time.
func (a *attachment) update(f func(*Viewer)) {
	a.mu.Lock()
	f(&a.v)
	a.v.At = time.Now().UnixMilli()
	queue := !a.queued && !a.closed && a.rep.store != nil
	if queue {
		a.queued = true
	}
	a.mu.Unlock()
	if queue {
		a.rep.mu.Lock()
		a.rep.views = append(a.rep.views, a)
		a.rep.mu.Unlock()
	}
}

func (a *attachment) delivered(cursor string, lag int64) {
	a.update(func(v *Viewer) { v.Cursor, v.Lag = cursor, lag })
}

// refresh writes an idle attachment again before it lapses in the Store.
func (a *attachment) refresh(now time.Time, after time.Duration) {
	a.mu.Lock()
	stale := !a.queued && now.Sub(a.written) >= after
	a.mu.Unlock()
	if stale {
		a.update(func(*Viewer) {})
	}
}

func (a *attachment) view() Viewer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.v
}

func (a *attachment) take(now time.Time, every time.Duration, all bool) (v Viewer, due, drop bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return Viewer{}, false, true
	}
	if !all && now.Sub(a.written) < every {
		return Viewer{}, false, false
	}
	a.queued, a.written = false, now
	return a.v, true, false
}

// detach forgets the attachment.
func (a *attachment) detach() {
	a.mu.Lock()
	was := a.closed
	a.closed = true
	v := a.v
	a.mu.Unlock()
	if was || a.rep.store == nil {
		return
	}
	a.rep.mu.Lock()
	a.rep.gone = append(a.rep.gone, v)
	a.rep.mu.Unlock()
	a.rep.wake()
}

// visit is a session while a connection has it.
type visit struct {
	rep *reporter

	// mu guards what follows.
	mu     sync.Mutex
	s      Session
	queued bool
	// urgent: the set of subscriptions changed, not only a cursor.
	urgent bool
	saved  time.Time
}

func (v *visit) change(urgent bool, f func(*Session)) {
	v.mu.Lock()
	f(&v.s)
	v.s.LastSeen = time.Now()
	v.urgent = v.urgent || urgent
	queue := !v.queued && v.rep.store != nil
	if queue {
		v.queued = true
	}
	v.mu.Unlock()
	if queue {
		v.rep.mu.Lock()
		v.rep.sessions = append(v.rep.sessions, v)
		v.rep.mu.Unlock()
	}
	if urgent && v.rep.store != nil {
		v.rep.wake()
	}
}

// set records what the client is known to have of a conversation.
func (v *visit) set(c conversation.ID, cursor string, urgent bool) {
	v.change(urgent, func(s *Session) {
		if s.Subs == nil {
			s.Subs = map[conversation.ID]string{}
		}
		s.Subs[c] = cursor
	})
}

func (v *visit) unset(c conversation.ID) {
	v.change(true, func(s *Session) { delete(s.Subs, c) })
}

// touch extends a session's life, at most once per interval.
func (v *visit) touch(now time.Time, every time.Duration) {
	v.mu.Lock()
	due := now.Sub(v.saved) >= every && !v.queued
	v.mu.Unlock()
	if due {
		v.change(false, func(*Session) {})
	}
}

func (v *visit) take(now time.Time, every time.Duration, all bool) (Session, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !all && !v.urgent && now.Sub(v.saved) < every {
		return Session{}, false
	}
	v.queued, v.urgent, v.saved = false, false, now
	s := v.s
	s.Subs = make(map[conversation.ID]string, len(v.s.Subs))
	for c, cur := range v.s.Subs {
		s.Subs[c] = cur
	}
	return s, true
}
