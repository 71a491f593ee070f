package redislog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// lanes is how many calls are under way at once: one would make every
	// writer wait for the one before it, many would carry one append each.
	lanes = 2
	// most bounds one call, and so how long Redis is at it: about 1 ms.
	most = 64
	// gather is how long after the beginning of one call the next begins at
	// the earliest. Where fewer than one append comes in that time nobody
	// waits; where many come they share what a call costs.
	gather = 500 * time.Microsecond
)

// combiner sends the appends that meet at one moment in one call, which spares
// this node, Redis and every listener system calls, and Redis the checks that
// are the same for all. It waits at most gather: a writer that finds a lane
// free goes alone; those that come meanwhile go together. There is no
// goroutine behind it: the first who waits leads the next call.
//
// It is for one primary. On a cluster a call can touch one shard only.
type combiner struct {
	rdb     redis.Scripter
	mode    string
	entries int
	timeout time.Duration

	mu      sync.Mutex // guards what follows
	busy    int        // lanes under way, the elected's included
	elected bool       // the first of the queue is about to lead
	last    time.Time  // when the newest call began
	queue   []*ask
}

// ask is one append.
type ask struct {
	identity, mark string
	keys           []string // of the log
	argv           []any    // channel, tag, and append.lua's own

	res []string
	err error
	// turn tells one who waits: true to lead, false that the answer is there.
	turn chan bool
}

// asks is how many arguments batch.lua takes for each append.
const asks = 12

// do answers when its call has been made: at the latest two timeouts and
// gather from now, for the call under way and its own.
func (c *combiner) do(ctx context.Context, a *ask) ([]string, error) {
	a.turn = make(chan bool, 1)
	c.mu.Lock()
	c.queue = append(c.queue, a)
	c.elect()
	c.mu.Unlock()
	if <-a.turn {
		c.lead(ctx, a)
	}
	return a.res, a.err
}

// elect lets the first of the queue lead, if a lane is free. Under mu.
func (c *combiner) elect() {
	if len(c.queue) > 0 && c.busy < lanes && !c.elected {
		c.busy++
		c.elected = true
		c.queue[0].turn <- true
	}
}

// lead waits out gather, sends what has come together by then, a first, and
// tells the others.
func (c *combiner) lead(ctx context.Context, a *ask) {
	c.mu.Lock()
	wait := gather - time.Since(c.last)
	c.mu.Unlock()
	if wait > 0 {
		<-time.After(wait) // at most gather, and what has been asked is sent anyhow
	}
	c.mu.Lock()
	n := min(len(c.queue), most)
	batch := c.queue[:n:n]
	c.queue = c.queue[n:]
	c.last = time.Now()
	c.elected = false
	c.elect()
	c.mu.Unlock()

	// The leader's own call may be given up; that of the others may not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	for rest := batch; len(rest) > 0; {
		// Between two lifetimes of Redis a batch may hold both.
		n := 1
		for n < len(rest) && rest[n].identity == rest[0].identity {
			n++
		}
		c.send(ctx, rest[:n])
		rest = rest[n:]
	}
	c.mu.Lock()
	c.busy--
	c.elect()
	c.mu.Unlock()
	for _, b := range batch {
		if b != a {
			b.turn <- false
		}
	}
}

// send makes one call for appends of one incarnation.
func (c *combiner) send(ctx context.Context, batch []*ask) {
	first := batch[0]
	keys := make([]string, 0, 1+5*len(batch))
	keys = append(append(keys, first.keys...), first.mark)
	argv := make([]any, 0, 5+asks*len(batch))
	argv = append(argv, c.mode, first.identity, "", "", c.entries)
	for i, a := range batch {
		if i > 0 {
			keys = append(keys, a.keys...)
		}
		argv = append(argv, a.argv...)
	}
	res, err := batchScript.Run(ctx, c.rdb, keys, argv...).Slice()
	for i, a := range batch {
		switch {
		case err != nil:
			a.err = err
		case len(res) == 1 && res[0] == "INC":
			a.res = []string{"INC"}
		case len(res) != len(batch):
			a.err = fmt.Errorf("%d answers for %d appends", len(res), len(batch))
		default:
			a.res, a.err = answer(res[i])
		}
	}
}

// answer reads one append's part of the reply.
func answer(v any) ([]string, error) {
	part, ok := v.([]any)
	if !ok || len(part) == 0 {
		return nil, fmt.Errorf("an append answered %T", v)
	}
	out := make([]string, len(part))
	for i, p := range part {
		if out[i], ok = p.(string); !ok {
			return nil, fmt.Errorf("an append answered a %T", p)
		}
	}
	if out[0] == "ERR" {
		return nil, refused(out[len(out)-1])
	}
	return out, nil
}

// refused is what Redis said of one append in a batch: an answer, as it would
// be had it been asked alone.
type refused string

func (r refused) Error() string { return string(r) }

// RedisError implements redis.Error.
func (refused) RedisError() {}
