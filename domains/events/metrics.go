package events

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the figures of the relay and the groups.
type Metrics struct {
	recorded, handled, reclaimed *prometheus.CounterVec
	sent, relayErrors            prometheus.Counter
	open, oldest, dead, pending  *prometheus.GaugeVec
}

// NewMetrics registers the figures.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	group := []string{"group"}
	m := &Metrics{
		recorded:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_domain_events_recorded_total", Help: "Domain events committed by this node, by type."}, []string{"type"}),
		sent:        prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_domain_events_sent_total", Help: "Domain events this node's relay put on the stream."}),
		relayErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_domain_events_relay_errors_total", Help: "Passes of the relay that failed; the outbox keeps what they did not send."}),
		handled:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_domain_events_handled_total", Help: "Domain events by group and result: done, again (settled before), failing, dead."}, []string{"group", "result"}),
		reclaimed:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_domain_events_reclaimed_total", Help: "Deliveries taken over because nobody acknowledged them."}, group),
		open:        prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_domain_events_lag", Help: "Domain events that a group has not settled."}, group),
		oldest:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_domain_events_lag_seconds", Help: "Age of the oldest domain event that a group has not settled."}, group),
		dead:        prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_domain_events_dead", Help: "Dead letters of a group."}, group),
		pending:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_domain_events_pending", Help: "Deliveries of a group that are not acknowledged."}, group),
	}
	reg.MustRegister(m.recorded, m.sent, m.relayErrors, m.handled, m.reclaimed, m.open, m.oldest, m.dead, m.pending)
	return m
}

// Recorded counts what was committed.
func (m *Metrics) Recorded(types []string) {
	for _, t := range types {
		m.recorded.WithLabelValues(t).Inc()
	}
}
