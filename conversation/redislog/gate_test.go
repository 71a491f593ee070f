package redislog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// hung makes a gate to a Redis that is answered for by the test.
func hung(answers *atomic.Bool) (*gate, *atomic.Int64) {
	pings := &atomic.Int64{}
	return &gate{timeout: 300 * time.Millisecond, ping: func(ctx context.Context) error {
		pings.Add(1)
		if answers.Load() {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}, pings
}

func TestAHangClosesTheGateAndAnAnswerOpensIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answers atomic.Bool
		g, pings := hung(&answers)
		calls := 0
		call := func(outcome error) error {
			_, err := guarded(t.Context(), g, func() (int, error) { calls++; return 0, outcome })
			return err
		}
		timeout := fmt.Errorf("%w: %w", conversation.ErrLogDown, context.DeadlineExceeded)
		for range 2 {
			_ = call(timeout)
		}
		begun := time.Now()
		for range 50 {
			if err := call(nil); !errors.Is(err, conversation.ErrLogDown) || !errors.Is(err, errAway) {
				t.Fatalf("got %v", err)
			}
		}
		if calls != 2 || !time.Now().Equal(begun) {
			t.Errorf("%d calls were made, %v passed", calls, time.Since(begun))
		}
		time.Sleep(time.Second) // fake: the probe has run into its time-out
		if err := call(nil); !errors.Is(err, errAway) || pings.Load() < 1 {
			t.Errorf("%v after %d probes", err, pings.Load())
		}
		synctest.Wait() // that probe has begun
		answers.Store(true)
		time.Sleep(time.Second)
		_ = call(nil) // starts the probe that is answered
		synctest.Wait()
		if err := call(nil); err != nil || calls != 3 {
			t.Errorf("%v, %d calls, after Redis answered", err, calls)
		}
	})
}

// redisError is an answer of Redis.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func TestARedisThatIsNotThereClosesTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answers atomic.Bool
		g, _ := hung(&answers)
		dials := 0
		for range 1000 {
			_, _ = guarded(t.Context(), g, func() (int, error) { dials++; return 0, down(syscall.ECONNREFUSED) })
		}
		if dials != fails {
			t.Errorf("%d dials", dials)
		}
		synctest.Wait()
		answers.Store(true)
		time.Sleep(g.timeout + again) // fake: the probe that began without an answer is over
		_ = g.enter()                 // starts the next
		synctest.Wait()
		if err := g.enter(); err != nil {
			t.Errorf("Redis answers: %v", err)
		}
	})
}

func TestWhatDoesNotCloseTheGate(t *testing.T) {
	t.Parallel()
	var answers atomic.Bool
	for name, outcomes := range map[string][]error{
		"answers in between":   {context.DeadlineExceeded, nil, context.DeadlineExceeded},
		"refusals by Redis":    {redisError("ERR no"), redisError("LOADING"), redisError("READONLY")},
		"callers who gave up":  {context.Canceled, context.Canceled, context.Canceled},
		"refusals by our rule": {conversation.ErrFenced, conversation.ErrFenced, conversation.ErrFenced},
	} {
		g, _ := hung(&answers)
		for _, o := range outcomes {
			if o != nil && !errors.Is(o, conversation.ErrFenced) {
				o = down(o)
			}
			_, _ = guarded(t.Context(), g, func() (int, error) { return 0, o })
		}
		if err := g.enter(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (*gate)(nil).enter(); err != nil {
		t.Errorf("a cluster: %v", err)
	}
}
