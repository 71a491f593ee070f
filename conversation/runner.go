package conversation

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// RunnerConfig tunes generation; zero values mean the defaults in brackets.
type RunnerConfig struct {
	// Lease is the lock's term [3s]; it is refreshed each third.
	Lease time.Duration
	// MaxTries bounds attempts of one run, planned hand-overs not counted [3].
	MaxTries int64
	// Total bounds one model call [90s].
	Total time.Duration
	// MinGap is the least time between two appends of a run [0].
	MinGap time.Duration
	// Checkpoint stores text in SQL before it is shown; for a writer that
	// shares its process with Redis.
	Checkpoint bool
	// WaitLog is how long a takeover waits for Redis before it gives up the
	// text that only Redis may hold [15s].
	WaitLog time.Duration
	// Patience is how long an attempt repeats what SQL failed at before that
	// counts against the run [30s]. What passes sooner is no attempt.
	Patience time.Duration
	// EndPatience is how long the end of a run is repeated, and whatever an SQL
	// refuses that takes no writes [10min]. Nobody else has the text; afterwards
	// any node goes on from what the log has.
	EndPatience time.Duration
	// Rand draws a time below n, for pauses that nodes should not take in
	// step [math/rand/v2]; a simulation gives its own to be repeatable.
	Rand func(n time.Duration) time.Duration
}

func (c *RunnerConfig) defaults() {
	if c.Lease <= 0 {
		c.Lease = 3 * time.Second
	}
	if c.MaxTries <= 0 {
		c.MaxTries = 3
	}
	if c.Total <= 0 {
		c.Total = 90 * time.Second
	}
	if c.WaitLog <= 0 {
		c.WaitLog = 15 * time.Second
	}
	if c.Patience <= 0 {
		c.Patience = 30 * time.Second
	}
	if c.EndPatience <= 0 {
		c.EndPatience = 10 * time.Minute
	}
	if c.Rand == nil {
		c.Rand = rand.N[time.Duration]
	}
}

// Runner owns every goroutine that generates text on this node. A run's
// context is not the request's: the learner may close the tab.
type Runner struct {
	cfg         RunnerConfig
	store       Store
	log         Log
	keeper      *Keeper
	model       Model
	script      Script
	members     *Membership
	locks       Locks
	metrics     *Metrics
	lg          *slog.Logger
	checkpoints *checkpointer
	spare       sparing // of lines about SQL
	// ended is told when a conversation's run has ended, for the next in line.
	ended func(ID)

	wg     sync.WaitGroup
	mu     sync.Mutex // guards what follows
	active map[ID]*activeRun
	closed bool
}

type activeRun struct {
	claim  Claim
	lock   Lock
	since  time.Time
	cancel context.CancelCauseFunc
	// asking says that the model is being asked: a stop ends that. Earlier it
	// is only noted in stop, for an attempt that is cut off has to be claimed
	// again by somebody before the run can end.
	asking, stop bool
}

// RunnerDeps are what a Runner works with.
type RunnerDeps struct {
	Store   Store
	Log     Log
	Keeper  *Keeper
	Model   Model
	Script  Script
	Members *Membership
	Locks   Locks
	Metrics *Metrics
	Logger  *slog.Logger
}

// NewRunner returns a Runner; Run must be running while runs are started.
func NewRunner(cfg RunnerConfig, d RunnerDeps) *Runner {
	cfg.defaults()
	return &Runner{cfg: cfg, store: d.Store, log: d.Log, keeper: d.Keeper, model: d.Model, script: d.Script, members: d.Members, locks: d.Locks,
		metrics: d.Metrics, lg: d.Logger, checkpoints: newCheckpointer(d.Store), ended: func(ID) {}, active: map[ID]*activeRun{}}
}

// Run refreshes locks, looks for runs that were taken or cancelled, and
// commits checkpoints, until ctx ends and then every run has ended.
func (r *Runner) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var side sync.WaitGroup
	side.Go(func() { r.checkpoints.run(inner) })
	side.Go(func() { r.refreshLoop(inner) })
	side.Go(func() { r.watchLoop(inner) })
	<-ctx.Done()
	r.mu.Lock()
	r.closed = true
	for _, a := range r.active {
		a.cancel(ErrDraining)
	}
	r.mu.Unlock()
	r.wg.Wait()
	stop()
	side.Wait()
	return nil
}

