package redislog

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// toll stands where the network is: it counts what passes, answers each append
// of a call with its first key, and holds everything back while shut.
type toll struct {
	open chan struct{}

	mu    sync.Mutex
	sizes []int
	held  int
	fail  error
}

func (h *toll) DialHook(next redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network here") }
}

func (h *toll) ProcessHook(redis.ProcessHook) redis.ProcessHook { return h.pass }

func (h *toll) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *toll) pass(ctx context.Context, cmd redis.Cmder) error {
	keys := calledWith(cmd.Args())
	h.mu.Lock()
	h.sizes = append(h.sizes, len(keys))
	h.held++
	fail := h.fail
	h.mu.Unlock()
	select {
	case <-h.open:
	case <-ctx.Done():
		fail = ctx.Err()
	}
	if fail != nil {
		cmd.SetErr(fail)
		return fail
	}
	out := make([]any, len(keys))
	for i, k := range keys {
		out[i] = []any{"OK", k}
	}
	cmd.(*redis.Cmd).SetVal(out)
	return nil
}

// calledWith reads the first key of each append from the arguments of
// evalsha <sha> <number of keys> <key>…: five each, the marker sixth.
func calledWith(args []any) (first []string) {
	for i := 0; i+1 < args[2].(int); i += 5 {
		first = append(first, args[3+i].(string))
		if i == 0 {
			i++
		}
	}
	return first
}

func newAsk(identity, key string) *ask {
	return &ask{identity: identity, mark: "m", keys: []string{key, "l", "p", "t", "h"}, argv: make([]any, asks)}
}

// refusal is an error that Redis itself answers.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

func (h *toll) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

func newToll(t *testing.T, timeout time.Duration) (*toll, *combiner) {
	t.Helper()
	h := &toll{open: make(chan struct{})}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	rdb.AddHook(h)
	t.Cleanup(func() { _ = rdb.Close() })
	return h, &combiner{rdb: rdb, mode: "r", timeout: timeout}
}

func (c *combiner) queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// eventually polls without sleeping long; the deadline only ends a failure.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(what)
		}
	}
}

func TestAppendsThatMeetGoTogether(t *testing.T) {
	t.Parallel()
	h, c := newToll(t, 10*time.Second)
	const writers = 100
	var wg sync.WaitGroup
	answers := make([]string, writers)
	ask := func(i int) {
		wg.Go(func() {
			if res, err := c.do(t.Context(), newAsk("i", "k"+strconv.Itoa(i))); err == nil {
				answers[i] = res[1]
			}
		})
	}
	for i := range lanes {
		ask(i)
		eventually(t, "the first do not go at once", func() bool { return h.waiting() == i+1 })
	}
	for i := lanes; i < writers; i++ {
		ask(i)
	}
	eventually(t, "the others do not queue", func() bool { return c.queued() == writers-lanes })
	close(h.open)
	wg.Wait()
	for i, a := range answers {
		if a != "k"+strconv.Itoa(i) {
			t.Errorf("writer %d got the answer %q", i, a)
		}
	}
	if n := len(h.sizes); n > lanes+2 {
		t.Errorf("%d calls for %d appends: %v", n, writers, h.sizes)
	}
	for _, n := range h.sizes {
		if n > most {
			t.Errorf("a call of %d, the bound is %d", n, most)
		}
	}
	if c.busy != 0 || len(c.queue) != 0 {
		t.Errorf("a lane is left: busy %d, queued %d", c.busy, len(c.queue))
	}
}

func TestAHangingRedisEndsEveryWait(t *testing.T) {
	t.Parallel()
	_, c := newToll(t, 50*time.Millisecond) // never opened
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.do(t.Context(), newAsk("i", "k")) })
	}
	wg.Wait()
	for i, err := range errs {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("writer %d: %v", i, err)
		}
	}
}

func TestALeaderThatGivesUpDoesNotTakeOthersAlong(t *testing.T) {
	t.Parallel()
	h, c := newToll(t, 10*time.Second)
	var wg sync.WaitGroup
	for i := range lanes {
		wg.Go(func() { _, _ = c.do(t.Context(), newAsk("i", "k")) })
		eventually(t, "the lanes do not fill", func() bool { return h.waiting() == i+1 })
	}
	gone, cancel := context.WithCancel(t.Context())
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = gone
			}
			_, errs[i] = c.do(ctx, newAsk("i", "k"))
		})
	}
	eventually(t, "the others do not queue", func() bool { return c.queued() == len(errs) })
	cancel()
	close(h.open)
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
}

// Appends of two lifetimes of Redis, queued together, go in calls of their own.
func TestLifetimesAreNotMixed(t *testing.T) {
	t.Parallel()
	h, c := newToll(t, 10*time.Second)
	var wg sync.WaitGroup
	ask := func(identity string) {
		wg.Go(func() {
			if _, err := c.do(t.Context(), newAsk(identity, identity)); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range lanes {
		ask("old")
		eventually(t, "the lanes do not fill", func() bool { return h.waiting() == i+1 })
	}
	for i, identity := range []string{"old", "old", "new", "new", "new"} {
		ask(identity)
		eventually(t, "the others do not queue", func() bool { return c.queued() == i+1 })
	}
	close(h.open)
	wg.Wait()
	if got := h.sizes[lanes:]; !slices.Equal(got, []int{2, 3}) {
		t.Errorf("calls of %v appends", got)
	}
}

// What answers nonsense is an error for everybody, never a panic.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, "OK", int64(1), []any{}, []any{"OK", int64(3)}, []any{"ERR", "WRONGTYPE"}} {
		if got, err := answer(v); err == nil {
			t.Errorf("%v reads as %v", v, got)
		}
	}
}

func TestAFailureReachesEveryWriter(t *testing.T) {
	t.Parallel()
	h, c := newToll(t, time.Second)
	h.fail = refusal("LOADING Redis is loading the dataset in memory")
	close(h.open)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := c.do(t.Context(), newAsk("i", "k")); !redis.HasErrorPrefix(err, "LOADING") {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
}

func TestShardIsCRC16AsRedisHasIt(t *testing.T) {
	t.Parallel()
	// 0x31C3 is the check value of CRC16/XMODEM in the Redis Cluster specification.
	if got, want := shard("123456789"), 0x31C3%shards; got != want {
		t.Errorf("shard %d, want %d", got, want)
	}
}
