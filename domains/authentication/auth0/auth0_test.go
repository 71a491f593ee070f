package auth0_test

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/auth0"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc/standin"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, change ...func(*auth0.Config)) (*standin.Server, *auth0.Client) {
	t.Helper()
	s := standin.Start()
	t.Cleanup(s.Close)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	cfg := auth0.Config{Issuer: s.Issuer, ClientID: standin.ClientID, ClientSecret: standin.ClientSecret, Audience: standin.Audience, Transport: tr,
		Guard: resilience.New(resilience.Config{Service: "auth0", Attempt: 30 * time.Second, Base: time.Millisecond, Failures: 1000, Transient: auth0.Transient})}
	for _, fn := range change {
		fn(&cfg)
	}
	c, err := auth0.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); err == nil || got != want {
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
}

var ana = authentication.ForeignSignUp{Email: "ana@example.com", Password: "correct horse 9", FullName: "Ana Souza", DateOfBirth: "1991-04-30", Consented: true}

func TestJourney(t *testing.T) {
	t.Parallel()
	s, c := client(t)
	if err := c.SignUp(t.Context(), ana); err != nil {
		t.Fatal(err)
	}
	for range 2 { // both ways in which tenants tell it
		if err := c.SignUp(t.Context(), ana); !errors.Is(err, authentication.ErrUserExists) {
			t.Fatalf("got %v", err)
		}
		s.TellTaken()
	}
	in, err := c.Login(t.Context(), ana.Email, ana.Password, "203.0.113.9")
	if err != nil || in.Access == "" || in.Refresh == "" || in.ID == "" || in.ExpiresIn != time.Hour {
		t.Fatalf("got %+v, %v", in, err)
	}
	if got := s.Sent("/oauth/token", "auth0-forwarded-for"); got != "203.0.113.9" {
		t.Errorf("Auth0 counts %q", got)
	}
	if got := s.Sent("/oauth/token", "scope"); got != "openid profile email offline_access" {
		t.Errorf("scope %q", got)
	}
	once, err := c.Check(t.Context(), ana.Email, ana.Password, "")
	if err != nil || once.Refresh != "" {
		t.Fatalf("a check leaves a refresh token: %v", err)
	}
	next, err := c.Refresh(t.Context(), in.Refresh)
	if err != nil || next.Refresh == in.Refresh {
		t.Fatalf("got %v", err)
	}
	_, err = c.Refresh(t.Context(), in.Refresh) // a thief; the login ends
	wantCode(t, err, fault.Unauthenticated)
	_, err = c.Refresh(t.Context(), next.Refresh)
	wantCode(t, err, fault.Unauthenticated)

	in, err = c.Login(t.Context(), ana.Email, ana.Password, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), in.Refresh); err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), "made up"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Refresh(t.Context(), in.Refresh)
	wantCode(t, err, fault.Unauthenticated)
}

func TestFailuresAreOurs(t *testing.T) {
	t.Parallel()
	s, c := client(t)
	u := s.AddUser(standin.User{Email: "bo@example.com", Password: "a good one", Blocked: true})
	s.AddUser(standin.User{Email: "cy@example.com", Password: "a good one", MFA: true})
	login := func(email, password string) error {
		_, err := c.Login(t.Context(), email, password, "")
		return err
	}
	wantCode(t, login("bo@example.com", "wrong"), fault.InvalidCredentials)
	wantCode(t, login("nobody@example.com", "wrong"), fault.InvalidCredentials)
	wantCode(t, login("bo@example.com", "a good one"), fault.InvalidCredentials) // blocked: not told
	wantCode(t, login("cy@example.com", "a good one"), fault.ExternalAccount)
	err := c.SignUp(t.Context(), authentication.ForeignSignUp{Email: "dee@example.com", Password: "short"})
	wantCode(t, err, fault.Invalid)
	if f := fault.Of(err).Fields; len(f) != 1 || f[0].Name != "password" {
		t.Errorf("got %+v", f)
	}

	const token = "/oauth/token"
	for _, tc := range []struct {
		fault standin.Fault
		want  fault.Code
		calls int
		least int64
	}{
		{standin.Fault{Status: 429, RetryAfter: 40, Body: `{"error":"too_many_attempts"}`}, fault.RateLimited, 1, 40_000},
		{standin.Fault{Status: 429, Body: `{}`}, fault.RateLimited, 1, 10_000},
		{standin.Fault{Status: 503, RetryAfter: 50}, fault.DependencyUnavailable, 1, 50_000},
		{standin.Fault{Status: 500}, fault.DependencyUnavailable, 1, 1000},
		{standin.Fault{Down: true}, fault.DependencyUnavailable, 1, 1000},
		{standin.Fault{Lost: true}, fault.DependencyUnavailable, 1, 1000}, // never twice: it may have worked
		{standin.Fault{Status: 200, Body: "<html>"}, fault.DependencyUnavailable, 1, 1000},
		{standin.Fault{Status: 401, Body: `{"error":"access_denied"}`}, fault.DependencyUnavailable, 1, 1000}, // our secret is wrong
		{standin.Fault{Status: 403, Body: `{"error":"unauthorized_client"}`}, fault.DependencyUnavailable, 1, 1000},
	} {
		s.Heal()
		s.Break(token, tc.fault)
		before := s.Calls(token)
		err := login(u.Email, "a good one")
		wantCode(t, err, tc.want)
		if n := s.Calls(token) - before; n != tc.calls {
			t.Errorf("%+v: %d calls, want %d", tc.fault, n, tc.calls)
		}
		if ms := fault.Of(err).RetryAfterMS; ms < tc.least {
			t.Errorf("%+v: advice %d ms, want at least %d", tc.fault, ms, tc.least)
		}
	}
	s.Heal()
	s.Break("/oauth/revoke", standin.Fault{Status: 502, Times: 1})
	if err := c.Revoke(t.Context(), "x"); err != nil {
		t.Errorf("a revocation may be repeated: %v", err)
	}
}