// Active lists the runs this node is writing.
func (r *Runner) Active() []RunView {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]RunView, 0, len(r.active))
	for id, a := range r.active {
		out = append(out, RunView{ID: id, Run: a.claim.Run.No, Attempt: a.claim.Run.Attempt, Fence: a.claim.Fence, Since: a.since, Locked: a.lock != nil})
	}
	return out
}

// RunView is a run of this node as the inspector shows it.
type RunView struct {
	ID                  ID
	Run, Attempt, Fence int64
	Since               time.Time
	Locked              bool
}

// Has reports whether this node is writing in a conversation.
func (r *Runner) Has(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.active[id]
	return ok
}

// Interrupt tells a local run to look at its log now: somebody stopped it.
func (r *Runner) Interrupt(id ID, run int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.active[id]
	switch {
	case !ok || a.claim.Run.No != run:
	case a.asking:
		a.cancel(errStopped)
	default:
		a.stop = true
	}
}

// stopping reports whether somebody has stopped the run that was not asked yet.
func (r *Runner) stopping(a *activeRun) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return a.stop || a.claim.Cancel
}

// mayAsk says from when to when the model is asked; false for a stopped run.
func (r *Runner) mayAsk(a *activeRun) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.asking = !a.stop && !a.claim.Cancel
	return a.asking
}

func (r *Runner) asked(a *activeRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.asking = false
}

// DropAll ends every run at once without a word: the node is not trusted.
func (r *Runner) DropAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.active {
		a.cancel(ErrFenced)
	}
}

// Start takes a claimed run; false when this node is closing.
func (r *Runner) Start(ctx context.Context, c Claim, lock Lock, reason string) bool {
	rctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	a := &activeRun{claim: c, lock: lock, since: time.Now(), cancel: cancel}
	r.mu.Lock()
	if _, busy := r.active[c.Run.Conversation]; busy || r.closed {
		r.mu.Unlock()
		cancel(nil)
		return false
	}
	r.active[c.Run.Conversation] = a
	r.wg.Add(1)
	r.mu.Unlock()
	r.metrics.Active.Inc()
	go func() {
		defer r.wg.Done()
		defer cancel(nil)
		r.work(rctx, a, reason)
		r.mu.Lock()
		delete(r.active, c.Run.Conversation)
		lk := a.lock
		r.mu.Unlock()
		if lk != nil {
			_ = lk.Release(rctx) // else it ends with its term
		}
		r.metrics.Active.Dec()
		r.ended(c.Run.Conversation)
	}()
	return true
}

// work performs attempts until the run has ended or belongs to another node.
func (r *Runner) work(ctx context.Context, a *activeRun, reason string) {
	claim := a.claim // attempts change their copy; a.claim is read by others under the lock
	how := BeginRestart
	if claim.Run.Attempt > 1 {
		how = BeginContinue
	}
	var rejected *againError // the answer that the script could not use
	for {
		lg := r.lg.With("conversation_id", claim.Run.Conversation, "run", claim.Run.No, "attempt", claim.Run.Attempt,
			"fence", claim.Fence, "correlation_id", claim.Run.Correlation)
		lg.Info("run begins", "purpose", claim.Run.Purpose, "reason", reason)
		err := r.attempt(ctx, a, &claim, how, reason, rejected)
		if again := (*againError)(nil); errors.As(err, &again) {
			lg.Info("attempt ends; the run goes on", "reason", again.reason, "err", again.err)
			next, cerr := r.again(ctx, a, claim)
			if cerr == nil {
				// This process still has the text, also if Redis has lost it by now.
				next.Text, next.TextLen, next.Base = claim.Text, claim.TextLen, claim.Base
				claim, reason, how, rejected = next, again.reason, again.how, nil
				if again.text != "" {
					rejected = again
				}
				continue
			}
			err = cerr
		}
		result := "completed"
		switch {
		case err == nil:
		case errors.Is(err, ErrFenced), errors.Is(err, ErrClaimLost):
			result = "fenced"
		case errors.Is(err, errStopped):
			result = "stopped"
		case errors.Is(err, errFailed):
			result = "failed"
		default:
			// Draining, or something that this node cannot get past: any node
			// may go on from what is there.
			result = "handed_over"
			r.handOver(ctx, claim, lg)
		}
		r.metrics.Runs.WithLabelValues(result).Inc()
		lg.Info("run ends", "result", result, "err", err)
		return
	}
}

