package authentication

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestVerifyEmail(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	me := func() AccountView {
		t.Helper()
		v, err := h.Account(t.Context(), up.Learner.ID)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if me().EmailVerified {
		t.Fatal("verified by nobody")
	}
	if err := h.RequestEmailVerification(t.Context(), up.Learner.ID, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "email_verification_requested")
	if err := h.MailVerification(t.Context(), up.Learner.ID); err != nil {
		t.Fatal(err)
	}
	token := h.token(t, "ana@example.com")
	if err := h.ConfirmEmail(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "email_verified")
	if !me().EmailVerified {
		t.Fatal("not verified")
	}
	wantCode(t, h.ConfirmEmail(t.Context(), token), fault.LinkInvalid)
	// Nothing is left to prove: nothing happens, and no mail is written.
	if err := h.RequestEmailVerification(t.Context(), up.Learner.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := h.MailVerification(t.Context(), up.Learner.ID); err != nil || len(h.mails) != 0 {
		t.Fatalf("%v, mails %+v", err, h.mails)
	}
	h.wantHappened(t)
}

func TestAskingForMailsSlowsDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	for range mailRule.account {
		if err := h.RequestEmailVerification(t.Context(), up.Learner.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	err := h.RequestEmailVerification(t.Context(), up.Learner.ID, "")
	wantCode(t, err, fault.RateLimited)
	if ms := fault.Of(err).RetryAfterMS; ms != 30_000 {
		t.Fatalf("wait %d ms", ms)
	}
	h.c.advance(30 * time.Second)
	if err := h.RequestEmailVerification(t.Context(), up.Learner.ID, ""); err != nil {
		t.Fatal(err)
	}
}

func TestChangeEmail(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	ben := goodSignUp()
	ben.Email = "ben@example.com"
	if _, err := h.SignUp(t.Context(), ben); err != nil {
		t.Fatal(err)
	}
	h.happened()
	mine := ConfirmedInput{Learner: up.Learner.ID, Password: "correct horse"}
	wantCode(t, h.ChangeEmail(t.Context(), mine, "no address"), fault.Invalid)
	wantCode(t, h.ChangeEmail(t.Context(), ConfirmedInput{Learner: up.Learner.ID, Password: "a wrong guess"}, "new@example.com"), fault.Invalid)
	if err := h.ChangeEmail(t.Context(), mine, "New@Example.com"); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "email_change_requested", "email_verification_requested")
	if err := h.MailEmailChange(t.Context(), up.Learner.ID); err != nil || len(h.mails) != 1 || h.mails[0].To != "ana@example.com" {
		t.Fatalf("%v, mails %+v, want a note to the old address", err, h.mails)
	}
	h.mails = nil
	if err := h.MailVerification(t.Context(), up.Learner.ID); err != nil {
		t.Fatal(err)
	}
	// Until the link is used the old address is the account's.
	v, err := h.Account(t.Context(), up.Learner.ID)
	if err != nil || v.Email != "ana@example.com" || v.PendingEmail != "new@example.com" {
		t.Fatalf("got %+v, %v", v, err)
	}
	if err := h.ConfirmEmail(t.Context(), h.token(t, "new@example.com")); err != nil {
		t.Fatal(err)
	}
	if v, err = h.Account(t.Context(), up.Learner.ID); err != nil || v.Email != "new@example.com" || v.PendingEmail != "" || !v.EmailVerified {
		t.Fatalf("got %+v, %v", v, err)
	}
	// Whether an address is taken is told only to who reads its mail.
	if err := h.ChangeEmail(t.Context(), mine, "ben@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := h.MailVerification(t.Context(), up.Learner.ID); err != nil {
		t.Fatal(err)
	}
	token := h.token(t, "ben@example.com")
	if err := h.ConfirmEmail(t.Context(), token); !errors.Is(err, ErrEmailTaken) {
		t.Fatalf("got %v, want email_taken", err)
	}
	// The wish is taken back by asking for the present address.
	if err := h.ChangeEmail(t.Context(), mine, "new@example.com"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, h.ConfirmEmail(t.Context(), token), fault.LinkInvalid)
}

// TestMailToAStrangerCarriesNoWordOfTheCaller: anybody can sign up with any
// address and any name.
func TestMailToAStrangerCarriesNoWordOfTheCaller(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	in := goodSignUp()
	in.FullName = "Win a prize at evil.example"
	up, err := h.SignUp(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, send := range []func(context.Context, LearnerID) error{h.MailWelcome, h.MailVerification, h.MailPasswordReset, h.MailSignUpRepeated, h.MailPasswordChanged} {
		if err := send(t.Context(), up.Learner.ID); err != nil {
			t.Fatal(err)
		}
		if err := send(t.Context(), "nobody"); err != nil {
			t.Fatalf("an account that is gone is an error: %v", err)
		}
	}
	if len(h.mails) != 5 {
		t.Fatalf("%d mails", len(h.mails))
	}
	for _, m := range h.mails {
		if strings.Contains(m.Name+m.Subject+m.Text, "evil") {
			t.Errorf("%+v", m)
		}
	}
}

func confirmHouse(t *testing.T) *house {
	return newHouse(t, func(cfg *Config) { cfg.ConfirmSignUp = true })
}

func TestConfirmedSignUpTellsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(cfg *Config) { cfg.ConfirmSignUp, cfg.AnswerAfter = true, 0 })
		sign := func(email, password string) {
			t.Helper()
			in := goodSignUp()
			in.Email, in.Password, in.RemoteIP = email, password, "192.0.2.1"
			began := time.Now()
			out, err := h.SignUp(t.Context(), in)
			if err != nil || out != (SignedIn{Pending: true}) || time.Since(began) != 400*time.Millisecond {
				t.Fatalf("got %+v, %v after %v", out, err, time.Since(began))
			}
		}
		login := func(email, password string) error {
			_, err := h.Login(t.Context(), LoginInput{Email: email, Password: password})
			return err
		}
		sign("ana@example.com", "correct horse")
		h.wantHappened(t, "registered", "email_verification_requested")
		// Neither does a login tell whether the address was free.
		mine, others := login("ana@example.com", "correct horse"), login("nobody@example.com", "correct horse")
		wantCode(t, mine, fault.InvalidCredentials)
		if fault.Of(mine).Message != fault.Of(others).Message {
			t.Fatalf("%v and %v", mine, others)
		}
		// Again, by whomever: the one account stays as it is.
		sign("ana@example.com", "the password of somebody else")
		h.wantHappened(t, "email_verification_requested")
		var id LearnerID
		for id = range h.m.learners {
		}
		if err := h.MailVerification(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := h.ConfirmEmail(t.Context(), h.token(t, "ana@example.com")); err != nil {
			t.Fatal(err)
		}
		h.wantHappened(t, "email_verified")
		wantCode(t, login("ana@example.com", "the password of somebody else"), fault.InvalidCredentials)
		if err := login("ana@example.com", "correct horse"); err != nil {
			t.Fatal(err)
		}
		sign("ana@example.com", "the password of somebody else")
		h.wantHappened(t, "sign_up_repeated")
		if len(h.m.learners) != 1 {
			t.Fatalf("%d accounts", len(h.m.learners))
		}
	})
}

