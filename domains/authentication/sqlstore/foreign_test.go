package sqlstore_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/auth0"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc/standin"
	"github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// flaky fails its next Register when it is told to.
type flaky struct {
	*sqlstore.Store
	mu   sync.Mutex
	fail error
}

func (f *flaky) breakOnce(err error) { f.mu.Lock(); f.fail = err; f.mu.Unlock() }

func (f *flaky) Register(ctx context.Context, l *authentication.Learner, fam *authentication.Family, t authentication.TokenHash, also func(context.Context) error) error {
	f.mu.Lock()
	err := f.fail
	f.fail = nil
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Store.Register(ctx, l, fam, t, also)
}

// abroad is a node that believes a stand-in, and hands passwords to it too
// where withPasswords is set.
func abroad(t *testing.T, db *sqldb.DB, s *standin.Server, withPasswords bool, roles string) (*authentication.Service, *flaky) {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	quiet := slog.New(slog.DiscardHandler)
	guard := func() *resilience.Guard {
		return resilience.New(resilience.Config{Service: "x", Attempts: 1, Attempt: 30 * time.Second, Failures: 1000, Transient: auth0.Transient})
	}
	v, err := oidc.New(oidc.Config{Issuer: s.Issuer, Audience: standin.Audience, RolesClaim: roles, Looks: 1000, Guard: guard(), Transport: tr, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	cfg := authentication.Config{Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1}, HashQueue: 1000, Foreign: v, AnswerAfter: -1, Log: quiet}
	if withPasswords {
		if cfg.Passwords, err = auth0.New(auth0.Config{Issuer: s.Issuer, ClientID: standin.ClientID, ClientSecret: standin.ClientSecret,
			Audience: standin.Audience, Guard: guard(), Transport: tr}); err != nil {
			t.Fatal(err)
		}
	}
	store := &flaky{Store: sqlstore.New(db)}
	a, err := authentication.New(t.Context(), store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, store
}

func provider(t *testing.T) *standin.Server {
	t.Helper()
	s := standin.Start()
	t.Cleanup(s.Close)
	return s
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); err == nil || got != want {
		t.Helper()
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
}

type claims = map[string]any

// later is a token of after an end that happens now: issuers count seconds.
func later() claims { return claims{"iat": time.Now().Add(5 * time.Second).Unix()} }

func TestFirstUseMakesALearner(t *testing.T) {
	t.Parallel()
	s := provider(t)
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, _ := abroad(t, db, s, false, "")
		token := s.Access("auth0|ana", claims{"email": "Ana@Example.com", "email_verified": true, "name": "Ana Souza"})
		id, err := a.Verify(t.Context(), token)
		if err != nil || id.Role != authentication.RoleLearner || id.SessionFamily == "" || id.ExpiresAt.IsZero() {
			t.Fatalf("got %+v, %v", id, err)
		}
		l, err := a.Account(t.Context(), id.LearnerID)
		if err != nil || l.Email != "ana@example.com" || !l.EmailVerified || l.FullName != "Ana Souza" {
			t.Fatalf("got %+v, %v", l, err)
		}
		asked := db.Queries()
		if again, err := a.Verify(t.Context(), token); err != nil || again != id {
			t.Fatalf("got %+v, %v, want %+v", again, err, id)
		}
		if n := db.Queries() - asked; n != 0 {
			t.Errorf("a known token made %d SQL queries", n)
		}
		other, err := a.Verify(t.Context(), s.Access("auth0|ana", nil))
		if err != nil || other.LearnerID != id.LearnerID || other.SessionFamily == id.SessionFamily {
			t.Fatalf("another token: %+v, %v", other, err)
		}
		one, err := a.Verify(t.Context(), s.Access("auth0|ana", claims{"sid": "s1"}))
		if err != nil {
			t.Fatal(err)
		}
		same, err := a.Verify(t.Context(), s.Access("auth0|ana", claims{"sid": "s1"}))
		if err != nil || same.SessionFamily != one.SessionFamily {
			t.Fatalf("a session of the issuer is one login: %+v, %v", same, err)
		}
	})
}

