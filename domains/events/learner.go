package events

// What happens to learners. The e-mail address is never in an event: who
// writes a mail asks authentication for it.

// LearnerRegistered says that an account was made.
type LearnerRegistered struct {
	LearnerID string `json:"learner_id"`
}

// EmailVerificationRequested says that a learner wants a link that proves the
// address.
type EmailVerificationRequested struct {
	LearnerID string `json:"learner_id"`
}

// EmailVerified says that the address was proven.
type EmailVerified struct {
	LearnerID string `json:"learner_id"`
}

// PasswordResetRequested says that somebody asked for a link to set a new
// password of this account.
type PasswordResetRequested struct {
	LearnerID string `json:"learner_id"`
}

// PasswordChanged says that the password is another one now.
type PasswordChanged struct {
	LearnerID string `json:"learner_id"`
	// By is "password" (the learner knew the old one) or "reset" (by link).
	By string `json:"by"`
}

// LearnerDeactivated says that an account can no longer be used.
type LearnerDeactivated struct {
	LearnerID string `json:"learner_id"`
}

// LearnerErased says that all personal data of an account went.
type LearnerErased struct {
	LearnerID string `json:"learner_id"`
}

func learner(id string) Aggregate { return Aggregate{Kind: "learner", ID: id} }

// EventType is learner.registered.
func (LearnerRegistered) EventType() (string, int) { return "learner.registered", 1 }

// Of is the learner.
func (p LearnerRegistered) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.email_verification_requested.
func (EmailVerificationRequested) EventType() (string, int) {
	return "learner.email_verification_requested", 1
}

// Of is the learner.
func (p EmailVerificationRequested) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.email_verified.
func (EmailVerified) EventType() (string, int) { return "learner.email_verified", 1 }

// Of is the learner.
func (p EmailVerified) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.password_reset_requested.
func (PasswordResetRequested) EventType() (string, int) {
	return "learner.password_reset_requested", 1
}

// Of is the learner.
func (p PasswordResetRequested) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.password_changed.
func (PasswordChanged) EventType() (string, int) { return "learner.password_changed", 1 }

// Of is the learner.
func (p PasswordChanged) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.deactivated.
func (LearnerDeactivated) EventType() (string, int) { return "learner.deactivated", 1 }

// Of is the learner.
func (p LearnerDeactivated) Of() Aggregate { return learner(p.LearnerID) }

// EventType is learner.erased.
func (LearnerErased) EventType() (string, int) { return "learner.erased", 1 }

// Of is the learner.
func (p LearnerErased) Of() Aggregate { return learner(p.LearnerID) }
