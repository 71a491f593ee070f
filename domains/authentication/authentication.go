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
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
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
	// ErrIdentityTaken says that a learner is known by this identity already.
	ErrIdentityTaken = errors.New("identity is known already")
	// ErrUserExists says that another service has an account with this e-mail.
	ErrUserExists = errors.New("the user exists")
	// ErrEmailTaken says that an account with this e-mail exists.
	ErrEmailTaken = fault.New(fault.EmailTaken, "This e-mail cannot be used for a new account.")
)

var (
	errCredentials     = fault.New(fault.InvalidCredentials, "E-mail or password is wrong.")
	errUnauthenticated = fault.New(fault.Unauthenticated, "Sign in first.")
	errExpired         = fault.New(fault.TokenExpired, "The token has expired.")
	errDisabled        = fault.New(fault.AccountDisabled, "This account was deactivated; ask support to bring it back.")
	errLink            = fault.New(fault.LinkInvalid, "This link was used, replaced or is too old; ask for a new one.")
	errElsewhere       = fault.New(fault.ExternalAccount, "Another service signs you in; change this there.")
	errNoPasswords     = fault.New(fault.ExternalAccount, "This server takes no passwords; sign in at the service that keeps your account.")
	errJoin            = fault.New(fault.EmailTaken, "Another account here has your e-mail. The two are not joined by themselves; sign in to that one, or ask support.")
	errReused          = fault.New(fault.RefreshReused, "This refresh token was used before; sign in again.")
)

// Repository keeps the accounts.
type Repository interface {
	// Register stores a new learner with the first family and its first token,
	// or none of them; ErrEmailTaken when the e-mail is in use. Without a
	// family (nil) the learner signs in later. also runs in the same
	// transaction, and its error stores nothing.
	Register(ctx context.Context, l *Learner, f *Family, token TokenHash, also func(context.Context) error) error
	// ByID and ByEmail answer ErrNoLearner when there is none.
	ByID(ctx context.Context, id LearnerID) (*Learner, error)
	ByEmail(ctx context.Context, email string) (*Learner, error)
	// Update reads a learner under a lock, lets fn change it, and stores it.
	// What fn does with its context, on this store or another, is part of the
	// same transaction; an error of fn stores nothing and is returned. now is
	// the store's own clock. ErrNoLearner when there is none, ErrEmailTaken
	// when the new e-mail is in use.
	Update(ctx context.Context, id LearnerID, fn func(ctx context.Context, l *Learner, now time.Time) error) error
	// Learners lists accounts, newest first, from before the given one ("" for
	// the newest); email narrows to those whose address begins so.
	Learners(ctx context.Context, email string, before LearnerID, limit int) ([]*Learner, error)
	// Unconfirmed lists accounts that wait for their confirmation since before a
	// time and have no link that works at now, oldest first.
	Unconfirmed(ctx context.Context, before, now time.Time, limit int) ([]LearnerID, error)
	// Remove deletes the account with its logins and secrets. Call it in an
	// Update of the same learner, after EndLogins.
	Remove(ctx context.Context, id LearnerID) error
}

// Families keeps the logins.
type Families interface {
	// StartFamily stores a new family with its first token, "" for none.
	StartFamily(ctx context.Context, f *Family, token TokenHash) error
	// UseToken finds the family of a token, locks it, calls fn once with the
	// token's generation and the store's own clock (one clock for all nodes),
	// and stores the family and the token that fn returns, if any, in one
	// transaction. It answers ErrNoToken for a token that is not known.
	UseToken(ctx context.Context, token TokenHash, fn func(f *Family, generation int64, now time.Time) *TokenHash) error
	// Logins are the learner's families that can still be used, newest first.
	Logins(ctx context.Context, learner LearnerID) ([]*Family, error)
	// EndLogin ends one family of a learner; false when there is none that
	// lives.
	EndLogin(ctx context.Context, learner LearnerID, id FamilyID, reason string) (bool, error)
	// EndLogins ends all of a learner's families but one ("" for none) and
	// tells which; it also sets TokensFrom of all the learner's identities. Call it in an Update of that learner, so that none begins
	// meanwhile.
	EndLogins(ctx context.Context, learner LearnerID, but FamilyID, reason string) ([]FamilyID, error)
	// Ended lists the logins ended since a time, and the store's clock.
	Ended(ctx context.Context, since time.Time) ([]Ended, time.Time, error)
	// Sweep forgets what has no meaning any more, a bounded part of it in each
	// call.
	Sweep(ctx context.Context, before SweepBefore) (Swept, error)
}

// Ended is a login that was ended before its time.
type Ended struct {
	Learner LearnerID
	Family  FamilyID
	At      time.Time
}

// Keys keeps the signing keys for all nodes.
type Keys interface {
	// SigningKeys are all keys, oldest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddSigningKey answers ErrKeyExists when the key's number is taken.
	AddSigningKey(ctx context.Context, k SigningKey) error
	// RemoveSigningKeys deletes the keys with smaller numbers than n.
	RemoveSigningKeys(ctx context.Context, n int64) error
}

