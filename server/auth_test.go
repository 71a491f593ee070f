package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// fakeIssuer records what it was asked and hands out tok-ann and ref-ann.
type fakeIssuer struct {
	mu        sync.Mutex
	signUp    authentication.SignUpInput
	login     authentication.LoginInput
	refreshed []string
	loggedOut []authentication.LogoutInput
	err       error
	pending   bool
}

func (f *fakeIssuer) answer() (authentication.SignedIn, error) {
	if f.err != nil {
		return authentication.SignedIn{}, f.err
	}
	if f.pending {
		return authentication.SignedIn{Pending: true}, nil
	}
	return authentication.SignedIn{
		Learner: authentication.LearnerView{ID: "ann", Email: "ann@example.com", FullName: "Ann", CreatedAt: 7},
		Tokens:  authentication.Tokens{AccessToken: "tok-ann", RefreshToken: "ref-ann", TokenType: "Bearer", ExpiresIn: 900, RefreshExpiresIn: 604800},
	}, nil
}

func (f *fakeIssuer) SignUp(_ context.Context, in authentication.SignUpInput) (authentication.SignedIn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signUp = in
	return f.answer()
}

func (f *fakeIssuer) Login(_ context.Context, in authentication.LoginInput) (authentication.SignedIn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.login = in
	return f.answer()
}

func (f *fakeIssuer) Refresh(_ context.Context, token string) (authentication.SignedIn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshed = append(f.refreshed, token)
	if token == "" {
		return authentication.SignedIn{}, fault.New(fault.Unauthenticated, "Sign in first.")
	}
	return f.answer()
}

func (f *fakeIssuer) Logout(_ context.Context, in authentication.LogoutInput) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loggedOut = append(f.loggedOut, in)
	return f.err
}

func (f *fakeIssuer) Me(context.Context, authentication.LearnerID) (authentication.LearnerView, error) {
	in, err := f.answer()
	return in.Learner, err
}

func (f *fakeIssuer) Verify(_ context.Context, token string) (authentication.Identity, error) {
	who, ok := strings.CutPrefix(token, "tok-")
	if !ok {
		return authentication.Identity{}, fault.New(fault.TokenExpired, "The token has expired.")
	}
	return authentication.Identity{LearnerID: authentication.LearnerID(who), SessionFamily: "fam-" + authentication.FamilyID(who), Role: roleOf(who), ExpiresAt: time.Unix(9, 0)}, nil
}

// roleOf is the role of the learners that are named after one.
func roleOf(who string) authentication.Role {
	if r, err := authentication.ParseRole(who); err == nil {
		return r
	}
	return authentication.RoleLearner
}

func newAuthFixture(t *testing.T) (*fixture, *fakeIssuer) {
	t.Helper()
	iss := &fakeIssuer{}
	return newFixture(t, func(d *Deps) {
		d.Authentication, d.Authenticator, d.Accounts = iss, NewAuthenticator(iss), &fakeAccounts{issuer: iss}
		d.Onboarding = onboarding.New(&profiles{list: map[onboarding.LearnerID]onboarding.Record{}}, nil, nil)
	}), iss
}

const (
	ourOrigin   = "Origin: http://127.0.0.1:8080"
	signUpBody  = `{"email":"Ann@example.com","password":"  secret 8 ","full_name":"Ann","accept_terms":true,"age_confirmed":true%s}`
	refreshOnly = "Cookie: fp_refresh=old"
)

func bodyOf(t *testing.T, w *httptest.ResponseRecorder) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return m
}

// wantCookies checks both cookies of a transport by cookie, or their absence.
func wantCookies(t *testing.T, w *httptest.ResponseRecorder, want bool) {
	t.Helper()
	got := w.Result().Cookies()
	m := bodyOf(t, w)
	_, access := m["access_token"]
	_, refresh := m["refresh_token"]
	if !want {
		if len(got) != 0 || !access || !refresh {
			t.Fatalf("cookies %v, body %v, want the tokens in the body only", got, m)
		}
		return
	}
	if len(got) != 2 || access || refresh || strings.Contains(w.Body.String(), "tok-ann") || strings.Contains(w.Body.String(), "ref-ann") {
		t.Fatalf("cookies %v, body %v, want the tokens in two cookies only", got, m)
	}
	for i, w := range []http.Cookie{
		{Name: "fp_access", Value: "tok-ann", Path: "/api", MaxAge: 900}, {Name: "fp_refresh", Value: "ref-ann", Path: "/api/v2/auth", MaxAge: 604800},
	} {
		c := got[i]
		if c.Name != w.Name || c.Value != w.Value || c.Path != w.Path || c.MaxAge != w.MaxAge || !c.HttpOnly ||
			c.SameSite != http.SameSiteStrictMode || c.Secure || c.Domain != "" {
			t.Fatalf("got %s, want %+v", c, w)
		}
	}
}

