package memstore

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// Locks implements conversation.Locks on the server that a Log is connected
// to: like redislock's, its keys know no incarnation.
type Locks struct {
	log  *Log
	hook Hook
}

type lockEntry struct {
	value   string
	expires time.Time
}

// NewLocks returns Locks beside l.
func NewLocks(l *Log, hook Hook) *Locks { return &Locks{l, hook} }

func onServer[T any](ctx context.Context, l *Locks, op string, id conversation.ID, fn func(s *Server) T) (T, error) {
	out, err := through(ctx, l.hook, op, id, func() (T, error) {
		s := l.log.Server()
		s.mu.Lock()
		defer s.mu.Unlock()
		if e, ok := s.locks[id]; ok && !time.Now().Before(e.expires) {
			delete(s.locks, id)
		}
		return fn(s), nil
	})
	if err != nil {
		err = down(err)
	}
	return out, err
}

// Obtain implements conversation.Locks.
func (l *Locks) Obtain(ctx context.Context, id conversation.ID, owner conversation.LockOwner, ttl time.Duration) (conversation.Lock, error) {
	meta, err := json.Marshal(owner)
	if err != nil {
		return nil, err
	}
	value, err := onServer(ctx, l, "lock.obtain", id, func(s *Server) string {
		if _, taken := s.locks[id]; taken {
			return ""
		}
		s.lastNonce++ // never twice in one lifetime: that is all a token must be
		v := s.identity + strconv.FormatInt(s.lastNonce, 36) + string(meta)
		s.locks[id] = lockEntry{v, time.Now().Add(ttl)}
		return v
	})
	if err != nil {
		return nil, err
	}
	if value == "" {
		h, err := l.Holder(ctx, id)
		if err != nil {
			return nil, err
		}
		return nil, &conversation.LockedError{Holder: h}
	}
	return &held{l, id, value}, nil
}

// Holder implements conversation.Locks.
func (l *Locks) Holder(ctx context.Context, id conversation.ID) (*conversation.LockHolder, error) {
	return onServer(ctx, l, "lock.holder", id, func(s *Server) *conversation.LockHolder {
		e, ok := s.locks[id]
		if !ok {
			return nil
		}
		h := &conversation.LockHolder{Value: e.value, TTL: time.Until(e.expires)}
		for i := range e.value {
			if e.value[i] == '{' {
				_ = json.Unmarshal([]byte(e.value[i:]), &h.LockOwner) // we wrote it
				break
			}
		}
		return h
	})
}

// Break implements conversation.Locks.
func (l *Locks) Break(ctx context.Context, id conversation.ID, seen conversation.LockHolder) error {
	_, err := onServer(ctx, l, "lock.break", id, func(s *Server) bool { return s.unlock(id, seen.Value) })
	return err
}

func (s *Server) unlock(id conversation.ID, value string) bool {
	if s.locks[id].value != value {
		return false
	}
	delete(s.locks, id)
	return true
}

type held struct {
	l     *Locks
	id    conversation.ID
	value string
}

// Refresh implements conversation.Lock.
func (h *held) Refresh(ctx context.Context, ttl time.Duration) error {
	mine, err := onServer(ctx, h.l, "lock.refresh", h.id, func(s *Server) bool {
		if s.locks[h.id].value != h.value {
			return false
		}
		s.locks[h.id] = lockEntry{h.value, time.Now().Add(ttl)}
		return true
	})
	if err == nil && !mine {
		return conversation.ErrLockLost
	}
	return err
}

// Release implements conversation.Lock, with a context of its own as
// redislog does.
func (h *held) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
	defer cancel()
	_, err := onServer(ctx, h.l, "lock.release", h.id, func(s *Server) bool { return s.unlock(h.id, h.value) })
	return err
}
