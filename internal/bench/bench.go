// Package bench measures a running FluentPro from outside: what its state path
// costs beside a bare relay, what an idle connection holds, and how long a
// viewer waits when the node that writes is killed. Everything runs on
// loopback, in processes that this package starts and ends, so that the CPU
// time of each can be told apart.
//
// The load client is cheap on purpose: raw frames, no JSON decoding on the hot
// path, one goroutine per connection. It shares the machine with what it
// measures.
package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// Options say where things are and how much to do.
type Options struct {
	// Binary is the program under test; it also serves the stand-in and the
	// bare relay.
	Binary string
	// Other is a second build to measure beside the first, none if empty.
	Other string
	// DatabaseURL is a Postgres database of the benchmark's own.
	DatabaseURL string
	// RedisURL is a Redis of its own; empty starts a redis-server.
	RedisURL string
	// HeapProfile, when set, is where IdleMemory leaves heap profiles, one per
	// transport, its name added.
	HeapProfile string
	// Env is added to the environment of every node, "NAME=value" each.
	Env []string
	// Dir takes the logs of the processes.
	Dir string
	// Talk gets progress, one line each.
	Talk io.Writer
}

func (o *Options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Talk, format+"\n", args...)
}

// Quantile is the q-quantile of sorted values by the nearest rank, NaN of none.
func Quantile[T cmp.Ordered](sorted []T, q float64) (v T, ok bool) {
	if len(sorted) == 0 {
		return v, false
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)], true
}

// Median is the middle of values in any order, 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// Spread is the least and the greatest of values.
func Spread(values []float64) (low, high float64) {
	if len(values) == 0 {
		return 0, 0
	}
	return slices.Min(values), slices.Max(values)
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until polls cond till it holds, at most for limit.
func until(ctx context.Context, limit, step time.Duration, cond func() bool) error {
	deadline := time.Now().Add(limit)
	for !cond() {
		if time.Now().After(deadline) {
			return fmt.Errorf("not so after %s", limit)
		}
		if err := pause(ctx, step); err != nil {
			return err
		}
	}
	return nil
}
