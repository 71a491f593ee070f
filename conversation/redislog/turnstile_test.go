package redislog

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

func TestTheTurnstileLetsInSoManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ts := make(turnstile, wide)
		var inside, most, refused atomic.Int64
		var wg sync.WaitGroup
		for range 10 * wide {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if err := ts.pass(ctx); err != nil {
					if !errors.Is(err, conversation.ErrLogDown) {
						t.Errorf("refused with %v", err)
					}
					refused.Add(1)
					return
				}
				defer ts.leave()
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second) // fake
				inside.Add(-1)
			})
		}
		wg.Wait()
		// Five seconds of one each, and those whose callers gave up.
		if most.Load() != wide || refused.Load() < 4*wide || refused.Load() > 5*wide {
			t.Errorf("%d at once, %d refused", most.Load(), refused.Load())
		}
	})
}
