package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// MemoryOptions say what Redis is to hold.
type MemoryOptions struct {
	// Conversations of each kind, AtOnce of them written at the same time: a
	// machine that is short of time merges tokens, and fewer entries are smaller.
	Conversations, AtOnce int
	// Rate is tokens per second of a reply.
	Rate float64
	// Compact does to the logs in a Redis what the janitor does to those that
	// have been at rest for a quarter of an hour.
	Compact func(ctx context.Context, redisURL string, conversations []string) error
}

// Footprint is what conversations in one state take in Redis.
type Footprint struct {
	State         string
	Conversations int
	// Kinds are the bytes of keys by MEMORY USAGE: of the logs by their last
	// letter, and what came to be around them as "visits" and "events".
	Kinds map[string]int64
	// Entries are those of all logs, Used is the growth of used_memory.
	Entries, Used int64
}

// logKinds are the keys of a conversation.
var logKinds = []string{"m", "l", "p", "t", "h"}

const (
	memoryEach   = 10 // conversations of a learner
	memoryAsked  = 10 // messages, each with its reply
	memoryTokens = 60 // of such a reply
	memoryLive   = 600
	// memorySays gives tokens of about the length of English ones.
	memorySays = "[tag a] I would like to hear more about the delivery dates, and who decides."
)

// RedisMemory measures conversations at rest, the same ones compacted, and
// others with a reply under way, on a Redis of its own.
func RedisMemory(ctx context.Context, o *Options, mo MemoryOptions) ([]Footprint, *Conditions, error) {
	with := *o
	with.Env = append(slices.Clone(with.Env), "FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=40", "FLUENTPRO_UPSTREAM_TIMEOUT_IDLE=1h", "FLUENTPRO_UPSTREAM_TIMEOUT_TOTAL=1h",
		fmt.Sprintf("FLUENTPRO_UPSTREAM_CONCURRENCY=%d", mo.Conversations+100))
	o = &with
	r := &memoryRun{o: o, mo: mo}
	var err error
	if r.redis, err = o.redis(ctx); err != nil {
		return nil, nil, err
	}
	defer r.redis.stop()
	pg, err := o.postgres(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer pg.close()
	if r.learners, err = o.seed(ctx, r.redis.url, (mo.Conversations+memoryEach-1)/memoryEach, 1); err != nil {
		return nil, nil, err
	}
	if err = r.atRest(ctx); err == nil {
		err = r.live(ctx)
	}
	return r.out, &Conditions{Redis: r.redis.version, Postgres: pg.version}, err
}

type memoryRun struct {
	o        *Options
	mo       MemoryOptions
	redis    *redisServer
	learners []learner
	out      []Footprint
}

// spoken is one conversation and who has it.
type spoken struct {
	l  *learner
	id string
}

// on runs do on a node with such a model.
func (r *memoryRun) on(ctx context.Context, model string, do func(*child) error) error {
	up, err := r.o.standIn(ctx, model, 50*time.Millisecond, r.mo.Rate)
	if err != nil {
		return err
	}
	defer up.stop()
	node, err := r.o.serve(ctx, "memory-"+model, r.o.Binary, r.redis.url, up.base, model)
	if err != nil {
		return err
	}
	defer node.kill() // replies that are held open have no end to wait for
	return do(node)
}

// warm are conversations that are in all figures, one of each learner.
func (r *memoryRun) warm() []spoken {
	var out []spoken
	for i := range r.learners {
		out = append(out, spoken{&r.learners[i], r.learners[i].conversations[0]})
	}
	return out
}

func (r *memoryRun) each(ctx context.Context, all []spoken, do func(context.Context, spoken) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.mo.AtOnce)
	for _, s := range all {
		g.Go(func() error { return do(gctx, s) })
	}
	return g.Wait()
}

// begin makes the conversations that are weighed.
func (r *memoryRun) begin(ctx context.Context, base string) ([]spoken, error) {
	a := newAPI(base)
	defer a.close()
	var out []spoken
	for i := range r.learners {
		l := &r.learners[i]
		ids, err := a.begin(ctx, l, min(memoryEach, r.mo.Conversations-len(out)))
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			out = append(out, spoken{l, id})
		}
	}
	return out, nil
}

func (r *memoryRun) atRest(ctx context.Context) error {
	return r.on(ctx, fmt.Sprintf("checkable-%d", memoryTokens), func(node *child) error {
		// Scripts, pools and learners' visits come before the first look.
		if err := r.each(ctx, r.warm(), func(ctx context.Context, s spoken) error { return s.talk(ctx, node.base, 1) }); err != nil {
			return err
		}
		before, err := r.look(ctx, nil)
		if err != nil {
			return err
		}
		all, err := r.begin(ctx, node.base)
		if err != nil {
			return err
		}
		if err := r.each(ctx, all, func(ctx context.Context, s spoken) error { return s.talk(ctx, node.base, memoryAsked) }); err != nil {
			return err
		}
		if err := r.weigh(ctx, "at rest, just ended", all, before); err != nil {
			return err
		}
		var ids []string
		for _, s := range all {
			ids = append(ids, s.id)
		}
		if err := r.mo.Compact(ctx, r.redis.url, ids); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
		return r.weigh(ctx, "at rest, compacted", all, before)
	})
}

func (r *memoryRun) live(ctx context.Context) error {
	model := fmt.Sprintf("checkable-%d+fault-stall-%d", 2*memoryLive, memoryLive)
	return r.on(ctx, model, func(node *child) error {
		var held holders
		defer held.close()
		hold := func(ctx context.Context, s spoken) error { return held.hold(ctx, node.base, s) }
		if err := r.each(ctx, r.warm(), hold); err != nil {
			return err
		}
		before, err := r.look(ctx, nil)
		if err != nil {
			return err
		}
		all, err := r.begin(ctx, node.base)
		if err != nil {
			return err
		}
		if err := r.each(ctx, all, hold); err != nil {
			return err
		}
		if err := r.weigh(ctx, "live", all, before); err != nil {
			return err
		}
		return held.failed()
	})
}
