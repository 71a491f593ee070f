package authentication

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Mail is one message, in plain text.
type Mail struct {
	// To is the bare address; Name is the learner's, "" where the address is
	// not proven.
	To, Name, Subject, Text string
}

// Mailer sends mails. An error means that it may be tried again.
type Mailer interface {
	Send(ctx context.Context, m Mail) error
}

// MailerFunc is a function as Mailer.
type MailerFunc func(ctx context.Context, m Mail) error

// Send calls f.
func (f MailerFunc) Send(ctx context.Context, m Mail) error { return f(ctx, m) }

// The pages that links in mails lead to. The token is behind the #, which no
// browser sends, so that no log on the way ever has it.
const (
	PageResetPassword = "/#/reset-password/"
	PageVerifyEmail   = "/#/verify-email/"
)

// The methods below write one mail each. They are for jobs that events cause;
// secrets are made here, at the time of sending, and are in no event. An
// account that is gone, or has nothing to be told any more, is no error.

// MailWelcome greets a new learner.
func (s *Service) MailWelcome(ctx context.Context, learner LearnerID) error {
	return s.mail(ctx, learner, func(l *Learner) (Mail, error) {
		if !l.Active() {
			return Mail{}, nil // not confirmed yet; that mail greets as well
		}
		return s.letter(l, l.rec.Email, "Welcome to FluentPro",
			"your account is ready. Tell us in a few steps what you do and whom you talk to, and practise the conversations of your working day.",
			s.cfg.PublicURL+"/"), nil
	})
}

// MailPasswordReset sends a link to set a new password, good for an hour.
func (s *Service) MailPasswordReset(ctx context.Context, learner LearnerID) error {
	return s.mail(ctx, learner, func(l *Learner) (Mail, error) {
		if l.rec.DeactivatedBy == ByOperator || l.elsewhere() {
			return Mail{}, nil
		}
		link, err := s.link(ctx, l, ForPassword, l.rec.Email)
		if err != nil {
			return Mail{}, err
		}
		return s.letter(l, l.rec.Email, "Set a new password",
			"somebody, probably you, asked for a new password for your account. This link sets one; it works once, for an hour:", link,
			"If it was not you, there is nothing to do: your password stays as it is."), nil
	})
}

// MailVerification sends a link that proves the address, or the new address
// that waits for it; good for a day.
func (s *Service) MailVerification(ctx context.Context, learner LearnerID) error {
	return s.mail(ctx, learner, func(l *Learner) (Mail, error) {
		if l.elsewhere() {
			return Mail{}, s.mailElsewhere(ctx, l)
		}
		to := l.unproven()
		if to == "" || l.rec.DeactivatedBy == ByOperator {
			return Mail{}, nil
		}
		link, err := s.link(ctx, l, ForEmail, to)
		if err != nil {
			return Mail{}, err
		}
		return s.letter(l, to, "Confirm your e-mail",
			"please confirm that this is your address; the link works once, for a day:", link,
			"If you did not ask for this, you can ignore this mail."), nil
	})
}

// MailPasswordChanged tells that the password is another one.
func (s *Service) MailPasswordChanged(ctx context.Context, learner LearnerID) error {
	return s.mail(ctx, learner, func(l *Learner) (Mail, error) {
		return s.letter(l, l.rec.Email, "Your password was changed",
			"the password of your account was changed, and all other devices were signed out.",
			"If it was not you, set a new one now: "+s.cfg.PublicURL+"/#/forgot-password"), nil
	})
}

// MailSignUpRepeated tells the owner of an account that somebody signed up
// with its address.
func (s *Service) MailSignUpRepeated(ctx context.Context, learner LearnerID) error {
	return s.mail(ctx, learner, func(l *Learner) (Mail, error) {
		return s.letter(l, l.rec.Email, "You have an account already",
			"somebody, probably you, tried to sign up with your address. You have an account: "+s.cfg.PublicURL+"/#/sign-in",
			"If you forgot the password, set a new one: "+s.cfg.PublicURL+"/#/forgot-password"), nil
	})
}

// MailEmailChange tells the present address that another one was asked for.
func (s *Service) MailEmailChange(ctx context.Context, learner LearnerID) error {
	return s.mail(ctx, learner, func(l *Learner) (Mail, error) {
		if l.rec.PendingEmail == "" {
			return Mail{}, nil
		}
		return s.letter(l, l.rec.Email, "Your e-mail is about to change",
			"another address was asked for on your account. It takes this one's place when it is confirmed.",
			"If it was not you, set a new password now: "+s.cfg.PublicURL+"/#/forgot-password"), nil
	})
}

func (s *Service) mail(ctx context.Context, learner LearnerID, write func(*Learner) (Mail, error)) error {
	l, err := s.store.ByID(ctx, learner)
	if errors.Is(err, ErrNoLearner) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	m, err := write(l)
	if errors.Is(err, ErrNoLearner) || err == nil && m.To == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	if err := s.cfg.Mailer.Send(ctx, m); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	return nil
}

func (s *Service) letter(l *Learner, to, subject string, paragraphs ...string) Mail {
	m := Mail{To: to, Subject: subject}
	if strings.HasSuffix(to, nowhere) {
		return Mail{} // nobody reads that
	}
	greeting := "Hello"
	// Until an address is proven, anybody may have chosen the name that goes
	// there: a stranger's words are not sent to strangers.
	if to == l.rec.Email && !l.rec.EmailVerifiedAt.IsZero() {
		m.Name = l.rec.FullName
		greeting += " " + m.Name
	}
	m.Text = greeting + ",\n\n" + strings.Join(paragraphs, "\n\n") + "\n\nFluentPro\n"
	return m
}

// link makes a secret and the address that uses it.
func (s *Service) link(ctx context.Context, l *Learner, p Purpose, email string) (string, error) {
	page, ttl := PageVerifyEmail, EmailLinkTTL
	if p == ForPassword {
		page, ttl = PageResetPassword, PasswordLinkTTL
	}
	token, secret := newSecret(l, p, email, ttl, s.now())
	if err := s.store.AddSecret(ctx, secret, liveSecrets); err != nil {
		return "", err
	}
	return s.cfg.PublicURL + page + token, nil
}

// PasswordLink makes a link to set a new password, for an operator who brings
// it to the learner by another way than mail; good for an hour.
func (s *Service) PasswordLink(ctx context.Context, learner LearnerID) (link string, until time.Time, err error) {
	l, err := s.store.ByID(ctx, learner)
	if err != nil {
		return "", time.Time{}, noAccount(err)
	}
	if l.elsewhere() {
		return "", time.Time{}, errElsewhere
	}
	link, err = s.link(ctx, l, ForPassword, l.rec.Email)
	return link, s.now().Add(PasswordLinkTTL), noAccount(err)
}
