package authentication

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// states lists the keys' states, oldest first.
func states(s *Service) (out []string) {
	for _, k := range s.SigningKeys() {
		out = append(out, k.State)
	}
	return out
}

func wantStates(t *testing.T, s *Service, want ...string) {
	t.Helper()
	if got := states(s); !slices.Equal(got, want) {
		t.Fatalf("keys are %v, want %v", got, want)
	}
}

// kidOf is the key that a token says it was signed with.
func kidOf(t *testing.T, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := parsed.Header["kid"].(string)
	return kid
}

// TestLifeOfASigningKey: announced before it signs, verifying until its last
// token has ended, then gone.
func TestLifeOfASigningKey(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newMemory(c.now)
	a, b := serviceOn(t, m, c), serviceOn(t, m, c)
	mustSignUp(t, a)
	wantStates(t, a, KeySigning)
	first := a.SigningKeys()[0].KID
	if err := a.RotateSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStates(t, a, KeySigning, KeyAnnounced)
	wantStates(t, b, KeySigning) // it has not looked yet
	if err := b.tendKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStates(t, b, KeySigning, KeyAnnounced)
	if n := len(b.PublicKeys()); n != 2 {
		t.Fatalf("%d keys are published, want the announced one too", n)
	}
	second := a.SigningKeys()[1].KID
	c.advance(KeyAnnounce - time.Second)
	in, _ := mustLogin(t, a, "") // the last token of the first key
	if kidOf(t, in.Tokens.AccessToken) != first {
		t.Fatal("the new key signs before everybody can know it")
	}
	c.advance(time.Second)
	late, _ := mustLogin(t, b, "")
	if kidOf(t, late.Tokens.AccessToken) != second {
		t.Fatal("the new key does not sign")
	}
	wantStates(t, a, KeyVerifying, KeySigning)
	c.advance(AccessTTL - 2*time.Second)
	if _, err := a.Verify(t.Context(), in.Tokens.AccessToken); err != nil {
		t.Fatalf("the last token of the old key: %v", err)
	}
	c.advance(keyFarewell)
	wantStates(t, a, KeyRetired, KeySigning)
	if n := len(a.PublicKeys()); n != 1 {
		t.Fatalf("%d keys are published", n)
	}
	if err := a.tendKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(m.keys) != 1 || m.keys[0].N != 2 {
		t.Fatalf("kept %d keys, want the second", len(m.keys))
	}
	wantStates(t, a, KeySigning)
}

func TestKeyThatBecameKnownIsReplaced(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newMemory(c.now)
	a, b := serviceOn(t, m, c), serviceOn(t, m, c)
	up := mustSignUp(t, a)
	stolen := m.keys[0]
	if err := a.ReplaceSigningKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := a.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.Unauthenticated)
	if err := b.tendKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	forged, err := (&issuer{ring: &ring{keys: []SigningKey{stolen}, now: c.now}, iss: "fluentpro", aud: "fluentpro-api", now: c.now}).issue("somebody", "f", RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Verify(t.Context(), forged)
	wantCode(t, err, fault.Unauthenticated)
	// Who is signed in goes on by the refresh token.
	if _, err := b.Verify(t.Context(), mustRefreshAccess(t, a, up.Tokens.RefreshToken)); err != nil {
		t.Fatal(err)
	}
}

// TestPublishedKeysVerifyTokens as a foreign library reads them.
func TestPublishedKeysVerifyTokens(t *testing.T) {
	t.Parallel()
	s, _, _ := newTestService(t)
	up := mustSignUp(t, s)
	doc, err := json.Marshal(s.PublicKeys())
	if err != nil {
		t.Fatal(err)
	}
	var keys []map[string]string
	if err := json.Unmarshal(doc, &keys); err != nil || len(keys) != 1 {
		t.Fatalf("%s: %v", doc, err)
	}
	k := keys[0]
	if len(k) != 6 || k["kty"] != "OKP" || k["crv"] != "Ed25519" || k["use"] != "sig" || k["alg"] != "EdDSA" || k["kid"] != kidOf(t, up.Tokens.AccessToken) {
		t.Fatalf("got %v", k)
	}
	if k["d"] != "" || len(k["x"]) != 43 {
		t.Fatalf("got %v, want the public half only", k)
	}
}

// TestKeysRotateByThemselves within a node that runs.
func TestKeysRotateByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(time.Now)
		s, err := New(t.Context(), m, Config{Hash: cheap, KeyRotation: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		time.Sleep(time.Hour + KeyAnnounce + time.Minute)
		wantStates(t, s, KeyVerifying, KeySigning)
		time.Sleep(keyFarewell)
		wantStates(t, s, KeySigning)
		if n := m.keys[0].N; n != 2 {
			t.Fatalf("key %d signs, want 2", n)
		}
		stop()
		<-done
	})
}
