package authentication

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func b64(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestVerifyAsksNobody(t *testing.T) {
	t.Parallel()
	s, m, c := newTestService(t)
	up := mustSignUp(t, s)
	before := m.calls.Load()
	id, err := s.Verify(t.Context(), up.Tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if want := c.now().Add(AccessTTL).Truncate(time.Second); !id.ExpiresAt.Equal(want) {
		t.Fatalf("ends %v, want %v", id.ExpiresAt, want)
	}
	if n := m.calls.Load() - before; n != 0 {
		t.Fatalf("%d calls to the store", n)
	}
	c.advance(AccessTTL - time.Second)
	if _, err := s.Verify(t.Context(), up.Tokens.AccessToken); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Second)
	_, err = s.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.TokenExpired)
	c.advance(time.Hour)
	_, err = s.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.TokenExpired)
}

// TestForgedTokens changes one thing of a good token at a time.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	s, _, c := newTestService(t)
	up := mustSignUp(t, s)
	key := s.tokens.ring.signer()
	public := key.Private.Public().(ed25519.PublicKey)
	_, foreign, _ := ed25519.GenerateKey(nil)
	header := map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": key.KID}
	claims := map[string]any{
		"iss": "fluentpro", "aud": []string{"fluentpro-api"}, "sub": string(up.Learner.ID), "sid": "f",
		"iat": c.now().Unix(), "exp": c.now().Add(time.Minute).Unix(),
	}
	with := func(m map[string]any, k string, v any) map[string]any {
		m = maps.Clone(m)
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
		return m
	}
	sign := func(h, cl map[string]any, k ed25519.PrivateKey) string {
		body := b64(h) + "." + b64(cl)
		return body + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k, []byte(body)))
	}
	if _, err := s.Verify(t.Context(), sign(header, claims, key.Private)); err != nil {
		t.Fatalf("the unchanged token must pass: %v", err)
	}
	mac := func(h map[string]any, secret []byte) string {
		body := b64(h) + "." + b64(claims)
		w := hmac.New(sha256.New, secret)
		w.Write([]byte(body))
		return body + "." + base64.RawURLEncoding.EncodeToString(w.Sum(nil))
	}
	good := sign(header, claims, key.Private)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"empty":             "",
		"no token":          "abc",
		"dots":              strings.Repeat(".", 8000),
		"long":              strings.Repeat("a", maxAccessToken+1),
		"refresh token":     up.Tokens.RefreshToken,
		"no signature":      parts[0] + "." + parts[1] + ".",
		"bent signature":    parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86),
		"other claims":      parts[0] + "." + b64(with(claims, "sub", "somebody")) + "." + parts[2],
		"foreign key":       sign(header, claims, foreign),
		"alg none":          b64(with(header, "alg", "none")) + "." + parts[1] + ".",
		"alg None":          b64(with(header, "alg", "None")) + "." + parts[1] + ".",
		"hs256, public key": mac(with(header, "alg", "HS256"), public),
		"hs256, empty key":  mac(with(header, "alg", "HS256"), nil),
		"alg RS256":         sign(with(header, "alg", "RS256"), claims, key.Private),
		"no kid":            sign(with(header, "kid", nil), claims, key.Private),
		"kid a number":      sign(with(header, "kid", 1), claims, key.Private),
		"kid a path":        sign(with(header, "kid", "../../dev/null"), claims, key.Private),
		"kid long":          sign(with(header, "kid", strings.Repeat("k", 65)), claims, key.Private),
		"typ JWT":           sign(with(header, "typ", "JWT"), claims, key.Private),
		"no typ":            sign(with(header, "typ", nil), claims, key.Private),
		"crit":              sign(with(header, "crit", []string{"exp"}), claims, key.Private),
		"jwk in header":     sign(with(with(header, "kid", "x"), "jwk", map[string]string{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(foreign.Public().(ed25519.PublicKey))}), claims, foreign),
		"no iss":            sign(header, with(claims, "iss", nil), key.Private),
		"iss with a slash":  sign(header, with(claims, "iss", "fluentpro/"), key.Private),
		"no aud":            sign(header, with(claims, "aud", nil), key.Private),
		"other aud":         sign(header, with(claims, "aud", "web"), key.Private),
		"no sub":            sign(header, with(claims, "sub", nil), key.Private),
		"no sid":            sign(header, with(claims, "sid", nil), key.Private),
		"no exp":            sign(header, with(claims, "exp", nil), key.Private),
		"exp text":          sign(header, with(claims, "exp", "tomorrow"), key.Private),
		"no iat":            sign(header, with(claims, "iat", nil), key.Private),
		"iat in the future": sign(header, with(claims, "iat", c.now().Add(2*time.Minute).Unix()), key.Private),
		"nbf in the future": sign(header, with(claims, "nbf", c.now().Add(2*time.Minute).Unix()), key.Private),
		"expired, not ours": sign(header, with(with(claims, "exp", c.now().Add(-time.Hour).Unix()), "iss", "x"), key.Private),
		"expired, forged":   sign(header, with(claims, "exp", c.now().Add(-time.Hour).Unix()), foreign),
	} {
		if _, err := s.Verify(t.Context(), token); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("%s: got %v, want unauthenticated", name, err)
		}
	}
}

