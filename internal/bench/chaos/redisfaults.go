package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// crowd is how many conversations talk all the time while services break.
const crowd = 40

// talking starts a crowd; the replies take about three seconds.
func (st *stage) talking(ctx context.Context, convs, viewers int) (end func(), err error) {
	st.model.speak(100*time.Millisecond, 30*time.Millisecond)
	if err := st.gather(ctx, convs, viewers); err != nil {
		return nil, err
	}
	end = st.load(ctx, st.convs)
	return end, pause(ctx, time.Second)
}

// between waits for a time that the seed draws.
func (st *stage) between(ctx context.Context, least, most time.Duration) error {
	return pause(ctx, least+time.Duration(st.rng.Int64N(int64(most-least))))
}

func each(name string) func(int) history.Rules {
	return func(n int) history.Rules { return history.Rules{Fault: name, MinFaults: n, MinHits: n} }
}

func talkers(redis func(context.Context, string) (*redisSet, error)) func(int) fleetOptions {
	return func(int) fleetOptions { return fleetOptions{redis: redis, tokens: 100} }
}

var redisKilling = scenario{
	name: "redis-kill", short: "Redis is killed -9 and started again, with its append-only file", unit: "kills", count: 200, brief: 4,
	rules: each("redis-kill"), fleet: talkers(durable),
	play: func(ctx context.Context, st *stage, count int) error {
		return st.meanwhile(ctx, count, 600*time.Millisecond, 1500*time.Millisecond, func(int) error {
			r := st.redis.current()
			st.fault("redis-kill", "redis", "begin", "")
			r.kill()
			if err := st.between(ctx, 50*time.Millisecond, 600*time.Millisecond); err != nil {
				return err
			}
			if err := r.up(ctx); err != nil {
				return err
			}
			st.fault("redis-kill", "redis", "end", "")
			return nil
		})
	},
}

// meanwhile has a crowd talk, and does fault count times with pauses after each
// that the seed draws between least and most.
func (st *stage) meanwhile(ctx context.Context, count int, least, most time.Duration, fault func(i int) error) error {
	end, err := st.talking(ctx, crowd, 2)
	if err != nil {
		return err
	}
	defer end()
	for i := range count {
		if err := fault(i); err != nil {
			return err
		}
		if err := st.between(ctx, least, most); err != nil {
			return err
		}
		st.progress(i, count)
	}
	return nil
}

func (st *stage) progress(i, count int) {
	if (i+1)%25 == 0 || i+1 == count {
		st.o.say("%s: %d of %d", st.name, i+1, count)
	}
}

var flushing = scenario{
	name: "flushall", short: "FLUSHALL", unit: "wipes", count: 100, brief: 4,
	rules: each("redis-flush"), fleet: talkers(plain),
	play: func(ctx context.Context, st *stage, count int) error {
		return st.meanwhile(ctx, count, 500*time.Millisecond, 1500*time.Millisecond, func(int) error {
			st.fault("redis-flush", "redis", "begin", "")
			if _, err := redisDo(st.redis.current().real, "FLUSHALL"); err != nil {
				return err
			}
			st.fault("redis-flush", "redis", "end", "")
			return nil
		})
	},
}

// refusals are settings under which a Redis is read and takes no writes, and
// what lifts them.
var refusals = [][3]string{{"maxmemory", "1", "0"}, {"min-replicas-to-write", "1", "0"}}

var filling = scenario{
	name: "full", short: "Redis is full, or lacks the replicas it wants, for some seconds: it is read and takes no writes", unit: "times", count: 40, brief: 4,
	rules: each("redis-full"), fleet: talkers(plain),
	play: func(ctx context.Context, st *stage, count int) error {
		return st.meanwhile(ctx, count, time.Second, 3*time.Second, func(i int) error {
			return st.refuse(ctx, refusals[i%len(refusals)])
		})
	},
}

