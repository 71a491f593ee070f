package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// dice is a seeded source for many goroutines.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newDice(seed uint64) *dice {
	return &dice{rng: rand.New(rand.NewPCG(seed, 77))} //nolint:gosec // repeatable on purpose
}

func (d *dice) intN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

var cutting = scenario{
	name: "cut", short: "viewers' connections cut at random bytes; they resume on any node and transport", unit: "cuts", count: 10_000, brief: 150,
	rules: func(n int) history.Rules { return history.Rules{Fault: "cut", MinFaults: n} },
	fleet: func(int) fleetOptions { return fleetOptions{redis: plain, tokens: 100, cutViewers: 12_000} },
	play: func(ctx context.Context, st *stage, count int) error {
		end, err := st.talking(ctx, crowd, 4)
		if err != nil {
			return err
		}
		defer end()
		for last := -1; ; {
			n := int(st.cuts.Load())
			if n >= count {
				break
			}
			if n/1000 != last {
				last = n / 1000
				st.o.say("cut: %d of %d", n, count)
			}
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
		// Whatever comes now passes, so that everybody can see the end.
		for _, n := range st.nodes {
			n.viewers.set(func() { n.viewers.budget = func() int64 { return 0 } })
		}
		return nil
	},
}

var sqlCutting = scenario{
	name: "sql-cut", short: "the connection to SQL is cut right after the COMMIT of a message was sent", unit: "cuts", count: 1000, brief: 30,
	rules: func(n int) history.Rules { return history.Rules{Fault: "sql-cut", MinFaults: n} },
	fleet: func(int) fleetOptions { return fleetOptions{redis: plain, tokens: 10, cutCommits: true} },
	play: func(ctx context.Context, st *stage, count int) error {
		st.model.speak(10*time.Millisecond, 5*time.Millisecond)
		if err := st.gather(ctx, crowd, 1); err != nil {
			return err
		}
		st.armed.Store(true)
		end := st.load(ctx, st.convs)
		defer end()
		for int(st.cuts.Load()) < count {
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
		st.armed.Store(false)
		end()
		st.note("of these %d after the answer, %d before it; %d more before the COMMIT was sent", st.answeredCuts.Load(), st.cuts.Load()-st.answeredCuts.Load(), st.earlyCuts.Load())
		return nil
	},
}

// commits cuts about half of the commits: mostly such as were sent.
func (st *stage) commits(d *dice) func(string) func() commitCut {
	return func(node string) func() commitCut {
		return func() commitCut {
			if !st.armed.Load() {
				return passCommit
			}
			switch d.intN(10) {
			case 0, 1:
				st.cuts.Add(1)
				st.answeredCuts.Add(1)
				st.at("sql-cut", node, "answered")
				return cutAnswered
			case 2, 3:
				st.cuts.Add(1)
				st.at("sql-cut", node, "sent")
				return cutSent
			case 4:
				st.earlyCuts.Add(1)
				return cutBefore
			}
			return passCommit
		}
	}
}

// counters are what proxies of a stage count.
type counters struct {
	cuts, answeredCuts, earlyCuts atomic.Int64
	armed                         atomic.Bool
}

var repeating = scenario{
	name: "parallel", short: "the same message 20 times in parallel to three nodes, then another text under its id", unit: "messages", count: 200, brief: 10,
	rules: func(n int) history.Rules { return history.Rules{Fault: "parallel", MinFaults: n} },
	fleet: func(int) fleetOptions { return fleetOptions{redis: plain, tokens: 10} },
	play: func(ctx context.Context, st *stage, count int) error {
		st.model.speak(10*time.Millisecond, 5*time.Millisecond)
		if err := st.gather(ctx, min(20, count), 1); err != nil {
			return err
		}
		for i := range count {
			c := st.convs[i%len(st.convs)]
			run, err := st.twenty(ctx, c)
			if err != nil {
				return err
			}
			if err := st.answered(ctx, c, run); err != nil {
				return err
			}
		}
		return nil
	},
}

const times = 20

// twenty sends one message so often at once, and another text under its id,
// which must be refused.
func (st *stage) twenty(ctx context.Context, c *conv) (int64, error) {
	cid := st.nextCID(c)
	st.at("parallel", "", cid)
	var run atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for i := range times {
		g.Go(func() error {
			return until(gctx, 30*time.Second, func() error {
				acc, err := st.try(gctx, c, cid, text(cid), st.nodes[i%fleet], i%5 == 4)
				if err == nil {
					run.Store(acc.Run)
				}
				return err
			})
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	for _, n := range st.nodes {
		_, err := st.try(ctx, c, cid, text(cid)+" And more.", n, false)
		if no := (*refused)(nil); !errors.As(err, &no) || no.status != 422 {
			return 0, fmt.Errorf("another text under the same id: %w, want status 422", err)
		}
	}
	return run.Load(), nil
}