func TestSignUp(t *testing.T) {
	t.Parallel()
	for extra, cookie := range map[string]bool{"": false, `,"transport":"token"`: false, `,"transport":"cookie"`: true} {
		f, iss := newAuthFixture(t)
		w := f.call(t, "POST", Prefix+"/auth/sign-up", strings.Replace(signUpBody, "%s", extra, 1), ourOrigin, "User-Agent: tests/1.0")
		if w.Code != http.StatusCreated {
			t.Fatalf("%s: %d %s", extra, w.Code, w.Body)
		}
		wantCookies(t, w, cookie)
		if want := (authentication.SignUpInput{Email: "Ann@example.com", Password: "  secret 8 ", FullName: "Ann", AcceptTerms: true, AgeConfirmed: true,
			RemoteIP: "192.0.2.1", Device: "tests/1.0"}); iss.signUp != want {
			t.Fatalf("arrived as %+v", iss.signUp)
		}
		m := bodyOf(t, w)
		if l := m["learner"].(map[string]any); l["id"] != "ann" || l["email"] != "ann@example.com" || l["full_name"] != "Ann" || l["created_at"] != 7.0 {
			t.Fatalf("got %v", l)
		}
		if m["token_type"] != "Bearer" || m["expires_in"] != 900.0 {
			t.Fatalf("got %v", m)
		}
	}
}

func TestSignUpFailures(t *testing.T) {
	t.Parallel()
	f, iss := newAuthFixture(t)
	p := wantProblem(t, f.call(t, "POST", Prefix+"/auth/sign-up", `{"email":"a@b.co","password":"12345678"}`), fault.Invalid)
	if len(p.Errors) != 3 {
		t.Fatalf("got %+v, want three missing fields", p.Errors)
	}
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/sign-up", strings.Replace(signUpBody, "%s", `,"transport":"smoke"`, 1)), fault.Invalid)
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/sign-up", strings.Replace(signUpBody, "%s", `,"role":"admin"`, 1)), fault.Invalid)
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/sign-up", strings.Replace(signUpBody, "%s", "", 1), "Origin: http://evil.example"), fault.ForeignOrigin)
	if iss.signUp.Email != "" {
		t.Fatal("a refused sign-up reached the domain")
	}
	iss.err = authentication.ErrEmailTaken
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/sign-up", strings.Replace(signUpBody, "%s", "", 1)), fault.EmailTaken)
	iss.err = &fault.Error{Code: fault.RateLimited, Message: "Too many.", RetryAfterMS: 1500}
	w := f.call(t, "POST", Prefix+"/auth/sign-up", strings.Replace(signUpBody, "%s", "", 1))
	wantProblem(t, w, fault.RateLimited)
	if w.Header().Get("Retry-After") != "2" {
		t.Fatalf("got Retry-After %q", w.Header().Get("Retry-After"))
	}
}

func TestPendingSignUpSaysNothingElse(t *testing.T) {
	t.Parallel()
	f, iss := newAuthFixture(t)
	iss.pending = true
	for _, transport := range []string{"token", "cookie"} {
		w := f.call(t, "POST", Prefix+"/auth/sign-up", strings.Replace(signUpBody, "%s", `,"transport":"`+transport+`"`, 1), ourOrigin)
		if w.Code != http.StatusAccepted || strings.TrimSpace(w.Body.String()) != `{"pending":true}` || len(w.Result().Cookies()) != 0 {
			t.Fatalf("%d %s %v", w.Code, w.Body, w.Result().Cookies())
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	f, iss := newAuthFixture(t)
	w := f.call(t, "POST", Prefix+"/auth/login", `{"email":"ann@example.com","password":"canary-word!","transport":"cookie"}`, ourOrigin)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantCookies(t, w, true)
	if iss.login.RemoteIP != "192.0.2.1" || iss.login.Password != "canary-word!" {
		t.Fatalf("arrived as %+v", iss.login)
	}
	if logs := f.logs.String(); strings.Contains(logs, "canary-word!") || strings.Contains(logs, "tok-ann") || strings.Contains(logs, "ann@") {
		t.Fatalf("secrets in the log: %s", logs)
	}
	iss.err = fault.New(fault.InvalidCredentials, "E-mail or password is wrong.")
	w = f.call(t, "POST", Prefix+"/auth/login", `{"email":"ann@example.com","password":"canary-word!"}`)
	wantProblem(t, w, fault.InvalidCredentials)
	if len(w.Result().Cookies()) != 0 {
		t.Fatal("a refused login set a cookie")
	}
}

func TestRefreshTransports(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, token string
		headers     []string
		cookie      bool
	}{
		"body":                       {`{"refresh_token":"mine"}`, "mine", nil, false},
		"body to cookie":             {`{"refresh_token":"mine","transport":"cookie"}`, "mine", []string{ourOrigin}, true},
		"cookie":                     {`{"transport":"cookie"}`, "old", []string{ourOrigin, refreshOnly}, true},
		"cookie, empty object":       {`{}`, "old", []string{ourOrigin, refreshOnly}, true},
		"cookie, no body":            {``, "old", []string{ourOrigin, refreshOnly}, true},
		"cookie never becomes token": {`{"transport":"token"}`, "old", []string{ourOrigin, refreshOnly}, true},
		"body wins over cookie":      {`{"refresh_token":"mine"}`, "mine", []string{ourOrigin, refreshOnly}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, iss := newAuthFixture(t)
			w := f.call(t, "POST", Prefix+"/auth/refresh", c.body, c.headers...)
			if w.Code != http.StatusOK || len(iss.refreshed) != 1 || iss.refreshed[0] != c.token {
				t.Fatalf("%d %s, asked for %q, want %q", w.Code, w.Body, iss.refreshed, c.token)
			}
			wantCookies(t, w, c.cookie)
		})
	}
	f, iss := newAuthFixture(t)
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/refresh", `{}`, ourOrigin), fault.Unauthenticated)
	// Two cookies of one name: somebody else set one of them.
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/refresh", `{}`, ourOrigin, "Cookie: fp_refresh=a; fp_refresh=b"), fault.Unauthenticated)
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/refresh", `{}`, refreshOnly), fault.ForeignOrigin)
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/refresh", `{}`, refreshOnly, "Origin: http://evil.example"), fault.ForeignOrigin)
	iss.err = fault.New(fault.RefreshReused, "Sign in again.")
	wantProblem(t, f.call(t, "POST", Prefix+"/auth/refresh", `{"refresh_token":"x"}`), fault.RefreshReused)
}

