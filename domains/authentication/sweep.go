package authentication

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// SweepBefore says what Sweep forgets: logins that were ended for the nodes to
// know, links, and logins with their refresh tokens, that were over before.
type SweepBefore struct{ Ends, Links, Logins time.Time }

// Swept counts what was forgotten.
type Swept struct {
	// Ends are the notes for nodes that a login was ended, Links those of
	// mails, Logins the families that expired or ended.
	Ends, Links, Logins int64
	// Foreign are another issuer's tokens that are over, and marks that refuse
	// such.
	Foreign int64
	// Accounts were never confirmed.
	Accounts int64
}

// bySystem does what nobody asked for.
var bySystem = Actor{ID: "system", Role: RoleAdmin}

// sweepAccounts is how many accounts one Sweep erases at most: each is a
// transaction over every domain.
const sweepAccounts = 100

// Sweep deletes what is over. Two at a time do no harm; what one leaves the
// next finds. An account that was never confirmed could not be used, so
// nothing of anybody's is lost with it, and whoever gave an address that is
// not theirs does not hold it for ever. Accounts that were usable at once stay,
// proven or not: somebody may be practising.
func (s *Service) Sweep(ctx context.Context) (Swept, error) {
	now := s.now()
	out, err := s.store.Sweep(ctx, SweepBefore{Ends: now.Add(-endedFor - time.Hour), Links: now, Logins: now.Add(-s.cfg.KeepLogins)})
	if err != nil || s.cfg.KeepUnconfirmed <= 0 {
		return out, err
	}
	list, err := s.store.Unconfirmed(ctx, now.Add(-s.cfg.KeepUnconfirmed), now, sweepAccounts)
	if err != nil {
		return out, err
	}
	for _, id := range list {
		switch err := s.eraseIf(ctx, id, bySystem, func(l *Learner) bool { return l.rec.DeactivatedBy == ByConfirmation }); {
		case err == nil:
			out.Accounts++
		case !errors.Is(err, ErrNoLearner) && !errors.Is(err, errKept):
			return out, fmt.Errorf("sweep accounts: %w", err)
		}
	}
	return out, nil
}

// errKept says that an account is not to be erased any more.
var errKept = errors.New("the account is in use")
