package riverqueue

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/domains/jobs"
)

type metrics struct {
	enqueued, tried *prometheus.CounterVec
	freed           prometheus.Counter
	seconds         *prometheus.HistogramVec
	jobs, waiting   *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		enqueued: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_jobs_enqueued_total", Help: "Jobs committed by this node, by kind."}, []string{"kind"}),
		tried:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_jobs_tries_total", Help: "Tries by kind and result: done, failed, dead, interrupted."}, []string{"kind", "result"}),
		freed:    prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_jobs_freed_total", Help: "Jobs of dead nodes that this node let run again."}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fluentpro_jobs_seconds", Help: "How long tries took, by kind.", Buckets: prometheus.ExponentialBuckets(0.005, 3, 10)}, []string{"kind"}),
		jobs:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_jobs", Help: "Jobs in SQL by queue and state."}, []string{"queue", "state"}),
		waiting:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_jobs_waiting_seconds", Help: "Age of the oldest job that could run, by queue."}, []string{"queue"}),
	}
	reg.MustRegister(m.enqueued, m.tried, m.freed, m.seconds, m.jobs, m.waiting)
	return m
}

func (q *Queue) measure(ctx context.Context) error {
	queues, err := q.Queues(ctx)
	if err != nil {
		return err
	}
	for _, s := range queues {
		for _, state := range jobs.States {
			q.metrics.jobs.WithLabelValues(s.Queue, string(state)).Set(float64(s.Counts[state]))
		}
		q.metrics.waiting.WithLabelValues(s.Queue).Set(s.Waiting)
	}
	return nil
}
