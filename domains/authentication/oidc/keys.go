package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

// Endpoints is the part of a discovery document that is used.
type Endpoints struct {
	Issuer        string `json:"issuer"`
	Keys          string `json:"jwks_uri"`
	UserInfo      string `json:"userinfo_endpoint"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
}

// keys are the issuer's, in memory.
type keys struct {
	cfg    Config
	http   *http.Client
	flight singleflight.Group

	mu sync.Mutex // guards the rest
	// found is the discovery document, nil before the first.
	found *Endpoints
	set   []key
	// read is when set was read, zero before the first time.
	read time.Time
	// version counts the readings.
	version int
	// looks are left for unknown keys, as of filled.
	looks  int
	filled time.Time

	reads *prometheus.CounterVec
}

func newKeys(cfg Config) *keys {
	k := &keys{cfg: cfg, looks: cfg.Looks, filled: cfg.Now(), http: &http.Client{
		Transport: cfg.Guard.Transport(cfg.Transport),
		// Keys come from where the issuer says, not from where that leads.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	k.reads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_oidc_key_reads_total",
		Help: "Times that the issuer's keys were read, by why (fresh: it was time; unknown: a token named an unknown key) and result; bounded means that there were too many."},
		[]string{"why", "result"})
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(k.reads, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fluentpro_oidc_keys_age_seconds",
			Help: "Age of the issuer's keys in memory, -1 before they were read."}, k.age))
	}
	return k
}

func (k *keys) age() float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read.IsZero() {
		return -1
	}
	return k.cfg.Now().Sub(k.read).Seconds()
}

// errUnknown is for a key that the issuer does not publish.
var errUnknown = errors.New("the issuer publishes no such key")

// get finds the key of an id for an algorithm; "" fits where the issuer
// publishes exactly one key for it.
func (k *keys) get(ctx context.Context, kid, alg string) (key, error) {
	got, version, ok := k.known(kid, alg)
	if ok {
		return got, nil
	}
	err := k.load(ctx, func(ctx context.Context) error {
		if k.newer(version) {
			return nil // somebody looked since
		}
		if wait := k.takeLook(); wait > 0 {
			k.reads.WithLabelValues("unknown", "bounded").Inc()
			return away(errors.New("too many looks for unknown keys"), wait)
		}
		return k.refresh(ctx, "unknown")
	})
	if err != nil {
		return key{}, err
	}
	if got, _, ok = k.known(kid, alg); ok {
		return got, nil
	}
	return key{}, errUnknown
}

func (k *keys) newer(version int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.version > version
}

// known looks in memory, and says which reading that was.
func (k *keys) known(kid, alg string) (found key, version int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read.IsZero() || k.cfg.Now().Sub(k.read) > k.cfg.Stale {
		return key{}, k.version, false
	}
	for _, c := range k.set {
		if c.fits(alg) && (c.kid == kid || kid == "") {
			if ok && kid == "" {
				return key{}, k.version, false // which one is meant?
			}
			found, ok = c, true
		}
	}
	return found, k.version, ok
}

// takeLook takes one of the looks that are left, or says how long until there
// is one.
func (k *keys) takeLook() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.cfg.Now()
	if n := int(now.Sub(k.filled) / k.cfg.LookEvery); n > 0 {
		k.looks = min(k.cfg.Looks, k.looks+n)
		k.filled = k.filled.Add(time.Duration(n) * k.cfg.LookEvery)
	}
	if k.looks > 0 {
		k.looks--
		return 0
	}
	return k.filled.Add(k.cfg.LookEvery).Sub(now)
}

// away is the failure of somebody who must be asked and does not answer.
func away(err error, wait time.Duration) error {
	f := fault.Wrap(err, fault.DependencyUnavailable, "The service that signs you in does not answer just now.")
	f.RetryAfterMS = max(1000, wait.Milliseconds())
	return f
}

// load runs fn once for all who ask at the same time. It goes on when the one
// who asked first goes away, within the guard's time.
func (k *keys) load(ctx context.Context, fn func(context.Context) error) error {
	done := k.flight.DoChan("keys", func() (any, error) { return nil, fn(context.WithoutCancel(ctx)) })
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func result(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// refresh reads the keys, and the discovery document if it is not known yet.
func (k *keys) refresh(ctx context.Context, why string) (err error) {
	defer func() { k.reads.WithLabelValues(why, result(err)).Inc() }()
	e, err := k.endpoints(ctx)
	if err != nil {
		return err
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.fetch(ctx, e.Keys, "", &doc); err != nil {
		return fmt.Errorf("keys of the issuer: %w", err)
	}
	var set []key
	for _, raw := range doc.Keys[:min(len(doc.Keys), maxKeys)] {
		if one, err := parse(raw); err == nil {
			set = append(set, one)
		}
	}
	if len(set) == 0 {
		return away(errors.New("the issuer publishes no key that can be used"), k.cfg.LookEvery)
	}
	k.mu.Lock()
	k.set, k.read = set, k.cfg.Now()
	k.version++
	k.mu.Unlock()
	return nil
}

// endpoints is the discovery document in memory, or read now.
func (k *keys) endpoints(ctx context.Context) (Endpoints, error) {
	k.mu.Lock()
	found := k.found
	k.mu.Unlock()
	if found != nil {
		return *found, nil
	}
	return k.discover(ctx)
}

func (k *keys) discover(ctx context.Context) (Endpoints, error) {
	var e Endpoints
	at := k.cfg.Issuer
	if at[len(at)-1] != '/' {
		at += "/"
	}
	if err := k.fetch(ctx, at+".well-known/openid-configuration", "", &e); err != nil {
		return e, fmt.Errorf("discovery: %w", err)
	}
	if e.Issuer != k.cfg.Issuer {
		return e, away(fmt.Errorf("discovery: the issuer calls itself %q, not %q; they are compared byte for byte, a slash at the end too", cut(e.Issuer), k.cfg.Issuer), k.cfg.Fresh)
	}
	for name, at := range map[string]string{"jwks_uri": e.Keys, "userinfo_endpoint": e.UserInfo, "token_endpoint": e.Token,
		"authorization_endpoint": e.Authorization, "revocation_endpoint": e.Revocation} {
		if at == "" && name != "jwks_uri" {
			continue
		}
		u, err := url.Parse(at)
		if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return e, away(fmt.Errorf("discovery: %s is not an https address", name), k.cfg.Fresh)
		}
	}
	k.mu.Lock()
	k.found = &e
	k.mu.Unlock()
	return e, nil
}

func cut(s string) string { return s[:min(len(s), 200)] }

// errRefused is an answer of the issuer that is no success and will not become
// one by waiting.
var errRefused = errors.New("the issuer refuses")

// fetch reads a JSON document of the issuer.
func (k *keys) fetch(ctx context.Context, at, bearer string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return away(err, k.cfg.LookEvery)
	}
	req.Header.Set("Accept", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := k.http.Do(req)
	if err != nil {
		if f := fault.Of(err); f.Code == fault.DependencyUnavailable && f.RetryAfterMS > 0 {
			return away(err, time.Duration(f.RetryAfterMS)*time.Millisecond)
		}
		return away(err, k.cfg.LookEvery)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch s := resilience.NewStatus(resp); {
	case err != nil:
		return away(err, k.cfg.LookEvery)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return away(errors.Join(errRefused, s), k.cfg.LookEvery)
	case resp.StatusCode != http.StatusOK:
		return away(s, max(s.RetryAfter, k.cfg.LookEvery))
	case len(body) > maxAnswer:
		return away(errors.New("the answer is too long"), k.cfg.LookEvery)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return away(errors.New("the answer is not the JSON that it should be"), k.cfg.LookEvery)
	}
	return nil
}

// run keeps document and keys fresh; keys that the issuer took back go with
// the next reading.
func (k *keys) run(ctx context.Context) {
	t := time.NewTicker(k.cfg.Fresh)
	defer t.Stop()
	failing := false
	for {
		_, err := k.discover(ctx)
		if err == nil {
			err = k.load(ctx, func(ctx context.Context) error { return k.refresh(ctx, "fresh") })
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			k.cfg.Log.WarnContext(ctx, "the issuer's keys cannot be read; those in memory go on", "issuer", k.cfg.Issuer, "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
