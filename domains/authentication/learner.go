package authentication

import (
	"strings"
	"time"
)

// LearnerID names a learner: a UUIDv7, never an e-mail.
type LearnerID string

// Learner is an account.
type Learner struct {
	rec LearnerRecord
}

// LearnerRecord is what a store keeps of a Learner.
type LearnerRecord struct {
	ID           LearnerID
	Email        string
	FullName     string
	PasswordHash string
	Role         Role
	// PendingEmail is the address that waits for its proof, "" for none.
	PendingEmail string
	// EmailVerifiedAt is when Email was proven, zero before.
	EmailVerifiedAt time.Time
	// DeactivatedAt is zero for an account in use; DeactivatedBy says who
	// may end it: ByLearner or ByOperator.
	DeactivatedAt time.Time
	DeactivatedBy string
	// DateOfBirth is YYYY-MM-DD, "" when it was not told.
	DateOfBirth string
	// ConsentedAt is when the terms were accepted and the age confirmed; zero
	// when nobody asked.
	ConsentedAt time.Time
	CreatedAt   time.Time
	// Version counts the writes; the store keeps it.
	Version int64
}

// Who deactivated an account.
const (
	// ByLearner ends with the learner's next login.
	ByLearner = "learner"
	// ByOperator ends only when an operator says so.
	ByOperator = "operator"
	// ByConfirmation ends when the address of the sign-up is proven.
	ByConfirmation = "unconfirmed"
)

// RehydrateLearner makes a Learner of what a store kept; it checks nothing.
func RehydrateLearner(rec LearnerRecord) *Learner { return &Learner{rec} }

// Record is what a store keeps.
func (l *Learner) Record() LearnerRecord { return l.rec }

// ID names the learner.
func (l *Learner) ID() LearnerID { return l.rec.ID }

// View is what others may know of the learner.
func (l *Learner) View() LearnerView {
	return LearnerView{
		ID: l.rec.ID, Email: l.address(), FullName: l.rec.FullName,
		CreatedAt: l.rec.CreatedAt.UnixMilli(), DateOfBirth: l.rec.DateOfBirth,
	}
}

// nowhere ends what stands for an e-mail where none is known: the column is
// unique, and .invalid is nobody's by RFC 2606.
const nowhere = "@unknown.invalid"

// address is the e-mail, "" where none is known.
func (l *Learner) address() string {
	if strings.HasSuffix(l.rec.Email, nowhere) {
		return ""
	}
	return l.rec.Email
}

// elsewhere says that another service keeps the password, if there is one.
func (l *Learner) elsewhere() bool { return l.rec.PasswordHash == "" }

// Account is View with what concerns only the owner and operators.
func (l *Learner) Account() AccountView {
	v := AccountView{
		LearnerView: l.View(), Role: l.rec.Role, EmailVerified: !l.rec.EmailVerifiedAt.IsZero(),
		PendingEmail: l.rec.PendingEmail, State: StateActive,
	}
	if !l.rec.DeactivatedAt.IsZero() {
		v.State = StateDeactivated
		v.DeactivatedBy, v.DeactivatedAt = l.rec.DeactivatedBy, l.rec.DeactivatedAt.UnixMilli()
	}
	return v
}

// Active reports whether the account is in use.
func (l *Learner) Active() bool { return l.rec.DeactivatedAt.IsZero() }

// Rename sets the full name.
func (l *Learner) Rename(name string) error {
	n, code := normalName(name)
	if code != "" {
		return invalid("The name cannot be taken.", nameField(code))
	}
	l.rec.FullName = n
	return nil
}

// setPassword takes the hash of a new password.
func (l *Learner) setPassword(hash string) { l.rec.PasswordHash = hash }

// askEmail notes an address that takes the place of the old one once it is
// proven; the present one takes a pending one back.
func (l *Learner) askEmail(email string) {
	l.rec.PendingEmail = email
	if email == l.rec.Email {
		l.rec.PendingEmail = ""
	}
}

// proveEmail notes that the learner reads the mail of an address. It reports
// false for one that is neither the account's nor the pending one: the link
// is older than the last wish.
func (l *Learner) proveEmail(email string, now time.Time) bool {
	switch {
	case email == "":
		return false
	case email == l.rec.PendingEmail:
		l.rec.Email, l.rec.PendingEmail, l.rec.EmailVerifiedAt = email, "", now
	case email == l.rec.Email:
		if l.rec.EmailVerifiedAt.IsZero() {
			l.rec.EmailVerifiedAt = now
		}
	default:
		return false
	}
	if l.rec.DeactivatedBy == ByConfirmation {
		l.rec.DeactivatedAt, l.rec.DeactivatedBy = time.Time{}, ""
	}
	return true
}

// unproven is the address that a mail should prove, "" when none waits.
func (l *Learner) unproven() string {
	switch {
	case l.rec.PendingEmail != "":
		return l.rec.PendingEmail
	case l.rec.EmailVerifiedAt.IsZero():
		return l.address()
	}
	return ""
}

// Deactivate takes the account out of use and reports whether that changed
// anything. What an operator deactivated stays the operator's.
func (l *Learner) Deactivate(by string, now time.Time) bool {
	if !l.Active() && (l.rec.DeactivatedBy == by || by != ByOperator) {
		return false
	}
	l.rec.DeactivatedAt, l.rec.DeactivatedBy = now, by
	return true
}

// Reactivate takes the account into use again. A learner cannot undo what an
// operator did.
func (l *Learner) Reactivate(by string) error {
	switch {
	case by == ByOperator:
	case l.rec.DeactivatedBy == ByOperator:
		return errDisabled
	case l.rec.DeactivatedBy == ByConfirmation:
		return errCredentials // it would tell that the address was free
	}
	l.rec.DeactivatedAt, l.rec.DeactivatedBy = time.Time{}, ""
	return nil
}
