package conversation

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the core's counters; every label has a bounded set of values.
type Metrics struct {
	Runs        *prometheus.CounterVec // result
	Claims      *prometheus.CounterVec // why: new, handoff, dead, retry
	Appends     prometheus.Counter
	Rebuilds    prometheus.Counter
	Active      prometheus.Gauge
	FirstText   prometheus.Histogram
	Accepted    prometheus.Counter
	SweepErrors prometheus.Counter
	Damages     prometheus.Counter
	Compactions prometheus.Counter
	RedisWrites prometheus.Gauge
	Refusals    *prometheus.CounterVec // reason: first word of what Redis says, or "away"
	// Set by the node that makes the janitor's rounds, NaN on the others.
	Conversations *prometheus.GaugeVec // state
	OldestRun     prometheus.Gauge
	Stuck         prometheus.Gauge
	OrphanLocks   prometheus.Gauge
}

// census shows what was counted; a node that does not count shows nothing.
func (m *Metrics) census(c Census, counted bool) {
	show := func(g prometheus.Gauge, v float64) {
		if !counted {
			v = math.NaN()
		}
		g.Set(v)
	}
	for state, n := range map[string]int64{"writing": c.Writing, "waiting": c.Waiting, "idle": c.Idle, "ended": c.Ended, "erased": c.Erased} {
		show(m.Conversations.WithLabelValues(state), float64(n))
	}
	show(m.OldestRun, c.OldestRun)
	show(m.Stuck, float64(c.Stuck))
	show(m.OrphanLocks, float64(c.OrphanLocks))
}

// NewMetrics builds the collectors and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Runs:          prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_runs_total", Help: "Runs ended on this node, by result (completed, stopped, failed, fenced, handed_over)."}, []string{"result"}),
		Claims:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_run_claims_total", Help: "Runs claimed by this node, by reason (new, handoff, dead, retry)."}, []string{"reason"}),
		Appends:       prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_log_appends_total", Help: "Batches of text appended to logs."}),
		Rebuilds:      prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_log_rebuilds_total", Help: "Logs rebuilt by their living writer."}),
		Active:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluentpro_runs_active", Help: "Runs being written by this node."}),
		FirstText:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluentpro_first_text_seconds", Help: "From the claim of a run to its first new text.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}),
		Accepted:      prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_messages_accepted_total", Help: "Learner messages committed."}),
		SweepErrors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_sweep_errors_total", Help: "Sweeps for unfinished runs that failed."}),
		Damages:       prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_log_damages_total", Help: "Logs found damaged, set aside and made anew."}),
		Compactions:   prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_log_compactions_total", Help: "Logs at rest whose old entries were dropped."}),
		RedisWrites:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluentpro_redis_takes_writes", Help: "1 while Redis takes this node's writes, 0 while it is full, read-only or away."}),
		Refusals:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_redis_refused_tries_total", Help: "Tries to write to Redis, one a second, that it refused, by reason (its word, or away)."}, []string{"reason"}),
		Conversations: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_conversations", Help: "Conversations by state (writing, waiting, idle, ended, erased), counted by one node."}, []string{"state"}),
		OldestRun:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluentpro_run_oldest_seconds", Help: "Since when the open run that changed longest ago has been still, counted by one node."}),
		Stuck:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluentpro_runs_stuck", Help: "Open runs that have been still for two minutes, counted by one node."}),
		OrphanLocks:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluentpro_locks_orphaned", Help: "Locks that stand though no run is open, counted by one node."}),
	}
	if reg != nil {
		reg.MustRegister(m.Damages, m.Compactions, m.Conversations, m.OldestRun, m.Stuck, m.OrphanLocks)
		reg.MustRegister(m.Runs, m.Claims, m.Appends, m.Rebuilds, m.Active, m.FirstText, m.Accepted, m.SweepErrors, m.RedisWrites, m.Refusals)
	}
	return m
}
