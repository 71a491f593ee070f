package authentication

import (
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/domains/events"
)

// History is what a learner's events tell of the account. What they do not
// tell, name, address and password, is in no event.
type History struct {
	// Registered, Verified and Erased say that it happened: the sign-up, the
	// first proof of an address, the erasure.
	Registered, Verified, Erased bool
	// Deactivated is an account that the learner or an operator took out of
	// use. One that waits for its confirmation is not: it never was in use.
	Deactivated bool
	Role        Role
}

// Rebuild tells what the events of one learner say, oldest first. Of an erased
// account only that is left.
func Rebuild(evs []events.Event) (History, error) {
	h := History{Role: RoleLearner}
	for _, e := range evs {
		switch p, err := told(e); {
		case errors.Is(err, events.ErrErased):
			continue // learner.erased follows
		case err != nil:
			return History{}, fmt.Errorf("rebuild account: %w", err)
		default:
			h.apply(p)
		}
	}
	if h.Erased {
		h = History{Erased: true}
	}
	return h, nil
}

// told reads the events that change what History says, nil for others.
func told(e events.Event) (events.Payload, error) {
	switch e.Type {
	case "learner.registered":
		return events.Decode[events.LearnerRegistered](e)
	case "learner.email_verified":
		return events.Decode[events.EmailVerified](e)
	case "learner.deactivated":
		return events.Decode[events.LearnerDeactivated](e)
	case "learner.reactivated":
		return events.Decode[events.LearnerReactivated](e)
	case "learner.role_changed":
		return events.Decode[events.RoleChanged](e)
	case "learner.erased":
		return events.LearnerErased{}, nil // whether its own data is there or not
	}
	return nil, nil
}

func (h *History) apply(p events.Payload) {
	switch p := p.(type) {
	case events.LearnerRegistered:
		h.Registered = true
	case events.EmailVerified:
		h.Verified = true
	case events.LearnerDeactivated:
		h.Deactivated = true
	case events.LearnerReactivated:
		h.Deactivated = false
	case events.RoleChanged:
		h.Role = Role(p.To)
	case events.LearnerErased:
		h.Erased = true
	}
}
