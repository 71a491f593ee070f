package simulation

import (
	"sync"
	"time"
)

// dice are random numbers that depend on the seed and on a name only: the
// n-th draw for "node 1, log.append" stays the same when other parts draw more
// or less often, so a small change does not become another schedule.
type dice struct {
	seed uint64

	mu    sync.Mutex // guards named
	named map[string]*die
}

type die struct{ state uint64 }

func newDice(seed uint64) *dice { return &dice{seed: mix(seed), named: map[string]*die{}} }

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fork is a die of its own.
func (d *dice) fork(name string) *die {
	h := d.seed
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return &die{mix(h)}
}

// draw is the next die of a name, for one decision with several numbers.
func (d *dice) draw(name string) *die {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.named[name]
	if n == nil {
		n = d.fork(name)
		d.named[name] = n
	}
	n.state += 0x632be59bd9b4e019
	return &die{mix(n.state)}
}

func (d *die) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	return mix(d.state)
}

func (d *die) n(limit int) int { return int(d.next() % uint64(limit)) }

func (d *die) chance(percent float64) bool { return float64(d.next()%1_000_000) < percent*10_000 }

// between is a time with nanoseconds, so that hardly two things fall together.
func (d *die) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.next()%uint64(high-low+1))
}

func pick[T any](d *die, of []T) T { return of[d.n(len(of))] }