func TestNodesStartingAtOnceShareAKey(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newMemory(c.now)
	nodes := make([]*Service, 10)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			s, err := New(t.Context(), m, Config{Hash: cheap, Now: c.now})
			if err != nil {
				t.Error(err)
				return
			}
			nodes[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if len(m.keys) != 1 {
		t.Fatalf("%d keys, want 1", len(m.keys))
	}
	token := mustSignUp(t, nodes[0]).Tokens.AccessToken
	for _, n := range nodes {
		if _, err := n.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewKeyIsLearned(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newMemory(c.now)
	a, b := serviceOn(t, m, c), serviceOn(t, m, c)
	up := mustSignUp(t, a)
	if err := a.RotateSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.advance(KeyAnnounce)
	fresh := mustRefreshAccess(t, a, up.Tokens.RefreshToken)
	var wg sync.WaitGroup
	before := m.calls.Load()
	for range 50 {
		wg.Go(func() {
			if _, err := b.Verify(t.Context(), fresh); err != nil {
				t.Errorf("the new key's token is refused: %v", err)
			}
		})
	}
	wg.Wait()
	if n := m.calls.Load() - before; n != 1 {
		t.Fatalf("%d looks, want 1", n)
	}
	if _, err := b.Verify(t.Context(), up.Tokens.AccessToken); err != nil {
		t.Fatalf("the old key's token is refused: %v", err)
	}
	if err := b.RotateSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.tokens.ring.newest().N; n != 3 {
		t.Fatalf("key %d is the newest, want 3", n)
	}
}

func mustRefreshAccess(t *testing.T, s *Service, token string) string {
	t.Helper()
	out, err := s.Refresh(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return out.Tokens.AccessToken
}

func TestMadeUpKidsCostOneLook(t *testing.T) {
	t.Parallel()
	s, m, c := newTestService(t)
	_, foreign, _ := ed25519.GenerateKey(nil)
	before := m.calls.Load()
	for i := range 2000 {
		body := b64(map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": fmt.Sprint(i)}) + "." + b64(map[string]any{"sub": "x"})
		_, err := s.Verify(t.Context(), body+"."+base64.RawURLEncoding.EncodeToString(ed25519.Sign(foreign, []byte(body))))
		wantCode(t, err, fault.Unauthenticated)
	}
	if n := m.calls.Load() - before; n != 1 {
		t.Fatalf("%d looks, want 1", n)
	}
	// While storage is down, an unknown key is a storage failure, not a forgery.
	c.advance(ringEvery)
	down := errDown
	m.broken.Store(&down)
	body := b64(map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": "new"}) + "." + b64(map[string]any{"sub": "x"})
	_, err := s.Verify(t.Context(), body+"."+base64.RawURLEncoding.EncodeToString(ed25519.Sign(foreign, []byte(body))))
	if !errors.Is(err, errDown) {
		t.Fatalf("got %v, want the storage failure", err)
	}
}
