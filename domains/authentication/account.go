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
	return signedOut("deactivate", s.deactivate(ctx, in.Learner, ByLearner, Actor{ID: in.Learner}))
}

func (s *Service) deactivate(ctx context.Context, learner LearnerID, by string, actor Actor) error {
	var ended []FamilyID
	err := s.store.Update(ctx, learner, func(ctx context.Context, l *Learner, now time.Time) (err error) {
		if err := actor.over(l); err != nil {
			return err
		}
		if ended, err = s.store.EndLogins(ctx, learner, "", RevokedDeactivated); err != nil || !l.Deactivate(by, now) {
			return err
		}
		return s.record(ctx, actor.ID, events.LearnerDeactivated{LearnerID: string(learner)})
	})
	if err != nil {
		return err
	}
	s.loginsEnded(learner, ended...)
	return nil
}

// Actor is who does something to an account. ID is a learner's, or
// "operator" for somebody at the machine itself.
type Actor struct {
	ID   LearnerID
	Role Role
}

// AtTheMachine is whoever can run our commands: that is more than any role.
var AtTheMachine = Actor{ID: ByOperator, Role: RoleAdmin}

// over refuses what is done to an account that may more than the actor.
func (a Actor) over(l *Learner) error {
	if a.ID == l.ID() || a.Role.May(l.rec.Role) && a.Role.May(RoleOperator) {
		return nil
	}
	return fault.New(fault.Forbidden, "Your role does not reach to this account.")
}

// The use cases below are for operators: they take any account, and say
// not_found of one that is not there.

// Find reads an account by its id, or by its e-mail where key has an @.
func (s *Service) Find(ctx context.Context, key string) (AccountView, error) {
	l, err := (*Learner)(nil), ErrNoLearner
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

// Accounts lists accounts, newest first: those before one, of e-mails that
// begin in a way. next is where the following page begins, "" after the last.
func (s *Service) Accounts(ctx context.Context, email string, before LearnerID, limit int) (list []AccountView, next LearnerID, err error) {
	if limit < 1 || limit > 200 {
		limit = 50
	}
	found, err := s.store.Learners(ctx, email, before, limit+1)
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
func (s *Service) SetRole(ctx context.Context, by Actor, learner LearnerID, role Role) error {
	role, err := ParseRole(string(role))
	if err != nil {
		return err
	}
	if !by.Role.May(RoleAdmin) {
		return fault.New(fault.Forbidden, "Only an admin says who is what.")
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
		return s.record(ctx, by.ID, events.RoleChanged{LearnerID: string(learner), From: string(from), To: string(role)})
	})
	if err != nil {
		return noAccount(err)
	}
	s.loginsEnded(learner, ended...)
	return nil
}

// Suspend takes any account out of use; only Restore brings it back.
func (s *Service) Suspend(ctx context.Context, by Actor, learner LearnerID) error {
	return noAccount(s.deactivate(ctx, learner, ByOperator, by))
}

// Restore takes any deactivated account into use again.
func (s *Service) Restore(ctx context.Context, by Actor, learner LearnerID) error {
	return noAccount(s.store.Update(ctx, learner, func(ctx context.Context, l *Learner, _ time.Time) error {
		if err := by.over(l); err != nil || l.Active() {
			return err
		}
		if err := l.Reactivate(ByOperator); err != nil {
			return err
		}
		return s.record(ctx, by.ID, events.LearnerReactivated{LearnerID: string(learner)})
	}))
}
