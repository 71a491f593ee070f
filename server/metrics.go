package server

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests by route template, so that labels stay few.
type Metrics interface {
	Request(route, method string, status int, took time.Duration)
}

// promMetrics keeps the figures in Prometheus form.
type promMetrics struct {
	requests *prometheus.HistogramVec
}

// NewMetrics registers the request figures with reg.
func NewMetrics(reg prometheus.Registerer) (Metrics, error) {
	m := &promMetrics{requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "fluentpro_http_request_seconds",
		Help:    "Time from the request to the end of its answer; streams count whole.",
		Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60, 600},
	}, []string{"route", "method", "status"})}
	if err := reg.Register(m.requests); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *promMetrics) Request(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status/100)+"xx").Observe(took.Seconds())
}
