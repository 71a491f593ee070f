package authentication

import "time"

// SignUpInput asks for an account.
type SignUpInput struct {
	Email        string
	Password     string
	FullName     string
	AcceptTerms  bool
	AgeConfirmed bool
	// DateOfBirth is a day as YYYY-MM-DD; given, it stands for AgeConfirmed. ""
	// means that it was not asked for.
	DateOfBirth string
	// TermsNotAsked is for callers whose form has no terms: an account is made,
	// and no consent is on record.
	TermsNotAsked bool
	// RemoteIP and Device as at a login.
	RemoteIP string
	Device   string
}

// LoginInput asks for tokens.
type LoginInput struct {
	Email    string
	Password string
	// RemoteIP is where the request comes from, as the front door believes it;
	// it only slows guessing down. "" means unknown.
	RemoteIP string
	// Device is what the client says it is (a User-Agent); it is shown to the
	// learner in the list of logins, cut to 120 characters.
	Device string
	// KnownOnly makes no account for somebody who has one at the other service
	// only and did not sign up here: the login is not_found.
	KnownOnly bool
}

// LogoutInput names the login to end, by its refresh token, by its family, or
// both.
type LogoutInput struct {
	RefreshToken string
	Family       FamilyID
	// Learner is whose Family it is; another's is not touched.
	Learner LearnerID
	// All ends every login of that learner.
	All bool
}

// LearnerView is what others may know of a learner. CreatedAt is milliseconds
// since 1970.
type LearnerView struct {
	ID        LearnerID `json:"id"`
	Email     string    `json:"email"`
	FullName  string    `json:"full_name"`
	CreatedAt int64     `json:"created_at"`
	// DateOfBirth is YYYY-MM-DD, "" when it was not told; only v1 shows it.
	DateOfBirth string `json:"-"`
}

// The states of an account.
const (
	StateActive      = "active"
	StateDeactivated = "deactivated"
)

// AccountView is what the owner and operators may know of an account. Times
// are milliseconds since 1970.
type AccountView struct {
	LearnerView
	Role          Role   `json:"role"`
	State         string `json:"state" enum:"active,deactivated"`
	EmailVerified bool   `json:"email_verified"`
	// PendingEmail is the new address that waits for its proof.
	PendingEmail  string `json:"pending_email,omitempty"`
	DeactivatedBy string `json:"deactivated_by,omitempty" enum:"learner,operator"`
	DeactivatedAt int64  `json:"deactivated_at,omitempty"`
}

// LoginView is one signed-in device. Times are milliseconds since 1970.
type LoginView struct {
	ID FamilyID `json:"id"`
	// Device is what the client called itself, "" if nothing.
	Device    string `json:"device"`
	CreatedAt int64  `json:"created_at"`
	// UsedAt is when its tokens were renewed last.
	UsedAt int64 `json:"used_at"`
	// Current marks the login that asks.
	Current bool `json:"current"`
}

// Tokens are a fresh pair. The durations are seconds.
type Tokens struct {
	AccessToken  string
	RefreshToken string
	TokenType    string
	ExpiresIn    int64
	// RefreshExpiresIn is how long the refresh token is good for if unused.
	RefreshExpiresIn int64
}

// SignedIn is the outcome of sign-up, login and refresh.
type SignedIn struct {
	Learner LearnerView
	Tokens  Tokens
	// Pending says that a mail was sent instead, and nothing else is told:
	// only its link makes the account usable.
	Pending bool
}

// ConfirmedInput is a change that the password must confirm.
type ConfirmedInput struct {
	Learner  LearnerID
	Password string
	RemoteIP string
}

// ChangePasswordInput sets a new password by the old one. Family is the login
// that asks; it is the only one that goes on.
type ChangePasswordInput struct {
	ConfirmedInput
	Family      FamilyID
	NewPassword string
}

// Identity is a learner whose access token was verified.
type Identity struct {
	LearnerID LearnerID
	// SessionFamily is the login that the token belongs to.
	SessionFamily FamilyID
	// Role is what the account was when the token was issued.
	Role Role
	// ExpiresAt is when the token ends, and with it what was opened by it.
	ExpiresAt time.Time
}
