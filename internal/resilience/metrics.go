package resilience

import (
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"
)

type guardMetrics struct {
	results *prometheus.CounterVec
	repeats prometheus.Counter
	seconds prometheus.Histogram
}

func newGuardMetrics(cfg Config, b circuitbreaker.CircuitBreaker[any]) *guardMetrics {
	labels := prometheus.Labels{"service": cfg.Service}
	m := &guardMetrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_outward_calls_total", ConstLabels: labels,
			Help: "Calls to other services by result: ok, rejected (the service said no), failed, refused (breaker open), cancelled."}, []string{"result"}),
		repeats: prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_outward_repeats_total", ConstLabels: labels,
			Help: "Tries after the first."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluentpro_outward_seconds", ConstLabels: labels,
			Help: "Calls to other services with all their tries.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 13)}),
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(m.results, m.repeats, m.seconds,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fluentpro_outward_breaker_open", ConstLabels: labels,
				Help: "State of a service's breaker: 0 closed, 0.5 probing, 1 open."}, func() float64 {
				switch b.State() {
				case circuitbreaker.OpenState:
					return 1
				case circuitbreaker.HalfOpenState:
					return 0.5
				}
				return 0
			}))
	}
	return m
}

func (m *guardMetrics) result(r string) { m.results.WithLabelValues(r).Inc() }

func (m *guardMetrics) done(tries int, took time.Duration) {
	m.repeats.Add(float64(max(tries-1, 0)))
	m.seconds.Observe(took.Seconds())
}
