package redislog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

const (
	// fails is how many calls in a row must get no answer before Redis counts
	// as away.
	fails = 2
	// again is the time from one probe to the next.
	again = 50 * time.Millisecond
)

// gate spares callers the wait for a Redis that hangs, and a dial each to one
// that is not there: after some calls without an answer everybody is told at
// once that it is away, while a probe in the background looks whether it
// answers again. Commands and reads then go on with SQL without a delay each,
// and those who wait for its return may ask often.
//
// It is for one primary: on a cluster the others go on.
type gate struct {
	// ping asks Redis for a sign of life; timeout bounds it.
	ping    func(context.Context) error
	timeout time.Duration

	mu      sync.Mutex // guards what follows
	missed  int        // calls in a row without an answer
	probing bool
	last    time.Time // when the last probe began
}

// errAway is told without asking Redis.
var errAway = errors.New("redis does not answer")

// enter says whether a call may be made. While Redis hangs it may not; the
// first to ask after a while starts the next probe, which ends by itself
// within the time-out.
func (g *gate) enter() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.missed < fails {
		return nil
	}
	if !g.probing && time.Since(g.last) >= again {
		g.probing, g.last = true, time.Now()
		go g.probe()
	}
	return errAway
}

func (g *gate) probe() {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	err := g.ping(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
	if err == nil {
		g.missed = 0
	}
}

// leave notes how a call ended; a caller that gave up says nothing.
func (g *gate) leave(ctx context.Context, err error) {
	if g == nil || errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// What Redis itself refuses, one script's failure say, is an answer.
	if said := redis.Error(nil); err != nil && !errors.As(err, &said) {
		g.missed++
		return
	}
	g.missed = 0
}

// guarded is fn behind the gate, with the error that callers of Log expect.
func guarded[T any](ctx context.Context, g *gate, fn func() (T, error)) (T, error) {
	if err := g.enter(); err != nil {
		var none T
		return none, down(err)
	}
	v, err := fn()
	if err != nil && !errors.Is(err, conversation.ErrLogDown) {
		g.leave(ctx, nil) // a refusal by one of our rules is an answer
		return v, err
	}
	g.leave(ctx, err)
	return v, err
}

func newGate(rdb *redis.Client, timeout time.Duration) *gate {
	return &gate{timeout: timeout, ping: func(ctx context.Context) error { return rdb.Ping(ctx).Err() }}
}
