package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// Cookie names of the browser transport; both HttpOnly and SameSite=Strict.
const (
	// AccessCookie carries the access token, Path=/api.
	AccessCookie = "fp_access"
	// RefreshCookie carries the refresh token, Path=/api/v2/auth.
	RefreshCookie = "fp_refresh"
)

// maxToken bounds what is given to a token parser.
const maxToken = 8 << 10

// Identity is who a verified access token speaks for.
type Identity struct {
	// Learner is the learner's id.
	Learner string
	// Family is the login that the token belongs to, "" if it does not say.
	Family string
	// Role is what the account may do: learner, operator or admin.
	Role string
	// Expires is when the token ends, zero when it does not say.
	Expires time.Time
}

// Authenticator verifies access tokens. Failures are fault errors
// (unauthenticated, token_expired, storage_unavailable).
type Authenticator interface {
	Verify(ctx context.Context, token string) (Identity, error)
}

var errSignIn = fault.New(fault.Unauthenticated, "Sign in first: send a bearer token or the session cookie.")

// TokenOf finds the access token of a request: the Authorization header, else
// the cookie; never the URL. viaCookie tells which, because a cookie is sent
// by browsers unasked and needs the origin check.
func TokenOf(r *http.Request) (token string, viaCookie bool, err error) {
	switch h := r.Header.Values("Authorization"); len(h) {
	case 0:
	case 1:
		scheme, rest, ok := strings.Cut(h[0], " ")
		token = strings.TrimSpace(rest)
		if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
			return "", false, errSignIn
		}
		return token, false, nil
	default:
		return "", false, errSignIn
	}
	// Two cookies of one name mean that somebody else set one of them.
	switch c := r.CookiesNamed(AccessCookie); len(c) {
	case 0:
		return "", false, errSignIn
	case 1:
		if c[0].Value == "" || len(c[0].Value) > maxToken {
			return "", true, errSignIn
		}
		return c[0].Value, true, nil
	default:
		return "", true, errSignIn
	}
}

// authenticate verifies r's token and records the identity.
func (s *Server) authenticate(r *http.Request) error {
	token, _, err := TokenOf(r)
	if err != nil {
		return err
	}
	id, err := s.deps.Authenticator.Verify(r.Context(), token)
	if err != nil {
		return err
	}
	if id.Learner == "" {
		return errSignIn
	}
	infoOf(r.Context()).identity = &id
	return nil
}
