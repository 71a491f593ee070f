package authentication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// Logout ends a login, or all of its learner's. A token that is unknown or
// spent is no error: the wish is fulfilled. The access tokens of an ended
// login are refused at once on this node and within seconds on the others.
// Where another service handed the token out it is revoked there too; when
// that fails the error says so, and the login has ended here all the same.
func (s *Service) Logout(ctx context.Context, in LogoutInput) error {
	foreign, err := s.logout(ctx, in)
	if err == nil && foreign && s.cfg.Passwords != nil {
		if err = s.cfg.Passwords.Revoke(ctx, in.RefreshToken); err != nil {
			err = fmt.Errorf("logout: %w", err)
		}
	}
	return err
}

// logout ends logins here; foreign says that the refresh token is another
// service's.
func (s *Service) logout(ctx context.Context, in LogoutInput) (foreign bool, err error) {
	learner := in.Learner
	if in.Family != "" && learner != "" {
		if _, err := s.store.EndLogin(ctx, learner, in.Family, RevokedLogout); err != nil {
			return false, fmt.Errorf("logout: %w", err)
		}
		s.loginsEnded(learner, in.Family)
	}
	if in.RefreshToken != "" && len(in.RefreshToken) <= s.longestRefresh() {
		var rec FamilyRecord
		err := s.store.UseToken(ctx, hashToken(in.RefreshToken), func(f *Family, _ int64, now time.Time) *TokenHash {
			f.Revoke(RevokedLogout, now)
			rec = f.rec
			return nil
		})
		switch {
		case errors.Is(err, ErrNoToken):
		case err != nil:
			return false, fmt.Errorf("logout: %w", err)
		default:
			s.loginsEnded(rec.Learner, rec.ID)
			learner, foreign = rec.Learner, rec.Issuer != ""
		}
	}
	if !in.All || learner == "" {
		return foreign, nil
	}
	return foreign, s.endLogins(ctx, learner, "", RevokedLogout)
}

// endLogins ends all logins of a learner but one.
func (s *Service) endLogins(ctx context.Context, learner LearnerID, but FamilyID, reason string) error {
	var ended []FamilyID
	err := s.store.Update(ctx, learner, func(ctx context.Context, _ *Learner, _ time.Time) (err error) {
		ended, err = s.store.EndLogins(ctx, learner, but, reason)
		return err
	})
	if err != nil && !errors.Is(err, ErrNoLearner) {
		return fmt.Errorf("end logins: %w", err)
	}
	s.loginsEnded(learner, ended...)
	return nil
}

// Logins lists the devices where a learner is signed in, newest first.
// current is the login that asks.
func (s *Service) Logins(ctx context.Context, learner LearnerID, current FamilyID) ([]LoginView, error) {
	list, err := s.store.Logins(ctx, learner)
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	out := make([]LoginView, len(list))
	for i, f := range list {
		out[i] = LoginView{ID: f.rec.ID, Device: f.rec.Device, CreatedAt: f.rec.CreatedAt.UnixMilli(),
			UsedAt: f.rec.RotatedAt.UnixMilli(), Current: f.rec.ID == current}
	}
	return out, nil
}

// EndLogin signs one device out. One that is not the learner's, or is signed
// out already, is not_found.
func (s *Service) EndLogin(ctx context.Context, learner LearnerID, family FamilyID) error {
	ok, err := s.store.EndLogin(ctx, learner, family, RevokedLogout)
	if err != nil {
		return fmt.Errorf("end login: %w", err)
	}
	if !ok {
		return fault.New(fault.NotFound, "No such login.")
	}
	s.loginsEnded(learner, family)
	return nil
}