// refuse has Redis take no writes for a while, in which people look at
// conversations at every node.
func (st *stage) refuse(ctx context.Context, how [3]string) error {
	addr := st.redis.current().real
	st.fault("redis-full", "redis", "begin", how[0])
	if _, err := redisDo(addr, "CONFIG", "SET", how[0], how[1]); err != nil {
		return err
	}
	length := 500*time.Millisecond + time.Duration(st.rng.Int64N(int64(6*time.Second)))
	readers, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	for i := 0; readers.Err() == nil; i++ {
		_ = st.look(readers, st.convs[st.rng.IntN(len(st.convs))], st.nodes[i%fleet]) // it is written down
		_ = pause(readers, 50*time.Millisecond)
	}
	_, err := redisDo(addr, "CONFIG", "SET", how[0], how[2])
	st.fault("redis-full", "redis", "end", how[0])
	return errors.Join(err, ctx.Err())
}

// grown waits until about n more entries stand in the logs.
func (st *stage) grown(ctx context.Context, r *redisServer, n int) (int, error) {
	before, err := entriesWritten(r.real)
	if err != nil {
		before = 0 // no entry yet
	}
	more := 0
	return more, until(ctx, 2*time.Minute, func() error {
		now, err := entriesWritten(r.real)
		if err != nil {
			return err
		}
		if more = now - before; more < n {
			return fmt.Errorf("%d of %d entries", more, n)
		}
		return nil
	})
}

var rollingBack = scenario{
	name: "rollback", short: "Redis comes back from an older dump or append-only file", unit: "rollbacks", count: 200, brief: 4,
	rules: each("redis-rollback"), fleet: talkers(durable),
	play: func(ctx context.Context, st *stage, count int) error {
		end, err := st.talking(ctx, crowd, 2)
		if err != nil {
			return err
		}
		defer end()
		r := st.redis.current()
		lost := 0
		aof, kept := filepath.Join(r.dir, "appendonlydir"), filepath.Join(r.dir, "older")
		// The first half loads append-only files, the second half dumps.
		for i := range count {
			dump := i >= count/2
			if dump {
				if _, err := redisDo(r.real, "SAVE"); err != nil {
					return err
				}
				if err := copyFile(filepath.Join(r.dir, "dump.rdb"), kept+".rdb"); err != nil {
					return err
				}
			} else if err := copyDir(aof, kept); err != nil {
				return err
			}
			n, err := st.grown(ctx, r, 1+st.rng.IntN(200))
			if err != nil {
				return err
			}
			lost += n
			st.fault("redis-rollback", "redis", "begin", fmt.Sprintf("%d entries", n))
			r.kill()
			if dump {
				err = copyFile(kept+".rdb", filepath.Join(r.dir, "dump.rdb"))
			} else if err = os.RemoveAll(aof); err == nil {
				err = copyDir(kept, aof)
			}
			if err != nil {
				return err
			}
			var how []string
			if dump {
				how = []string{"--appendonly", "no"}
			}
			if err := r.up(ctx, how...); err != nil {
				return err
			}
			st.fault("redis-rollback", "redis", "end", "")
			if i+1 == count/2 {
				// From here on dumps: the files of the other kind would win.
				r.args = append(r.args, "--appendonly", "no")
			}
			if err := st.between(ctx, 500*time.Millisecond, 1200*time.Millisecond); err != nil {
				return err
			}
			st.progress(i, count)
		}
		st.note("rolled back by %d entries on average", lost/max(1, count))
		return nil
	},
}