func TestManyFirstUsesMakeOneLearner(t *testing.T) {
	t.Parallel()
	s := provider(t)
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		nodes := make([]*authentication.Service, 2)
		for n := range nodes {
			nodes[n], _ = abroad(t, db, s, false, "")
		}
		var mu sync.Mutex
		found := map[authentication.LearnerID]int{}
		var wg sync.WaitGroup
		for n := range 100 {
			token := s.Access("auth0|one", claims{"email": "one@example.com", "email_verified": true})
			wg.Go(func() {
				id, err := nodes[n%2].Verify(t.Context(), token)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				found[id.LearnerID]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if len(found) != 1 || count(t, db, "SELECT COUNT(*) FROM learners") != 1 || count(t, db, "SELECT COUNT(*) FROM identities") != 1 {
			t.Fatalf("got %v", found)
		}
	})
}

// An address is believed when its owner proved it, and never joins accounts.
func TestForeignEmails(t *testing.T) {
	t.Parallel()
	s := provider(t)
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, _ := abroad(t, db, s, false, "")
		own, err := a.SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		for name, verified := range map[string]bool{"proven": true, "unproven": false} {
			id, err := a.Verify(t.Context(), s.Access("auth0|"+name, claims{"email": "ana@example.com", "email_verified": verified}))
			if verified {
				wantCode(t, err, fault.EmailTaken)
				continue
			}
			if err != nil || id.LearnerID == own.Learner.ID {
				t.Fatalf("%s: %+v, %v", name, id, err)
			}
			if l, err := a.Account(t.Context(), id.LearnerID); err != nil || l.Email != "" || l.EmailVerified {
				t.Fatalf("%s: %+v, %v", name, l, err)
			}
		}
		if n := count(t, db, "SELECT COUNT(*) FROM learners"); n != 2 {
			t.Fatalf("%d learners", n)
		}
		// What the token does not say is asked of the issuer, and must be answered.
		u := s.AddUser(standin.User{Email: "told@example.com", Name: "Told", Verified: true})
		s.Break("/userinfo", standin.Fault{Status: 503, Times: 1})
		token := s.Access(u.ID, nil)
		_, err = a.Verify(t.Context(), token)
		wantCode(t, err, fault.DependencyUnavailable)
		id, err := a.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if l, err := a.Account(t.Context(), id.LearnerID); err != nil || l.Email != "told@example.com" || l.FullName != "Told" {
			t.Fatalf("got %+v, %v", l, err)
		}
		// Nobody can give such an account a password here.
		wantCode(t, a.ChangePassword(t.Context(), authentication.ChangePasswordInput{ConfirmedInput: authentication.ConfirmedInput{Learner: id.LearnerID}, NewPassword: "tulip under glass"}), fault.ExternalAccount)
		wantCode(t, a.ChangeEmail(t.Context(), authentication.ConfirmedInput{Learner: id.LearnerID}, "x@example.com"), fault.ExternalAccount)
		if _, _, err := a.PasswordLink(t.Context(), id.LearnerID); fault.CodeOf(err) != fault.ExternalAccount {
			t.Errorf("got %v", err)
		}
		_, err = a.Login(t.Context(), authentication.LoginInput{Email: "told@example.com", Password: ""})
		wantCode(t, err, fault.InvalidCredentials)
	})
}

func TestForeignRoles(t *testing.T) {
	t.Parallel()
	s := provider(t)
	const claim = "https://fluentpro/roles"
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, _ := abroad(t, db, s, false, claim)
		for _, tc := range []struct {
			roles []string
			want  authentication.Role
		}{{[]string{"admin"}, authentication.RoleAdmin}, {nil, authentication.RoleLearner}, {[]string{"operator"}, authentication.RoleOperator}} {
			id, err := a.Verify(t.Context(), s.Access("auth0|r", claims{claim: tc.roles}))
			if err != nil || id.Role != tc.want {
				t.Fatalf("%v: got %+v, %v", tc.roles, id, err)
			}
			if l, err := a.Account(t.Context(), id.LearnerID); err != nil || l.Role != tc.want {
				t.Fatalf("%v: the account says %q, %v", tc.roles, l.Role, err)
			}
		}
	})
}

