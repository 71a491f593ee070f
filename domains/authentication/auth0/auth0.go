// Package auth0 keeps our learners' passwords at Auth0: sign-up, login by
// password, refresh, revoke and the mails, by the Authentication API, and the
// little of the Management API that those lack.
//
// Accounts are made by /dbconnections/signup, not by the Management API: it
// needs no right to create or read users, mails the address by itself, and
// takes a password that never passes an administrator's interface. The
// Management API is asked for three things: another verification mail
// (update:users), what was told at a sign-up that broke off (read:users), and
// erasure (delete:users).
package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

const (
	maxAnswer = 1 << 20
	// The parts of a management token's life that are not used: a call begun
	// just before its end would fail on the way.
	managementMargin = 5 * time.Minute
	passwordRealm    = "http://auth0.com/oauth/grant-type/password-realm" //nolint:gosec // the name of a grant
	scope            = "openid profile email"
)

// Config says which tenant it is; zero values mean the defaults in brackets.
type Config struct {
	// Issuer is the tenant's issuer, https://tenant.region.auth0.com/ or a
	// custom domain, with the slash.
	Issuer string
	// Tenant is the tenant's own address where Issuer is a custom domain, for
	// the Management API [Issuer].
	Tenant string
	// ClientID and ClientSecret are a regular web application's with the grants
	// Password (realm), Refresh Token and, for management, Client Credentials.
	ClientID, ClientSecret string
	// Audience is the API's identifier.
	Audience string
	// Connection is the database connection ["Username-Password-Authentication"].
	Connection string
	// Guard holds the rules of every call; its Transient should be Transient.
	Guard *resilience.Guard
	// Transport makes the connections [http.DefaultTransport].
	Transport http.RoundTripper
	// Now is the clock [time.Now].
	Now func() time.Time
}

// Client is one application of one tenant. It is safe for concurrent use.
type Client struct {
	cfg    Config
	http   *http.Client
	flight singleflight.Group

	mu sync.Mutex // guards the management token
	// token is good until a margin before its end.
	token string
	until time.Time
}

var _ authentication.Passwords = (*Client)(nil)

// New makes a Client; it asks nobody yet.
func New(cfg Config) (*Client, error) {
	if cfg.Tenant == "" {
		cfg.Tenant = cfg.Issuer
	}
	for _, at := range []string{cfg.Issuer, cfg.Tenant} {
		if u, err := url.Parse(at); err != nil || u.Host == "" || !strings.HasSuffix(at, "/") {
			return nil, errors.New("auth0: issuer and tenant are addresses with a slash at the end")
		}
	}
	if cfg.ClientID == "" || cfg.ClientSecret == "" || cfg.Audience == "" || cfg.Guard == nil {
		return nil, errors.New("auth0: ClientID, ClientSecret, Audience and Guard are needed")
	}
	if cfg.Connection == "" {
		cfg.Connection = "Username-Password-Authentication"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Client{cfg: cfg, http: &http.Client{
		Transport: cfg.Guard.Transport(cfg.Transport),
		// A secret must not follow a redirect to a host nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Transient judges Auth0's answers for a guard: 429 is not repeated at once,
// for it often means that one learner guesses, and that one may wait.
func Transient(err error) resilience.Verdict {
	v := resilience.Default(err)
	var s *resilience.Status
	if errors.As(err, &s) && s.Code == http.StatusTooManyRequests {
		v.Transient = false
	}
	return v
}

// Client is our name at Auth0.
func (c *Client) Client() string { return c.cfg.ClientID }

// Error is an answer that is no success. It holds Auth0's code and none of its
// words, which quote what was sent.
type Error struct {
	Status     int
	Code       string
	retryAfter time.Duration
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("auth0 answers %d %s", e.Status, e.Code) }

type object = map[string]any

// call sends one request; ip is the learner's, where Auth0 should count it.
func (c *Client) call(ctx context.Context, method, at string, in object, bearer, ip string, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("auth0: encode: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return fmt.Errorf("auth0: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	if ip != "" {
		req.Header.Set("Auth0-Forwarded-For", ip) // believed from a client with a secret
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("auth0: %w", err)
		}
		return unavailable(err, fault.Of(err).RetryAfterMS)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return unavailable(err, 0)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return failure(resp, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return unavailable(errors.New("the answer is not the JSON that it should be"), 0)
	}
	return nil
}

// unavailable is the failure of a service that is down, or does not do what it
// was set up for.
func unavailable(err error, retryMS int64) error {
	f := fault.Wrap(fmt.Errorf("auth0: %w", err), fault.DependencyUnavailable, "The service that signs you in does not answer just now.")
	f.RetryAfterMS = max(1000, retryMS)
	return f
}

var plainCode = regexp.MustCompile(`^[A-Za-z0-9_.\-]{1,64}$`)

// failure reads the code of an answer, which has one of several names.
func failure(resp *http.Response, body []byte) error {
	s := resilience.NewStatus(resp)
	e := &Error{Status: resp.StatusCode, retryAfter: s.RetryAfter}
	var said struct {
		Error, Code, ErrorCode, Name any
	}
	_ = json.Unmarshal(body, &said) // a page of some proxy has no code
	for _, v := range []any{said.Code, said.ErrorCode, said.Error, said.Name} {
		if t, ok := v.(string); ok && plainCode.MatchString(t) && e.Code == "" {
			e.Code = t
		}
	}
	return e
}

// judge makes a fault of an answer that nobody expected: our settings at Auth0
// are wrong, or it is down. Learners can only come back later.
func judge(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Status == http.StatusTooManyRequests || e.Code == "too_many_attempts" || e.Code == "too_many_requests" {
		wait := max(e.retryAfter, 10*time.Second)
		return &fault.Error{Code: fault.RateLimited, Message: "Too many attempts; wait a little.", RetryAfterMS: wait.Milliseconds()}
	}
	return unavailable(e, max(e.retryAfter, 0).Milliseconds())
}

// code is Auth0's code of an error, "" for any other error.
func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
