package main

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/azuresearch"
	"github.com/fluentpro/fluentpro/domains/onboarding/embedding"
	onboardingsql "github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

// matching is what a role matcher is made of. A learner waits for it with the
// page open, so a service that is slow is left for the words soon.
type matching struct {
	cfg      *configs.Config
	db       *sqldb.DB
	embedder embedding.Embedder
	// transport makes connections to Azure.
	transport http.RoundTripper
	reg       prometheus.Registerer
	log       *slog.Logger
}

// matcher is the role matcher of the configuration, with words behind it.
func (m matching) matcher() (onboarding.RoleMatcher, error) {
	by := m.cfg.RoleMatching()
	fallbacks := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_role_match_fallbacks_total",
		Help: "Questions for roles that words answered because another failed, by who failed."}, []string{"matcher"})
	m.reg.MustRegister(fallbacks)
	failed := func(err error) {
		fallbacks.WithLabelValues(by).Inc()
		m.log.Warn("roles are matched by words, the other way failed", "matcher", by, "code", fault.CodeOf(err), "err", err)
	}
	guard := func(service string, transient func(error) resilience.Verdict) *resilience.Guard {
		return resilience.New(resilience.Config{Service: service, Attempt: 5 * time.Second, Total: 10 * time.Second, Transient: transient,
			Logger: m.log, Registerer: m.reg})
	}
	switch by {
	case configs.MatchEmbeddings:
		first := embedding.New(m.cfg.Upstream.EmbeddingModel, m.embedder, onboardingsql.NewVectors(m.db), guard("embeddings", upstreamVerdict), m.reg)
		return onboarding.Or(first, onboarding.WordMatcher{}, failed), nil
	case configs.MatchAzure:
		first, err := azureIndex(m.cfg, guard("azure_search", nil), m.transport)
		if err != nil {
			return nil, err
		}
		return onboarding.Or(first, onboarding.WordMatcher{}, failed), nil
	}
	return onboarding.WordMatcher{}, nil
}

func azureIndex(cfg *configs.Config, guard *resilience.Guard, transport http.RoundTripper) (*azuresearch.Client, error) {
	a := cfg.Roles.Azure
	return azuresearch.New(azuresearch.Config{Endpoint: a.Endpoint, Key: a.Key.Reveal(), Index: a.Index, Guard: guard, Transport: transport})
}

// upstreamVerdict judges a model's errors for a guard.
func upstreamVerdict(err error) resilience.Verdict {
	var e *upstream.Error
	if !errors.As(err, &e) {
		return resilience.Default(err)
	}
	return resilience.Verdict{Transient: e.Transient, Busy: e.Status == http.StatusTooManyRequests, RetryAfter: e.RetryAfter}
}
