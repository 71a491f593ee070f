package authentication

import (
	"context"
	"errors"
	"time"
)

// Purpose is what the link in a mail is for.
type Purpose string

// The purposes.
const (
	// ForPassword sets a new password.
	ForPassword Purpose = "password"
	// ForEmail proves an address.
	ForEmail Purpose = "email"
)

const (
	// PasswordLinkTTL is how long a link to set a password works.
	PasswordLinkTTL = time.Hour
	// EmailLinkTTL is how long a link that proves an address works.
	EmailLinkTTL = 24 * time.Hour
	// liveSecrets is how many links of a purpose may be on their way to one
	// learner; a newer one pushes the oldest out.
	liveSecrets = 5
)

// Secret is what a store keeps of a link in a mail. It works once.
type Secret struct {
	Hash    TokenHash
	Learner LearnerID
	Purpose Purpose
	// Email is the address that the link was sent to.
	Email     string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// ErrNoSecret says that this link was never made, was used, or is too old.
var ErrNoSecret = errors.New("no such secret")

// Secrets keeps what links in mails are checked against.
type Secrets interface {
	// AddSecret stores a secret and keeps only the newest of its learner and
	// purpose. The learner may be gone: that is ErrNoLearner.
	AddSecret(ctx context.Context, s Secret, keep int) error
	// FindSecret reads a secret that still works, without using it.
	FindSecret(ctx context.Context, hash TokenHash, p Purpose) (Secret, error)
	// TakeSecret uses a secret: of two callers one gets it, the other
	// ErrNoSecret. Call it in a transaction, which gives it back on failure.
	TakeSecret(ctx context.Context, hash TokenHash, p Purpose) (Secret, error)
	// DropSecrets takes the learner's links of a purpose back.
	DropSecrets(ctx context.Context, learner LearnerID, p Purpose) error
}

// newSecret makes a secret of 256 random bits, and the link's part that must
// not be kept.
func newSecret(l *Learner, p Purpose, email string, ttl time.Duration, now time.Time) (token string, s Secret) {
	token, hash := newRefreshToken()
	return token, Secret{Hash: hash, Learner: l.ID(), Purpose: p, Email: email, CreatedAt: now, ExpiresAt: now.Add(ttl)}
}
