// Package authentication knows who a learner is: it makes accounts, checks
// passwords and issues and verifies the tokens of the built-in issuer.
//
// A login is a family: a chain of refresh tokens, each used once, together
// with the short-lived access tokens that were handed out beside them. An
// access token is a signed JWT that any node checks in memory, without a look
// at SQL or Redis; a refresh token is 256 random bits that only its hash is
// kept of. Using a refresh token that was already replaced kills its family,
// because then two parties hold the chain.
//
//	live ──rotate──▶ live ──reuse of an old token──▶ revoked (reused)
//	  │                └──logout───────────────────▶ revoked (logout)
//	  └──30 days, or 7 without a refresh───────────▶ expired
package authentication

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// The lifetimes of what is issued.
const (
	// AccessTTL is how long an access token is good for.
	AccessTTL = 15 * time.Minute
	// RefreshTTL is how long a login lasts at most.
	RefreshTTL = 30 * 24 * time.Hour
	// RefreshIdle is how long a login lasts without a refresh.
	RefreshIdle = 7 * 24 * time.Hour
	// RefreshOverlap is how long the token just replaced still works: an
	// answer may be lost, and two tabs may refresh at once.
	RefreshOverlap = 10 * time.Second
)

// Errors that stores return and callers compare with errors.Is.
var (
	// ErrNoLearner says that there is no such account.
	ErrNoLearner = errors.New("no such learner")
	// ErrNoToken says that this refresh token was never issued, or that its
	// family is long gone.
	ErrNoToken = errors.New("no such refresh token")
	// ErrKeyExists says that another node stored a signing key of that number.
	ErrKeyExists = errors.New("signing key exists")
	// ErrEmailTaken says that an account with this e-mail exists.
	ErrEmailTaken = fault.New(fault.EmailTaken, "This e-mail cannot be used for a new account.")
)

var (
	errCredentials     = fault.New(fault.InvalidCredentials, "E-mail or password is wrong.")
	errUnauthenticated = fault.New(fault.Unauthenticated, "Sign in first.")
	errExpired         = fault.New(fault.TokenExpired, "The token has expired.")
	errReused          = fault.New(fault.RefreshReused, "This refresh token was used before; sign in again.")
)

// Repository keeps the accounts.
type Repository interface {
	// Register stores a new learner with the first family and its first token,
	// or none of them; ErrEmailTaken when the e-mail is in use.
	Register(ctx context.Context, l *Learner, f *Family, token TokenHash) error
	// ByID and ByEmail answer ErrNoLearner when there is none.
	ByID(ctx context.Context, id LearnerID) (*Learner, error)
	ByEmail(ctx context.Context, email string) (*Learner, error)
	// SetPasswordHash replaces the hash, when it is still the old one.
	SetPasswordHash(ctx context.Context, id LearnerID, old, hash string) error
}

// Families keeps the logins.
type Families interface {
	// StartFamily stores a new family with its first token.
	StartFamily(ctx context.Context, f *Family, token TokenHash) error
	// UseToken finds the family of a token, locks it, calls fn once with the
	// token's generation and the store's own clock (one clock for all nodes),
	// and stores the family and the token that fn returns, if any, in one
	// transaction. It answers ErrNoToken for a token that is not known.
	UseToken(ctx context.Context, token TokenHash, fn func(f *Family, generation int64, now time.Time) *TokenHash) error
	// RevokeFamily ends a family; one that is gone or ended is no error.
	RevokeFamily(ctx context.Context, id FamilyID, reason string) error
}

// Keys keeps the signing keys for all nodes.
type Keys interface {
	// SigningKeys are all keys, oldest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddSigningKey answers ErrKeyExists when the key's number is taken.
	AddSigningKey(ctx context.Context, k SigningKey) error
}

// Store is everything this package keeps in SQL.
type Store interface {
	Repository
	Families
	Keys
}

// Config tunes a Service; zero values mean the defaults in brackets.
type Config struct {
	// Issuer and Audience are written into access tokens and demanded of
	// them, byte for byte ["fluentpro", "fluentpro-api"].
	Issuer, Audience string
	// Hash is the cost of a password hash [19 MiB, 2 passes, 1 lane].
	Hash HashCost
	// HashesAtOnce and HashQueue bound the memory and the wait that password
	// hashing may cost [4, 50].
	HashesAtOnce, HashQueue int
	// Now is the clock [time.Now].
	Now func() time.Time
	// Log gets what an operator should know [slog.Default].
	Log *slog.Logger
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	store  Store
	hasher *hasher
	tokens *issuer
	guard  *guard
	now    func() time.Time
	log    *slog.Logger
}

// New makes a Service; the first node to come makes the signing key.
func New(ctx context.Context, store Store, cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "fluentpro"
	}
	if cfg.Audience == "" {
		cfg.Audience = "fluentpro-api"
	}
	h, err := newHasher(cfg.Hash, cfg.HashesAtOnce, cfg.HashQueue)
	if err != nil {
		return nil, err
	}
	ring, err := newRing(ctx, store, cfg.Now)
	if err != nil {
		return nil, err
	}
	return &Service{
		store:  store,
		hasher: h,
		tokens: &issuer{ring: ring, iss: cfg.Issuer, aud: cfg.Audience, now: cfg.Now},
		guard:  newGuard(),
		now:    cfg.Now,
		log:    cfg.Log,
	}, nil
}

// Verify checks an access token without SQL and without Redis, except when
// the token names a signing key that this node has not seen yet. Failures are
// token_expired and unauthenticated.
func (s *Service) Verify(ctx context.Context, accessToken string) (Identity, error) {
	return s.tokens.verify(ctx, accessToken)
}

// RotateSigningKey makes a new key that signs from now on; tokens of the older
// ones stay good. Other nodes learn it when they meet its first token.
func (s *Service) RotateSigningKey(ctx context.Context) error {
	return s.tokens.ring.rotate(ctx)
}
