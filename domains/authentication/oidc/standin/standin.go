// Package standin is an identity provider for tests: an OpenID Connect issuer
// with the parts of Auth0 that are called here, over real HTTP and with real
// keys. It does what Auth0's documents say, rotation of refresh tokens with
// reuse detection included, and every fault that a test asks for.
package standin

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What clients of the stand-in are set up with.
const (
	Audience     = "https://api.fluentpro.test"
	ClientID     = "client-1"
	ClientSecret = "a-secret-of-the-client" //nolint:gosec // of nothing but this stand-in
	Connection   = "Username-Password-Authentication"
)

// Fault is how a path misbehaves.
type Fault struct {
	// Times is how often; 0 for until Heal.
	Times int
	// Status is the answer in place of the real one, 0 for the real one.
	Status int
	// Body and RetryAfter (seconds) go with Status.
	Body       string
	RetryAfter int
	// Until holds the answer back until it is closed.
	Until <-chan struct{}
	// Lost does the work and breaks the connection instead of answering.
	Lost bool
	// Down breaks the connection at once.
	Down bool
}

// Server is one running issuer. It is safe for concurrent use.
type Server struct {
	// URL has no slash at its end, Issuer has one, like Auth0's.
	URL, Issuer string
	http        *httptest.Server

	mu       sync.Mutex // guards the rest
	keys     []signer
	made     int
	users    map[string]*User // by e-mail
	chains   map[string]*chain
	managers map[string]time.Time
	calls    map[string]int
	faults   map[string]*Fault
	says     string // the issuer in the discovery document, "" for Issuer
	life     time.Duration
	quiet    bool // sign-ups of a taken e-mail are told as invalid_signup
	mails    []string
	sent     map[string]string
}

type signer struct {
	kid string
	key *rsa.PrivateKey
}

// User is an account at the issuer.
type User struct {
	ID, Email, Name, Password string
	Verified, Blocked, MFA    bool
	Metadata                  map[string]string
	Roles                     []string
}

// chain is one login at the issuer: its refresh tokens, of which one works.
type chain struct {
	user    string
	current string
	scope   string
	dead    bool
}

// Start runs a stand-in; Close ends it.
func Start() *Server {
	s := &Server{users: map[string]*User{}, chains: map[string]*chain{}, managers: map[string]time.Time{},
		calls: map[string]int{}, faults: map[string]*Fault{}, sent: map[string]string{}, life: time.Hour, quiet: true}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL, s.Issuer = s.http.URL, s.http.URL+"/"
	s.publish(firstKey())
	return s
}

// firstKey is every stand-in's first: making one takes longer than most tests.
var firstKey = sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

func (s *Server) publish(k *rsa.PrivateKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	s.keys = append(s.keys, signer{"key-" + strconv.Itoa(s.made), k})
}

// Close ends the stand-in.
func (s *Server) Close() { s.http.CloseClientConnections(); s.http.Close() }

// Rotate makes a new key sign; the old ones stay published.
func (s *Server) Rotate() { s.publish(newKey()) }

// Withdraw takes every key but the newest back.
func (s *Server) Withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = s.keys[len(s.keys)-1:]
}

// Break makes a path misbehave; "*" is every path.
func (s *Server) Break(path string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[path] = &f
}

// Heal ends all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// CallItself changes the issuer's name in the discovery document.
func (s *Server) CallItself(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says = name
}

// Life sets how long access tokens last from now on, management tokens too.
func (s *Server) Life(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = d
}

// Calls is how often a path was asked.
func (s *Server) Calls(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

// Mails are what would have been mailed: "verification <id>", "password <e-mail>".
func (s *Server) Mails() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mails...)
}

// Sent is the last form value or header that a path was given by name.
func (s *Server) Sent(path, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[path+" "+name]
}

// AddUser makes an account as the issuer's dashboard would.
func (s *Server) AddUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.add(u)
}

// Change changes a user.
func (s *Server) Change(email string, fn func(*User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(s.users[email])
}

// Users is how many accounts there are.
func (s *Server) Users() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.users)
}

func (s *Server) add(u User) *User {
	if u.ID == "" {
		s.made++
		u.ID = fmt.Sprintf("auth0|%024d", s.made)
	}
	s.users[u.Email] = &u
	return &u
}

