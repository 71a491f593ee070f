package resilience

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// Config sets up a Guard; a zero takes the default in brackets.
type Config struct {
	// Service names the other side in metrics, logs and errors: "smtp", "oidc".
	Service string
	// Attempt bounds one try [10 s], Total all tries and the waits between
	// them [30 s].
	Attempt, Total time.Duration
	// Attempts is how often a call is tried at most [3].
	Attempts int
	// Base is the longest wait before the first repeat; it doubles with each
	// further one up to eight times itself [200 ms].
	Base time.Duration
	// Failures in a row open the breaker [5]; it stays open for Open [10 s].
	Failures int
	Open     time.Duration
	// Transient judges errors that Default cannot; nil for Default.
	Transient func(error) Verdict
	// Logger hears of breakers; nil for none. Registerer gets the metrics; nil
	// for none, and one Service may be registered once.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Guard is the rules of one service. It is safe for concurrent use.
type Guard struct {
	cfg     Config
	breaker circuitbreaker.CircuitBreaker[any]
	budget  budget.Budget
	metrics *guardMetrics

	mu sync.Mutex // makes taking a permit and seeing that it is a probe one step
}

// New makes a Guard.
func New(cfg Config) *Guard {
	span := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	span(&cfg.Attempt, 10*time.Second)
	span(&cfg.Total, 30*time.Second)
	span(&cfg.Base, 200*time.Millisecond)
	span(&cfg.Open, 10*time.Second)
	if cfg.Attempts <= 0 {
		cfg.Attempts = 3
	}
	if cfg.Failures <= 0 {
		cfg.Failures = 5
	}
	if cfg.Transient == nil {
		cfg.Transient = Default
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Guard{cfg: cfg, budget: budget.NewBuilder().WithMaxRate(0.2).WithMinConcurrency(3).Build()}
	g.breaker = circuitbreaker.NewBuilder[any]().WithFailureThreshold(uint(cfg.Failures)).WithDelay(cfg.Open).WithSuccessThreshold(1).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
			cfg.Logger.Warn("a service's breaker changes", "service", cfg.Service, "from", e.OldState.String(), "to", e.NewState.String())
		}).Build()
	g.metrics = newGuardMetrics(cfg, g.breaker)
	return g
}

// Do calls fn until it succeeds, fails for good, or the rules say stop. fn
// must be safe to do twice, and must heed its context.
//
// The error is the caller's own end as its cause; a permanent failure as fn
// returned it; everything else as a *fault.Error with code
// dependency_unavailable around fn's last error, with advice when to come back
// if there is any.
func (g *Guard) Do(ctx context.Context, fn func(context.Context) error) error {
	return g.run(ctx, true, fn)
}

// Once is Do for a call that must not be made twice, like sending a mail: it
// is repeated only when the try surely never reached the other side.
func (g *Guard) Once(ctx context.Context, fn func(context.Context) error) error {
	return g.run(ctx, false, fn)
}