// Whatever ends logins ends those of another issuer's tokens: the one that was
// seen, those that nobody has seen yet, here and on a node that starts later.
func TestForeignLoginsEnd(t *testing.T) {
	t.Parallel()
	s := provider(t)
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, _ := abroad(t, db, s, false, "")
		for name, tc := range map[string]struct {
			end func(authentication.Identity) error
			// unseen is what a token from before gets that was not used yet, next
			// one from after.
			unseen, next fault.Code
		}{
			"logout": {func(id authentication.Identity) error {
				return a.Logout(t.Context(), authentication.LogoutInput{Learner: id.LearnerID, Family: id.SessionFamily})
			}, "", ""},
			"logout everywhere": {func(id authentication.Identity) error {
				return a.Logout(t.Context(), authentication.LogoutInput{Learner: id.LearnerID, All: true})
			}, fault.Unauthenticated, ""},
			"deactivate": {func(id authentication.Identity) error {
				return a.Deactivate(t.Context(), authentication.ConfirmedInput{Learner: id.LearnerID})
			}, fault.Unauthenticated, fault.AccountDisabled},
			"suspend": {func(id authentication.Identity) error {
				return a.Suspend(t.Context(), authentication.AtTheMachine, id.LearnerID)
			}, fault.Unauthenticated, fault.AccountDisabled},
			"role": {func(id authentication.Identity) error {
				return a.SetRole(t.Context(), authentication.AtTheMachine, id.LearnerID, authentication.RoleOperator)
			}, fault.Unauthenticated, ""},
			"erase": {func(id authentication.Identity) error {
				return a.Erase(t.Context(), authentication.ConfirmedInput{Learner: id.LearnerID})
			}, fault.Unauthenticated, ""},
		} {
			sub := "auth0|" + name
			seen, unseen := s.Access(sub, nil), s.Access(sub, nil)
			id, err := a.Verify(t.Context(), seen)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := tc.end(id); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			restarted, _ := abroad(t, db, s, false, "")
			for where, n := range map[string]*authentication.Service{"here": a, "elsewhere": restarted} {
				if _, err := n.Verify(t.Context(), seen); fault.CodeOf(err) != fault.Unauthenticated {
					t.Errorf("%s, %s: the token that was used: %v", name, where, err)
				}
				if _, err := n.Verify(t.Context(), unseen); (err != nil || tc.unseen != "") && fault.CodeOf(err) != tc.unseen {
					t.Errorf("%s, %s: a token that was not used: %v", name, where, err)
				}
			}
			after, err := a.Verify(t.Context(), s.Access(sub, later()))
			if (err != nil || tc.next != "") && fault.CodeOf(err) != tc.next {
				t.Errorf("%s: a later token: %v", name, err)
			}
			if name == "erase" && after.LearnerID == id.LearnerID {
				t.Error("the erased account came back")
			}
		}
	})
}

// A login that ended is remembered as long as its tokens live: swept away, the
// next use of one would begin a new login.
func TestASweepForgetsNoEndedForeignLogin(t *testing.T) {
	t.Parallel()
	s := provider(t)
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, store := abroad(t, db, s, false, "")
		token := s.Access("auth0|long", claims{"exp": time.Now().Add(20 * 24 * time.Hour).Unix()})
		id, err := a.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Logout(t.Context(), authentication.LogoutInput{Learner: id.LearnerID, Family: id.SessionFamily}); err != nil {
			t.Fatal(err)
		}
		sweep := func(days int) {
			t.Helper()
			at := time.Now().AddDate(0, 0, days)
			if _, err := store.Sweep(t.Context(), authentication.SweepBefore{Ends: at, Links: at, Logins: at}); err != nil {
				t.Fatal(err)
			}
		}
		sweep(19)
		restarted, _ := abroad(t, db, s, false, "")
		_, err = restarted.Verify(t.Context(), token)
		wantCode(t, err, fault.Unauthenticated)
		sweep(32)
		if n := count(t, db, "SELECT COUNT(*) FROM foreign_tokens") + count(t, db, "SELECT COUNT(*) FROM refresh_families"); n != 0 {
			t.Errorf("%d rows stay for ever", n)
		}
	})
}