// Access is a good access token for somebody, with more claims in place of or
// besides the usual ones; a nil value leaves one out.
func (s *Server) Access(subject string, more map[string]any) string {
	return s.Sign(s.claims(subject, Audience, more), nil)
}

func (s *Server) claims(subject, audience string, more map[string]any) jwt.MapClaims {
	now := time.Now()
	s.mu.Lock()
	life := s.life
	s.mu.Unlock()
	c := jwt.MapClaims{"iss": s.Issuer, "sub": subject, "aud": audience, "iat": now.Unix(), "exp": now.Add(life).Unix(), "jti": random()}
	maps.Copy(c, more)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

// Sign signs claims with the newest key; header replaces what is in the
// token's header, nil takes it out.
func (s *Server) Sign(c jwt.MapClaims, header map[string]any) string {
	s.mu.Lock()
	k := s.keys[len(s.keys)-1]
	s.mu.Unlock()
	return Sign(c, jwt.SigningMethodRS256, k.kid, k.key, header)
}

// Sign signs claims with any key.
func Sign(c jwt.MapClaims, method jwt.SigningMethod, kid string, key crypto.PrivateKey, header map[string]any) string {
	t := jwt.NewWithClaims(method, c)
	t.Header["kid"] = kid
	for name, v := range header {
		if t.Header[name] = v; v == nil {
			delete(t.Header, name)
		}
	}
	out, err := t.SignedString(key)
	if err != nil {
		panic(err)
	}
	return out
}

func random() string {
	b := make([]byte, 18)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls[r.URL.Path]++
	f := s.fault(r.URL.Path)
	s.mu.Unlock()
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case f.Down:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
		return
	}
	status, body := s.answer(r)
	if f.Lost {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

func (s *Server) fault(path string) Fault {
	for _, p := range []string{path, "*"} {
		f := s.faults[p]
		if f == nil {
			continue
		}
		out := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				delete(s.faults, p)
			}
		}
		return out
	}
	return Fault{}
}

func (s *Server) answer(r *http.Request) (int, any) {
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/openid-configuration":
		s.mu.Lock()
		defer s.mu.Unlock()
		issuer := s.Issuer
		if s.says != "" {
			issuer = s.says
		}
		return 200, map[string]any{"issuer": issuer, "jwks_uri": s.URL + "/.well-known/jwks.json", "userinfo_endpoint": s.URL + "/userinfo",
			"authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/oauth/token", "revocation_endpoint": s.URL + "/oauth/revoke",
			"id_token_signing_alg_values_supported": []string{"RS256"}}
	case "GET /.well-known/jwks.json":
		return 200, map[string]any{"keys": s.published()}
	case "GET /userinfo":
		return s.userInfo(r)
	case "POST /oauth/token":
		return s.token(r)
	case "POST /oauth/revoke":
		return s.revoke(r)
	case "POST /dbconnections/signup":
		return s.signUp(r)
	case "POST /dbconnections/change_password":
		return s.changePassword(r)
	}
	return s.management(r)
}

func (s *Server) published() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	// What a real issuer may publish besides, and nobody should stumble over.
	out := []map[string]any{{"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}, {"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB"}}
	for _, k := range s.keys {
		out = append(out, RSA(k.kid, &k.key.PublicKey))
	}
	return out
}

// RSA is a public key as it is published.
func RSA(kid string, p *rsa.PublicKey) map[string]any {
	enc := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": enc(p.N.Bytes()), "e": enc(big.NewInt(int64(p.E)).Bytes())}
}

// subject reads an access token of ours without a look at its times.
func (s *Server) subject(r *http.Request) (string, error) {
	h := r.Header.Get("Authorization")
	if len(h) < 8 {
		return "", errors.New("no token")
	}
	var c jwt.RegisteredClaims
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"})).ParseWithClaims(h[7:], &c, func(t *jwt.Token) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range s.keys {
			if k.kid == t.Header["kid"] {
				return &k.key.PublicKey, nil
			}
		}
		return nil, errors.New("no such key")
	})
	return c.Subject, err
}

func (s *Server) userInfo(r *http.Request) (int, any) {
	sub, err := s.subject(r)
	if err != nil {
		return 401, map[string]any{"error": "invalid_token"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		if u.ID == sub {
			return 200, map[string]any{"sub": sub, "email": u.Email, "email_verified": u.Verified, "name": u.Name}
		}
	}
	return 200, map[string]any{"sub": sub}
}
