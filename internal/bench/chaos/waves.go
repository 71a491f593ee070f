package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// wave has every conversation get a reply from one node, and returns when
// nearly all of them are shown in part.
func (st *stage) wave(ctx context.Context, victim int) (map[*conv]int64, error) {
	var mu sync.Mutex
	runs := map[*conv]int64{}
	err := st.everyone(func(c *conv) error {
		run, err := st.say(ctx, c, victim)
		mu.Lock()
		defer mu.Unlock()
		runs[c] = run
		return err
	})
	if err != nil {
		return nil, err
	}
	return runs, until(ctx, 2*time.Minute, func() error {
		n := 0
		for c, run := range runs {
			if length, _ := c.viewers[0].shows(run); length > 0 {
				n++
			}
		}
		if n < len(runs)*9/10 {
			return fmt.Errorf("%d of %d replies have begun", n, len(runs))
		}
		return nil
	})
}

// over waits for the replies of a wave and counts those that another attempt
// finished.
func (st *stage) over(ctx context.Context, runs map[*conv]int64) (taken int) {
	var mu sync.Mutex
	g := errgroup.Group{}
	for c, run := range runs {
		g.Go(func() error {
			if err := st.answered(ctx, c, run); err != nil {
				st.fails(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if st.takenOver(c, run) {
				taken++
			}
			return nil
		})
	}
	_ = g.Wait() // failures are noted
	return taken
}

func (st *stage) takenOver(c *conv, run int64) bool {
	for _, v := range c.viewers {
		if _, attempt := v.shows(run); attempt > 1 {
			return true
		}
	}
	return false
}

// inFlight is how many replies a wave has; a smaller count needs less.
func inFlight(count int) int { return min(max(count, 6), 100) }

var killing = scenario{
	name: "kill", short: "replies whose node is killed -9 in mid-text",
	count: 1000, brief: 20, unit: "replies hit",
	rules: func(n int) history.Rules {
		return history.Rules{Fault: "kill", MinFaults: 1, MinHits: n, TakenOver: true}
	},
	fleet: func(int) fleetOptions { return fleetOptions{redis: plain, tokens: 100} },
	play: func(ctx context.Context, st *stage, count int) error {
		st.model.speak(300*time.Millisecond, 40*time.Millisecond)
		if err := st.gather(ctx, inFlight(count), 2); err != nil {
			return err
		}
		hit, missed := 0, 0
		for round := 0; hit < count; round++ {
			victim := st.rng.IntN(fleet)
			runs, err := st.wave(ctx, victim)
			if err != nil {
				return err
			}
			if err := pause(ctx, time.Duration(st.rng.Int64N(int64(1500*time.Millisecond)))); err != nil {
				return err
			}
			n := st.nodes[victim]
			st.fault("kill", n.name, "begin", "")
			n.kill()
			// Half of the time it comes back at once, as a supervisor has it.
			if round%2 == 1 {
				if err := n.launch(); err != nil {
					return err
				}
			}
			got := st.over(ctx, runs)
			if round%2 == 0 {
				if err := n.launch(); err != nil {
					return err
				}
			}
			if err := n.ready(ctx); err != nil {
				return err
			}
			st.fault("kill", n.name, "end", "")
			hit += got
			st.o.say("kill: %d of %d replies hit", hit, count)
			// On a starved machine a wave may be over before its kill.
			if missed++; got > 0 {
				missed = 0
			}
			if missed > 10 {
				return errors.New("the kills hit no reply")
			}
		}
		return nil
	},
}

var pausing = scenario{
	name: "pause", short: "replies whose writer is stopped past its lease and goes on",
	count: 500, brief: 12, unit: "replies hit",
	rules: func(n int) history.Rules {
		return history.Rules{Fault: "pause", MinFaults: 1, MinHits: n, TakenOver: true}
	},
	fleet: func(int) fleetOptions { return fleetOptions{redis: plain, tokens: 200} },
	play: func(ctx context.Context, st *stage, count int) error {
		st.model.speak(100*time.Millisecond, 50*time.Millisecond)
		if err := st.gather(ctx, inFlight(count), 2); err != nil {
			return err
		}
		for hit := 0; hit < count; {
			victim := st.rng.IntN(fleet)
			runs, err := st.wave(ctx, victim)
			if err != nil {
				return err
			}
			n := st.nodes[victim]
			st.fault("pause", n.name, "begin", "")
			if err := n.signal(syscall.SIGSTOP); err != nil {
				return err
			}
			// Until most have another writer; what the victim did not write has none.
			terr := until(ctx, 8*time.Second, func() error {
				for c, run := range runs {
					if !st.takenOver(c, run) {
						return errors.New("some replies have their first writer")
					}
				}
				return nil
			})
			if ctx.Err() != nil {
				return terr
			}
			before, err := st.rows(ctx, runs)
			if err != nil {
				return err
			}
			if err := n.signal(syscall.SIGCONT); err != nil {
				return err
			}
			st.fault("pause", n.name, "end", "")
			hit += st.over(ctx, runs)
			after, err := st.rows(ctx, runs)
			if err != nil {
				return err
			}
			for c, b := range before {
				if a := after[c]; b.attempt > 1 && (a.fence != b.fence || a.attempt != b.attempt || a.owner != b.owner) {
					st.rec.Add(history.Record{K: history.Breach, P: n.name, Conv: c.id, Run: runs[c],
						Arg: fmt.Sprintf("zombie: attempt %d, fence %d became attempt %d, fence %d", b.attempt, b.fence, a.attempt, a.fence)})
				}
			}
			st.o.say("pause: %d of %d replies hit", hit, count)
		}
		return nil
	},
}

// row is what SQL says of a run.
type row struct {
	attempt, fence int64
	owner          string
}

func (st *stage) rows(ctx context.Context, runs map[*conv]int64) (map[*conv]row, error) {
	out := map[*conv]row{}
	for c, run := range runs {
		var r row
		err := st.database.db.Conn(ctx).QueryRowContext(ctx, "SELECT attempt, fence, owner FROM runs WHERE conversation = ? AND run = ?", c.id, run).
			Scan(&r.attempt, &r.fence, &r.owner)
		if err != nil {
			return nil, fmt.Errorf("look at the runs: %w", err)
		}
		out[c] = r
	}
	return out, nil
}

func plain(ctx context.Context, dir string) (*redisSet, error)   { return alone(ctx, dir, false) }
func durable(ctx context.Context, dir string) (*redisSet, error) { return alone(ctx, dir, true) }
