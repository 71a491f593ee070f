package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc/standin"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const jwks = "/.well-known/jwks.json"

// clock runs as fast as the test wants, from now.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func issuer(t *testing.T) *standin.Server {
	t.Helper()
	s := standin.Start()
	t.Cleanup(s.Close)
	return s
}

func verifier(t *testing.T, s *standin.Server, change ...func(*oidc.Config)) (*oidc.Verifier, *clock) {
	t.Helper()
	c := &clock{}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	cfg := oidc.Config{Issuer: s.Issuer, Audience: standin.Audience, Now: c.now, Transport: tr, Log: slog.New(slog.DiscardHandler),
		Guard: resilience.New(resilience.Config{Service: "oidc", Attempts: 1, Attempt: 30 * time.Second, Failures: 1000})}
	for _, fn := range change {
		fn(&cfg)
	}
	v, err := oidc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v, c
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); err == nil || got != want {
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
}

type claims = map[string]any

func TestAGoodToken(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, _ := verifier(t, s)
	got, err := v.Verify(t.Context(), s.Access("auth0|1", claims{"sid": "s-1", "email": "Ana@Example.com", "email_verified": true, "name": "Ana", "aud": []string{"other", standin.Audience}}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != s.Issuer || got.Subject != "auth0|1" || got.Session != "s-1" || got.Email != "Ana@Example.com" || !got.EmailVerified || got.Name != "Ana" || got.Role != "" {
		t.Fatalf("got %+v", got)
	}
	if left := time.Until(got.ExpiresAt); left < 50*time.Minute || left > time.Hour {
		t.Fatalf("expires in %v", left)
	}
}

// The whole list of what is wrong with a token, each with its code. No token
// of the list may cause more than the first look at the issuer.
func TestBadTokens(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, _ := verifier(t, s)
	good := s.Access("auth0|1", nil)
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	hmac := func() string {
		tok := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": s.Issuer, "aud": standin.Audience, "sub": "x", "iat": now, "exp": now + 60})
		tok.Header["kid"] = "key-1"
		out, err := tok.SignedString([]byte("the public key, as some would have it"))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	none := func() string {
		tok := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": s.Issuer, "aud": standin.Audience, "sub": "x", "iat": now, "exp": now + 60})
		tok.Header["kid"] = "key-1"
		out, err := tok.SignedString(jwt.UnsafeAllowNoneSignatureType)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	head := func(h claims) string {
		return s.Sign(jwt.MapClaims{"iss": s.Issuer, "aud": standin.Audience, "sub": "x", "iat": now, "exp": now + 60}, h)
	}
	parts := strings.Split(good, ".")
	for name, tc := range map[string]struct {
		token string
		code  fault.Code
	}{
		"nothing":                   {"", fault.Unauthenticated},
		"garbage":                   {"a.b.c", fault.Unauthenticated},
		"too long":                  {good + strings.Repeat("x", 8<<10), fault.Unauthenticated},
		"expired":                   {s.Access("x", claims{"iat": now - 100, "exp": now - 10}), fault.TokenExpired},
		"expired, other audience":   {s.Access("x", claims{"aud": "other", "exp": now - 10}), fault.Unauthenticated},
		"without end":               {s.Access("x", claims{"exp": nil}), fault.Unauthenticated},
		"from the future":           {s.Access("x", claims{"iat": now + 120}), fault.Unauthenticated},
		"not yet":                   {s.Access("x", claims{"nbf": now + 120}), fault.Unauthenticated},
		"without iat":               {s.Access("x", claims{"iat": nil}), fault.Unauthenticated},
		"for a year":                {s.Access("x", claims{"exp": now + 365*24*3600}), fault.Unauthenticated},
		"issuer without slash":      {s.Access("x", claims{"iss": s.URL}), fault.Unauthenticated},
		"issuer in capitals":        {s.Access("x", claims{"iss": strings.ToUpper(s.Issuer)}), fault.Unauthenticated},
		"no issuer":                 {s.Access("x", claims{"iss": nil}), fault.Unauthenticated},
		"other audience":            {s.Access("x", claims{"aud": "https://other.example.com"}), fault.Unauthenticated},
		"audience is a prefix":      {s.Access("x", claims{"aud": standin.Audience + "/"}), fault.Unauthenticated},
		"no audience":               {s.Access("x", claims{"aud": nil}), fault.Unauthenticated},
		"no subject":                {s.Access("", nil), fault.Unauthenticated},
		"long subject":              {s.Access(strings.Repeat("x", 256), nil), fault.Unauthenticated},
		"an ID token":               {s.Access("x", claims{"aud": standin.ClientID, "nonce": "n"}), fault.Unauthenticated},
		"an ID token with our name": {s.Access("x", claims{"nonce": "n"}), fault.Unauthenticated},
		"an ID token by Keycloak":   {s.Access("x", claims{"typ": "ID"}), fault.Unauthenticated},
		"an ID token by Cognito":    {s.Access("x", claims{"token_use": "id"}), fault.Unauthenticated},
		"a logout token":            {head(claims{"typ": "logout+jwt"}), fault.Unauthenticated},
		"crit":                      {head(claims{"crit": []string{"x"}}), fault.Unauthenticated},
		"kid is a number":           {head(claims{"kid": 7}), fault.Unauthenticated},
		"long kid":                  {head(claims{"kid": strings.Repeat("k", 257)}), fault.Unauthenticated},
		"none":                      {none(), fault.Unauthenticated},
		"HS256":                     {hmac(), fault.Unauthenticated},
		"a stranger's key": {standin.Sign(jwt.MapClaims{"iss": s.Issuer, "aud": standin.Audience, "sub": "x", "iat": now, "exp": now + 60},
			jwt.SigningMethodRS256, "key-1", stranger, claims{"jku": "https://evil.example.com/keys"}), fault.Unauthenticated},
		"other alg than the key's": {standin.Sign(jwt.MapClaims{"iss": s.Issuer, "aud": standin.Audience, "sub": "x", "iat": now, "exp": now + 60},
			jwt.SigningMethodPS256, "key-9", stranger, nil), fault.Unauthenticated},
		"changed payload": {parts[0] + "." + parts[1][:len(parts[1])-2] + "AA." + parts[2], fault.Unauthenticated},
		"cut signature":   {good[:len(good)-8], fault.Unauthenticated},
	} {
		_, err := v.Verify(t.Context(), tc.token)
		if got := fault.CodeOf(err); err == nil || got != tc.code {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, tc.code)
		}
	}
	if n := s.Calls(jwks); n > 2 { // the first, and that of the kid which nobody knows
		t.Errorf("the list caused %d reads of the keys", n)
	}
	for typ, ok := range map[any]bool{"JWT": true, "at+jwt": true, "application/at+jwt": true, "AT+JWT": true, nil: true, "dpop+jwt": false} {
		if _, err := v.Verify(t.Context(), head(claims{"typ": typ})); (err == nil) != ok {
			t.Errorf("typ %v: got %v", typ, err)
		}
	}
}

// JWKS were fetched on every request once; a thousand tokens read them once.
func TestKeysAreReadOnce(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, _ := verifier(t, s)
	token := s.Access("auth0|1", nil)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 10 {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, d := s.Calls(jwks), s.Calls("/.well-known/openid-configuration"); n != 1 || d != 1 {
		t.Fatalf("1000 tokens cost %d reads of the keys and %d of the discovery document", n, d)
	}
}

func TestARotatedKeyIsFoundAndAWithdrawnOneGoes(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, c := verifier(t, s, func(c *oidc.Config) { c.Fresh = time.Millisecond })
	old := s.Access("auth0|1", nil)
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.Rotate()
	before := s.Calls(jwks)
	var wg sync.WaitGroup
	token := s.Access("auth0|1", nil)
	for range 50 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Errorf("a token of the new key: %v", err)
			}
		})
	}
	wg.Wait()
	if n := s.Calls(jwks) - before; n != 1 {
		t.Errorf("the new key cost %d reads", n)
	}
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatalf("the old key is published still: %v", err)
	}
	s.Withdraw()
	run(t, v)
	testenv.Eventually(t, time.Minute, func() error {
		c.advance(time.Second)
		if _, err := v.Verify(t.Context(), old); fault.CodeOf(err) != fault.Unauthenticated {
			return fmt.Errorf("a token of the withdrawn key: %w", err)
		}
		return nil
	})
}

