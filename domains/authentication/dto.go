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
}

// LoginInput asks for tokens.
type LoginInput struct {
	Email    string
	Password string
	// RemoteIP is where the request comes from, as the front door believes it;
	// it only slows guessing down. "" means unknown.
	RemoteIP string
}

// LogoutInput names the login to end, by its refresh token, by its family, or
// both.
type LogoutInput struct {
	RefreshToken string
	Family       FamilyID
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
}

// Identity is a learner whose access token was verified.
type Identity struct {
	LearnerID LearnerID
	// SessionFamily is the login that the token belongs to.
	SessionFamily FamilyID
	// ExpiresAt is when the token ends, and with it what was opened by it.
	ExpiresAt time.Time
}