func TestConfirmedSignUpsInParallelGiveOneAccount(t *testing.T) {
	t.Parallel()
	h := confirmHouse(t)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if out, err := h.SignUp(t.Context(), goodSignUp()); err != nil || !out.Pending {
				t.Errorf("got %+v, %v", out, err)
			}
		})
	}
	wg.Wait()
	if len(h.m.learners) != 1 || len(h.m.families) != 0 {
		t.Fatalf("%d accounts, %d logins", len(h.m.learners), len(h.m.families))
	}
	// The owner's mailbox is not flooded either.
	asked := 0
	for _, e := range h.happened() {
		if e == "email_verification_requested" {
			asked++
		}
	}
	if asked > 1+mailRule.account {
		t.Fatalf("%d mails", asked)
	}
}

func TestUnconfirmedAccountIsConfirmedByAReset(t *testing.T) {
	t.Parallel()
	h := confirmHouse(t)
	if _, err := h.SignUp(t.Context(), goodSignUp()); err != nil {
		t.Fatal(err)
	}
	var id LearnerID
	for id = range h.m.learners {
	}
	if err := h.MailWelcome(t.Context(), id); err != nil || len(h.mails) != 0 {
		t.Fatalf("%v, mails %+v, want none before the confirmation", err, h.mails)
	}
	if err := h.ResetPassword(t.Context(), h.resetToken(t, id), "tulip under glass"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "tulip under glass"}); err != nil {
		t.Fatal(err)
	}
}

func TestTryingAddressesOutSlowsDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.signUp(t)
	in := goodSignUp()
	in.RemoteIP = "192.0.2.1"
	for range signUpRule.address {
		if _, err := h.SignUp(t.Context(), in); !errors.Is(err, ErrEmailTaken) {
			t.Fatal(err)
		}
	}
	_, err := h.SignUp(t.Context(), in)
	wantCode(t, err, fault.RateLimited)
}
