package sessions

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// visit is a session while a connection has it.
type visit struct {
	rep *reporter

	// io is held while the session is written, so that no older picture of it
	// lands on a newer one.
	io sync.Mutex

	// mu guards what follows.
	mu     sync.Mutex
	s      Session
	queued bool
	// dirty: there is more to write than a sign of life; urgent: it may not
	// wait for Times.Report.
	dirty, urgent bool
	// lost: another connection has the session by now; nothing is written any
	// more.
	lost  bool
	saved time.Time
}

// change has the session written in due time, or soon if it is urgent.
func (v *visit) change(urgent bool, f func(*Session)) {
	v.mu.Lock()
	f(&v.s)
	v.urgent = v.urgent || urgent
	queue := !v.queued && !v.lost && v.rep.store != nil
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

// set records what the client is known to have of a conversation and reports
// whether it is a new one.
func (v *visit) set(c conversation.ID, cursor string) (added bool) {
	v.change(false, func(s *Session) {
		if s.Subs == nil {
			s.Subs = map[conversation.ID]string{}
		}
		_, known := s.Subs[c]
		s.Subs[c], added, v.dirty = cursor, !known, true
	})
	return added
}

func (v *visit) unset(c conversation.ID) {
	v.change(true, func(s *Session) { delete(s.Subs, c); v.dirty = true })
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

// due takes the visit off the list if its time has come.
func (v *visit) due(now time.Time, every time.Duration, all bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !all && !v.urgent && now.Sub(v.saved) < every {
		return false
	}
	v.queued = false
	return true
}

// keep writes the session now, so that what is confirmed to the client next is
// found by its next connection, wherever that is. A Store that does not answer
// is not asked; the session is then written when it does.
func (v *visit) keep(ctx context.Context) {
	if v.rep.store == nil || v.rep.failing.Load() {
		return
	}
	err := v.write(ctx)
	if v.rep.note(err); err != nil {
		v.change(true, func(*Session) {})
	}
}

// write brings the session into the Store. One that has gone there, by a wipe
// or because the Store was away for long, is made again.
func (v *visit) write(ctx context.Context) error {
	v.io.Lock()
	defer v.io.Unlock()
	v.mu.Lock()
	if v.lost {
		v.mu.Unlock()
		return nil
	}
	s, dirty := v.s, v.dirty
	s.Subs = maps.Clone(v.s.Subs)
	v.dirty, v.urgent, v.saved = false, false, time.Now()
	v.mu.Unlock()
	var out Outcome
	var err error
	if dirty {
		out, err = v.rep.store.Update(ctx, s)
	} else {
		out, err = v.rep.store.Extend(ctx, s)
	}
	if err == nil && out == Gone {
		err = v.rep.store.Create(ctx, s)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dirty = v.dirty || dirty && err != nil
	v.lost = v.lost || err == nil && out == Taken
	return err
}
