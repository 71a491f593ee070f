package authentication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// record stores what happened, in the transaction of ctx.
func (s *Service) record(ctx context.Context, actor LearnerID, what ...events.Payload) error {
	list := make([]events.Event, len(what))
	for i, p := range what {
		list[i] = events.New(string(actor), p)
	}
	return s.events.Record(ctx, list...)
}

func (s *Service) recordSignUp(ctx context.Context, l *Learner) error {
	id := string(l.ID())
	return s.record(ctx, l.ID(), events.LearnerRegistered{LearnerID: id}, events.EmailVerificationRequested{LearnerID: id})
}

// level waits until an answer is as old as every answer of its kind.
func (s *Service) level(ctx context.Context, began time.Time) {
	t := time.NewTimer(time.Until(began.Add(s.cfg.AnswerAfter)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// applyToSignUp is a sign-up that a mail must confirm. Whether the address is
// new, waits for its confirmation or has an account, the caller gets one
// answer after one time; the owner of the mailbox gets the mail that fits.
func (s *Service) applyToSignUp(ctx context.Context, l *Learner, ip string, began time.Time) (SignedIn, error) {
	defer s.level(ctx, began)
	now := s.now()
	s.signUps.failed(ctx, "", ip, now) // all count, or the waits would tell
	l.rec.DeactivatedAt, l.rec.DeactivatedBy = now, ByConfirmation
	err := s.store.Register(ctx, l, nil, "", func(ctx context.Context) error { return s.recordSignUp(ctx, l) })
	if errors.Is(err, ErrEmailTaken) {
		err = s.signUpAgain(ctx, l.rec.Email, now)
	}
	if err != nil {
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	return SignedIn{Pending: true}, nil
}

// signUpAgain tells the owner of an address by mail, unless that was done
// often enough.
func (s *Service) signUpAgain(ctx context.Context, email string, now time.Time) error {
	if often := s.mails.refuse(ctx, email, "", now); often != nil {
		return nil //nolint:nilerr // the caller is told nothing of the address, not even this
	}
	s.mails.failed(ctx, email, "", now)
	l, err := s.store.ByEmail(ctx, email)
	if err == nil {
		err = s.store.Update(ctx, l.ID(), func(ctx context.Context, l *Learner, _ time.Time) error {
			if l.rec.DeactivatedBy == ByConfirmation {
				return s.record(ctx, l.ID(), events.EmailVerificationRequested{LearnerID: string(l.ID())})
			}
			return s.record(ctx, "", events.SignUpRepeated{LearnerID: string(l.ID())})
		})
	}
	if errors.Is(err, ErrNoLearner) {
		return nil
	}
	return err
}

// RequestEmailVerification asks for another mail with a link that proves the
// learner's address, or the pending one. Where nothing is to be proven nothing
// happens. Failures are rate_limited.
func (s *Service) RequestEmailVerification(ctx context.Context, learner LearnerID, ip string) error {
	l, err := s.store.ByID(ctx, learner)
	if errors.Is(err, ErrNoLearner) {
		return errUnauthenticated
	}
	if err != nil {
		return fmt.Errorf("request verification: %w", err)
	}
	address := l.unproven()
	if l.elsewhere() && l.rec.EmailVerifiedAt.IsZero() {
		if s.cfg.Passwords == nil {
			return errElsewhere
		}
		address = l.rec.Email
	}
	if address == "" {
		return nil
	}
	now := s.now()
	if err := s.mails.refuse(ctx, address, ip, now); err != nil {
		return err
	}
	s.mails.failed(ctx, address, ip, now)
	err = s.store.Update(ctx, learner, func(ctx context.Context, l *Learner, _ time.Time) error {
		return s.record(ctx, learner, events.EmailVerificationRequested{LearnerID: string(learner)})
	})
	if err != nil {
		return fmt.Errorf("request verification: %w", err)
	}
	return nil
}

// ConfirmEmail proves an address by the token of a mail's link, and makes a
// pending address the account's. The token works once. Failures are
// link_invalid, and email_taken when another account proved the address first.
func (s *Service) ConfirmEmail(ctx context.Context, token string) error {
	secret, err := s.findSecret(ctx, token, ForEmail)
	if err != nil {
		return err
	}
	err = s.store.Update(ctx, secret.Learner, func(ctx context.Context, l *Learner, now time.Time) error {
		secret, err := s.store.TakeSecret(ctx, secret.Hash, ForEmail)
		if err != nil {
			return err
		}
		if !l.proveEmail(secret.Email, now) {
			return errLink
		}
		return s.record(ctx, l.ID(), events.EmailVerified{LearnerID: string(l.ID())})
	})
	return linkError("confirm e-mail", err)
}

// findSecret reads what a link's token stands for, without using it.
func (s *Service) findSecret(ctx context.Context, token string, p Purpose) (Secret, error) {
	if token == "" || len(token) > maxRefreshToken {
		return Secret{}, errLink
	}
	x, err := s.store.FindSecret(ctx, hashToken(token), p)
	return x, linkError("read link", err)
}

// linkError tells a link that does not work from a failure.
func linkError(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSecret), errors.Is(err, ErrNoLearner):
		return errLink
	}
	return fmt.Errorf("%s: %w", op, err)
}

// ChangeEmail notes a new address; it takes the old one's place when the link
// of the mail that goes there is used. Whether another account has it is not
// told. Failures are invalid and rate_limited.
func (s *Service) ChangeEmail(ctx context.Context, in ConfirmedInput, email string) error {
	address, ok := normalEmail(email)
	if !ok {
		return invalid("The e-mail cannot be taken.", fault.Field{Name: "email", Code: "malformed", Message: "This is not an e-mail address."})
	}
	now := s.now()
	if err := s.mails.refuse(ctx, address, in.RemoteIP, now); err != nil {
		return err
	}
	if l, err := s.store.ByID(ctx, in.Learner); err == nil && l.elsewhere() {
		return errElsewhere
	} else if err != nil && !errors.Is(err, ErrNoLearner) {
		return fmt.Errorf("change e-mail: %w", err)
	}
	if _, err := s.confirmed(ctx, in); err != nil {
		return err
	}
	s.mails.failed(ctx, address, in.RemoteIP, now)
	err := s.store.Update(ctx, in.Learner, func(ctx context.Context, l *Learner, _ time.Time) error {
		l.askEmail(address)
		if l.rec.PendingEmail == "" {
			return s.store.DropSecrets(ctx, l.ID(), ForEmail)
		}
		id := string(l.ID())
		return s.record(ctx, l.ID(), events.EmailChangeRequested{LearnerID: id}, events.EmailVerificationRequested{LearnerID: id})
	})
	if err != nil {
		return fmt.Errorf("change e-mail: %w", err)
	}
	return nil
}
