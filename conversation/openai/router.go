package openai

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
	"github.com/fluentpro/fluentpro/internal/upstream/usage"
)

// Ledger keeps what was spent; usage.Ledger is one.
type Ledger interface {
	Reserve(ctx context.Context, day, learner string, a usage.Amount, limits usage.Limits) error
	Settle(ctx context.Context, day, learner string, difference usage.Amount) error
}

// RouterConfig says how calls are guarded and where they go.
type RouterConfig struct {
	Primary *Client
	// Fallback is asked when Primary fails before its first text; nil for none.
	Fallback *Client
	// FallbackPurposes are those it serves; empty for all.
	FallbackPurposes []string
	// BreakerFailures in a row open an upstream's breaker; 5 when 0.
	BreakerFailures int
	// BreakerOpen is how long it stays open before one call probes; 10 s.
	BreakerOpen time.Duration
	// Concurrency bounds the calls under way per upstream; 1000 when 0.
	Concurrency int
	// Hedge is the silence after which a second call is made beside the first;
	// whichever speaks first is the answer. 0 makes none: it costs up to double.
	Hedge time.Duration
	// Queue bounds those that wait; 1000 when 0.
	Queue int
	// Ledger and Limits are the budgets; no limits ask no ledger.
	Ledger Ledger
	Limits usage.Limits
	// Moderate checks the whole text of a call before it counts as complete;
	// nil checks nothing. An error is the call's.
	Moderate func(ctx context.Context, purpose, text string) error
	// Now is the clock of budgets; nil for the real one.
	Now    func() time.Time
	Logger *slog.Logger
	// Registerer gets the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Router is the conversation.Model over one or two upstreams: budgets, turns
// between learners, a breaker each, and a fallback that a talk stays with.
type Router struct {
	cfg   RouterConfig
	ways  []*way
	fails *prometheus.CounterVec

	mu    sync.Mutex
	stuck map[conversation.ID]stick
}

var _ conversation.Model = (*Router)(nil)

// way is one upstream with its guards.
type way struct {
	client  *Client
	breaker circuitbreaker.CircuitBreaker[any]
	gate    *gate
}

// stick keeps a talk with the upstream that answered it last, so that the
// partner's voice does not change.
type stick struct {
	way  int
	last time.Time
}

const (
	stickFor  = time.Hour
	maxSticks = 20_000
)

// NewRouter makes a Router.
func NewRouter(cfg RouterConfig) *Router {
	if cfg.BreakerFailures <= 0 {
		cfg.BreakerFailures = 5
	}
	if cfg.BreakerOpen <= 0 {
		cfg.BreakerOpen = 10 * time.Second
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 1000
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 1000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Router{cfg: cfg, stuck: map[conversation.ID]stick{}}
	for _, c := range []*Client{cfg.Primary, cfg.Fallback} {
		if c == nil {
			continue
		}
		b := circuitbreaker.NewBuilder[any]().WithFailureThreshold(uint(cfg.BreakerFailures)).WithDelay(cfg.BreakerOpen).WithSuccessThreshold(1).
			OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
				cfg.Logger.Warn("an upstream's breaker changes", "upstream", c.Name(), "from", e.OldState.String(), "to", e.NewState.String())
			}).Build()
		r.ways = append(r.ways, &way{c, b, newGate(cfg.Concurrency, cfg.Queue)})
	}
	r.register(cfg.Registerer)
	return r
}

func (r *Router) register(reg prometheus.Registerer) {
	r.fails = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_upstream_fallbacks_total", Help: "Calls that went to the fallback, by purpose."}, []string{"purpose"})
	if reg == nil {
		return
	}
	reg.MustRegister(r.fails)
	for _, w := range r.ways {
		labels := prometheus.Labels{"upstream": w.client.Name()}
		reg.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fluentpro_upstream_breaker_open", ConstLabels: labels,
				Help: "State of an upstream's breaker: 0 closed, 0.5 probing, 1 open."}, func() float64 { return breakerGauge(w.breaker.State()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fluentpro_upstream_queue", ConstLabels: labels,
				Help: "Calls that wait for their turn."}, func() float64 { return float64(w.gate.queued()) }))
	}
}

