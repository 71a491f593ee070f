package authentication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// noAccount makes not_found of an account that is not there, for operators.
func noAccount(err error) error {
	if errors.Is(err, ErrNoLearner) {
		return fault.New(fault.NotFound, "There is no such account.")
	}
	return err
}

// signedOut makes unauthenticated of an account that is not there, for its
// owner: it was erased meanwhile.
func signedOut(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoLearner):
		return errUnauthenticated
	}
	return fmt.Errorf("%s: %w", op, err)
}

// Account is what a learner may know of the own account.
func (s *Service) Account(ctx context.Context, learner LearnerID) (AccountView, error) {
	l, err := s.store.ByID(ctx, learner)
	if err != nil {
		return AccountView{}, signedOut("read account", err)
	}
	return l.Account(), nil
}

// Rename sets the learner's full name. Failures are invalid.
func (s *Service) Rename(ctx context.Context, learner LearnerID, name string) (AccountView, error) {
	var out AccountView
	err := s.store.Update(ctx, learner, func(_ context.Context, l *Learner, _ time.Time) error {
		err := l.Rename(name)
		out = l.Account()
		return err
	})
	return out, signedOut("rename", err)
}

// Deactivate takes the learner's own account out of use and ends all its
// logins. The next login with the right password brings it back; nothing is
// deleted. Failures are invalid (wrong password) and rate_limited.
func (s *Service) Deactivate(ctx context.Context, in ConfirmedInput) error {
	if _, err := s.confirmed(ctx, in); err != nil {
		return err
	}
	return signedOut("deactivate", s.deactivate(ctx, in.Learner, ByLearner))
}

func (s *Service) deactivate(ctx context.Context, learner LearnerID, by string) error {
	var ended []FamilyID
	err := s.store.Update(ctx, learner, func(ctx context.Context, l *Learner, now time.Time) (err error) {
		if ended, err = s.store.EndLogins(ctx, learner, "", RevokedDeactivated); err != nil || !l.Deactivate(by, now) {
			return err
		}
		return s.recordBy(ctx, by, l.ID(), events.LearnerDeactivated{LearnerID: string(learner)})
	})
	if err != nil {
		return err
	}
	s.loginsEnded(learner, ended...)
	return nil
}

// recordBy records what a learner or an operator did.
func (s *Service) recordBy(ctx context.Context, by string, learner LearnerID, what events.Payload) error {
	if by == ByOperator {
		return s.record(ctx, ByOperator, what)
	}
	return s.record(ctx, learner, what)
}

// The use cases below are for operators: they take any account, and say
// not_found of one that is not there.

// Find reads an account by its id, or by its e-mail where key has an @.
func (s *Service) Find(ctx context.Context, key string) (AccountView, error) {
	var l *Learner
	err := error(ErrNoLearner)
	if email, ok := normalEmail(key); ok {
		l, err = s.store.ByEmail(ctx, email)
	} else if len(key) <= 64 {
		l, err = s.store.ByID(ctx, LearnerID(key))
	}
	if err != nil {
		return AccountView{}, noAccount(err)
	}
	return l.Account(), nil
}

// Accounts lists accounts by id, which is by age: those after one, of e-mails
// that begin in a way. next is where the following page begins, "" after the
// last.
func (s *Service) Accounts(ctx context.Context, email string, after LearnerID, limit int) (list []AccountView, next LearnerID, err error) {
	if limit < 1 || limit > 200 {
		limit = 50
	}
	found, err := s.store.Learners(ctx, email, after, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list accounts: %w", err)
	}
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].ID()
	}
	list = make([]AccountView, len(found))
	for i, l := range found {
		list[i] = l.Account()
	}
	return list, next, nil
}

// SetRole says what an account may do. Its logins end, for their tokens say
// the old role; the learner signs in again.
func (s *Service) SetRole(ctx context.Context, learner LearnerID, role Role) error {
	role, err := ParseRole(string(role))
	if err != nil {
		return err
	}
	var ended []FamilyID
	err = s.store.Update(ctx, learner, func(ctx context.Context, l *Learner, _ time.Time) (err error) {
		if l.rec.Role == role {
			return nil
		}
		if ended, err = s.store.EndLogins(ctx, learner, "", RevokedRole); err != nil {
			return err
		}
		from := l.rec.Role
		l.rec.Role = role
		return s.record(ctx, ByOperator, events.RoleChanged{LearnerID: string(learner), From: string(from), To: string(role)})
	})
	if err != nil {
		return noAccount(err)
	}
	s.loginsEnded(learner, ended...)
	return nil
}

// Suspend takes any account out of use; only Restore brings it back.
func (s *Service) Suspend(ctx context.Context, learner LearnerID) error {
	return noAccount(s.deactivate(ctx, learner, ByOperator))
}

// Restore takes any deactivated account into use again.
func (s *Service) Restore(ctx context.Context, learner LearnerID) error {
	return noAccount(s.store.Update(ctx, learner, func(ctx context.Context, l *Learner, _ time.Time) error {
		if l.Active() {
			return nil
		}
		if err := l.Reactivate(ByOperator); err != nil {
			return err
		}
		return s.record(ctx, ByOperator, events.LearnerReactivated{LearnerID: string(learner)})
	}))
}