func run(t *testing.T, v *oidc.Verifier) {
	t.Helper()
	ctx := t.Context()
	var wg sync.WaitGroup
	wg.Go(func() { v.Run(ctx) })
	t.Cleanup(wg.Wait)
}

// Made-up key ids cost a few looks, then none until time has passed; tokens
// with known keys do not notice.
func TestMadeUpKeysAreBounded(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, c := verifier(t, s)
	good := s.Access("auth0|1", nil)
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	stop := c.now() // the clock stands nearly still: looks come back after 15 s only
	made := func(n int) string {
		return s.Sign(jwt.MapClaims{"iss": s.Issuer, "aud": standin.Audience, "sub": "x", "iat": stop.Unix(), "exp": stop.Unix() + 3000}, claims{"kid": fmt.Sprint("made-up-", n)})
	}
	codes := map[fault.Code]int{}
	for n := range 200 {
		_, err := v.Verify(t.Context(), made(n))
		codes[fault.CodeOf(err)]++
		if f := fault.Of(err); f.Code == fault.DependencyUnavailable && f.RetryAfterMS < 1000 {
			t.Fatalf("no advice: %+v", f)
		}
	}
	most := 4 + int(time.Since(stop)/(15*time.Second)) + 1
	if n := s.Calls(jwks); n > most {
		t.Fatalf("200 made-up keys cost %d reads, at most %d are allowed", n, most)
	}
	if codes[fault.Unauthenticated] == 0 || codes[fault.DependencyUnavailable] < 100 {
		t.Fatalf("got %v", codes)
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	s.Rotate()
	c.advance(20 * time.Second)
	if _, err := v.Verify(t.Context(), s.Access("auth0|1", nil)); err != nil {
		t.Fatalf("after a while a real new key is found: %v", err)
	}
}

// While the issuer is down known keys go on, and what would need it says 503
// with advice; nobody is told to sign in again.
func TestTheIssuerIsAway(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, c := verifier(t, s, func(c *oidc.Config) { c.Looks = 100 })
	for name, f := range map[string]standin.Fault{"down": {Down: true}, "500": {Status: 500}, "busy": {Status: 429, RetryAfter: 40}, "nonsense": {Status: 200, Body: "<html>"}, "no keys": {Status: 200, Body: `{"keys":[]}`}} {
		s.Break("*", f)
		_, err := v.Verify(t.Context(), s.Access("auth0|1", nil))
		wantCode(t, err, fault.DependencyUnavailable)
		if ms := fault.Of(err).RetryAfterMS; ms < 1000 || f.RetryAfter > 0 && ms < 40_000 {
			t.Errorf("%s: advice is %d ms", name, ms)
		}
	}
	s.Heal()
	token := s.Access("auth0|1", claims{"exp": time.Now().Add(40 * time.Hour).Unix()})
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatalf("it is back: %v", err)
	}
	s.Break("*", standin.Fault{Down: true})
	for range 3 {
		c.advance(7 * time.Hour)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatalf("a known key: %v", err)
		}
	}
	c.advance(7 * time.Hour) // 28 hours: a key that long unseen may have been taken back
	_, err := v.Verify(t.Context(), token)
	wantCode(t, err, fault.DependencyUnavailable)
}