func breakerGauge(s circuitbreaker.State) float64 {
	switch s {
	case circuitbreaker.OpenState:
		return 1
	case circuitbreaker.HalfOpenState:
		return 0.5
	}
	return 0
}

// Close closes the idle connections of every upstream.
func (r *Router) Close() {
	for _, w := range r.ways {
		w.client.Close()
	}
}

// Patience is the longest that one answer may take at any upstream: a local
// server that loads its model first is slower than the runner would wait.
func (r *Router) Patience() time.Duration {
	longest := 90 * time.Second
	for _, w := range r.ways {
		longest = max(longest, w.client.profile.Timeouts.Total)
	}
	return longest
}

// State names each upstream with its breaker's state.
func (r *Router) State() map[string]string {
	out := map[string]string{}
	for _, w := range r.ways {
		out[w.client.Name()] = w.breaker.State().String()
	}
	return out
}

// Check is an error while a breaker is open, for readiness.
func (r *Router) Check(context.Context) error {
	for _, w := range r.ways {
		if w.breaker.IsOpen() {
			return fmt.Errorf("the breaker of upstream %s is open", w.client.Name())
		}
	}
	return nil
}

// Generate implements conversation.Model.
func (r *Router) Generate(ctx context.Context, p conversation.Prompt, emit func(string) error) (conversation.Finish, error) {
	settle, err := r.reserve(ctx, p)
	if err != nil {
		return conversation.Finish{}, err
	}
	var spent usage.Amount
	defer func() { settle(spent) }()

	var whole strings.Builder
	if r.cfg.Moderate != nil {
		whole.WriteString(p.Kept)
	}
	spoken := false
	say := func(text string) error {
		spoken = true
		if r.cfg.Moderate != nil {
			whole.WriteString(text)
		}
		return emit(text)
	}
	var fin conversation.Finish
	var last error
	for n, i := range r.order(p) {
		w := r.ways[i]
		if n > 0 {
			r.cfg.Logger.Warn("a call goes to another upstream", "upstream", w.client.Name(), "purpose", p.Purpose, "correlation_id", p.Correlation, "code", fault.CodeOf(last))
		}
		var rec CallRecord
		var tried bool
		fin, rec, tried, err = r.through(ctx, w, p, say)
		spent.Tokens += int64(rec.PromptTokens + rec.OutputTokens)
		spent.Micros += rec.Micros
		if spoken || err == nil {
			r.keep(p.Conversation, i)
		}
		if tried && i > 0 {
			r.fails.WithLabelValues(p.Purpose).Inc()
		}
		if err == nil || spoken || ctx.Err() != nil || !elsewhere(err) {
			break
		}
		// The first upstream's failure is the one to tell, unless only the
		// second was really asked.
		if last == nil || tried && kindOf(last, "breaker_open") {
			last = err
		}
		err = last
	}
	if err == nil && r.cfg.Moderate != nil {
		if err := r.cfg.Moderate(ctx, p.Purpose, whole.String()); err != nil {
			return conversation.Finish{}, err
		}
	}
	return fin, err
}

// elsewhere says whether another upstream may do better. What one refused for
// its content is not carried to the next.
func elsewhere(err error) bool {
	switch fault.CodeOf(err) {
	case fault.UpstreamUnavailable, fault.UpstreamTimeout, fault.UpstreamTruncated, fault.UpstreamInvalid, fault.UpstreamRejected, fault.Overloaded:
		return true
	}
	return false
}

