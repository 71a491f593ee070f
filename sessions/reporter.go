package sessions

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// reporter writes sessions and attachments to the Store from one goroutine, in
// groups, so that no viewer ever waits for it and a Store that is down costs
// nothing but what it would have shown.
type reporter struct {
	store   Store
	tim     Times
	log     *slog.Logger
	members func() []member
	// failing is set while the Store fails, so that it is logged once.
	failing atomic.Bool
	// again asks for everything to be written anew.
	again atomic.Bool
	kick  chan struct{}
	// renewed is when connections were last entered anew; for run alone.
	renewed time.Time

	// exiting is held while exits are carried out.
	exiting sync.Mutex

	// mu guards the lists of what waits to be written.
	mu       sync.Mutex
	views    []*attachment
	sessions []*visit
	gone     []Viewer
	exits    []Connection
}

// group is the time in which changes are collected.
const group = 50 * time.Millisecond

// farewell bounds the last flush at Close.
const farewell = time.Second

// maxGone bounds what is kept of the departed while the Store does not answer;
// what is beyond it lapses in the Store.
const maxGone = 20000

func newReporter(s Store, t Times, log *slog.Logger, members func() []member) *reporter {
	return &reporter{store: s, tim: t, log: log, members: members, kick: make(chan struct{}, 1), renewed: time.Now()}
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
	if again := r.again.Swap(false); again || now.Sub(r.renewed) >= r.tim.Refresh {
		r.renew(ctx, now, again)
	}
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
		if !v.due(now, r.tim.Report, all) {
			laterVisits = append(laterVisits, v)
			continue
		}
		err := v.write(ctx)
		if r.note(err); err != nil {
			// One answer is enough to know; each more would cost a time-out.
			v.change(true, func(*Session) {})
			laterVisits = append(laterVisits, visits[i+1:]...)
			break
		}
	}
	if len(put) > 0 {
		r.note(r.store.PutViewers(ctx, put))
	}
	if len(gone) > 0 {
		err := r.store.DropViewers(ctx, gone)
		if r.note(err); err == nil {
			gone = nil
		}
	}
	r.flushExits(ctx)
	r.mu.Lock()
	r.views = append(r.views, laterViews...)
	r.sessions = append(r.sessions, laterVisits...)
	r.gone = append(gone, r.gone...)[:min(len(gone)+len(r.gone), maxGone)]
	r.mu.Unlock()
}

// flushExits forgets the connections that have ended. A connection that finds
// its learner's places taken waits for it and tries again.
func (r *reporter) flushExits(ctx context.Context) {
	r.exiting.Lock()
	defer r.exiting.Unlock()
	r.mu.Lock()
	exits := r.exits
	r.exits = nil
	r.mu.Unlock()
	if len(exits) == 0 {
		return
	}
	err := r.store.Exit(ctx, exits)
	if r.note(err); err == nil {
		return
	}
	r.mu.Lock()
	r.exits = append(exits, r.exits...)[:min(len(exits)+len(r.exits), maxGone)]
	r.mu.Unlock()
}

// renew enters the connections anew, before they lapse in the Store; with all
// it has sessions and attachments written too. It runs where exits are written,
// so that one which has gone is not entered after its exit.
func (r *reporter) renew(ctx context.Context, now time.Time, all bool) {
	var conns []Connection
	for _, m := range r.members() {
		if c := m.self(); c.ID != "" {
			conns = append(conns, c)
		}
		if all {
			m.renew()
		}
	}
	err := r.store.PutConnections(ctx, conns)
	if r.note(err); err != nil {
		r.again.Store(true)
		return
	}
	r.renewed = now
}

// renewAll has everything written again soon.
func (r *reporter) renewAll() {
	r.again.Store(true)
	r.wake()
}

// exit forgets a connection in due time.
func (r *reporter) exit(c Connection) {
	if r.store == nil || c.ID == "" {
		return
	}
	r.mu.Lock()
	r.exits = append(r.exits, c)
	r.mu.Unlock()
	r.wake()
}

// note logs the first failure of a row and its end.
func (r *reporter) note(err error) {
	switch {
	case err != nil && r.failing.CompareAndSwap(false, true):
		r.log.Warn("session store does not answer; viewers go on without it", "err", err)
	case err == nil && r.failing.CompareAndSwap(true, false):
		r.log.Info("session store answers again")
		r.renewAll() // connections that came meanwhile are not entered yet
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
