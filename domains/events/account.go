package events

// SignUpRepeated says that somebody signed up with the address of an account
// that exists; its owner is told by mail, the caller is not.
type SignUpRepeated struct {
	LearnerID string `json:"learner_id"`
}

// LearnerReactivated says that a deactivated account is in use again.
type LearnerReactivated struct {
	LearnerID string `json:"learner_id"`
}

// RoleChanged says what an account may do from now on.
type RoleChanged struct {
	LearnerID string `json:"learner_id"`
	From      string `json:"from"`
	To        string `json:"to"`
}

// EventType is learner.sign_up_repeated.
func (SignUpRepeated) EventType() (string, int) { return "learner.sign_up_repeated", 1 }

// Of is the learner.
func (p SignUpRepeated) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.reactivated.
func (LearnerReactivated) EventType() (string, int) { return "learner.reactivated", 1 }

// Of is the learner.
func (p LearnerReactivated) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.role_changed.
func (RoleChanged) EventType() (string, int) { return "learner.role_changed", 1 }

// Of is the learner.
func (p RoleChanged) Of() Aggregate { return learner(p.LearnerID) }

// EmailChangeRequested says that another address waits for its proof.
type EmailChangeRequested struct {
	LearnerID string `json:"learner_id"`
}

// EventType is learner.email_change_requested.
func (EmailChangeRequested) EventType() (string, int) { return "learner.email_change_requested", 1 }

// Of is the learner.
func (p EmailChangeRequested) Of() Aggregate { return learner(p.LearnerID) }
