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
