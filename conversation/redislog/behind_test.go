package redislog_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// trips counts what goes to Redis, single commands and pipelines; those that
// set a new connection up are not counted.
type trips struct{ n atomic.Int64 }

func (c *trips) count(cmd redis.Cmder) {
	if cmd.Name() != "hello" && cmd.Name() != "client" {
		c.n.Add(1)
	}
}

func (c *trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.count(cmd); return next(ctx, cmd) }
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.count(cmds[0]); return next(ctx, cmds) }
}

func TestBehind(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		same, _ := e.create()
		more, moreEp := e.create()
		renamed, _ := e.create()
		gone, _ := e.create()
		foreign, _ := e.create()
		at := map[conversation.ID]conversation.Cursor{}
		for _, id := range []conversation.ID{same, more, renamed, gone, foreign} {
			a, err := e.log.Active(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			at[id] = conversation.Cursor{Epoch: a.Epoch, Seq: a.Top}
		}
		if _, _, err := e.log.PutFact(ctx, more, moreEp, accepted(3)); err != nil {
			t.Fatal(err)
		}
		if _, err := e.log.Create(ctx, renamed, 9, conversation.Seed{Header: header(renamed)}); err != nil {
			t.Fatal(err)
		}
		e.drop(gone, "m")
		e.drop(foreign, "m")
		e.do("SET", slices.Collect(func(yield func(string) bool) {
			for _, k := range e.keys(same) {
				if k[len(k)-1] == 'm' && !yield(replace(k, same, foreign)) {
					return
				}
			}
		})[0], "not a hash")
		var count trips
		e.rdb.AddHook(&count)
		for _, c := range []struct {
			how  string
			most int64
		}{{"cold", 3}, {"warm", 1}} {
			count.n.Store(0)
			behind, err := e.log.Behind(ctx, at)
			errIs(t, c.how, err, nil)
			slices.Sort(behind)
			want := []conversation.ID{more, renamed, gone, foreign}
			slices.Sort(want)
			if !slices.Equal(behind, want) {
				t.Errorf("%s: behind are %v, want %v", c.how, behind, want)
			}
			if n := count.n.Load(); n > c.most {
				t.Errorf("%s: %d trips", c.how, n)
			}
		}
		if none, err := e.log.Behind(ctx, nil); len(none) != 0 || err != nil {
			t.Errorf("of nothing: %v (%v)", none, err)
		}
	})
}

// replace is the key of the same kind of another conversation.
func replace(key string, id, by conversation.ID) string {
	tag := func(id conversation.ID) string { return strings.TrimSuffix(redislog.Channel(id), string(id)) }
	return tag(by) + strings.ReplaceAll(strings.TrimPrefix(key, tag(id)), string(id), string(by))
}

// After a restart nothing stands where it stood, and after that no answer is no
// answer.
func TestBehindAfterARestart(t *testing.T) {
	t.Parallel()
	e := newRealEnv(t, "r")
	at := map[conversation.ID]conversation.Cursor{}
	for range 50 {
		id, ep := e.create()
		at[id] = conversation.Cursor{Epoch: ep}
	}
	e.srv.Restart()
	testenv.EventuallyTrue(t, 20*time.Second, "all are behind", func() bool {
		behind, err := e.log.Behind(t.Context(), at)
		return err == nil && len(behind) == len(at)
	})
	e.srv.Kill()
	_, err := e.log.Behind(t.Context(), at)
	errIs(t, "without Redis", err, conversation.ErrLogDown)
}

// Each subscription that is confirmed again is told of once, not all of them.
func TestALostConnectionIsToldOncePerChannel(t *testing.T) {
	t.Parallel()
	e := newRealEnv(t, "r")
	b, _ := e.ring()
	var mu sync.Mutex
	told := map[conversation.ID]int{}
	b.OnSuspect(func(id conversation.ID) { mu.Lock(); told[id]++; mu.Unlock() })
	const channels = 300
	var r ear
	for range channels {
		defer e.listen(b, conversation.NewID(), &r)()
	}
	e.do("CLIENT", "KILL", "TYPE", "pubsub")
	testenv.EventuallyTrue(t, 30*time.Second, "every channel is told of", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) == channels
	})
	mu.Lock()
	defer mu.Unlock()
	sum := 0
	for _, n := range told {
		sum += n
	}
	if sum > 2*channels { // the connection may break once more
		t.Errorf("%d alarms for %d channels", sum, channels)
	}
}
