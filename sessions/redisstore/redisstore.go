// Package redisstore keeps sessions, presence and tickets in Redis, where all
// nodes see them, and carries orders between the nodes. Nothing here is
// precious and nothing here is waited for long: each call ends within
// Options.Timeout, and a viewer goes on without it.
package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/sessions"
)

// Options of a Store; zero means the value in brackets.
type Options struct {
	// SessionTTL is how long a session lives after it was last seen [15 min].
	SessionTTL time.Duration
	// SessionsPerUser bounds what a user's visits may take [64].
	SessionsPerUser int
	// Lease is how long a node's entries outlive its last beat [6 s].
	Lease time.Duration
	// EntryTTL is how long entries lie in Redis if nobody looks [1 h].
	EntryTTL time.Duration
	// Timeout bounds one call [300 ms].
	Timeout time.Duration
}

// Store implements sessions.Store.
type Store struct {
	rdb redis.UniversalClient
	opt Options
}

var _ sessions.Store = (*Store)(nil)

// New makes a Store over a client whose options are the caller's.
func New(rdb redis.UniversalClient, o Options) *Store {
	if o.SessionTTL <= 0 {
		o.SessionTTL = 15 * time.Minute
	}
	if o.SessionsPerUser <= 0 {
		o.SessionsPerUser = 64
	}
	if o.Lease <= 0 {
		o.Lease = 6 * time.Second
	}
	if o.EntryTTL <= 0 {
		o.EntryTTL = time.Hour
	}
	if o.Timeout <= 0 {
		o.Timeout = 300 * time.Millisecond
	}
	return &Store{rdb: rdb, opt: o}
}

// bounded gives one call its deadline.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opt.Timeout)
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}
