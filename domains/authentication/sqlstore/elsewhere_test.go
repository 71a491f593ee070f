package sqlstore_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc/standin"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func app() authentication.SignUpInput {
	return authentication.SignUpInput{Email: "Bo@Example.com", Password: "correct horse 9", FullName: "Bo Chen", DateOfBirth: "1991-04-30", TermsNotAsked: true}
}

func TestPasswordsElsewhere(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := provider(t)
		a, _ := abroad(t, db, s, true, "")
		up, err := a.SignUp(t.Context(), app())
		if err != nil || up.Learner.Email != "bo@example.com" || up.Learner.DateOfBirth != "1991-04-30" || up.Tokens.RefreshToken == "" || up.Tokens.ExpiresIn != 3600 {
			t.Fatalf("got %+v, %v", up, err)
		}
		_, err = a.SignUp(t.Context(), app())
		wantCode(t, err, fault.EmailTaken)
		id, err := a.Verify(t.Context(), up.Tokens.AccessToken)
		if err != nil || id.LearnerID != up.Learner.ID {
			t.Fatalf("got %+v, %v", id, err)
		}
		for _, bad := range []authentication.LoginInput{{Email: "bo@example.com", Password: "wrong"}, {Email: "nobody@example.com", Password: "wrong"}} {
			_, err := a.Login(t.Context(), bad)
			wantCode(t, err, fault.InvalidCredentials)
		}
		s.Change("bo@example.com", func(u *standin.User) { u.Verified = true })
		in, err := a.Login(t.Context(), authentication.LoginInput{Email: "BO@example.com", Password: "correct horse 9", Device: "phone"})
		if err != nil || in.Learner.ID != up.Learner.ID {
			t.Fatalf("got %+v, %v", in, err)
		}
		if l, err := a.Account(t.Context(), id.LearnerID); err != nil || !l.EmailVerified {
			t.Errorf("the proof of the address is not known: %+v, %v", l, err)
		}
		list, err := a.Logins(t.Context(), id.LearnerID, id.SessionFamily)
		if err != nil || len(list) != 2 || list[0].Device != "phone" || !list[1].Current {
			t.Fatalf("logins %+v, %v", list, err)
		}

		next, err := a.Refresh(t.Context(), in.Tokens.RefreshToken)
		if err != nil || next.Tokens.RefreshToken == in.Tokens.RefreshToken || next.Learner != in.Learner {
			t.Fatalf("got %+v, %v", next, err)
		}
		was, err := a.Verify(t.Context(), in.Tokens.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := a.Verify(t.Context(), next.Tokens.AccessToken); err != nil || is.SessionFamily != was.SessionFamily {
			t.Fatalf("a refresh is the same login: %+v, %v", is, err)
		}
		// The issuer sees the reuse; the login is over here as well.
		_, err = a.Refresh(t.Context(), in.Tokens.RefreshToken)
		wantCode(t, err, fault.Unauthenticated)
		_, err = a.Verify(t.Context(), next.Tokens.AccessToken)
		wantCode(t, err, fault.Unauthenticated)
		_, err = a.Refresh(t.Context(), "made up")
		wantCode(t, err, fault.Unauthenticated)

		if err := a.Logout(t.Context(), authentication.LogoutInput{RefreshToken: up.Tokens.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		if s.Calls("/oauth/revoke") == 0 {
			t.Error("nothing was revoked")
		}
		_, err = a.Verify(t.Context(), up.Tokens.AccessToken)
		wantCode(t, err, fault.Unauthenticated)
		before := s.Calls("/oauth/token")
		_, err = a.Refresh(t.Context(), up.Tokens.RefreshToken)
		wantCode(t, err, fault.Unauthenticated)
		if s.Calls("/oauth/token") != before {
			t.Error("the issuer was asked for a login that ended here")
		}
	})
}

// Sign-up breaks off between the two accounts, in each way that it can; the
// next sign-up or the next login finishes it, and nobody else's does.
func TestAHalfFailedSignUpIsRepaired(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for name, breakIt := range map[string]func(*standin.Server, *flaky){
			"SQL fails": func(_ *standin.Server, f *flaky) {
				f.breakOnce(fault.New(fault.StorageUnavailable, "Storage does not answer; try again."))
			},
			"the answer to the sign-up is lost": func(s *standin.Server, _ *flaky) {
				s.Break("/dbconnections/signup", standin.Fault{Lost: true, Times: 1})
			},
			"the login after it fails": func(s *standin.Server, _ *flaky) { s.Break("/oauth/token", standin.Fault{Status: 500, Times: 1}) },
			"its answer is lost":       func(s *standin.Server, _ *flaky) { s.Break("/oauth/token", standin.Fault{Lost: true, Times: 1}) },
			"this process ends":        func(_ *standin.Server, f *flaky) { f.breakOnce(context.Canceled) },
		} {
			for _, by := range []string{"sign-up", "login", "login over v1"} {
				t.Run(name+", then "+by, func(t *testing.T) {
					s := provider(t)
					a, store := abroad(t, db, s, true, "")
					in := app()
					in.Email = randomEmail()
					breakIt(s, store)
					if _, err := a.SignUp(t.Context(), in); err == nil {
						t.Fatal("nothing broke")
					}
					if s.Users() != 1 {
						t.Fatalf("%d users there", s.Users())
					}
					stranger := in
					stranger.Password = "another horse 9"
					_, err := a.SignUp(t.Context(), stranger)
					wantCode(t, err, fault.EmailTaken)

					// A node that never heard of the first try.
					b, _ := abroad(t, db, s, true, "")
					var got authentication.SignedIn
					if by == "sign-up" {
						got, err = b.SignUp(t.Context(), in)
					} else {
						got, err = b.Login(t.Context(), authentication.LoginInput{Email: in.Email, Password: in.Password, KnownOnly: by != "login"})
					}
					if err != nil {
						t.Fatal(err)
					}
					if got.Learner.FullName != in.FullName || got.Learner.DateOfBirth != in.DateOfBirth || got.Learner.Email != in.Email {
						t.Errorf("got %+v", got.Learner)
					}
					if id, err := a.Verify(t.Context(), got.Tokens.AccessToken); err != nil || id.LearnerID != got.Learner.ID {
						t.Errorf("got %+v, %v", id, err)
					}
					if s.Users() != 1 {
						t.Errorf("%d users there", s.Users())
					}
				})
			}
		}
	})
}