func (r *Runner) handOver(ctx context.Context, claim Claim, lg *slog.Logger) {
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := r.store.Release(c, claim.Run.Conversation, claim.Run.No, claim.Fence); err != nil {
		lg.Warn("run could not be handed over yet", "err", err)
	}
}

// againError asks for another attempt by this node.
type againError struct {
	reason string
	how    BeginHow
	err    error
	// text is the answer that could not be used, for a repair.
	text string
}

func (e *againError) Error() string { return "another attempt: " + e.err.Error() }
func (e *againError) Unwrap() error { return e.err }

// again claims the same run anew under a new fence, after a pause.
func (r *Runner) again(ctx context.Context, a *activeRun, was Claim) (Claim, error) {
	if err := sleep(ctx, 100*time.Millisecond+r.cfg.Rand(200*time.Millisecond)); err != nil {
		return Claim{}, err
	}
	self := r.members.Self().ID
	c, err := r.store.Claim(ctx, Candidate{ID: was.Run.Conversation, Run: was.Run.No, State: RunRunning,
		Attempt: was.Run.Attempt, Fence: was.Fence, Owner: self}, self)
	if err != nil {
		return Claim{}, err
	}
	r.metrics.Claims.WithLabelValues("retry").Inc()
	r.mu.Lock()
	a.claim = c
	r.mu.Unlock()
	return c, nil
}

// attempt is one try: begin, generate, finish. The error says what else.
func (r *Runner) attempt(ctx context.Context, a *activeRun, claim *Claim, how BeginHow, reason string, rejected *againError) error {
	begun := time.Now()
	unsure := false
	b, err := r.begin(ctx, claim, beginning{how: how, reason: reason, stopping: func() bool { return r.stopping(a) }})
	switch {
	case errors.Is(err, ErrLogDown):
		// Redis is away: write on from what SQL has; the pen brings it into a
		// log when Redis is back, and SQL gets the whole in any case.
		b = Began{Base: claim.Run.Attempt}
		switch {
		case claim.TextLen > 0:
			b = Began{Base: claim.Base, Text: claim.Text, Len: claim.TextLen}
		case how == BeginContinue:
			b, unsure = r.overlook(ctx, claim), true
		}
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	claim.Run.Base = b.Base
	if b.Stopped || r.stopping(a) {
		return r.stopEarly(ctx, claim, b)
	}
	if claim.Tries > r.cfg.MaxTries {
		return failed(r.finish(ctx, claim, b, Finishing{State: RunFailed, Text: b.Text, Finish: string(fault.AttemptsExhausted),
			Message: fault.SpecOf(fault.AttemptsExhausted).Title, Retryable: true}))
	}
	st, prompt, err := r.ask(ctx, claim)
	if err != nil {
		return r.fail(ctx, claim, b, b.Text, err)
	}
	if rep, ok := r.script.(Repairer); ok && rejected != nil && b.Text == "" {
		prompt = rep.Repair(prompt, rejected.text, rejected.err)
	}
	prompt.Kept, prompt.Correlation = b.Text, claim.Run.Correlation
	prompt.Conversation, prompt.Learner = claim.Run.Conversation, st.Header.Owner

	gctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	gctx, done := context.WithTimeoutCause(gctx, r.cfg.Total, fault.New(fault.UpstreamTimeout, "The model did not finish in time."))
	defer done()
	if !r.mayAsk(a) {
		return r.stopEarly(ctx, claim, b)
	}
	defer r.asked(a)
	p := newPen(r, *claim, b, stop)
	p.unsure, p.reason = unsure, reason
	var loop sync.WaitGroup
	loop.Go(func() { p.loop(ctx) })
	first := true
	fin, gerr := r.model.Generate(gctx, prompt, func(s string) error {
		if first && s != "" {
			first = false
			r.metrics.FirstText.Observe(time.Since(begun).Seconds())
		}
		return p.Write(s)
	})
	p.close()
	loop.Wait()
	return r.outcome(ctx, gctx, claim, p, st, fin, gerr)
}

// Drain waits until this node writes nothing or ctx ends.
func (r *Runner) Drain(ctx context.Context) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		r.mu.Lock()
		n := len(r.active)
		r.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
