package conversation

import (
	"context"
	"errors"
	"time"
)

// Locks is the traffic light: while Redis answers, no run starts without the
// conversation's lock. It decides who tries; the fence makes writes safe.
type Locks interface {
	// Obtain takes the lock for one term, or ErrLocked with who holds it.
	Obtain(ctx context.Context, id ID, owner LockOwner, ttl time.Duration) (Lock, error)
	// Holder reads the lock for an operator; nil when nobody holds it.
	Holder(ctx context.Context, id ID) (*LockHolder, error)
	// Break removes exactly the lock that seen describes: its owner is dead.
	Break(ctx context.Context, id ID, seen LockHolder) error
}

// Lock is one held term.
type Lock interface {
	// Refresh extends the term; ErrLockLost says that it is over.
	Refresh(ctx context.Context, ttl time.Duration) error
	Release(ctx context.Context) error
}

// LockOwner is told to operators and lets a dead owner's lock be found.
type LockOwner struct {
	Node  string `json:"node"`
	Run   int64  `json:"run"`
	Since int64  `json:"since"` // milliseconds since 1970
}

// LockHolder is a lock as seen from outside.
type LockHolder struct {
	LockOwner
	// TTL is what is left of the term.
	TTL time.Duration `json:"-"`
	// Value is the lock's whole content, for Break.
	Value string `json:"-"`
}

// LockedError says who holds the lock, as far as it could be read.
type LockedError struct{ Holder *LockHolder }

func (*LockedError) Error() string { return "conversation is locked by another run" }

// ErrLockLost says that a lock's term is over.
var ErrLockLost = errors.New("lock lost")