// Get is Do for a call that returns something.
func Get[T any](ctx context.Context, g *Guard, fn func(context.Context) (T, error)) (T, error) {
	var out T
	err := g.Do(ctx, func(ctx context.Context) (err error) {
		out, err = fn(ctx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return out, nil
}

// State is the breaker's: closed, open or half-open.
func (g *Guard) State() string { return g.breaker.State().String() }

// Check is an error while the breaker is open, for readiness.
func (g *Guard) Check(context.Context) error {
	if g.breaker.IsOpen() {
		return errors.New("the breaker of " + g.cfg.Service + " is open")
	}
	return nil
}

// errTry is the cause when one try took too long, errTotal when all did.
var (
	errTry   = errors.New("the try took too long")
	errTotal = errors.New("all tries together took too long")
	errOpen  = errors.New("the breaker is open")
)

// try is what the retry policy sees of a failed try.
type try struct {
	err   error
	again bool
	wait  time.Duration // what the server asked for, negative for nothing
}

// final is a failure that cannot be repeated, whatever its kind.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

func (t *try) Error() string { return t.err.Error() }
func (t *try) Unwrap() error { return t.err }

func (g *Guard) run(caller context.Context, repeatable bool, fn func(context.Context) error) error {
	if caller.Err() != nil {
		return context.Cause(caller)
	}
	ctx, cancel := context.WithTimeoutCause(caller, g.cfg.Total, errTotal)
	defer cancel()
	begun, tries := time.Now(), 0
	var last *try // what budget and context would hide
	policy := retrypolicy.NewBuilder[any]().WithMaxAttempts(g.cfg.Attempts).ReturnLastFailure().WithBudget(g.budget).
		HandleIf(func(_ any, err error) bool { var t *try; return errors.As(err, &t) && t.again }).
		WithDelayFunc(func(failsafe.ExecutionAttempt[any]) time.Duration { return g.wait(tries, last.wait) }).Build()
	err := failsafe.With(policy).WithContext(ctx).Run(func() error {
		tries++
		last = g.attempt(ctx, repeatable, fn)
		if last == nil {
			return nil
		}
		// A wait beyond our patience is no wait: the caller hears of it now.
		if end, ok := ctx.Deadline(); ok && last.wait > 0 && time.Until(end) < last.wait {
			last.again = false
		}
		return last
	})
	g.metrics.done(tries, time.Since(begun))
	switch {
	case err == nil:
		g.metrics.result("ok")
		return nil
	case caller.Err() != nil:
		g.metrics.result("cancelled")
		return context.Cause(caller)
	case last == nil: // the total ended before a try did
		last = &try{err: errTotal, wait: -1}
	}
	v := g.cfg.Transient(last.err)
	switch {
	case errors.Is(last.err, errOpen):
		g.metrics.result("refused")
	case !v.Transient && !errors.Is(last.err, errTry) && !errors.Is(last.err, errTotal):
		g.metrics.result("rejected")
		return last.err
	default:
		g.metrics.result("failed")
	}
	return g.unavailable(last)
}

// attempt makes one try past the breaker; nil when it went well.
func (g *Guard) attempt(total context.Context, repeatable bool, fn func(context.Context) error) *try {
	g.mu.Lock()
	ok := g.breaker.TryAcquirePermit()
	probe := ok && g.breaker.IsHalfOpen()
	g.mu.Unlock()
	if !ok {
		return &try{err: errOpen, wait: max(g.breaker.RemainingDelay(), time.Second)}
	}
	ctx, cancel := context.WithTimeoutCause(total, g.cfg.Attempt, errTry)
	defer cancel()
	judged := false
	defer func() {
		if !judged { // a panic says nothing of the service, but frees the permit
			g.breaker.RecordFailure()
		}
	}()
	err := fn(ctx)
	judged = true
	if err == nil {
		g.breaker.RecordSuccess()
		return nil
	}
	if total.Err() != nil && !errors.Is(context.Cause(total), errTotal) {
		// The caller went away, which says nothing; only a probe must be answered.
		if probe {
			g.breaker.RecordFailure()
		}
		return &try{err: err, wait: -1}
	}
	v := g.cfg.Transient(err)
	if cause := context.Cause(ctx); ctx.Err() != nil {
		err, v = errors.Join(cause, err), Verdict{Transient: true, RetryAfter: -1, Unsent: v.Unsent}
	}
	if !v.Transient {
		g.breaker.RecordSuccess() // who refuses is there
		return &try{err: err, wait: -1}
	}
	if v.Busy {
		g.breaker.RecordSuccess() // who asks for patience is there too
	} else {
		g.breaker.RecordFailure()
	}
	var f *final
	again := (repeatable || v.Unsent) && total.Err() == nil && !errors.As(err, &f)
	return &try{err: err, again: again, wait: v.RetryAfter}
}

// wait is the time before the next try: anything up to a doubling span, and
// not less than the server asked for.
func (g *Guard) wait(tries int, asked time.Duration) time.Duration {
	span := min(g.cfg.Base<<min(tries-1, 3), 8*g.cfg.Base)
	return max(time.Duration(rand.Int64N(int64(span)+1)), asked)
}

func (g *Guard) unavailable(t *try) error {
	f := fault.Wrap(&Error{Service: g.cfg.Service, Err: t.err}, fault.DependencyUnavailable, "A service that this needs does not answer just now.")
	if t.wait > 0 {
		f.RetryAfterMS = t.wait.Milliseconds()
	}
	return f
}

// Error names the service whose call failed; it is the cause inside the fault
// that Do returns, for logs.
type Error struct {
	Service string
	Err     error
}

// Error implements error.
func (e *Error) Error() string { return e.Service + ": " + e.Err.Error() }

// Unwrap returns the last try's error.
func (e *Error) Unwrap() error { return e.Err }

// IsOpen says that a breaker refused the call, so nothing was asked.
func IsOpen(err error) bool { return errors.Is(err, errOpen) }
