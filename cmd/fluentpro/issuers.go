package main

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/auth0"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

// believe adds to the configuration of accounts who else says who learners
// are, and who checks their passwords. The verifier is nil where it is nobody;
// its Run keeps the issuer's keys fresh.
func believe(accounts *authentication.Config, cfg *configs.Config, transport http.RoundTripper, reg prometheus.Registerer, log *slog.Logger) (*oidc.Verifier, error) {
	a := cfg.Auth
	accounts.NoPasswords = cfg.Passwords() == configs.PasswordsOff
	if a.Issuer == "" {
		return nil, nil //nolint:nilnil // nobody is no failure
	}
	// A learner waits for each of these calls.
	guard := func(service string, tries int, transient func(error) resilience.Verdict) *resilience.Guard {
		return resilience.New(resilience.Config{Service: service, Attempts: tries, Attempt: 5 * time.Second, Total: 12 * time.Second, Transient: transient, Logger: log, Registerer: reg})
	}
	v, err := oidc.New(oidc.Config{Issuer: a.Issuer, Audience: a.Audience, RolesClaim: a.RolesClaim, Operators: a.RolesOperator, Admins: a.RolesAdmin,
		Guard: guard("oidc", 2, nil), Transport: transport, Log: log, Registerer: reg})
	if err != nil {
		return nil, err
	}
	accounts.Foreign = v
	if cfg.Passwords() == configs.PasswordsAuth0 {
		accounts.Passwords, err = auth0.New(auth0.Config{Issuer: a.Issuer, Tenant: a.Auth0.Tenant, ClientID: a.Auth0.ClientID,
			ClientSecret: a.Auth0.ClientSecret.Reveal(), Audience: a.Audience, Connection: a.Auth0.Connection,
			Guard: guard("auth0", 2, auth0.Transient), Transport: transport})
	}
	return v, err
}
