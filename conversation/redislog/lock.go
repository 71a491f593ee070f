package redislog

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

//go:embed scripts/break.lua
var breakLua string

var breakScript = redis.NewScript(breakLua)

// Locks implements conversation.Locks with bsm/redislock: its own random
// token, one try, no retry; the metadata names the owner for operators.
type Locks struct {
	rdb     redis.UniversalClient
	client  *redislock.Client
	timeout time.Duration
}

// NewLocks returns Locks on rdb; each call takes at most timeout.
func NewLocks(rdb redis.UniversalClient, timeout time.Duration) *Locks {
	return &Locks{rdb: rdb, client: redislock.New(rdb), timeout: timeout}
}

// Obtain implements conversation.Locks.
func (l *Locks) Obtain(ctx context.Context, id conversation.ID, owner conversation.LockOwner, ttl time.Duration) (conversation.Lock, error) {
	meta, err := json.Marshal(owner)
	if err != nil {
		return nil, err
	}
	c, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	lk, err := l.client.Obtain(c, LockKey(id), ttl, &redislock.Options{Metadata: string(meta)})
	if errors.Is(err, redislock.ErrNotObtained) {
		h, err := l.Holder(ctx, id)
		if err != nil {
			return nil, err
		}
		return nil, &conversation.LockedError{Holder: h}
	}
	if err != nil {
		return nil, down(err)
	}
	return &held{lk, l.timeout}, nil
}

// Holder implements conversation.Locks.
func (l *Locks) Holder(ctx context.Context, id conversation.ID) (*conversation.LockHolder, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	pipe := l.rdb.Pipeline()
	val, ttl := pipe.Get(ctx, LockKey(id)), pipe.PTTL(ctx, LockKey(id))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, down(err)
	}
	if errors.Is(val.Err(), redis.Nil) {
		return nil, nil
	}
	h := &conversation.LockHolder{Value: val.Val(), TTL: ttl.Val()}
	// redislock stores token and metadata as one string; the token is base64
	// and holds no brace.
	if i := strings.IndexByte(h.Value, '{'); i >= 0 {
		_ = json.Unmarshal([]byte(h.Value[i:]), &h.LockOwner) // a foreign lock has no owner of ours
	}
	return h, nil
}

// Break implements conversation.Locks.
func (l *Locks) Break(ctx context.Context, id conversation.ID, seen conversation.LockHolder) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return down(breakScript.Run(ctx, l.rdb, []string{LockKey(id)}, seen.Value).Err())
}

type held struct {
	lk      *redislock.Lock
	timeout time.Duration
}

func (h *held) Refresh(ctx context.Context, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	err := h.lk.Refresh(ctx, ttl, nil)
	if errors.Is(err, redislock.ErrNotObtained) {
		return conversation.ErrLockLost
	}
	return down(err)
}

// Release uses a context of its own: the caller's is often cancelled by then,
// and a lock left behind would stand until its term ends.
func (h *held) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.timeout)
	defer cancel()
	if err := h.lk.Release(ctx); err != nil && !errors.Is(err, redislock.ErrLockNotHeld) {
		return down(err)
	}
	return nil
}