func TestLogoutNamesTheLogin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		headers []string
		want    authentication.LogoutInput
	}{
		"body":          {`{"refresh_token":"mine"}`, nil, authentication.LogoutInput{RefreshToken: "mine"}},
		"cookie":        {`{}`, []string{ourOrigin, refreshOnly}, authentication.LogoutInput{RefreshToken: "old"}},
		"everywhere":    {`{"all":true}`, []string{ann}, authentication.LogoutInput{Learner: "ann", Family: "fam-ann", All: true}},
		"access token":  {``, []string{ann}, authentication.LogoutInput{Learner: "ann", Family: "fam-ann"}},
		"access cookie": {`{}`, []string{ourOrigin, "Cookie: fp_access=tok-ann"}, authentication.LogoutInput{Learner: "ann", Family: "fam-ann"}},
		"expired token": {`{}`, []string{"Authorization: Bearer old"}, authentication.LogoutInput{}},
		"nobody":        {`{}`, nil, authentication.LogoutInput{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, iss := newAuthFixture(t)
			w := f.call(t, "POST", Prefix+"/auth/logout", c.body, c.headers...)
			if w.Code != http.StatusNoContent || w.Body.Len() != 0 || len(iss.loggedOut) != 1 || iss.loggedOut[0] != c.want {
				t.Fatalf("%d %q, asked %+v, want %+v", w.Code, w.Body, iss.loggedOut, c.want)
			}
			for _, k := range w.Result().Cookies() {
				if k.MaxAge >= 0 || k.Value != "" {
					t.Fatalf("cookie left: %s", k)
				}
			}
			if len(w.Result().Cookies()) != 2 {
				t.Fatalf("got %v", w.Result().Cookies())
			}
		})
	}
}

func TestSecureCookies(t *testing.T) {
	t.Parallel()
	iss := &fakeIssuer{}
	f := newFixture(t, func(d *Deps) { d.Authentication, d.TrustedProxies = iss, []string{"192.0.2.1"} })
	w := f.call(t, "POST", Prefix+"/auth/login", `{"email":"a@b.co","password":"pw","transport":"cookie"}`, "X-Forwarded-Proto: https", "Origin: https://127.0.0.1:8080")
	for _, c := range w.Result().Cookies() {
		if !c.Secure {
			t.Fatalf("not secure over https: %s", c)
		}
	}
	if len(w.Result().Cookies()) != 2 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	f, iss := newAuthFixture(t)
	wantProblem(t, f.call(t, "GET", Prefix+"/me", ""), fault.Unauthenticated)
	wantProblem(t, f.call(t, "GET", Prefix+"/me", "", "Authorization: Bearer old"), fault.TokenExpired)
	w := f.call(t, "GET", Prefix+"/me", "", ann)
	m := bodyOf(t, w)
	if w.Code != 200 || m["id"] != "ann" || m["email"] != "ann@example.com" || m["onboarding_complete"] != false || m["role"] != "learner" || m["email_verified"] != false || m["state"] != "active" || len(m) != 8 {
		t.Fatalf("%d %v", w.Code, m)
	}
	iss.err = fault.New(fault.Unauthenticated, "Sign in first.")
	wantProblem(t, f.call(t, "GET", Prefix+"/me", "", ann), fault.Unauthenticated)
}
