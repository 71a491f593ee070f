package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication/oidc/standin"
	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// provider is an issuer of its own for one test.
func provider(t *testing.T) *standin.Server {
	t.Helper()
	s := standin.Start()
	t.Cleanup(s.Close)
	return s
}

// believing are the settings of a process that believes an issuer.
func believing(s *standin.Server, passwords string) []string {
	env := []string{"FLUENTPRO_AUTH_ISSUER=" + s.Issuer, "FLUENTPRO_AUTH_AUDIENCE=" + standin.Audience, "FLUENTPRO_AUTH_PASSWORDS=" + passwords,
		"FLUENTPRO_AUTH_ROLES_CLAIM=https://fluentpro/roles", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=300"}
	if passwords == "auth0" {
		env = append(env, "FLUENTPRO_AUTH_AUTH0_CLIENT_ID="+standin.ClientID, "FLUENTPRO_AUTH_AUTH0_CLIENT_SECRET="+standin.ClientSecret)
	}
	return env
}

// The token of another issuer is as good as ours: REST, WebSocket and SSE;
// through a rotation of its keys, and while it is down.
func TestE2EIssuer(t *testing.T) {
	t.Parallel()
	s := provider(t)
	p := start(t, "issuer", believing(s, "off")...)
	mine := func(more m) string {
		c := m{"email": "ana@example.com", "email_verified": true, "name": "Ana Souza"}
		for k, v := range more {
			c[k] = v
		}
		return s.Access("oidc|ana", c)
	}
	l := &learner{t: t, http: webClient(t), node: p.base, token: mine(nil)}
	var me struct {
		ID, Email, Role string
		FullName        string `json:"full_name"`
		EmailVerified   bool   `json:"email_verified"`
	}
	l.call("GET", "/me", nil, &me)
	if me.Email != "ana@example.com" || me.FullName != "Ana Souza" || !me.EmailVerified || me.Role != "learner" {
		t.Fatalf("got %+v", me)
	}
	first := me.ID
	l.refusedWith("external_account", "POST", "/auth/login", m{"email": "ana@example.com", "password": learnersPassword})
	l.refusedWith("external_account", "POST", "/auth/sign-up", m{"email": "x@example.com", "password": learnersPassword, "full_name": "Xu Li", "accept_terms": true, "age_confirmed": true})
	for code, token := range map[string]string{
		"unauthenticated": s.Access("oidc|ana", m{"aud": standin.ClientID}), // an ID token
		"token_expired":   s.Access("oidc|ana", m{"iat": time.Now().Unix() - 100, "exp": time.Now().Unix() - 10}),
	} {
		bad := &learner{t: t, http: l.http, node: p.base, token: token}
		bad.refusedWith(code, "GET", "/me", nil)
	}
	admin := &learner{t: t, http: l.http, node: p.base, token: s.Access("oidc|boss", m{"https://fluentpro/roles": []string{"admin"}})}
	admin.call("GET", "/accounts", nil, nil)
	l.refusedWith("forbidden", "GET", "/accounts", nil)

	l.onboard()
	request := l.askScenario()
	t.Run("followed", func(t *testing.T) { // those who follow go before their login ends
		l := *l
		l.t = t
		scenarioAppears(t, map[string]*client.View{"ws": l.watch(client.OverWS, request, p.base), "sse": l.watch(client.OverSSE, request, p.base)})
	})

	s.Rotate()
	l2 := &learner{t: t, http: l.http, node: p.base, token: mine(nil)} // of the new key
	l2.call("GET", "/me", nil, &me)
	if me.ID != first {
		t.Fatal("another key made another learner")
	}
	s.Break("*", standin.Fault{Down: true})
	l3 := &learner{t: t, http: l.http, node: p.base, token: mine(nil)} // not seen yet; the key is
	conversation := l3.converse()
	ws, err := client.DialWS(t.Context(), l3.at(p.base), "", client.NewView(conversation))
	if err != nil {
		t.Fatalf("the issuer is down and its keys are known: %v", err)
	}
	defer ws.Drop()
	if _, err := ws.Send(t.Context(), conversation, "m1", "Good morning!", ""); err != nil {
		t.Fatal(err)
	}
	s.Rotate()
	l4 := &learner{t: t, http: l.http, node: p.base, token: mine(nil)}
	l4.refusedWith("dependency_unavailable", "GET", "/me", nil) // this key is not known: 503, not 401
	s.Heal()
	testenv.Eventually(t, soon, func() error {
		a, err := l4.try("GET", "/me", nil)
		if err == nil && a.status != 200 {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})

	// A logout ends this token's login; its socket too.
	l3.call("POST", "/auth/logout", m{}, nil)
	l3.refusedWith("unauthenticated", "GET", "/me", nil)
	testenv.Eventually(t, soon, func() error {
		if _, err := ws.Send(t.Context(), conversation, newTag(), "Still here?", ""); err == nil {
			return errors.New("the socket of an ended login is open")
		}
		return nil
	})
	l2.call("GET", "/me", nil, nil) // another login

	// Deactivated, no token from before and none from after is good.
	l2.refusedWith("invalid", "POST", "/me/deactivate", m{"password": "some password"})
	l2.call("POST", "/me/deactivate", m{"password": ""}, nil)
	l2.refusedWith("unauthenticated", "GET", "/me", nil)
	l5 := &learner{t: t, http: l.http, node: p.base, token: mine(m{"iat": time.Now().Unix() + 5})}
	l5.refusedWith("account_disabled", "GET", "/me", nil)
	admin.call("POST", "/accounts/"+first+"/reactivate", nil, nil)
	l5.call("GET", "/me", nil, nil)

	// Erased, the old tokens do not make a new account.
	l5.call("POST", "/me/erase", m{"password": ""}, nil)
	for _, gone := range []*learner{l, l2, l4, l5} {
		gone.refusedWith("unauthenticated", "GET", "/me", nil)
	}
}

// The old app over Auth0: its whole life, on a server that is killed between
// the account there and the account here.
func TestE2EAuth0(t *testing.T) {
	t.Parallel()
	s := provider(t)
	data := filepath.Join(t.TempDir(), "data")
	env := append(believing(s, "auth0"), "FLUENTPRO_DATA_DIR="+data)
	p := start(t, "first", env...)
	a := &oldApp{t: t, http: webClient(t), base: p.base}
	if got := a.call("GET", "/health/", nil, 200); got["auth0_configured"] != true {
		t.Fatalf("got %v", got)
	}
	form := m{"full_name": "Ana Souza", "email": "ana@example.com", "password": learnersPassword, "date_of_birth": "1991-04-30"}

	// Auth0 has made its account and answers nothing; the server is killed.
	hold := make(chan struct{})
	s.Break("/oauth/token", standin.Fault{Until: hold})
	lost := make(chan error, 1)
	go func() {
		l := &learner{t: t, http: a.http, node: p.base}
		_, err := l.try("POST", "/auth/sign-up", m{"email": "ana@example.com", "password": learnersPassword, "full_name": "Ana Souza", "accept_terms": true, "age_confirmed": true})
		lost <- err
	}()
	testenv.EventuallyTrue(t, soon, "the account at Auth0", func() bool { return s.Users() == 1 && s.Calls("/oauth/token") > 0 })
	p.kill()
	close(hold)
	if err := <-lost; err == nil {
		t.Fatal("a killed server answered")
	}
	s.Heal()
	p = start(t, "second", env...)
	a.base = p.base
	a.keep(a.call("POST", "/api/v1/auth/signup/", form, 201))
	if s.Users() != 1 {
		t.Fatalf("%d users at Auth0", s.Users())
	}
	var subject string
	s.Change("ana@example.com", func(u *standin.User) { subject = u.ID })
	a.call("POST", "/api/v1/auth/signup/", form, 409)
	a.call("POST", "/api/v1/auth/login/", m{"email": "ana@example.com", "password": "a wrong guess"}, 401)
	a.call("POST", "/api/v1/auth/login/", m{"email": "nobody@example.com", "password": "a wrong guess"}, 401)
	s.AddUser(standin.User{Email: "dashboard@example.com", Password: learnersPassword, Verified: true})
	a.call("POST", "/api/v1/auth/login/", m{"email": "dashboard@example.com", "password": learnersPassword}, 404)

	in := a.call("POST", "/api/v1/auth/login/", m{"email": "ana@example.com", "password": learnersPassword}, 200)
	if user := in["user"].(map[string]any); user["full_name"] != "Ana Souza" || user["date_of_birth"] != "1991-04-30" || in["expires_in"] != 3600.0 {
		t.Fatalf("got %v", in)
	}
	a.keep(in)
	old := a.refresh
	a.keep(a.call("POST", "/api/v1/auth/refresh/", m{"refresh_token": a.refresh}, 200))
	if a.refresh == old {
		t.Fatal("the refresh token was not replaced")
	}
	s.Rotate()
	a.keep(a.call("POST", "/api/v1/auth/refresh/", m{"refresh_token": a.refresh}, 200))
	if got := a.call("GET", "/api/v1/user/profile/", nil, 200); got["email"] != "ana@example.com" || got["dob"] != "1991-04-30" {
		t.Fatalf("got %v", got)
	}
	a.partOne()

	// The same token on v2, and a login there for somebody who never signed up.
	l := &learner{t: t, http: a.http, token: a.token, node: p.base}
	l.call("GET", "/me", nil, nil)
	var cookie struct{ Learner struct{ Email string } }
	l.call("POST", "/auth/login", m{"email": "dashboard@example.com", "password": learnersPassword, "transport": "cookie"}, &cookie)
	if cookie.Learner.Email != "dashboard@example.com" {
		t.Fatalf("got %+v", cookie)
	}
	l.refusedWith("external_account", "POST", "/me/password", m{"password": learnersPassword, "new_password": "tulip under glass"})
	l.call("POST", "/auth/forgot-password", m{"email": "ana@example.com"}, nil)
	l.call("POST", "/me/email-verifications", nil, nil)
	testenv.EventuallyTrue(t, soon, "the job that has Auth0 mail", func() bool {
		verifications := 0
		for _, mail := range s.Mails() {
			if strings.HasPrefix(mail, "verification ") {
				verifications++
			}
		}
		return verifications == 2 && slices.Contains(s.Mails(), "password ana@example.com")
	})

	// Auth0 is down: who is signed in stays so, who signs in is told to wait.
	s.Break("*", standin.Fault{Down: true})
	a.call("GET", "/api/v1/user/profile/", nil, 200)
	l.refusedWith("dependency_unavailable", "POST", "/auth/login", m{"email": "ana@example.com", "password": learnersPassword})
	a.call("POST", "/api/v1/auth/refresh/", m{"refresh_token": a.refresh}, 503)
	s.Heal()
	testenv.Eventually(t, soon, func() error { // the breaker tries again
		got, err := l.try("POST", "/auth/login", m{"email": "ana@example.com", "password": learnersPassword})
		if err == nil && got.status != 200 {
			err = fmt.Errorf("%d %s", got.status, got.body)
		}
		return err
	})

	a.keep(a.call("POST", "/api/v1/auth/refresh/", m{"refresh_token": a.refresh}, 200)) // no token was spent meanwhile
	a.call("POST", "/api/v1/auth/logout/", m{"refresh_token": a.refresh}, 200)
	if s.Calls("/oauth/revoke") == 0 {
		t.Error("nothing was revoked at Auth0")
	}
	a.call("GET", "/api/v1/user/profile/", nil, 401)
	a.call("POST", "/api/v1/auth/refresh/", m{"refresh_token": a.refresh}, 401)

	l.email = "ana@example.com"
	l.login(learnersPassword)
	l.refusedWith("invalid", "POST", "/me/erase", m{"password": "a wrong guess"})
	l.call("POST", "/me/erase", m{"password": learnersPassword}, nil)
	l.refusedWith("unauthenticated", "GET", "/me", nil)
	l.refusedWith("invalid_credentials", "POST", "/auth/login", m{"email": "ana@example.com", "password": learnersPassword})
	if s.Users() != 1 {
		t.Errorf("%d users at Auth0 after the erasure", s.Users())
	}
	p.signal(syscall.SIGTERM)
	p.wait(25 * time.Second)
	if found := search(tableWords(t, filepath.Join(data, "fluentpro.db")), []string{"ana@example.com", "ana souza", subject}); len(found) > 0 {
		t.Errorf("SQL still has %v", found)
	}
	for _, word := range []string{learnersPassword, standin.ClientSecret, a.token, a.refresh, "ana@example.com"} {
		if strings.Contains(p.out.String(), word) {
			t.Errorf("the log has %q", word)
		}
	}
}
