package authentication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
)

// SignUp makes an account and signs its learner in; where sign-ups are to be
// confirmed it answers every valid one alike, with Pending. Failures are
// invalid with every bad field, email_taken (never where sign-ups are
// confirmed) and rate_limited.
func (s *Service) SignUp(ctx context.Context, in SignUpInput) (SignedIn, error) {
	began := time.Now()
	if s.cfg.NoPasswords {
		return SignedIn{}, errNoPasswords
	}
	a, err := check(in, s.now())
	if err != nil {
		return SignedIn{}, err
	}
	if err := s.signUps.refuse(ctx, "", in.RemoteIP, s.now()); err != nil {
		return SignedIn{}, err
	}
	if s.cfg.Passwords != nil {
		return s.signUpElsewhere(ctx, a, in)
	}
	hash, err := s.hasher.hash(ctx, a.password)
	if err != nil {
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	now := s.now()
	l := a.learner(hash, now)
	if s.cfg.ConfirmSignUp {
		return s.applyToSignUp(ctx, l, in.RemoteIP, began)
	}
	f := newFamily(l.ID(), in.Device, now)
	token, th := newRefreshToken()
	err = s.store.Register(ctx, l, f, th, func(ctx context.Context) error {
		return s.recordSignUp(ctx, l)
	})
	if errors.Is(err, ErrEmailTaken) {
		s.signUps.failed(ctx, "", in.RemoteIP, now)
	}
	if err != nil {
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	s.log.InfoContext(ctx, "learner signed up", "learner_id", l.ID())
	return s.signedIn(l, f, token, now)
}

// Login checks a password and starts a family. An unknown e-mail and a wrong
// password give the same error after the same work.
func (s *Service) Login(ctx context.Context, in LoginInput) (SignedIn, error) {
	if s.cfg.NoPasswords {
		return SignedIn{}, errNoPasswords
	}
	email, ok := normalEmail(in.Email)
	if !ok || passwordProblem(in.Password) == "too_long" {
		// Nothing of this form has an account, and anybody can see that.
		return SignedIn{}, errCredentials
	}
	if err := s.guard.refuse(ctx, email, in.RemoteIP, s.now()); err != nil {
		return SignedIn{}, err
	}
	if s.cfg.Passwords != nil {
		return s.loginElsewhere(ctx, email, in)
	}
	for range passwordTries {
		out, err := s.tryLogin(ctx, email, in)
		if !errors.Is(err, errPasswordMoved) {
			return out, err
		}
	}
	return SignedIn{}, errCredentials
}

// passwordTries bounds how often a login begins again because the hash was
// replaced while it was compared, by another login or a new password.
const passwordTries = 3

var errPasswordMoved = errors.New("the password hash was replaced meanwhile")

func (s *Service) tryLogin(ctx context.Context, email string, in LoginInput) (SignedIn, error) {
	l, err := s.store.ByEmail(ctx, email)
	if err != nil && !errors.Is(err, ErrNoLearner) {
		return SignedIn{}, fmt.Errorf("login: %w", err)
	}
	var hash string
	if l != nil {
		hash = l.Record().PasswordHash
	}
	ok, stale, err := s.hasher.match(ctx, in.Password, hash)
	if err != nil {
		return SignedIn{}, fmt.Errorf("login: %w", err)
	}
	now := s.now()
	if !ok {
		s.guard.failed(ctx, email, in.RemoteIP, now)
		return SignedIn{}, errCredentials
	}
	s.guard.succeeded(ctx, email, in.RemoteIP, now)
	renewed := ""
	if stale {
		// A failure only waits for the next login.
		if renewed, err = s.hasher.hash(ctx, in.Password); err != nil {
			s.log.WarnContext(ctx, "password not rehashed", "learner_id", l.ID(), "err", err)
		}
	}
	return s.startLogin(ctx, l, renewed, in.Device)
}

// startLogin begins a family for a learner whose password was right. Between
// the check and now it may have been changed, or the account deactivated: the
// row's lock and a second look make sure of it.
func (s *Service) startLogin(ctx context.Context, checked *Learner, renewed, device string) (SignedIn, error) {
	var (
		l   *Learner
		now = s.now()
		f   = newFamily(checked.ID(), device, now)
	)
	token, th := newRefreshToken()
	err := s.store.Update(ctx, checked.ID(), func(ctx context.Context, cur *Learner, _ time.Time) error {
		if cur.rec.PasswordHash != checked.rec.PasswordHash {
			return errPasswordMoved
		}
		l = cur
		if renewed != "" {
			l.setPassword(renewed)
		}
		if !l.Active() {
			if err := l.Reactivate(ByLearner); err != nil {
				return err
			}
			if err := s.record(ctx, l.ID(), events.LearnerReactivated{LearnerID: string(l.ID())}); err != nil {
				return err
			}
		}
		return s.store.StartFamily(ctx, f, th)
	})
	if errors.Is(err, ErrNoLearner) {
		return SignedIn{}, errCredentials
	}
	if err != nil {
		return SignedIn{}, fmt.Errorf("login: %w", err)
	}
	return s.signedIn(l, f, token, now)
}

// Refresh spends a refresh token for a new pair. Failures are unauthenticated,
// token_expired, and refresh_reused, which has ended the login for everybody.
func (s *Service) Refresh(ctx context.Context, token string) (SignedIn, error) {
	if token == "" || len(token) > s.longestRefresh() {
		return SignedIn{}, errUnauthenticated
	}
	var (
		family  *Family
		outcome error
		at      time.Time
	)
	next, th := newRefreshToken()
	err := s.store.UseToken(ctx, hashToken(token), func(f *Family, generation int64, now time.Time) *TokenHash {
		family, at = f, now
		if f.rec.Issuer != "" {
			outcome = f.mayUse(generation, now)
			return nil
		}
		if outcome = f.Use(generation, now); outcome != nil {
			return nil
		}
		return &th
	})
	switch {
	case errors.Is(err, ErrNoToken):
		return SignedIn{}, errUnauthenticated
	case err != nil:
		return SignedIn{}, fmt.Errorf("refresh: %w", err)
	case outcome == nil && family.rec.Issuer != "":
		return s.refreshElsewhere(ctx, token, family)
	case errors.Is(outcome, errReused):
		s.log.WarnContext(ctx, "refresh token reused", "learner_id", family.rec.Learner, "family", family.rec.ID)
		s.loginsEnded(family.rec.Learner, family.rec.ID)
		return SignedIn{}, outcome
	case outcome != nil:
		return SignedIn{}, outcome
	}
	l, err := s.store.ByID(ctx, family.rec.Learner)
	if errors.Is(err, ErrNoLearner) {
		return SignedIn{}, errUnauthenticated
	}
	if err != nil {
		return SignedIn{}, fmt.Errorf("refresh: %w", err)
	}
	return s.signedIn(l, family, next, at)
}

// Me is the learner behind an identity; unauthenticated when the account is
// gone.
func (s *Service) Me(ctx context.Context, id LearnerID) (LearnerView, error) {
	l, err := s.store.ByID(ctx, id)
	if errors.Is(err, ErrNoLearner) {
		return LearnerView{}, errUnauthenticated
	}
	if err != nil {
		return LearnerView{}, fmt.Errorf("me: %w", err)
	}
	return l.View(), nil
}

func (s *Service) signedIn(l *Learner, f *Family, refresh string, now time.Time) (SignedIn, error) {
	access, err := s.tokens.issue(l.ID(), f.rec.ID, l.rec.Role)
	if err != nil {
		return SignedIn{}, err
	}
	return SignedIn{Learner: l.View(), Tokens: Tokens{
		AccessToken: access, RefreshToken: refresh, TokenType: "Bearer",
		ExpiresIn:        int64(AccessTTL / time.Second),
		RefreshExpiresIn: int64(f.refreshLeft(now) / time.Second),
	}}, nil
}