// The management token was fetched anew for every request, or kept for ever:
// it is fetched once for all, before its end, and after it was refused.
func TestManagementToken(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s, c := client(t, func(cfg *auth0.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	u := s.AddUser(standin.User{Email: "ana@example.com"})
	const token = "/oauth/token"
	mail := func() {
		t.Helper()
		if err := c.MailVerification(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(mail)
	}
	wg.Wait()
	if n := s.Calls(token); n != 1 {
		t.Fatalf("50 calls cost %d tokens", n)
	}
	ahead.Store(int64(54 * time.Minute))
	mail()
	if n := s.Calls(token); n != 1 {
		t.Fatalf("%d tokens before the margin", n)
	}
	ahead.Store(int64(56 * time.Minute))
	mail()
	if n := s.Calls(token); n != 2 {
		t.Fatalf("%d tokens after the margin", n)
	}
	s.ForgetManagers()
	mail()
	if n := s.Calls(token); n != 3 {
		t.Fatalf("%d tokens after it was refused", n)
	}
	s.Life(20 * time.Second) // shorter than the margin
	ahead.Add(int64(time.Hour))
	mail()
	mail()
	if n := s.Calls(token); n != 4 {
		t.Fatalf("%d tokens of a short life", n)
	}
	if n := len(s.Mails()); n != 55 {
		t.Fatalf("%d mails", n)
	}
}

func TestWhatWasToldAtTheSignUp(t *testing.T) {
	t.Parallel()
	s, c := client(t)
	if err := c.SignUp(t.Context(), ana); err != nil {
		t.Fatal(err)
	}
	var id string
	s.Change(ana.Email, func(u *standin.User) { id = u.ID })
	got, ok, err := c.SignedUp(t.Context(), id)
	if err != nil || !ok || got.FullName != ana.FullName || got.DateOfBirth != ana.DateOfBirth || !got.Consented || got.Password != "" {
		t.Fatalf("got %+v, %v, %v", got, ok, err)
	}
	other := s.AddUser(standin.User{Email: "dashboard@example.com"})
	for _, id := range []string{other.ID, "auth0|nobody"} {
		if _, ok, err := c.SignedUp(t.Context(), id); ok || err != nil {
			t.Errorf("%s: %v, %v", id, ok, err)
		}
	}
	for range 2 {
		if err := c.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if s.Users() != 1 {
		t.Error("the user is still there")
	}
	s.Break("/api/v2/users/"+other.ID, standin.Fault{Status: 403})
	if _, ok, err := c.SignedUp(t.Context(), other.ID); ok || err != nil {
		t.Errorf("without the right: %v, %v", ok, err)
	}
	for _, email := range []string{"dashboard@example.com", "nobody@example.com"} {
		if err := c.MailPassword(t.Context(), email); err != nil {
			t.Errorf("%s: %v", email, err)
		}
	}
	if !slices.Contains(s.Mails(), "password dashboard@example.com") {
		t.Errorf("got %v", s.Mails())
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	g := resilience.New(resilience.Config{Service: "x"})
	for name, cfg := range map[string]auth0.Config{
		"no slash":  {Issuer: "https://t.auth0.com", ClientID: "a", ClientSecret: "b", Audience: "c", Guard: g},
		"no secret": {Issuer: "https://t.auth0.com/", ClientID: "a", Audience: "c", Guard: g},
		"no guard":  {Issuer: "https://t.auth0.com/", ClientID: "a", ClientSecret: "b", Audience: "c"},
	} {
		if _, err := auth0.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
