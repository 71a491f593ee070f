package authentication

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// house is a service with everything around it: mails and events are caught.
type house struct {
	*Service
	m      *memory
	c      *clock
	closed *closings

	mu    sync.Mutex
	mails []Mail
	evs   []events.Event
	// failAt, counted down by each record, makes the one at 0 fail.
	failAt int
}

func newHouse(t *testing.T, change func(*Config)) *house {
	t.Helper()
	c := newClock()
	h := &house{m: newMemory(c.now), c: c, closed: &closings{}, failAt: -1}
	cfg := Config{Hash: cheap, HashQueue: 1000, Now: c.now, AnswerAfter: -1, PublicURL: "https://app.example", Closer: h.closed,
		Mailer: MailerFunc(func(_ context.Context, m Mail) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.mails = append(h.mails, m)
			return nil
		}),
		Events: events.RecorderFunc(func(_ context.Context, evs ...events.Event) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, e := range evs {
				if err := e.Check(); err != nil {
					return err
				}
			}
			if h.failAt--; h.failAt == -1 {
				return errDown
			}
			h.evs = append(h.evs, evs...)
			return nil
		})}
	if change != nil {
		change(&cfg)
	}
	s, err := New(t.Context(), h.m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.Service = s
	return h
}

// happened takes the types of the events so far.
func (h *house) happened() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, e := range h.evs {
		out = append(out, strings.TrimPrefix(e.Type, "learner."))
	}
	h.evs = nil
	return out
}

func (h *house) wantHappened(t *testing.T, want ...string) {
	t.Helper()
	if got := h.happened(); !slices.Equal(got, want) {
		t.Fatalf("happened %v, want %v", got, want)
	}
}

func (h *house) signUp(t *testing.T) SignedIn {
	t.Helper()
	up := mustSignUp(t, h.Service)
	h.wantHappened(t, "registered", "email_verification_requested")
	return up
}

var linkToken = regexp.MustCompile(`https://app\.example/#/[a-z-]+/([A-Za-z0-9_-]{43})\n`)

// token is the secret in the only mail that was sent to an address.
func (h *house) token(t *testing.T, to string) string {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mails) != 1 || h.mails[0].To != to {
		t.Fatalf("mails %+v, want one to %s", h.mails, to)
	}
	m := linkToken.FindStringSubmatch(h.mails[0].Text)
	if m == nil {
		t.Fatalf("no link in %q", h.mails[0].Text)
	}
	h.mails = nil
	return m[1]
}

func (h *house) resetToken(t *testing.T, l LearnerID) string {
	t.Helper()
	if err := h.MailPasswordReset(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	return h.token(t, "ana@example.com")
}

func TestChangePasswordEndsOtherLogins(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	in, family := mustLogin(t, h.Service, "")
	link := h.resetToken(t, up.Learner.ID)
	change := func(old, next string) error {
		return h.ChangePassword(t.Context(), ChangePasswordInput{
			ConfirmedInput: ConfirmedInput{Learner: up.Learner.ID, Password: old}, Family: family, NewPassword: next})
	}
	for _, c := range []struct{ old, next, field, code string }{
		{"not the password", "tulip under glass", "password", "wrong"},
		{strings.Repeat("x", 10_000), "tulip under glass", "password", "wrong"},
		{"correct horse", "short", "new_password", "too_short"},
		{"correct horse", "password1", "new_password", "too_common"},
		{"correct horse", "correct horse", "new_password", "unchanged"},
	} {
		err := change(c.old, c.next)
		wantCode(t, err, fault.Invalid)
		if f := fault.Of(err).Fields; len(f) != 1 || f[0].Name != c.field || f[0].Code != c.code {
			t.Fatalf("%+v: got %+v", c, f)
		}
	}
	h.wantHappened(t)
	if err := change("correct horse", "tulip under glass"); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "password_changed")
	mustRefresh(t, h.Service, in.Tokens.RefreshToken)
	_, err := h.Refresh(t.Context(), up.Tokens.RefreshToken)
	wantCode(t, err, fault.Unauthenticated)
	_, err = h.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.Unauthenticated)
	if got := h.closed.take(); len(got) != 1 || got[0] == family {
		t.Fatalf("closed %v, want the other login", got)
	}
	_, err = h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse"})
	wantCode(t, err, fault.InvalidCredentials)
	if _, err := h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "tulip under glass"}); err != nil {
		t.Fatal(err)
	}
	// A link that was under way has lost its power.
	wantCode(t, h.ResetPassword(t.Context(), link, "another new password"), fault.LinkInvalid)
}

func TestConfirmingByPasswordSlowsDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	wrong := ConfirmedInput{Learner: up.Learner.ID, Password: "a wrong guess", RemoteIP: "192.0.2.1"}
	for i := range freeAccount {
		var err error
		switch i % 3 {
		case 0:
			err = h.Erase(t.Context(), wrong)
		case 1:
			err = h.Deactivate(t.Context(), wrong)
		case 2:
			err = h.ChangeEmail(t.Context(), wrong, "new@example.com")
		}
		wantCode(t, err, fault.Invalid)
	}
	wantCode(t, h.ChangePassword(t.Context(), ChangePasswordInput{ConfirmedInput: wrong, NewPassword: "tulip under glass"}), fault.RateLimited)
	h.wantHappened(t)
}

func TestResetPasswordByLink(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	if err := h.RequestPasswordReset(t.Context(), " ANA@example.com ", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "password_reset_requested")
	token := h.resetToken(t, up.Learner.ID)
	for hash := range h.m.secrets {
		if strings.Contains(string(hash), token) {
			t.Fatal("the secret is stored as it is")
		}
	}
	// A password that is refused leaves the link as it was.
	wantCode(t, h.ResetPassword(t.Context(), token, "password1"), fault.Invalid)
	if err := h.ResetPassword(t.Context(), token, "tulip under glass"); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "email_verified", "password_changed")
	wantCode(t, h.ResetPassword(t.Context(), token, "another new password"), fault.LinkInvalid)
	_, err := h.Refresh(t.Context(), up.Tokens.RefreshToken)
	wantCode(t, err, fault.Unauthenticated)
	if _, err := h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "tulip under glass"}); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "x", strings.Repeat("x", 10_000), token[:42] + "!"} {
		wantCode(t, h.ResetPassword(t.Context(), bad, "another new password"), fault.LinkInvalid)
	}
}

func TestResetLinkEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	token := h.resetToken(t, up.Learner.ID)
	h.c.advance(PasswordLinkTTL)
	wantCode(t, h.ResetPassword(t.Context(), token, "tulip under glass"), fault.LinkInvalid)
	// A link for one purpose is none for another.
	if err := h.MailVerification(t.Context(), up.Learner.ID); err != nil {
		t.Fatal(err)
	}
	token = h.token(t, "ana@example.com")
	wantCode(t, h.ResetPassword(t.Context(), token, "tulip under glass"), fault.LinkInvalid)
	if err := h.ConfirmEmail(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	// One that went to an address which is no longer the account's.
	token = h.resetToken(t, up.Learner.ID)
	err := h.m.Update(t.Context(), up.Learner.ID, func(_ context.Context, l *Learner, now time.Time) error {
		l.askEmail("new@example.com")
		l.proveEmail("new@example.com", now)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, h.ResetPassword(t.Context(), token, "tulip under glass"), fault.LinkInvalid)
}

func TestResetTokenRacesToOneWinner(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	token := h.resetToken(t, up.Learner.ID)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch err := h.ResetPassword(t.Context(), token, "tulip under glass"); {
			case err == nil:
				won.Add(1)
			case fault.CodeOf(err) != fault.LinkInvalid:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d won", won.Load())
	}
}

// TestForgottenPasswordTellsNothing: known, unknown, deactivated or not
// confirmed, the answer and its time are one, to the nanosecond of a fake clock.
func TestForgottenPasswordTellsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(cfg *Config) { cfg.AnswerAfter = 0 })
		up := h.signUp(t)
		for _, email := range []string{"ana@example.com", "nobody@example.com", "ben@example.com"} {
			began := time.Now()
			if err := h.RequestPasswordReset(t.Context(), email, ""); err != nil {
				t.Fatalf("%s: %v", email, err)
			}
			if took := time.Since(began); took != 400*time.Millisecond {
				t.Fatalf("%s took %v", email, took)
			}
		}
		h.wantHappened(t, "password_reset_requested")
		if err := h.Suspend(t.Context(), AtTheMachine, up.Learner.ID); err != nil {
			t.Fatal(err)
		}
		h.happened()
		began := time.Now()
		if err := h.RequestPasswordReset(t.Context(), "ana@example.com", ""); err != nil || time.Since(began) != 400*time.Millisecond {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		h.wantHappened(t)
		// The waits are the same for both, too.
		for _, email := range []string{"ana@example.com", "nobody@example.com"} {
			var codes []fault.Code
			for range 4 {
				codes = append(codes, fault.CodeOf(h.RequestPasswordReset(t.Context(), email, "")))
			}
			want := []fault.Code{"", "", fault.RateLimited, fault.RateLimited}
			if email == "ana@example.com" {
				want = []fault.Code{"", fault.RateLimited, fault.RateLimited, fault.RateLimited} // asked twice above
			}
			if !slices.Equal(codes, want) {
				t.Fatalf("%s: got %q", email, codes)
			}
		}
		wantCode(t, h.RequestPasswordReset(t.Context(), "no address", ""), fault.Invalid)
	})
}