// order is which upstreams to ask, first first.
func (r *Router) order(p conversation.Prompt) []int {
	if len(r.ways) == 1 || len(r.cfg.FallbackPurposes) > 0 && !slices.Contains(r.cfg.FallbackPurposes, p.Purpose) {
		return []int{0}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.stuck[p.Conversation]; ok && p.Conversation != "" && time.Since(s.last) < stickFor && s.way == 1 {
		return []int{1, 0}
	}
	return []int{0, 1}
}

// keep notes who answered a talk.
func (r *Router) keep(id conversation.ID, i int) {
	if id == "" || len(r.ways) == 1 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i == 0 { // where a talk begins anyway
		delete(r.stuck, id)
		return
	}
	now := time.Now()
	if len(r.stuck) >= maxSticks {
		for old, s := range r.stuck {
			if now.Sub(s.last) > stickFor {
				delete(r.stuck, old)
			}
		}
	}
	if len(r.stuck) < maxSticks {
		r.stuck[id] = stick{i, now}
	}
}

// through makes one call past the guards of its upstream; tried is false when
// they let nothing pass.
func (r *Router) through(ctx context.Context, w *way, p conversation.Prompt, emit func(string) error) (fin conversation.Finish, rec CallRecord, tried bool, err error) {
	if err := w.gate.enter(ctx, string(p.Learner)); err != nil {
		return fin, rec, false, err
	}
	defer w.gate.leave()
	if !w.breaker.TryAcquirePermit() {
		wait := w.breaker.RemainingDelay()
		return fin, rec, false, upstream.Fault(fault.UpstreamUnavailable, &upstream.Error{Kind: "breaker_open", RetryAfter: max(wait, time.Millisecond)})
	}
	if r.cfg.Hedge > 0 {
		fin, rec, err = hedged(ctx, w.client, p, r.cfg.Hedge, emit)
	} else {
		fin, rec, err = w.client.generate(ctx, p, emit)
	}
	w.judge(rec, err)
	return fin, rec, true, err
}

// judge tells the breaker whether the upstream is well. A refusal shows that
// it is. A call that was cancelled says nothing, but a probe must be answered.
func (w *way) judge(rec CallRecord, err error) {
	switch {
	case err == nil, rec.OutputBytes > 0 && (rec.Code == "cancelled" || rec.Code == "emit"):
		w.breaker.RecordSuccess()
		return
	case rec.Code == "cancelled" || rec.Code == "emit":
		if w.breaker.IsHalfOpen() {
			w.breaker.RecordFailure()
		}
		return
	}
	var e *upstream.Error
	if errors.As(err, &e) && e.Status >= 400 && e.Status < 500 && e.Status != 408 {
		w.breaker.RecordSuccess()
		return
	}
	switch fault.CodeOf(err) {
	case fault.UpstreamUnavailable, fault.UpstreamTimeout, fault.UpstreamTruncated, fault.UpstreamInvalid:
		w.breaker.RecordFailure()
	default:
		w.breaker.RecordSuccess()
	}
}

// assumedOutput is reserved for a call without a cap.
const assumedOutput = 1000

// settleTime bounds the booking after a call.
const settleTime = 5 * time.Second

// reserve books the most that a call may cost and returns what books the rest.
func (r *Router) reserve(ctx context.Context, p conversation.Prompt) (settle func(usage.Amount), err error) {
	if r.cfg.Limits.None() || r.cfg.Ledger == nil {
		return func(usage.Amount) {}, nil
	}
	prompt, output := Count(p.Kept)+Count(string(p.Schema)), p.MaxTokens
	for _, m := range p.Messages {
		prompt += Count(m.Content) + tokensPerMessage
	}
	if output <= 0 {
		output = assumedOutput
	}
	c := r.ways[0].client
	a := usage.Amount{Tokens: int64(prompt + output), Micros: c.price(c.model(p.Purpose), "").micros(prompt, output)}
	now := r.cfg.Now()
	day, learner := usage.Day(now), string(p.Learner)
	switch err := r.cfg.Ledger.Reserve(ctx, day, learner, a, r.cfg.Limits); {
	case errors.Is(err, usage.ErrLearner), errors.Is(err, usage.ErrTotal):
		f := fault.Wrap(err, fault.QuotaExhausted, "The budget for today is used up. It begins anew at midnight UTC.")
		f.RetryAfterMS = now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now).Milliseconds()
		return nil, f
	case err != nil:
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fault.Wrap(err, fault.StorageUnavailable, "The budget cannot be read just now.")
	}
	return func(spent usage.Amount) {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
		if err := r.cfg.Ledger.Settle(c, day, learner, spent.Minus(a)); err != nil {
			r.cfg.Logger.Warn("a reservation stands, its call could not be settled", "err", err)
		}
	}, nil
}
