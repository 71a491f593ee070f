package conversation

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Prober finds out whether Redis takes writes: a RefusedError in ErrLogDown
// when it answers and does not, ErrLogDown alone when it does not answer.
type Prober interface {
	Try(ctx context.Context) error
}

// RefusedError says why a Redis that answers takes no writes, by the first
// word of its refusal (OOM, READONLY, NOREPLICAS, MISCONF, LOADING …).
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "redis takes no writes: " + e.Reason }

// Sentry looks every now and then whether Redis takes writes, on nodes that
// have nothing to write too. While it does not, facts that any node commits
// cannot reach the logs, which are read all the same: so this node's reads
// compare with SQL. Operators are told once when it begins and once when it is
// over, and by two metrics.
type Sentry struct {
	prober  Prober
	keeper  *Keeper
	metrics *Metrics
	log     *slog.Logger
	every   time.Duration
}

// NewSentry returns a Sentry that looks once in every [1s].
func NewSentry(prober Prober, keeper *Keeper, metrics *Metrics, every time.Duration, log *slog.Logger) *Sentry {
	if every <= 0 {
		every = time.Second
	}
	return &Sentry{prober: prober, keeper: keeper, metrics: metrics, log: log, every: every}
}

// Reasons of a Redis that is not read either: away is one that does not answer,
// loading one that has just been started.
const away, loading = "away", "LOADING"

// Run looks until ctx ends.
func (s *Sentry) Run(ctx context.Context) error {
	t := time.NewTicker(s.every)
	defer t.Stop()
	s.metrics.RedisWrites.Set(1)
	var told, last string // reason that was logged, reason found by the last look
	var since time.Time
	for {
		reason := s.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		// One look without an answer may be a slow moment; a refusal is said.
		if reason != "" && reason != told && (reason != away || last == away) {
			if told == "" {
				since = time.Now()
			}
			told = reason
			s.log.Warn("Redis takes no writes; messages are accepted, and open replies are shown when it does again", "reason", reason)
		}
		if reason == "" && told != "" {
			told = ""
			s.log.Info("Redis takes writes again", "after", time.Since(since).Round(time.Millisecond).String())
		}
		last = reason
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// look tries once, and has the reads of this node compare with SQL from the
// first refusal to the first success.
func (s *Sentry) look(ctx context.Context) string {
	err := s.prober.Try(ctx)
	if ctx.Err() != nil {
		return ""
	}
	reason := ""
	if err != nil {
		reason = away
	}
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		reason = refused.Reason
	}
	// One that is not read either needs no more than what every read that meets
	// it does: names are asked for again, once each, when it is back. To ask at
	// each read until the next look would be slow just when all read.
	s.keeper.distrust(reason != "" && reason != away && reason != loading)
	if reason == away || reason == loading {
		s.keeper.Doubt()
	}
	if err == nil {
		s.metrics.RedisWrites.Set(1)
		return ""
	}
	s.metrics.RedisWrites.Set(0)
	s.metrics.Refusals.WithLabelValues(reason).Inc()
	return reason
}

// Check is for readiness: does Redis take writes now?
func (s *Sentry) Check(ctx context.Context) error { return s.prober.Try(ctx) }
