package authentication

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// FamilyID names a login.
type FamilyID string

// The reasons why a family was revoked.
const (
	RevokedLogout      = "logout"
	RevokedReuse       = "reuse"
	RevokedPassword    = "password"
	RevokedDeactivated = "deactivated"
	RevokedRole        = "role"
	RevokedErased      = "erased"
)

// Family is one login: the chain of refresh tokens that grew from it. Its
// generation counts the replacements; a token of the current generation may be
// used, one of the generation before for RefreshOverlap only. Tokens handed
// out within the overlap are siblings of one generation, so that a client
// whose answers arrived in the wrong order is not taken for a thief.
type Family struct {
	rec FamilyRecord
}

// FamilyRecord is what a store keeps of a Family.
type FamilyRecord struct {
	ID      FamilyID
	Learner LearnerID
	// Device is what the client called itself when it signed in.
	Device     string
	Generation int64
	CreatedAt  time.Time
	RotatedAt  time.Time
	ExpiresAt  time.Time
	IdleUntil  time.Time
	// RevokedAt is zero while the family lives.
	RevokedAt  time.Time
	RevokedFor string
	// Issuer is another issuer whose login this is, "" for our own.
	Issuer string
}

func newFamily(learner LearnerID, device string, now time.Time) *Family {
	return &Family{FamilyRecord{
		ID: FamilyID(uuid.Must(uuid.NewV7()).String()), Learner: learner, Device: deviceName(device), Generation: 1,
		CreatedAt: now, RotatedAt: now, ExpiresAt: now.Add(RefreshTTL), IdleUntil: now.Add(RefreshIdle),
	}}
}

// deviceName is what a client calls itself, cut and without what could play
// tricks in a list.
func deviceName(s string) string {
	const most = 120
	out, n := strings.Builder{}, 0
	for _, r := range s {
		if n == most {
			break
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		out.WriteRune(r)
		n++
	}
	return strings.TrimSpace(out.String())
}

// RehydrateFamily makes a Family of what a store kept; it checks nothing.
func RehydrateFamily(rec FamilyRecord) *Family { return &Family{rec} }

// Record is what a store keeps.
func (f *Family) Record() FamilyRecord { return f.rec }

// Use spends a token of a generation. When it returns nil the caller hands out
// a new token of the family's generation; the family is to be stored in either
// case, for a reuse has revoked it.
func (f *Family) Use(generation int64, now time.Time) error {
	switch {
	case f.rec.RevokedFor == RevokedReuse:
		return errReused
	case !f.rec.RevokedAt.IsZero():
		return errUnauthenticated
	case !now.Before(f.rec.ExpiresAt), !now.Before(f.rec.IdleUntil):
		return errExpired
	case generation == f.rec.Generation:
		f.rec.Generation++
		f.rec.RotatedAt = now
	case generation == f.rec.Generation-1 && now.Sub(f.rec.RotatedAt) <= RefreshOverlap:
	default:
		f.Revoke(RevokedReuse, now)
		return errReused
	}
	f.rec.IdleUntil = now.Add(RefreshIdle)
	if f.rec.IdleUntil.After(f.rec.ExpiresAt) {
		f.rec.IdleUntil = f.rec.ExpiresAt
	}
	return nil
}

// mayUse is Use for a token whose successor somebody else must make first: it
// changes the family only when that ends it.
func (f *Family) mayUse(generation int64, now time.Time) error {
	trial := *f
	err := trial.Use(generation, now)
	if err != nil {
		*f = trial
	}
	return err
}

// Revoke ends the family; the first reason stays.
func (f *Family) Revoke(reason string, now time.Time) {
	if f.rec.RevokedAt.IsZero() {
		f.rec.RevokedAt, f.rec.RevokedFor = now, reason
	}
}

// refreshLeft is how long a token handed out now works if it is not used.
func (f *Family) refreshLeft(now time.Time) time.Duration { return f.rec.IdleUntil.Sub(now) }

// TokenHash is the SHA-256 of a refresh token in hex. A slow hash would add
// nothing: the token is 256 random bits.
type TokenHash string

// maxRefreshToken is well over the 43 characters of a real one.
const maxRefreshToken = 128

func newRefreshToken() (token string, hash TokenHash) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	token = base64.RawURLEncoding.EncodeToString(b)
	return token, hashToken(token)
}

// hashToken is what a store keeps of a token, of a refresh or of a mail.
func hashToken(token string) TokenHash {
	sum := sha256.Sum256([]byte(token))
	return TokenHash(hex.EncodeToString(sum[:]))
}