func TestDiscoveryIsNotBelievedBlindly(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, _ := verifier(t, s, func(c *oidc.Config) { c.Looks = 100 })
	s.CallItself(s.URL) // the slash is missing
	_, err := v.Verify(t.Context(), s.Access("x", nil))
	wantCode(t, err, fault.DependencyUnavailable)
	if !strings.Contains(err.Error(), "byte for byte") {
		t.Errorf("it does not say why: %v", err)
	}
	s.CallItself("")
	for _, at := range []string{"http://169.254.169.254/keys", "file:///etc/passwd", "", "https://u:p@h/keys"} {
		s.Break("/.well-known/openid-configuration", standin.Fault{Status: 200, Body: fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, s.Issuer, at)})
		_, err := v.Verify(t.Context(), s.Access("x", nil))
		wantCode(t, err, fault.DependencyUnavailable)
	}
	if n := s.Calls(jwks); n != 0 {
		t.Errorf("%d reads of keys", n)
	}
}

// One who goes away does not take the look from the others.
func TestALookIsShared(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, _ := verifier(t, s)
	open := make(chan struct{})
	s.Break(jwks, standin.Fault{Until: open})
	token := s.Access("auth0|1", nil)
	first, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := v.Verify(first, token); gone <- err }()
	testenv.EventuallyTrue(t, time.Minute, "the first look", func() bool { return s.Calls(jwks) == 1 })
	leave()
	if err := <-gone; err == nil {
		t.Fatal("who went away got an answer")
	}
	done := make(chan error, 1)
	go func() { _, err := v.Verify(t.Context(), token); done <- err }()
	close(open)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := s.Calls(jwks); n != 1 {
		t.Fatalf("%d looks", n)
	}
}

