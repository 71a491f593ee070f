package resilience

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = &Status{Code: 502, RetryAfter: -1}

// failing fails n times with err, then succeeds, and notes when it was called.
type failing struct {
	err   error
	n     int
	calls []time.Time
}

func (f *failing) call(context.Context) error {
	f.calls = append(f.calls, time.Now())
	if len(f.calls) <= f.n {
		return f.err
	}
	return nil
}

func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if fault.CodeOf(err) != fault.DependencyUnavailable {
		t.Fatalf("got %v, want dependency_unavailable", err)
	}
}

func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for name, c := range map[string]struct {
		err       error
		do, once  int // tries
		permanent bool
	}{
		"bad gateway":            {errBroken, 3, 1, false},
		"too many requests":      {&Status{Code: 429, RetryAfter: -1}, 3, 3, false},
		"503 with advice":        {&Status{Code: 503, RetryAfter: time.Second}, 3, 3, false},
		"503 without":            {&Status{Code: 503, RetryAfter: -1}, 3, 1, false},
		"not found":              {&Status{Code: 404, RetryAfter: -1}, 1, 1, true},
		"unauthorised":           {&Status{Code: 401, RetryAfter: -1}, 1, 1, true},
		"not implemented":        {&Status{Code: 501, RetryAfter: -1}, 1, 1, true},
		"overloaded by a proxy":  {&Status{Code: 529, RetryAfter: -1}, 3, 1, false},
		"refused connection":     {dial, 3, 3, false},
		"broken connection":      {&net.OpError{Op: "read", Err: errors.New("reset")}, 3, 1, false},
		"cut answer":             {io.ErrUnexpectedEOF, 3, 1, false},
		"mailbox busy":           {&textproto.Error{Code: 450}, 3, 3, false},
		"no such mailbox":        {&textproto.Error{Code: 550}, 1, 1, true},
		"an error of our own":    {errors.New("bug"), 1, 1, true},
		"a caller's own timeout": {context.DeadlineExceeded, 3, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, way := range []struct {
					tries int
					run   func(*Guard, func(context.Context) error) error
				}{
					{c.do, func(g *Guard, fn func(context.Context) error) error { return g.Do(t.Context(), fn) }},
					{c.once, func(g *Guard, fn func(context.Context) error) error { return g.Once(t.Context(), fn) }},
				} {
					f := &failing{err: c.err, n: 99}
					err := way.run(New(Config{Service: "x"}), f.call)
					if len(f.calls) != way.tries {
						t.Errorf("%d tries, want %d", len(f.calls), way.tries)
					}
					if !errors.Is(err, c.err) {
						t.Errorf("got %v, want %v inside", err, c.err)
					}
					if c.permanent && err != c.err {
						t.Errorf("got %#v, want it as it was", err)
					} else if !c.permanent {
						wantUnavailable(t, err)
					}
				}
				f := &failing{err: c.err, n: c.do - 1}
				if err := New(Config{Service: "x"}).Do(t.Context(), f.call); err != nil {
					t.Errorf("the last try went well, and yet: %v", err)
				}
			})
		})
	}
}

func TestGetReturnsNothingWithAnError(t *testing.T) {
	t.Parallel()
	g := New(Config{Service: "x"})
	if v, err := Get(t.Context(), g, func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Fatalf("got %d, %v", v, err)
	}
	if v, err := Get(t.Context(), g, func(context.Context) (int, error) { return 7, errors.New("no") }); v != 0 || err == nil {
		t.Fatalf("got %d, %v", v, err)
	}
}

func TestWaitsDoubleWithFullJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		longest := make([]time.Duration, 5)
		short := false
		for range 200 {
			f := &failing{err: errBroken, n: 99}
			_ = New(Config{Service: "x", Attempts: 6, Failures: 100, Base: 100 * time.Millisecond, Total: time.Hour}).Do(t.Context(), f.call)
			for i := range 5 {
				d := f.calls[i+1].Sub(f.calls[i])
				longest[i] = max(longest[i], d)
				short = short || d < 10*time.Millisecond
			}
		}
		for i, ms := range []int{100, 200, 400, 800, 800} {
			want := time.Duration(ms) * time.Millisecond
			if longest[i] > want || longest[i] < want*8/10 {
				t.Errorf("wait %d was up to %v of 200, want nearly %v", i, longest[i], want)
			}
		}
		if !short {
			t.Error("no wait was short: the jitter is not full")
		}
	})
}

func TestAdviceIsHeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &failing{err: &Status{Code: 429, RetryAfter: 7 * time.Second}, n: 1}
		if err := New(Config{Service: "x"}).Do(t.Context(), f.call); err != nil || f.calls[1].Sub(f.calls[0]) < 7*time.Second {
			t.Fatalf("got %v, calls at %v", err, f.calls)
		}
		// More patience than there is: told at once, with the advice.
		f = &failing{err: &Status{Code: 429, RetryAfter: time.Minute}, n: 1}
		begun := time.Now()
		err := New(Config{Service: "x"}).Do(t.Context(), f.call)
		wantUnavailable(t, err)
		if ms := fault.Of(err).RetryAfterMS; len(f.calls) != 1 || ms != 60_000 || time.Since(begun) != 0 {
			t.Fatalf("%d calls, advice %d, after %v", len(f.calls), ms, time.Since(begun))
		}
	})
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(n *int) func(context.Context) error {
			return func(ctx context.Context) error {
				*n++
				<-ctx.Done()
				return ctx.Err()
			}
		}
		calls, begun := 0, time.Now()
		wantUnavailable(t, New(Config{Service: "x", Attempt: time.Second, Base: time.Nanosecond}).Do(t.Context(), hang(&calls)))
		if d := time.Since(begun).Round(time.Second); calls != 3 || d != 3*time.Second {
			t.Fatalf("%d tries in %v, want 3 of a second each", calls, d)
		}
		calls, begun = 0, time.Now()
		wantUnavailable(t, New(Config{Service: "x", Attempt: 4 * time.Second, Total: 5 * time.Second, Base: time.Nanosecond}).Do(t.Context(), hang(&calls)))
		if calls != 2 || time.Since(begun) != 5*time.Second {
			t.Fatalf("%d tries in %v, want 2 in 5 s", calls, time.Since(begun))
		}
		// A try that ran out of time may have arrived.
		calls = 0
		wantUnavailable(t, New(Config{Service: "x", Attempt: time.Second}).Once(t.Context(), hang(&calls)))
		if calls != 1 {
			t.Fatalf("%d tries", calls)
		}
	})
}

func TestTheCallerMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		g := New(Config{Service: "x", Failures: 1})
		for _, fn := range []func(context.Context) error{
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },                      // in a try
			func(context.Context) error { return &Status{Code: 429, RetryAfter: 20 * time.Second} }, // in a wait
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(gone) })
			begun := time.Now()
			if err := g.Do(ctx, fn); !errors.Is(err, gone) || time.Since(begun) != time.Second {
				t.Fatalf("got %v after %v, want the caller's cause", err, time.Since(begun))
			}
			if err := g.Do(ctx, func(context.Context) error { t.Error("called"); return nil }); !errors.Is(err, gone) {
				t.Fatalf("got %v", err)
			}
		}
		if g.State() != "closed" {
			t.Fatal("a caller who left counts as a failure")
		}
	})
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		gauge := func() float64 {
			all, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				if f.GetName() == "fluentpro_outward_breaker_open" {
					return f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			return -1
		}
		g := New(Config{Service: "x", Attempts: 1, Failures: 3, Open: 10 * time.Second, Registerer: reg})
		asked := 0
		call := func(err error) error {
			return g.Do(t.Context(), func(context.Context) error { asked++; return err })
		}
		for range 10 { // refusals and requests for patience are no failures
			_ = call(&Status{Code: 400, RetryAfter: -1})
			_ = call(&Status{Code: 429, RetryAfter: -1})
		}
		_ = call(errBroken)
		_ = call(errBroken)
		_ = call(nil) // a success in between begins anew
		_ = call(errBroken)
		_ = call(errBroken)
		if g.State() != "closed" || g.Check(t.Context()) != nil || gauge() != 0 {
			t.Fatalf("the breaker is %s", g.State())
		}
		_ = call(errBroken)
		if g.State() != "open" || g.Check(t.Context()) == nil || gauge() != 1 {
			t.Fatalf("the breaker is %s after 3 failures in a row", g.State())
		}
		asked = 0
		err := call(nil)
		wantUnavailable(t, err)
		if f := fault.Of(err); !IsOpen(err) || asked != 0 || f.RetryAfterMS != 10_000 {
			t.Fatalf("got %+v, asked %d times", f, asked)
		}
		if IsOpen(errBroken) {
			t.Fatal("any error reads as an open breaker")
		}

		// After its time exactly one of many callers probes.
		time.Sleep(10 * time.Second)
		release, probing := make(chan error), make(chan struct{})
		var wg sync.WaitGroup
		var refused atomic.Int32
		wg.Go(func() {
			_ = g.Do(t.Context(), func(context.Context) error { close(probing); return <-release })
		})
		<-probing
		if gauge() != 0.5 {
			t.Fatalf("gauge %v while probing", gauge())
		}
		for range 20 {
			wg.Go(func() {
				if err := g.Do(t.Context(), func(context.Context) error { t.Error("a second probe"); return nil }); IsOpen(err) {
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		if refused.Load() != 20 {
			t.Fatalf("%d of 20 were refused", refused.Load())
		}
		release <- errBroken
		wg.Wait()
		if g.State() != "open" {
			t.Fatalf("the breaker is %s after a failed probe", g.State())
		}

		// A probe whose caller leaves frees the place for another.
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		_ = g.Do(ctx, func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
		time.Sleep(10 * time.Second)
		if err := call(nil); err != nil || g.State() != "closed" {
			t.Fatalf("got %v, the breaker is %s after a good probe", err, g.State())
		}
		if n := testutil.ToFloat64(g.metrics.results.WithLabelValues("refused")); n != 21 {
			t.Fatalf("%v calls counted as refused, want 21", n)
		}
	})
}

func TestAPanicFreesTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{Service: "x", Attempts: 1, Failures: 1, Open: time.Second})
		_ = g.Do(t.Context(), func(context.Context) error { return errBroken })
		time.Sleep(time.Second)
		func() {
			defer func() { _ = recover() }()
			_ = g.Do(t.Context(), func(context.Context) error { panic("boom") })
			t.Error("the panic was swallowed")
		}()
		time.Sleep(time.Second)
		if err := g.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBudget has a hundred calls fail at once: repeats under way stay about a
// fifth of the calls under way, where without a budget all would repeat.
func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{Service: "x", Failures: 1_000_000, Base: time.Millisecond})
		var tries, repeats, most, now atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				mine := 0
				err := g.Do(t.Context(), func(context.Context) error {
					tries.Add(1)
					if mine++; mine > 1 {
						repeats.Add(1)
						most.Store(max(most.Load(), now.Add(1)))
						time.Sleep(time.Second)
						now.Add(-1)
					}
					return errBroken
				})
				if !errors.Is(err, errBroken) {
					t.Errorf("got %v, want the last try's error inside", err)
				}
			})
		}
		wg.Wait()
		if most.Load() > 30 || repeats.Load() == 0 {
			t.Fatalf("%d repeats, up to %d at once, for 100 calls", repeats.Load(), most.Load())
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "3", 3 * time.Second},
		{"Retry-After", " 1.5 ", 1500 * time.Millisecond},
		{"Retry-After", "-3", 0},
		{"Retry-After", "NaN", -1},
		{"Retry-After", "1e300", 24 * time.Hour},
		{"Retry-After", "soon", -1},
		{"Retry-After", "", -1},
		{"Retry-After", "0", 0},
		{"X", "1", -1},
		{"Retry-After", "Fri, 01 May 2026 12:00:30 GMT", 30 * time.Second},
		{"Retry-After", "Fri, 01 May 2026 11:00:30 GMT", 0},
		{"Retry-After", "Fri, 01 May 2099 11:00:30 GMT", 24 * time.Hour},
		{"Retry-After-Ms", "250", 250 * time.Millisecond},
	} {
		if got := RetryAfter(http.Header{c.name: {c.value}}, now); got != c.want {
			t.Errorf("%s %q: got %v, want %v", c.name, c.value, got, c.want)
		}
	}
}
