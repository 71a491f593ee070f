package authentication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// confirmed checks the password of a signed-in learner who wants something
// that a borrowed device must not do. Failures are invalid (the field
// password, wrong) and rate_limited.
func (s *Service) confirmed(ctx context.Context, in ConfirmedInput) (*Learner, error) {
	l, err := s.store.ByID(ctx, in.Learner)
	if errors.Is(err, ErrNoLearner) {
		return nil, errUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	if err := s.guard.refuse(ctx, l.rec.Email, in.RemoteIP, s.now()); err != nil {
		return nil, err
	}
	if l.elsewhere() {
		return l, s.confirmElsewhere(ctx, l, in)
	}
	ok := passwordProblem(in.Password) != "too_long"
	if ok {
		if ok, _, err = s.hasher.match(ctx, in.Password, l.rec.PasswordHash); err != nil {
			return nil, fmt.Errorf("confirm: %w", err)
		}
	}
	if !ok {
		s.guard.failed(ctx, l.rec.Email, in.RemoteIP, s.now())
		return nil, invalid("The password is wrong.", passwordField("password", "wrong", "This is not your password."))
	}
	return l, nil
}

// ChangePassword sets a new password by the old one and ends every other
// login. Failures are invalid and rate_limited.
func (s *Service) ChangePassword(ctx context.Context, in ChangePasswordInput) error {
	if l, err := s.store.ByID(ctx, in.Learner); err == nil && l.elsewhere() {
		return errElsewhere
	} else if err != nil && !errors.Is(err, ErrNoLearner) {
		return fmt.Errorf("change password: %w", err)
	}
	l, err := s.confirmed(ctx, in.ConfirmedInput)
	if err != nil {
		return err
	}
	code, message := newPasswordProblem(in.NewPassword, l.rec.Email, l.rec.FullName)
	if code == "" && in.NewPassword == in.Password {
		code, message = "unchanged", "This is the password you have."
	}
	if code != "" {
		return invalid("The new password cannot be taken.", passwordField("new_password", code, message))
	}
	hash, err := s.hasher.hash(ctx, in.NewPassword)
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	var ended []FamilyID
	err = s.store.Update(ctx, in.Learner, func(ctx context.Context, cur *Learner, _ time.Time) error {
		if cur.rec.PasswordHash != l.rec.PasswordHash {
			return fault.New(fault.Conflict, "The password was changed meanwhile.")
		}
		ended, err = s.replacePassword(ctx, cur, hash, in.Family, "password")
		return err
	})
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	s.loginsEnded(in.Learner, ended...)
	return nil
}

// replacePassword is what every new password means: the other logins end, and
// links that are under way lose their power.
func (s *Service) replacePassword(ctx context.Context, l *Learner, hash string, but FamilyID, by string) ([]FamilyID, error) {
	l.setPassword(hash)
	ended, err := s.store.EndLogins(ctx, l.ID(), but, RevokedPassword)
	if err != nil {
		return nil, err
	}
	if err := s.store.DropSecrets(ctx, l.ID(), ForPassword); err != nil {
		return nil, err
	}
	return ended, s.record(ctx, l.ID(), events.PasswordChanged{LearnerID: string(l.ID()), By: by})
}

// RequestPasswordReset asks for a mail with a link to set a new password. The
// answer and its time are the same whether the address has an account or not.
// Failures are invalid for what is no address, and rate_limited.
func (s *Service) RequestPasswordReset(ctx context.Context, email, ip string) error {
	began := time.Now()
	if s.cfg.NoPasswords {
		return errNoPasswords
	}
	address, ok := normalEmail(email)
	if !ok {
		return invalid("The e-mail cannot be taken.", fault.Field{Name: "email", Code: "malformed", Message: "This is not an e-mail address."})
	}
	now := s.now()
	if err := s.mails.refuse(ctx, address, ip, now); err != nil {
		return err
	}
	s.mails.failed(ctx, address, ip, now)
	defer s.level(ctx, began)
	if s.cfg.Passwords != nil {
		return s.cfg.Passwords.MailPassword(ctx, address)
	}
	l, err := s.store.ByEmail(ctx, address)
	if err == nil && !l.elsewhere() && l.rec.DeactivatedBy != ByOperator {
		err = s.store.Update(ctx, l.ID(), func(ctx context.Context, l *Learner, _ time.Time) error {
			return s.record(ctx, "", events.PasswordResetRequested{LearnerID: string(l.ID())})
		})
	}
	if err != nil && !errors.Is(err, ErrNoLearner) {
		return fmt.Errorf("request password reset: %w", err)
	}
	return nil
}

// ResetPassword sets a new password by the token of a mail's link and ends
// every login. The token works once, also when several use it at the same
// moment; a password that is refused does not use it up. Failures are
// link_invalid and invalid.
func (s *Service) ResetPassword(ctx context.Context, token, password string) error {
	secret, err := s.findSecret(ctx, token, ForPassword)
	if err != nil {
		return err
	}
	l, err := s.store.ByID(ctx, secret.Learner)
	if err != nil {
		return linkError("reset password", err)
	}
	if code, message := newPasswordProblem(password, l.rec.Email, l.rec.FullName); code != "" {
		return invalid("The new password cannot be taken.", passwordField("new_password", code, message))
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return fmt.Errorf("reset password: %w", err)
	}
	var ended []FamilyID
	err = s.store.Update(ctx, secret.Learner, func(ctx context.Context, l *Learner, now time.Time) error {
		secret, err := s.store.TakeSecret(ctx, secret.Hash, ForPassword)
		if err != nil {
			return err
		}
		if secret.Email != l.rec.Email {
			return errLink // the address is another one by now
		}
		if l.rec.EmailVerifiedAt.IsZero() {
			l.proveEmail(secret.Email, now)
			if err := s.record(ctx, l.ID(), events.EmailVerified{LearnerID: string(l.ID())}); err != nil {
				return err
			}
		}
		ended, err = s.replacePassword(ctx, l, hash, "", "reset")
		return err
	})
	if err != nil {
		return linkError("reset password", err)
	}
	s.guard.forgive(ctx, l.rec.Email)
	s.loginsEnded(secret.Learner, ended...)
	return nil
}
