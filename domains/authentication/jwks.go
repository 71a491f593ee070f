package authentication

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"time"
)

// JWK is a public key in the form of RFC 7517 and RFC 8037.
type JWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	KID string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
}

// The states of a signing key.
const (
	KeyAnnounced = "announced"
	KeySigning   = "signing"
	KeyVerifying = "verifying"
	KeyRetired   = "retired"
)

// KeyView is a signing key for operators.
type KeyView struct {
	N         int64     `json:"n"`
	KID       string    `json:"kid"`
	State     string    `json:"state"`
	CreatedAt time.Time `json:"created_at"`
	SignsFrom time.Time `json:"signs_from"`
	// VerifiesUntil is zero while no later key is to sign.
	VerifiesUntil time.Time `json:"verifies_until,omitzero"`
}

// PublicKeys are the keys that tokens of this issuer may be signed with now
// and during the next KeyAnnounce, oldest first.
func (s *Service) PublicKeys() []JWK {
	r := s.tokens.ring
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]JWK, 0, len(r.keys))
	for i, k := range r.keys {
		public, ok := k.Private.Public().(ed25519.PublicKey)
		if !ok || r.retired(i) {
			continue
		}
		out = append(out, JWK{Kty: "OKP", Crv: "Ed25519", X: base64.RawURLEncoding.EncodeToString(public), KID: k.KID, Use: "sig", Alg: "EdDSA"})
	}
	return out
}

// SigningKeys lists the keys with their states, oldest first.
func (s *Service) SigningKeys() []KeyView {
	r := s.tokens.ring
	signer := r.signer()
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]KeyView, len(r.keys))
	for i, k := range r.keys {
		v := KeyView{N: k.N, KID: k.KID, CreatedAt: k.CreatedAt, SignsFrom: k.signsFrom(), VerifiesUntil: r.verifiesUntil(i)}
		switch {
		case k.N == signer.N:
			v.State = KeySigning
		case k.N > signer.N:
			v.State = KeyAnnounced
		case r.retired(i):
			v.State = KeyRetired
		default:
			v.State = KeyVerifying
		}
		out[i] = v
	}
	return out
}

// RotateSigningKey makes a new key. It signs after KeyAnnounce, on every node;
// the older ones verify until their last token has ended.
func (s *Service) RotateSigningKey(ctx context.Context) error {
	return s.tokens.ring.rotate(ctx, false)
}

// ReplaceSigningKeys is for a key that became known: a new one signs at once,
// and all others are deleted. Every node refuses their tokens within 30 s;
// who is signed in gets new ones by the refresh token.
func (s *Service) ReplaceSigningKeys(ctx context.Context) error {
	r := s.tokens.ring
	before := r.newest().N
	if err := r.rotate(ctx, true); err != nil {
		return err
	}
	if n := r.newest().N; n > before {
		if err := s.store.RemoveSigningKeys(ctx, n); err != nil {
			return fmt.Errorf("replace signing keys: %w", err)
		}
	}
	return r.load(ctx)
}

// tendKeys reads the keys anew, makes a successor for one that is old enough,
// and deletes what is retired.
func (s *Service) tendKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	r := s.tokens.ring
	if err := r.load(ctx); err != nil {
		return err
	}
	if age := s.now().Sub(r.newest().CreatedAt); s.cfg.KeyRotation > 0 && age >= s.cfg.KeyRotation {
		if err := r.rotate(ctx, false); err != nil {
			return err
		}
		s.log.InfoContext(ctx, "signing key rotated", "kid", r.newest().KID)
	}
	var keep int64
	for _, k := range s.SigningKeys() {
		if k.State == KeyRetired {
			keep = k.N + 1
		}
	}
	if keep == 0 {
		return nil
	}
	if err := s.store.RemoveSigningKeys(ctx, keep); err != nil {
		return err
	}
	return r.load(ctx)
}
