package events

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// RelayConfig tunes a Relay; zero values mean the defaults in brackets.
type RelayConfig struct {
	// Every is how often the outbox is looked at without a wake-up [500 ms].
	Every time.Duration
	// Batch is how many events are moved at once [100].
	Batch int
	// Keep is how many settled positions stay on the stream, for those who
	// want to look at it [1000].
	Keep int64
	// Lags is how often the lag is measured [5 s].
	Lags time.Duration
}

// Relay seals what was recorded and brings it to the bus. Every node runs one:
// an append names the end that it saw, so two relays cannot send twice, nor
// out of order.
//
// What is on the stream is not written down in SQL; the stream itself says how
// far it is. So a stream that is gone, or lost its end, is continued from the
// outbox, which still has whatever some group has not settled.
type Relay struct {
	out     Outbox
	bus     Bus
	wants   Wants
	cfg     RelayConfig
	metrics *Metrics
	log     *slog.Logger
	wake    chan struct{}
}

// NewRelay makes a Relay for the groups that exist.
func NewRelay(out Outbox, bus Bus, wants Wants, cfg RelayConfig, metrics *Metrics, log *slog.Logger) *Relay {
	if cfg.Every <= 0 {
		cfg.Every = 500 * time.Millisecond
	}
	if cfg.Batch <= 0 {
		cfg.Batch = 100
	}
	if cfg.Keep <= 0 {
		cfg.Keep = 1000
	}
	if cfg.Lags <= 0 {
		cfg.Lags = 5 * time.Second
	}
	return &Relay{out: out, bus: bus, wants: wants, cfg: cfg, metrics: metrics, log: log, wake: make(chan struct{}, 1)}
}

// Wake tells that something was recorded. It never waits.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // one wake-up is enough
	}
}

// Run works until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	var lags, tidied time.Time
	quiet := true
	for ctx.Err() == nil {
		err := r.Pass(ctx)
		if err != nil && ctx.Err() == nil {
			if quiet {
				r.log.WarnContext(ctx, "events wait in the outbox", "err", err)
			}
			r.metrics.relayErrors.Inc()
		}
		quiet = err == nil
		if time.Since(tidied) >= time.Second && err == nil {
			if err := r.Settle(ctx); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "outbox not settled", "err", err)
			}
			tidied = time.Now()
		}
		if time.Since(lags) >= r.cfg.Lags {
			r.measure(ctx)
			lags = time.Now()
		}
		pause(ctx, r.wake, r.cfg.Every)
	}
	return nil
}

// pause waits about d, until wake or the end of ctx.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}

// Pass seals and sends all there is.
func (r *Relay) Pass(ctx context.Context) error {
	for {
		n, err := r.out.Seal(ctx, r.cfg.Batch)
		if err != nil {
			return err
		}
		if n < r.cfg.Batch {
			break
		}
	}
	top, err := r.bus.Top(ctx)
	if err != nil {
		return err
	}
	last, err := r.out.Last(ctx)
	if err != nil {
		return err
	}
	if top > last {
		// SQL was put back to an earlier state, or this Redis served another
		// database. Positions will be given again, so what lies there is void.
		r.log.WarnContext(ctx, "the stream of events is ahead of SQL; made anew", "stream", top, "sql", last)
		if err := r.bus.Reset(ctx); err != nil {
			return err
		}
		top = 0
	}
	for {
		evs, err := r.out.Unsent(ctx, top, r.cfg.Batch)
		if err != nil || len(evs) == 0 {
			return err
		}
		if err := r.bus.Append(ctx, top, evs); errors.Is(err, ErrMoved) {
			return nil // another relay was quicker, or the stream went: next pass
		} else if err != nil {
			return err
		}
		r.metrics.sent.Add(float64(len(evs)))
		top = evs[len(evs)-1].Position
	}
}

// Settle lets go of what every group has.
func (r *Relay) Settle(ctx context.Context) error {
	top, err := r.bus.Top(ctx)
	if err != nil {
		return err
	}
	lowest, err := r.out.Settle(ctx, top, r.wants)
	if err != nil {
		return err
	}
	keep := top - r.cfg.Keep
	if lowest > 0 {
		keep = min(keep, lowest)
	}
	if keep <= 0 {
		return nil
	}
	return r.bus.Trim(ctx, keep)
}

func (r *Relay) measure(ctx context.Context) {
	lags, err := r.out.Lags(ctx, r.wants)
	if err != nil {
		return // the next one may do better, and Pass has told
	}
	for _, l := range lags {
		r.metrics.open.WithLabelValues(l.Group).Set(float64(l.Open))
		r.metrics.oldest.WithLabelValues(l.Group).Set(l.Oldest)
		r.metrics.dead.WithLabelValues(l.Group).Set(float64(l.Dead))
		if n, err := r.bus.Pending(ctx, l.Group); err == nil {
			r.metrics.pending.WithLabelValues(l.Group).Set(float64(n))
		}
	}
}