// TestKillBetweenWritesLeavesNothing: whichever record fails, the data is what
// it was, and the same wish can be repeated.
func TestKillBetweenWritesLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(h *house, up SignedIn, token string) error{
		"sign-up": func(h *house, _ SignedIn, _ string) error {
			in := goodSignUp()
			in.Email = "new@example.com"
			_, err := h.SignUp(context.Background(), in)
			return err
		},
		"change password": func(h *house, up SignedIn, _ string) error {
			return h.ChangePassword(context.Background(), ChangePasswordInput{
				ConfirmedInput: ConfirmedInput{Learner: up.Learner.ID, Password: "correct horse"}, NewPassword: "tulip under glass"})
		},
		"reset password": func(h *house, _ SignedIn, token string) error {
			return h.ResetPassword(context.Background(), token, "tulip under glass")
		},
		"change e-mail": func(h *house, up SignedIn, _ string) error {
			return h.ChangeEmail(context.Background(), ConfirmedInput{Learner: up.Learner.ID, Password: "correct horse"}, "new@example.com")
		},
		"deactivate": func(h *house, up SignedIn, _ string) error {
			return h.Deactivate(context.Background(), ConfirmedInput{Learner: up.Learner.ID, Password: "correct horse"})
		},
		"erase": func(h *house, up SignedIn, _ string) error {
			return h.Erase(context.Background(), ConfirmedInput{Learner: up.Learner.ID, Password: "correct horse"})
		},
		"set role": func(h *house, up SignedIn, _ string) error {
			return h.SetRole(context.Background(), AtTheMachine, up.Learner.ID, RoleAdmin)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil)
			up := h.signUp(t)
			token := h.resetToken(t, up.Learner.ID)
			before := h.m.copy()
			for at := 0; ; at++ {
				h.failAt = at
				err := do(h, up, token)
				if err == nil {
					if at == 0 {
						t.Fatal("nothing was recorded")
					}
					break
				}
				if !errors.Is(err, errDown) {
					t.Fatalf("record %d: %v", at, err)
				}
				if after := h.m.copy(); after != before {
					t.Fatalf("record %d failed and left\n%s\ninstead of\n%s", at, after, before)
				}
				if closed := h.closed.take(); len(closed) != 0 {
					t.Fatalf("record %d failed and closed %v", at, closed)
				}
			}
			if after := h.m.copy(); after == before {
				t.Fatal("nothing was done at last")
			}
		})
	}
}
