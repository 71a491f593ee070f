package openai

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/upstream"
)

// budget bounds retries to a fifth of the calls, so that a server in trouble
// is not given three times its load. A few are always there to begin with.
type budget struct {
	mu    sync.Mutex
	spent float64
}

const budgetFloor = 10

func (b *budget) call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(b.spent-0.2, 0)
}

func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent >= budgetFloor {
		return false
	}
	b.spent++
	return true
}

// transient says whether the same request may succeed later, and what the
// server advised; negative for no advice.
func transient(err error) (time.Duration, bool) {
	var e *upstream.Error
	if !errors.As(err, &e) {
		return -1, false
	}
	return e.RetryAfter, e.Transient
}

// wait sleeps before retry n (from 0): full jitter over a doubling span, and
// not less than the server asked for. It returns ctx's cause if that ends
// first; ok is false when the server asks for more patience than we have.
func (c *Client) wait(ctx context.Context, n int, advice time.Duration) (ok bool, err error) {
	if advice > c.cfg.MaxRetryWait {
		return false, nil
	}
	span := min(c.cfg.RetryBase<<n, 8*c.cfg.RetryBase)
	d := max(time.Duration(rand.Int64N(int64(span)+1)), advice)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
