package redislog

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// toll stands where the network is: it counts what passes, answers each call
// with its first key, and holds everything back while shut.
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

func (h *toll) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h.pass(ctx, []redis.Cmder{cmd}) }
}

func (h *toll) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return h.pass
}

func (h *toll) pass(ctx context.Context, cmds []redis.Cmder) error {
	h.mu.Lock()
	h.sizes = append(h.sizes, len(cmds))
	h.held++
	fail := h.fail
	h.mu.Unlock()
	select {
	case <-h.open:
	case <-ctx.Done():
		fail = ctx.Err()
	}
	for _, c := range cmds {
		if fail != nil {
			c.SetErr(fail)
			continue
		}
		c.(*redis.Cmd).SetVal(c.Args()[3]) // evalsha <sha> <keys> <key>
	}
	return fail
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
	return h, &combiner{rdb: rdb, timeout: timeout}
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
		wg.Go(func() { answers[i], _ = c.do(t.Context(), "sha", []string{"k" + strconv.Itoa(i)}, nil).Text() })
	}
	for i := range lanes {
		ask(i)
	}
	eventually(t, "the first do not go at once", func() bool { return h.waiting() == lanes })
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
		t.Errorf("%d trips for %d appends: %v", n, writers, h.sizes)
	}
	for _, n := range h.sizes {
		if n > most {
			t.Errorf("a pipeline of %d, the bound is %d", n, most)
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
		wg.Go(func() { errs[i] = c.do(t.Context(), "sha", []string{"k"}, nil).Err() })
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
	for range lanes {
		wg.Go(func() { _ = c.do(t.Context(), "sha", []string{"k"}, nil).Err() })
	}
	eventually(t, "the lanes do not fill", func() bool { return h.waiting() == lanes })
	gone, cancel := context.WithCancel(t.Context())
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = gone
			}
			errs[i] = c.do(ctx, "sha", []string{"k"}, nil).Err()
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

func TestAFailureReachesEveryWriter(t *testing.T) {
	t.Parallel()
	h, c := newToll(t, time.Second)
	h.fail = refusal("NOSCRIPT No matching script")
	close(h.open)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := c.do(t.Context(), "sha", []string{"k"}, nil).Err(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
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