func TestManySignUpsElsewhereMakeOneAccount(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := provider(t)
		a, _ := abroad(t, db, s, true, "")
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := a.SignUp(t.Context(), app()); err != nil && fault.CodeOf(err) != fault.EmailTaken && fault.CodeOf(err) != fault.RateLimited {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, db, "SELECT COUNT(*) FROM learners"); n != 1 || s.Users() != 1 {
			t.Fatalf("%d learners, %d users", n, s.Users())
		}
		if _, err := a.Login(t.Context(), authentication.LoginInput{Email: "bo@example.com", Password: "correct horse 9"}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAccountsElsewhere(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := provider(t)
		a, _ := abroad(t, db, s, true, "")
		// Known there only: v1 says so to whoever has the password, v2 makes the
		// account.
		s.AddUser(standin.User{Email: "cy@example.com", Password: "correct horse 9", Name: "Cy", Verified: true})
		login := authentication.LoginInput{Email: "cy@example.com", Password: "correct horse 9", KnownOnly: true}
		_, err := a.Login(t.Context(), login)
		wantCode(t, err, fault.NotFound)
		login.Password = "wrong"
		_, err = a.Login(t.Context(), login)
		wantCode(t, err, fault.InvalidCredentials)
		login.Password, login.KnownOnly = "correct horse 9", false
		in, err := a.Login(t.Context(), login)
		if err != nil || in.Learner.Email != "cy@example.com" || in.Learner.FullName != "Cy" {
			t.Fatalf("got %+v, %v", in.Learner, err)
		}

		for _, email := range []string{"cy@example.com", "nobody@example.com"} {
			if err := a.RequestPasswordReset(t.Context(), email, ""); err != nil {
				t.Errorf("%s: %v", email, err)
			}
		}
		if got := s.Mails(); len(got) != 1 || got[0] != "password cy@example.com" {
			t.Errorf("mails %v", got)
		}
		me := authentication.ConfirmedInput{Learner: in.Learner.ID, Password: "correct horse 9"}
		wantCode(t, a.ChangePassword(t.Context(), authentication.ChangePasswordInput{ConfirmedInput: me, NewPassword: "tulip under glass"}), fault.ExternalAccount)
		if err := a.Deactivate(t.Context(), me); err != nil {
			t.Fatal(err)
		}
		_, err = a.Verify(t.Context(), in.Tokens.AccessToken)
		wantCode(t, err, fault.Unauthenticated)
		if in, err = a.Login(t.Context(), login); err != nil { // as with our own: it brings the account back
			t.Fatal(err)
		}
		if _, err = a.Verify(t.Context(), in.Tokens.AccessToken); err != nil {
			t.Fatalf("in the very second of the end, a login is a login: %v", err)
		}
		wrong := me
		wrong.Password = "a wrong guess"
		wantCode(t, a.Erase(t.Context(), wrong), fault.Invalid)
		s.Break("*", standin.Fault{Down: true})
		wantCode(t, a.Erase(t.Context(), me), fault.DependencyUnavailable)
		s.Heal()
		if err := a.Erase(t.Context(), me); err != nil {
			t.Fatal(err)
		}
		if s.Users() != 0 || count(t, db, "SELECT COUNT(*) FROM learners") != 0 || count(t, db, "SELECT COUNT(*) FROM foreign_tokens") != 0 {
			t.Error("something is left")
		}
		_, err = a.Verify(t.Context(), in.Tokens.AccessToken)
		wantCode(t, err, fault.Unauthenticated)

		// Unproven there: they mail, when asked.
		in2, err := a.SignUp(t.Context(), app())
		if err != nil {
			t.Fatal(err)
		}
		before := len(s.Mails())
		if err := a.MailVerification(t.Context(), in2.Learner.ID); err != nil || len(s.Mails()) != before+1 {
			t.Errorf("mails %v, %v", s.Mails(), err)
		}
	})
}

// Tokens that we would not take later are given to nobody.
func TestTokensThatAreNotForUs(t *testing.T) {
	t.Parallel()
	s := provider(t)
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, _ := abroad(t, db, s, true, "")
		s.AddUser(standin.User{Email: "di@example.com", Password: "correct horse 9"})
		s.Break("/oauth/token", standin.Fault{Status: 200, Times: 1, Body: `{"access_token":"opaque","token_type":"Bearer","expires_in":60}`})
		_, err := a.Login(t.Context(), authentication.LoginInput{Email: "di@example.com", Password: "correct horse 9"})
		wantCode(t, err, fault.DependencyUnavailable)
	})
}

func randomEmail() string {
	return "half-" + strings.ToLower(rand.Text()) + "@example.com"
}
