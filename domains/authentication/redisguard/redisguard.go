// Package redisguard counts attempts to sign in for all nodes, in Redis. A
// count that is lost, by a wipe or an outage, costs nobody anything but a few
// guesses more: each node also counts by itself.
package redisguard

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/domains/authentication"
)

// callTime bounds one call: a login does not wait for a Redis that hangs.
const callTime = 200 * time.Millisecond

// countScript counts and sets the term in one step, so that no count stays for
// ever. KEYS: the count. ARGV: term in ms.
var countScript = redis.NewScript(`
local n = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return n
`)

// Attempts implements authentication.Attempts. It is safe for concurrent use.
type Attempts struct{ rdb redis.UniversalClient }

var _ authentication.Attempts = (*Attempts)(nil)

// New makes Attempts over a client whose options are the caller's.
func New(rdb redis.UniversalClient) *Attempts { return &Attempts{rdb} }

// Look implements authentication.Attempts.
func (a *Attempts) Look(ctx context.Context, keys ...string) ([]authentication.Attempt, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	counts, left := make([]*redis.StringCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
	pipe := a.rdb.Pipeline()
	for i, k := range keys {
		counts[i], left[i] = pipe.Get(ctx, keyAttempts(k)), pipe.PTTL(ctx, keyAttempts(k))
	}
	_, _ = pipe.Exec(ctx) // what is not there is an error too; each is looked at below
	out := make([]authentication.Attempt, len(keys))
	for i := range keys {
		n, err := counts[i].Int()
		if err == redis.Nil { //nolint:errorlint // the library returns it bare, and wraps nothing
			continue
		}
		if err == nil {
			err = left[i].Err()
		}
		if err != nil {
			return nil, fmt.Errorf("look at attempts: %w", err)
		}
		out[i] = authentication.Attempt{N: n, Left: max(0, left[i].Val())}
	}
	return out, nil
}

// Count implements authentication.Attempts.
func (a *Attempts) Count(ctx context.Context, forget time.Duration, keys ...string) error {
	// The guess was made, whether its maker waits for the answer or not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	for _, k := range keys {
		if err := countScript.Run(ctx, a.rdb, []string{keyAttempts(k)}, forget.Milliseconds()).Err(); err != nil {
			return fmt.Errorf("count attempt: %w", err)
		}
	}
	return nil
}

// Drop implements authentication.Attempts.
func (a *Attempts) Drop(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	if err := a.rdb.Del(ctx, keyAttempts(key)).Err(); err != nil {
		return fmt.Errorf("drop attempts: %w", err)
	}
	return nil
}
