package redislog

import (
	"context"
)

// wide is how many calls that carry a whole conversation are under way at once,
// half of the connections of a node. When Redis comes back everybody wants the
// state of everything: were they all let in, each would wait for the others
// until its time-out, fail and ask again, and no writer would get through.
const wide = 8

// turnstile lets in so many at once. Who waits waits as long as its caller
// does; the time-out of the call begins behind it.
type turnstile chan struct{}

// pass waits for a place; leave must follow unless it fails.
func (t turnstile) pass(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return down(context.Cause(ctx))
	}
}

func (t turnstile) leave() { <-t }