// Store is everything this package keeps in SQL.
type Store interface {
	Repository
	Families
	Secrets
	Keys
	Identities
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
	// Closer ends what hangs on logins that were ended [nobody].
	Closer Closer
	// Events records what happened, in the transaction in which it did
	// [events.Discard].
	Events events.Recorder
	// Mailer sends mail [nothing is sent]; PublicURL is the address of the
	// page, scheme://host[:port], where the links in mails lead.
	Mailer    Mailer
	PublicURL string
	// ConfirmSignUp makes an account usable only once its address was proven
	// by mail, and sign-up answers the same for every address.
	ConfirmSignUp bool
	// KeyRotation is the age at which the newest signing key gets a successor
	// [never].
	KeyRotation time.Duration
	// Attempts counts attempts for all nodes [each node counts alone]; Guarded
	// is told what guards do: rule is login, mail or sign_up, what GuardRefused
	// or GuardAlone [nobody is told].
	Attempts Attempts
	Guarded  func(rule, what string)
	// KeepLogins is how long a login that ended or expired is remembered, so
	// that its tokens are told from made-up ones [7 days]; KeepUnconfirmed how
	// long an account that was never confirmed is kept [for ever].
	KeepLogins, KeepUnconfirmed time.Duration
	// Holders keep personal data besides this package, in the order of an
	// export.
	Holders []NamedHolder
	// AnswerAfter is how long an answer that must not tell whether an account
	// exists takes at least [400 ms; negative: no time].
	AnswerAfter time.Duration
	// Foreign is another issuer whose access tokens are believed [none].
	Foreign Issuer
	// Passwords is who keeps the passwords of sign-up and login in our place;
	// it needs Foreign, whose tokens it hands out [we do].
	Passwords Passwords
	// NoPasswords lets nobody sign up or in by password: only Foreign does.
	NoPasswords bool
	// Registerer gets the metrics [none].
	Registerer prometheus.Registerer
}

// Closer ends the connections of a login: of all the learner's logins where
// family is "". It is called after the commit and again by every node that
// learns of the end, so it must bear repetition.
type Closer interface {
	LoginEnded(learner LearnerID, family FamilyID)
}

// CloserFunc is a function as Closer.
type CloserFunc func(learner LearnerID, family FamilyID)

// LoginEnded calls f.
func (f CloserFunc) LoginEnded(learner LearnerID, family FamilyID) { f(learner, family) }

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	store  Store
	hasher *hasher
	tokens *issuer
	// guard slows guessing of passwords down, mails requests for mails,
	// signUps trying addresses out.
	guard, mails, signUps *guard

	cfg    Config
	now    func() time.Time
	log    *slog.Logger
	events events.Recorder
	ended  *endedLogins
	// admitted is which logins the access tokens of the other issuer belong to.
	admitted *resilience.Cache[admission]
}

// New makes a Service; the first node to come makes the signing key.
func New(ctx context.Context, store Store, cfg Config) (*Service, error) {
	if cfg.Passwords != nil && cfg.Foreign == nil {
		return nil, errors.New("authentication: Passwords needs Foreign, whose tokens it hands out")
	}
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
	if cfg.KeepLogins == 0 {
		cfg.KeepLogins = 7 * 24 * time.Hour
	}
	if cfg.AnswerAfter == 0 {
		cfg.AnswerAfter = 400 * time.Millisecond
	}
	if cfg.Mailer == nil {
		cfg.Mailer = MailerFunc(func(context.Context, Mail) error { return nil })
	}
	if cfg.Events == nil {
		cfg.Events = events.Discard
	}
	if cfg.Closer == nil {
		cfg.Closer = CloserFunc(func(LearnerID, FamilyID) {})
	}
	h, err := newHasher(cfg.Hash, cfg.HashesAtOnce, cfg.HashQueue)
	if err != nil {
		return nil, err
	}
	ring, err := newRing(ctx, store, cfg.Now)
	if err != nil {
		return nil, err
	}
	s := &Service{
		store:  store,
		hasher: h,
		tokens: &issuer{ring: ring, iss: cfg.Issuer, aud: cfg.Audience, now: cfg.Now},
		guard:  newGuard(loginRule, shared{cfg.Attempts, "login", cfg.Guarded}), mails: newGuard(mailRule, shared{cfg.Attempts, "mail", cfg.Guarded}),
		signUps: newGuard(signUpRule, shared{cfg.Attempts, "sign_up", cfg.Guarded}),
		cfg:     cfg,
		now:     cfg.Now,
		log:     cfg.Log,
		events:  cfg.Events,
		ended:   newEndedLogins(cfg.Closer),
	}
	if cfg.Foreign != nil {
		s.admitted = newAdmissions(cfg.Registerer)
	}
	if err := s.lookEnded(ctx); err != nil {
		return nil, fmt.Errorf("ended logins: %w", err)
	}
	return s, nil
}

// Verify checks an access token without SQL and without Redis, except when
// the token names a signing key that this node has not seen yet. A token of a
// login that was ended is refused as soon as this node knows; Run learns it.
// Failures are token_expired and unauthenticated; for a token of another
// issuer also what Issuer says, account_disabled and email_taken.
func (s *Service) Verify(ctx context.Context, accessToken string) (Identity, error) {
	if s.cfg.Foreign != nil && issuerOf(accessToken) == s.cfg.Foreign.Name() {
		return s.verifyForeign(ctx, accessToken)
	}
	id, err := s.tokens.verify(ctx, accessToken)
	if err == nil && s.ended.has(id.SessionFamily) {
		return Identity{}, errUnauthenticated
	}
	return id, err
}
