package main

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/internal/buildinfo"
	"github.com/fluentpro/fluentpro/internal/fault"
)

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	i := buildinfo.Read()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluentpro_build_info", Help: "Which build this is; always 1.",
		ConstLabels: prometheus.Labels{"version": i.Version, "commit": i.Commit, "go": i.Go}})
	build.Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return reg
}

// sessionMetrics counts connections; it implements sessions.Metrics.
type sessionMetrics struct {
	open                               *prometheus.GaugeVec
	closed, attached, delivered, bytes *prometheus.CounterVec
	commands                           *prometheus.HistogramVec
}

func newSessionMetrics(reg prometheus.Registerer) *sessionMetrics {
	m := &sessionMetrics{
		open:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluentpro_connections", Help: "Open connections by transport."}, []string{"transport"}),
		closed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_connections_closed_total", Help: "Connections closed, by transport and close code."}, []string{"transport", "code"}),
		attached:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_resumes_total", Help: "Viewers attached, by transport, mode (replay, snapshot) and reason."}, []string{"transport", "mode", "reason"}),
		delivered: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_events_delivered_total", Help: "Events delivered to viewers."}, []string{"transport"}),
		bytes:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_delivered_bytes_total", Help: "Bytes of events delivered to viewers."}, []string{"transport"}),
		commands:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fluentpro_command_seconds", Help: "Commands over WebSocket, by operation and code.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"op", "code"}),
	}
	reg.MustRegister(m.open, m.closed, m.attached, m.delivered, m.bytes, m.commands)
	return m
}

func (m *sessionMetrics) Opened(transport string) { m.open.WithLabelValues(transport).Inc() }

func (m *sessionMetrics) Closed(transport string, code int) {
	m.open.WithLabelValues(transport).Dec()
	m.closed.WithLabelValues(transport, strconv.Itoa(code)).Inc()
}

func (m *sessionMetrics) Attached(transport, mode, reason string) {
	m.attached.WithLabelValues(transport, mode, reason).Inc()
}

func (m *sessionMetrics) Delivered(transport string, events, bytes int) {
	m.delivered.WithLabelValues(transport).Add(float64(events))
	m.bytes.WithLabelValues(transport).Add(float64(bytes))
}

func (m *sessionMetrics) Command(op string, code fault.Code, took time.Duration) {
	if code == "" {
		code = "ok"
	}
	m.commands.WithLabelValues(op, string(code)).Observe(took.Seconds())
}

// newCallMetrics records every model call: figures as metrics, the record
// itself as a log line without a word of text.
func newCallMetrics(reg prometheus.Registerer, log *slog.Logger) func(openai.CallRecord) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_upstream_calls_total", Help: "Model calls by purpose and result."}, []string{"purpose", "result"})
	first := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fluentpro_upstream_first_token_seconds", Help: "From the call to its first text.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}, []string{"purpose"})
	tokens := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_upstream_tokens_total", Help: "Tokens by direction."}, []string{"direction"})
	retries := prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_upstream_retries_total", Help: "Repeats of model calls before their first text."})
	cost := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_upstream_cost_total", Help: "Money spent, in the unit of the configured prices, by purpose."}, []string{"purpose"})
	reg.MustRegister(calls, first, tokens, retries, cost)
	return func(r openai.CallRecord) {
		result := r.Code
		if result == "" {
			result = r.Finish
		}
		calls.WithLabelValues(r.Purpose, result).Inc()
		if r.FirstToken > 0 {
			first.WithLabelValues(r.Purpose).Observe(r.FirstToken.Seconds())
		}
		tokens.WithLabelValues("prompt").Add(float64(r.PromptTokens))
		tokens.WithLabelValues("output").Add(float64(r.OutputTokens))
		cost.WithLabelValues(r.Purpose).Add(float64(r.Micros) / 1e6)
		retries.Add(float64(r.Retries))
		log.Info("model call", "purpose", r.Purpose, "prompt_version", r.Version, "upstream", r.Upstream, "correlation_id", r.Correlation, "model", r.ModelAsked,
			"served", r.ModelServed, "strategy", r.Strategy, "kept_bytes", r.KeptBytes, "output_bytes", r.OutputBytes, "prompt_tokens", r.PromptTokens, "tokens", r.OutputTokens,
			"estimated", r.Estimated, "cost", float64(r.Micros)/1e6, "trimmed_turns", r.TrimmedTurns,
			"first_token", r.FirstToken, "total", r.Total, "result", result, "end", r.End, "retries", r.Retries, "upstream_request_id", r.RequestID)
	}
}