func TestOtherAlgorithms(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, _ := verifier(t, s)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	s.Break(jwks, standin.Fault{Status: 200, Body: fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","kid":"ec","x":%q,"y":%q},{"kty":"OKP","crv":"Ed25519","kid":"ed","x":%q}]}`,
		b64(raw[1:33]), b64(raw[33:]), b64(pub))})
	c := jwt.MapClaims{"iss": s.Issuer, "aud": standin.Audience, "sub": "x", "iat": time.Now().Unix(), "exp": time.Now().Unix() + 60}
	for name, token := range map[string]string{
		"ES256": standin.Sign(c, jwt.SigningMethodES256, "ec", ec, nil), "EdDSA": standin.Sign(c, jwt.SigningMethodEdDSA, "ed", ed, nil),
		"no kid, one key that fits": standin.Sign(c, jwt.SigningMethodEdDSA, "", ed, claims{"kid": nil}),
	} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = v.Verify(t.Context(), standin.Sign(c, jwt.SigningMethodEdDSA, "ec", ed, nil))
	wantCode(t, err, fault.Unauthenticated)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	const long = "https://fluentpro/roles"
	for _, tc := range []struct {
		claim string
		has   claims
		want  authentication.Role
	}{
		{"", claims{long: []string{"admin"}}, ""},
		{long, claims{}, authentication.RoleLearner},
		{long, claims{long: []string{"admin", "operator"}}, authentication.RoleAdmin},
		{long, claims{long: []any{7, "support"}}, authentication.RoleOperator},
		{long, claims{long: "operator learner"}, authentication.RoleLearner},
		{"realm_access.roles", claims{"realm_access": claims{"roles": []string{"support"}}}, authentication.RoleOperator},
		{"realm_access.roles", claims{"realm_access": []string{"admin"}}, authentication.RoleLearner},
		{long, claims{long: []string{"Admin", "administrator", ""}}, authentication.RoleLearner},
	} {
		v, _ := verifier(t, s, func(c *oidc.Config) { c.RolesClaim, c.Operators = tc.claim, []string{"support"} })
		got, err := v.Verify(t.Context(), s.Access("x", tc.has))
		if err != nil || got.Role != tc.want {
			t.Errorf("%q %v: got %q, %v, want %q", tc.claim, tc.has, got.Role, err, tc.want)
		}
	}
}

func TestIDTokensAndProfile(t *testing.T) {
	t.Parallel()
	s := issuer(t)
	v, _ := verifier(t, s)
	id := s.Access("auth0|1", claims{"aud": standin.ClientID, "nonce": "n-1", "email": "ana@example.com", "email_verified": "true"})
	got, err := v.VerifyID(t.Context(), id, standin.ClientID, "n-1")
	if err != nil || got.Email != "ana@example.com" || !got.EmailVerified {
		t.Fatalf("got %+v, %v", got, err)
	}
	for name, token := range map[string]string{
		"other nonce": s.Access("x", claims{"aud": standin.ClientID, "nonce": "n-2"}), "no nonce": s.Access("x", claims{"aud": standin.ClientID}),
		"an access token":   s.Access("x", claims{"nonce": "n-1"}),
		"two audiences":     s.Access("x", claims{"aud": []string{standin.ClientID, "other"}, "nonce": "n-1"}),
		"for somebody else": s.Access("x", claims{"aud": standin.ClientID, "azp": "other", "nonce": "n-1"}),
	} {
		if _, err := v.VerifyID(t.Context(), token, standin.ClientID, "n-1"); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}

	u := s.AddUser(standin.User{Email: "bo@example.com", Name: "Bo", Verified: true})
	token := s.Access(u.ID, nil)
	told, err := v.Profile(t.Context(), token, authentication.Claims{Subject: u.ID})
	if err != nil || told.Email != "bo@example.com" || !told.EmailVerified || told.Name != "Bo" {
		t.Fatalf("got %+v, %v", told, err)
	}
	told, err = v.Profile(t.Context(), token, authentication.Claims{Subject: "somebody else"})
	if err != nil || told.Email != "" {
		t.Fatalf("another's profile was taken: %+v, %v", told, err)
	}
	s.Break("/userinfo", standin.Fault{Status: 403})
	if told, err = v.Profile(t.Context(), token, authentication.Claims{Subject: u.ID}); err != nil || told.Email != "" {
		t.Fatalf("got %+v, %v", told, err)
	}
	s.Break("/userinfo", standin.Fault{Status: 503})
	_, err = v.Profile(t.Context(), token, authentication.Claims{Subject: u.ID})
	wantCode(t, err, fault.DependencyUnavailable)
}

func TestIssuersThatAreRefused(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{
		"https://tenant.eu.auth0.com/": true, "https://login.example.com/realms/x": true, "http://127.0.0.1:9/": true, "http://localhost/": true,
		"": false, "tenant.eu.auth0.com": false, "http://tenant.eu.auth0.com/": false, "https://tenant/?x=1": false, "https://tenant/?": false,
		"https://tenant/#": false, "https://u:p@tenant/": false, "ftp://tenant/": false,
	} {
		if err := oidc.CheckIssuer(in); (err == nil) != ok {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
