package redislog

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// lanes is how many pipelines are under way at once: one would make every
	// writer wait for the one before it, many would carry one append each.
	lanes = 2
	// most bounds one pipeline.
	most = 64
)

// combiner sends the appends that meet at one moment in one pipeline, which
// spares this node, Redis and every listener a system call each. It waits for
// nobody: a writer that finds a lane free goes at once, alone; those that come
// meanwhile go together when a lane is free. There is no goroutine behind it:
// the first who waits leads the next pipeline.
//
// It is for one primary. On a cluster a shard that hangs would hold up writers
// of all others.
type combiner struct {
	rdb     *redis.Client
	timeout time.Duration

	mu    sync.Mutex // guards what follows
	busy  int        // lanes under way
	queue []*ask
}

// ask is one script call.
type ask struct {
	sha  string
	keys []string
	argv []any
	cmd  *redis.Cmd
	// batch is what to send, set for who is to lead; nil says answered.
	batch []*ask
	turn  chan struct{}
}

// do answers when its call has been made: at the latest two timeouts from now,
// for the pipeline under way and its own.
func (c *combiner) do(ctx context.Context, sha string, keys []string, argv []any) *redis.Cmd {
	a := &ask{sha: sha, keys: keys, argv: argv}
	c.mu.Lock()
	if c.busy < lanes {
		c.busy++
		c.mu.Unlock()
		a.batch = []*ask{a}
	} else {
		a.turn = make(chan struct{}, 1)
		c.queue = append(c.queue, a)
		c.mu.Unlock()
		<-a.turn
	}
	if a.batch != nil {
		c.lead(ctx, a)
	}
	return a.cmd
}

// lead sends a's batch, hands the lane on, and tells the others.
func (c *combiner) lead(ctx context.Context, a *ask) {
	// The leader's own call may be given up; that of the others may not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	defer c.pass(a)
	if len(a.batch) == 1 {
		a.cmd = c.rdb.EvalSha(ctx, a.sha, a.keys, a.argv...)
		return
	}
	p := c.rdb.Pipeline()
	for _, b := range a.batch {
		b.cmd = p.EvalSha(ctx, b.sha, b.keys, b.argv...)
	}
	_, _ = p.Exec(ctx) // each command carries its own error
}

func (c *combiner) pass(a *ask) {
	c.mu.Lock()
	n := min(len(c.queue), most)
	if n == 0 {
		c.busy--
	} else {
		next := c.queue[:n:n]
		c.queue = c.queue[n:]
		next[0].batch = next
		next[0].turn <- struct{}{}
	}
	c.mu.Unlock()
	for _, b := range a.batch {
		if b != a {
			b.turn <- struct{}{}
		}
	}
}
