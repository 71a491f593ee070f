package authentication

import (
	"context"
	"time"
)

// Claims is what another issuer says of the holder of a token, all of it
// verified.
type Claims struct {
	// Issuer and Subject together name the identity, byte for byte.
	Issuer, Subject string
	// Session is the issuer's own name of the login, "" where it gives none.
	Session string
	// IssuedAt has whole seconds at some issuers.
	IssuedAt, ExpiresAt time.Time
	// Email is as the issuer writes it; it is worth nothing to others unless
	// EmailVerified.
	Email         string
	EmailVerified bool
	Name          string
	// Role is "" where the issuer is not asked for roles.
	Role Role
}

// Issuer is somebody else who says who a learner is: an OpenID Connect issuer.
// Failures of its methods are fault errors: unauthenticated and token_expired
// for tokens that are not good, dependency_unavailable when the issuer would
// have to be asked and does not answer. It is safe for concurrent use.
type Issuer interface {
	// Name is the issuer's name, byte for byte what is in its tokens.
	Name() string
	// Verify checks an access token for this service. Who the holder is may be
	// missing beyond Issuer and Subject.
	Verify(ctx context.Context, token string) (Claims, error)
	// VerifyID checks an ID token that was made for one of our clients; nonce
	// "" demands none.
	VerifyID(ctx context.Context, token, client, nonce string) (Claims, error)
	// Profile asks the issuer about the holder of a verified access token, for
	// what the token does not say. What the issuer does not tell stays empty.
	Profile(ctx context.Context, token string, c Claims) (Claims, error)
}

// ForeignIdentity is who a learner is at another issuer.
type ForeignIdentity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// Identities keeps who learners are at other issuers, and which of their
// logins an access token belongs to.
type Identities interface {
	// ByIdentity answers ErrNoLearner when nobody here is that.
	ByIdentity(ctx context.Context, id ForeignIdentity) (*Learner, error)
	// AddIdentity makes a learner known by an identity; ErrIdentityTaken when
	// somebody is. Call it in a transaction of that learner.
	AddIdentity(ctx context.Context, learner LearnerID, id ForeignIdentity) error
	// Identities are a learner's.
	Identities(ctx context.Context, learner LearnerID) ([]ForeignIdentity, error)
	// TokensFrom is the time of the last EndLogins of whoever has or had this
	// identity, zero when there was none lately: tokens that were issued
	// before are refused.
	TokensFrom(ctx context.Context, id ForeignIdentity) (time.Time, error)
	// AddForeignToken says which login the access tokens with this key belong
	// to, until a time; a later call moves the key.
	AddForeignToken(ctx context.Context, key TokenHash, family FamilyID, until time.Time) error
	// ForeignFamily answers ErrNoToken when the key is not known.
	ForeignFamily(ctx context.Context, key TokenHash) (*Family, error)
}

// MarkFor is how long stores remember TokensFrom: as long as a token of
// another issuer may live at most, and a day.
const MarkFor = 31 * 24 * time.Hour

// ForeignTokens are tokens that another issuer handed out for a learner.
type ForeignTokens struct {
	Access, Refresh, ID string
	// ExpiresIn is how long the access token is good for.
	ExpiresIn time.Duration
}

// ForeignSignUp is an account to be made at another service.
type ForeignSignUp struct {
	Email, Password, FullName, DateOfBirth string
	Consented                              bool
}

// Passwords is another service that keeps the passwords of our learners:
// Auth0. Failures of its methods are fault errors: invalid_credentials,
// unauthenticated (a refresh token that is not good), rate_limited, invalid,
// external_account (the service wants something of the learner that cannot be
// done here) and dependency_unavailable; and ErrUserExists. ip, where there is
// one, is whom the service may slow down. It is safe for concurrent use.
type Passwords interface {
	// Client is our name there; ID tokens are made for it.
	Client() string
	// SignUp makes an account; ErrUserExists when there is one with this
	// e-mail. The service mails the address itself.
	SignUp(ctx context.Context, in ForeignSignUp) error
	// Login checks a password and starts a login.
	Login(ctx context.Context, email, password, ip string) (ForeignTokens, error)
	// Check checks a password and starts nothing.
	Check(ctx context.Context, email, password, ip string) (ForeignTokens, error)
	// Refresh spends a refresh token.
	Refresh(ctx context.Context, token string) (ForeignTokens, error)
	// Revoke ends the login of a refresh token, also of one that is not known.
	Revoke(ctx context.Context, token string) error
	// MailPassword has the service send a link to set a new password; nothing
	// tells whether the address has an account.
	MailPassword(ctx context.Context, email string) error
	// MailVerification has it send a link that proves the address.
	MailVerification(ctx context.Context, subject string) error
	// SignedUp is what was told at our sign-up; ok is false for an account that
	// was made elsewhere.
	SignedUp(ctx context.Context, subject string) (in ForeignSignUp, ok bool, err error)
	// Remove deletes an account; one that is not there is no error.
	Remove(ctx context.Context, subject string) error
}
