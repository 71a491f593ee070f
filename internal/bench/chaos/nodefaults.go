package chaos

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

var rolling = scenario{
	name: "rolling", short: "rolling restarts: SIGTERM to one node after the other", unit: "rounds", count: 20, brief: 1,
	rules: func(n int) history.Rules {
		return history.Rules{Fault: "term", MinFaults: fleet * n, MinHits: 1, SpreadMS: (drain / 2).Milliseconds()}
	},
	fleet: talkers(plain),
	play: func(ctx context.Context, st *stage, count int) error {
		end, err := st.talking(ctx, crowd, 2)
		if err != nil {
			return err
		}
		defer end()
		for i := range count {
			for _, n := range st.nodes {
				if err := st.roll(ctx, n); err != nil {
					return err
				}
			}
			st.o.say("rolling: round %d of %d", i+1, count)
		}
		return nil
	},
}

// roll has one node leave and come back.
func (st *stage) roll(ctx context.Context, n *node) error {
	st.fault("term", n.name, "begin", "")
	if err := n.term(); err != nil {
		return err
	}
	code, err := n.wait(ctx, 60*time.Second)
	if err != nil {
		return err
	}
	st.fault("term", n.name, "end", "")
	if code != 0 {
		return fmt.Errorf("%s left with code %d", n.name, code)
	}
	if err := n.up(ctx); err != nil {
		return err
	}
	return st.between(ctx, 300*time.Millisecond, 1200*time.Millisecond)
}

var darkening = scenario{
	name: "everything", short: "all nodes and Redis are killed -9 at once and started cold", unit: "blackouts", count: 20, brief: 1,
	rules: func(n int) history.Rules {
		return history.Rules{Fault: "everything", MinFaults: n, MinHits: n, MayRestart: true}
	},
	fleet: talkers(durable),
	play: func(ctx context.Context, st *stage, count int) error {
		end, err := st.talking(ctx, crowd, 2)
		if err != nil {
			return err
		}
		defer end()
		for i := range count {
			r := st.redis.current()
			st.fault("everything", "", "begin", "")
			g := errgroup.Group{}
			for _, n := range st.nodes {
				g.Go(func() error { n.kill(); return nil })
			}
			r.kill()
			_ = g.Wait() // killing cannot fail
			for _, n := range st.nodes {
				if err := n.launch(); err != nil {
					return err
				}
			}
			if err := r.up(ctx); err != nil {
				return err
			}
			st.fault("everything", "", "end", "")
			for _, n := range st.nodes {
				if err := n.again(ctx); err != nil {
					return err
				}
			}
			// Long enough for each reply to be hit at most once.
			if err := st.between(ctx, 7*time.Second, 9*time.Second); err != nil {
				return err
			}
			st.progress(i, count)
		}
		return nil
	},
}

// again waits until a node serves that may have ended because Redis was not
// there yet; a supervisor would start it as often.
func (n *node) again(ctx context.Context) error {
	return until(ctx, 3*time.Minute, func() error {
		if n.gone() {
			if err := n.launch(); err != nil {
				return err
			}
		}
		return answers(ctx, n.web, n.real+"/readyz")
	})
}