func copyFile(from, to string) error {
	src, err := os.Open(filepath.Clean(from))
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := os.Create(filepath.Clean(to))
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

func copyDir(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	list, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

var failingOver = scenario{
	name: "failover", short: "a Sentinel failover to a replica that lacks the newest entries", unit: "failovers", count: 100, brief: 2,
	rules: each("redis-failover"), fleet: talkers(withSentinels),
	play: func(ctx context.Context, st *stage, count int) error {
		end, err := st.talking(ctx, crowd, 2)
		if err != nil {
			return err
		}
		defer end()
		lost := 0
		for i := range count {
			n, err := st.failOver(ctx, i%2 == 1)
			if err != nil {
				return err
			}
			lost += n
			st.progress(i, count)
		}
		st.note("the new primary lacked %d entries on average", lost/max(1, count))
		return nil
	},
}

// failOver has the replica fall behind by some entries and become primary. The
// old primary is killed, or goes on taking writes until it is told.
func (st *stage) failOver(ctx context.Context, alive bool) (lost int, err error) {
	s := st.redis
	old := s.current()
	old.front.holdRepl(true)
	defer old.front.holdRepl(false)
	if lost, err = st.grown(ctx, old, 1+st.rng.IntN(200)); err != nil {
		return 0, err
	}
	how := "killed"
	if alive {
		how = "alive"
	}
	st.fault("redis-failover", "redis", "begin", fmt.Sprintf("%d entries, the old primary is %s", lost, how))
	if alive {
		// On a starved machine a Sentinel may find the replica too far behind to
		// be asked for it; then the primary has to die.
		ferr := until(ctx, 20*time.Second, func() error {
			_, err := redisDo(s.addrs[0], "SENTINEL", "FAILOVER", "main")
			return err
		})
		if ctx.Err() != nil {
			return 0, ferr
		}
		alive = ferr == nil
	}
	if !alive {
		old.kill()
		old.front.dropAll()
	}
	if err := s.promoted(ctx); err != nil {
		return 0, err
	}
	st.fault("redis-failover", "redis", "end", "")
	old.front.holdRepl(false)
	if !alive {
		if err := old.up(ctx, "--replicaof", replicaOf(s.current())); err != nil {
			return 0, err
		}
	}
	return lost, until(ctx, 3*time.Minute, s.settled)
}

var hanging = scenario{
	name: "redis-hang", short: "Redis hangs for 30 s: stopped, then behind a link that passes nothing", unit: "hangs", count: 2, brief: 1,
	rules: each("redis-hang"), fleet: talkers(plain),
	play: func(ctx context.Context, st *stage, count int) error {
		end, err := st.talking(ctx, crowd, 2)
		if err != nil {
			return err
		}
		defer end()
		// Those who only write: nobody watches, so they wait for nothing.
		if err := st.alsoConverse(ctx, 60); err != nil {
			return err
		}
		length := 30 * time.Second
		if st.o.Brief {
			length = 6 * time.Second
		}
		for i := range count {
			if err := st.hang(ctx, i%2 == 1, length); err != nil {
				return err
			}
			if err := pause(ctx, 5*time.Second); err != nil {
				return err
			}
		}
		return nil
	},
}

func (st *stage) hang(ctx context.Context, link bool, length time.Duration) error {
	r := st.redis.current()
	how := "stopped"
	if link {
		how = "link"
	}
	var samples []*sampler
	for _, n := range st.nodes {
		samples = append(samples, sample(ctx, n))
	}
	// Meanwhile people open the page and write, here and there.
	readers, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	st.fault("redis-hang", "redis", "begin", how)
	if link {
		r.front.stall(true)
	} else if err := r.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	quiet := st.convs[crowd:]
	for i := 0; readers.Err() == nil; i++ {
		_ = st.look(readers, st.convs[st.rng.IntN(len(st.convs))], st.nodes[i%fleet]) // it is written down
		if i%8 == 0 {
			if _, err := st.say(ctx, quiet[i/8%len(quiet)], i%fleet); err != nil {
				st.fails(err)
			}
		}
		_ = pause(readers, 20*time.Millisecond)
	}
	var err error
	if link {
		r.front.stall(false)
	} else {
		err = r.signal(syscall.SIGCONT)
	}
	st.fault("redis-hang", "redis", "end", how)
	var longest time.Duration
	where := ""
	for _, s := range samples {
		if d, w := s.end(); d > longest {
			longest, where = d, w
		}
	}
	st.note("%s: longest call of Redis that a goroutine waited for about %d ms (%s)", how, longest.Milliseconds(), where)
	return errors.Join(err, ctx.Err())
}
