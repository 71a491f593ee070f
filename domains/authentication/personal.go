package authentication

import (
	"context"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
)

// Holder keeps personal data of learners: each domain is one. The methods
// name no type of this package, so that a domain implements them without
// knowing it.
type Holder interface {
	// ExportPersonal calls add for everything it keeps of a learner, in an
	// order that stays; kind names what it is. It stops at an error of add.
	ExportPersonal(ctx context.Context, learner string, add func(kind string, row any) error) error
	// ErasePersonal deletes it, in the SQL transaction that ctx carries. What
	// it keeps elsewhere goes after the commit, by way of learner.erased.
	ErasePersonal(ctx context.Context, learner string) error
}

// NamedHolder is a Holder with the name that its rows carry.
type NamedHolder struct {
	Name   string
	Holder Holder
}

// PersonalRow is one row of an export.
type PersonalRow struct {
	// Domain is who keeps it, Kind what it is.
	Domain string `json:"domain"`
	Kind   string `json:"kind"`
	Data   any    `json:"data"`
}

// exportedAccount is the account in an export: everything but the hash of the
// password, which says nothing of the learner.
type exportedAccount struct {
	AccountView
	DateOfBirth     string `json:"date_of_birth,omitempty"`
	ConsentedAt     int64  `json:"consented_at,omitempty"`
	EmailVerifiedAt int64  `json:"email_verified_at,omitempty"`
}

// Export calls add for all personal data of a learner, domain by domain, the
// account first. It stops at an error of add.
func (s *Service) Export(ctx context.Context, learner LearnerID, add func(PersonalRow) error) error {
	l, err := s.store.ByID(ctx, learner)
	if err != nil {
		return signedOut("export", err)
	}
	row := exportedAccount{AccountView: l.Account(), DateOfBirth: l.rec.DateOfBirth, ConsentedAt: millis(l.rec.ConsentedAt), EmailVerifiedAt: millis(l.rec.EmailVerifiedAt)}
	if err := add(PersonalRow{Domain: "authentication", Kind: "account", Data: row}); err != nil {
		return err
	}
	known, err := s.store.Identities(ctx, learner)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, id := range known {
		if err := add(PersonalRow{Domain: "authentication", Kind: "identity", Data: id}); err != nil {
			return err
		}
	}
	logins, err := s.Logins(ctx, learner, "")
	if err != nil {
		return err
	}
	for _, f := range logins {
		if err := add(PersonalRow{Domain: "authentication", Kind: "login", Data: f}); err != nil {
			return err
		}
	}
	for _, h := range s.cfg.Holders {
		err := h.Holder.ExportPersonal(ctx, string(learner), func(kind string, data any) error {
			return add(PersonalRow{Domain: h.Name, Kind: kind, Data: data})
		})
		if err != nil {
			return fmt.Errorf("export %s: %w", h.Name, err)
		}
	}
	return nil
}

// Erase deletes the learner's own account and all personal data. It cannot be
// undone. Failures are invalid (wrong password) and rate_limited.
func (s *Service) Erase(ctx context.Context, in ConfirmedInput) error {
	if _, err := s.confirmed(ctx, in); err != nil {
		return err
	}
	return signedOut("erase", s.erase(ctx, in.Learner, Actor{ID: in.Learner}))
}

// EraseAccount is Erase for operators.
func (s *Service) EraseAccount(ctx context.Context, by Actor, learner LearnerID) error {
	return noAccount(s.erase(ctx, learner, by))
}

// erase deletes in one transaction: after a failure in between everything is
// still there, and the wish can be repeated.
func (s *Service) erase(ctx context.Context, learner LearnerID, by Actor) error {
	if err := s.eraseElsewhere(ctx, learner, by); err != nil {
		return err
	}
	return s.eraseIf(ctx, learner, by, func(*Learner) bool { return true })
}

// eraseIf asks the account under its lock whether it is still meant, else
// errKept.
func (s *Service) eraseIf(ctx context.Context, learner LearnerID, by Actor, meant func(*Learner) bool) error {
	var ended []FamilyID
	err := s.store.Update(ctx, learner, func(ctx context.Context, l *Learner, _ time.Time) (err error) {
		if err := by.over(l); err != nil {
			return err
		}
		if !meant(l) {
			return errKept
		}
		if ended, err = s.store.EndLogins(ctx, learner, "", RevokedErased); err != nil {
			return err
		}
		for _, h := range s.cfg.Holders {
			if err := h.Holder.ErasePersonal(ctx, string(learner)); err != nil {
				return fmt.Errorf("erase %s: %w", h.Name, err)
			}
		}
		if err := s.record(ctx, by.ID, events.LearnerErased{LearnerID: string(learner)}); err != nil {
			return err
		}
		return s.store.Remove(ctx, learner)
	})
	if err != nil {
		return err
	}
	s.loginsEnded(learner, ended...)
	s.log.InfoContext(ctx, "learner erased", "learner_id", learner)
	return nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
