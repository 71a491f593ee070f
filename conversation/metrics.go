package conversation

import "github.com/prometheus/client_golang/prometheus"

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
}

// NewMetrics builds the collectors and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Runs:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_runs_total", Help: "Runs ended on this node, by result (completed, stopped, failed, fenced, handed_over)."}, []string{"result"}),
		Claims:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_run_claims_total", Help: "Runs claimed by this node, by reason (new, handoff, dead, retry)."}, []string{"reason"}),
		Appends:     prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_log_appends_total", Help: "Batches of text appended to logs."}),
		Rebuilds:    prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_log_rebuilds_total", Help: "Logs rebuilt by their living writer."}),
		Active:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluentpro_runs_active", Help: "Runs being written by this node."}),
		FirstText:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluentpro_first_text_seconds", Help: "From the claim of a run to its first new text.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}),
		Accepted:    prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_messages_accepted_total", Help: "Learner messages committed."}),
		SweepErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_sweep_errors_total", Help: "Sweeps for unfinished runs that failed."}),
	}
	if reg != nil {
		reg.MustRegister(m.Runs, m.Claims, m.Appends, m.Rebuilds, m.Active, m.FirstText, m.Accepted, m.SweepErrors)
	}
	return m
}
