// Package oidc verifies tokens of any OpenID Connect issuer by its discovery
// document and its published keys.
//
// Keys are kept in memory and read anew every few minutes by Run, so that a
// request with a known key asks nobody, whether the issuer is there or not. A
// key that nobody knows is looked for once for all who wait, and made-up key
// ids cannot cause more than a few looks per minute.
//
//	token ─▶ form, alg, typ ─▶ key in memory? ─yes─▶ signature ─▶ iss, aud, exp, nbf, iat ─▶ Claims
//	                              │no
//	                              └─▶ look at the issuer (shared, rate bound) ─not there─▶ 401
//	                                      └─ no answer ─▶ 503 with advice, never 401
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

const (
	// Leeway forgives another machine's clock for times in the future; the end
	// of a token is taken at its word, as with our own tokens.
	Leeway = time.Minute
	// LongestToken is the longest life of a token that is taken: how long it
	// must be remembered that it was ended.
	LongestToken = 30 * 24 * time.Hour

	maxToken  = 8 << 10
	maxAnswer = 1 << 20
	maxKeys   = 100
)

// Config says whose tokens are believed; zero values mean the defaults in
// brackets.
type Config struct {
	// Issuer is the issuer's name, byte for byte, a slash at its end too:
	// https, or http on loopback.
	Issuer string
	// Audience is the name of this API at the issuer.
	Audience string
	// RolesClaim is where access tokens carry roles: the name of a claim, or a
	// path with dots [roles are not asked of the issuer]. Operators and Admins
	// are the values there that stand for those roles [operator, admin].
	RolesClaim        string
	Operators, Admins []string
	// Fresh is how often Run reads the keys [10 min]; Stale is how long keys
	// are believed while the issuer cannot be reached [24 h].
	Fresh, Stale time.Duration
	// Looks is how many looks for unknown keys may be made in a row [4], and
	// LookEvery how soon another is allowed again [15 s].
	Looks     int
	LookEvery time.Duration
	// Guard holds the rules of every call to the issuer; it is needed.
	Guard *resilience.Guard
	// Transport makes the connections [http.DefaultTransport].
	Transport http.RoundTripper
	// Now is the clock [time.Now].
	Now func() time.Time
	// Log hears of an issuer that does not answer [slog.Default].
	Log *slog.Logger
	// Registerer gets the metrics [none].
	Registerer prometheus.Registerer
}

// Verifier verifies the tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	cfg  Config
	keys *keys
}

var _ authentication.Issuer = (*Verifier)(nil)

// New makes a Verifier; it asks nobody yet, so it works while the issuer is
// down. An error names what is wrong with cfg.
func New(cfg Config) (*Verifier, error) {
	if err := CheckIssuer(cfg.Issuer); err != nil {
		return nil, fmt.Errorf("oidc: the issuer %w", err)
	}
	if cfg.Audience == "" || cfg.Guard == nil {
		return nil, errors.New("oidc: Audience and Guard are needed")
	}
	span := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	span(&cfg.Fresh, 10*time.Minute)
	span(&cfg.Stale, 24*time.Hour)
	span(&cfg.LookEvery, 15*time.Second)
	if cfg.Looks <= 0 {
		cfg.Looks = 4
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if len(cfg.Operators) == 0 {
		cfg.Operators = []string{string(authentication.RoleOperator)}
	}
	if len(cfg.Admins) == 0 {
		cfg.Admins = []string{string(authentication.RoleAdmin)}
	}
	return &Verifier{cfg: cfg, keys: newKeys(cfg)}, nil
}

// CheckIssuer says what is wrong with an issuer's address: it is https (http
// on loopback only), with a host, without query, fragment or user. A slash at
// its end is part of the name and stays.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("is not an address like https://tenant.example.com/")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(issuer, "#"):
		return errors.New("has more than scheme, host and path")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("is plain http, which is for loopback only")
	}
	return nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Name is the issuer's name.
func (v *Verifier) Name() string { return v.cfg.Issuer }

// Run reads discovery document and keys at once and then every few minutes,
// until ctx ends.
func (v *Verifier) Run(ctx context.Context) { v.keys.run(ctx) }

// Endpoints is what the issuer's discovery document says of where things are;
// "" for what it does not name.
func (v *Verifier) Endpoints(ctx context.Context) (Endpoints, error) { return v.keys.endpoints(ctx) }
