package authentication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	// maxAccessToken is checked before anything is parsed.
	maxAccessToken = 8 << 10
	// clockLeeway forgives another node's clock for times in the future; the
	// end of a token is taken at its word.
	clockLeeway = time.Minute
	accessType  = "at+jwt"
)

// issuer signs and verifies access tokens.
type issuer struct {
	ring     *ring
	iss, aud string
	now      func() time.Time
}

type accessClaims struct {
	jwt.RegisteredClaims
	// Family is the login the token belongs to.
	Family string `json:"sid"`
	// Role is what the account is; a change of it ends the account's logins.
	Role Role `json:"role,omitempty"`
}

// issue signs an access token.
func (i *issuer) issue(learner LearnerID, family FamilyID, role Role) (string, error) {
	now := i.now()
	key := i.ring.signer()
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: i.iss, Subject: string(learner), Audience: jwt.ClaimStrings{i.aud},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(AccessTTL)),
			ID: uuid.NewString(),
		},
		Family: string(family), Role: role,
	})
	t.Header["typ"] = accessType
	t.Header["kid"] = key.KID
	s, err := t.SignedString(key.Private)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	return s, nil
}

// verify checks everything about a token. Keys come from our ring only: jku,
// jwk and x5u in a header are never looked at.
func (i *issuer) verify(ctx context.Context, token string) (Identity, error) {
	if token == "" || len(token) > maxAccessToken {
		return Identity{}, errUnauthenticated
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(i.iss), jwt.WithAudience(i.aud),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(clockLeeway),
		jwt.WithTimeFunc(i.now), jwt.WithStrictDecoding(),
	)
	var claims accessClaims
	var storage error
	_, err := parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		_, crit := t.Header["crit"]
		if t.Header["typ"] != accessType || crit || kid == "" || len(kid) > 64 {
			return nil, jwt.ErrTokenUnverifiable
		}
		key, err := i.ring.public(ctx, kid)
		if err != nil {
			storage = err
		}
		if key == nil {
			return nil, jwt.ErrTokenUnverifiable
		}
		return key, nil
	})
	switch {
	case storage != nil:
		return Identity{}, storage
	case OnlyExpired(err):
		return Identity{}, errExpired
	case err != nil, claims.Subject == "", claims.Family == "", claims.IssuedAt == nil:
		return Identity{}, errUnauthenticated
	case !i.now().Before(claims.ExpiresAt.Time):
		return Identity{}, errExpired
	}
	if ranks[claims.Role] == 0 {
		claims.Role = RoleLearner // a token from before there were roles
	}
	return Identity{
		LearnerID: LearnerID(claims.Subject), SessionFamily: FamilyID(claims.Family), Role: claims.Role,
		ExpiresAt: claims.ExpiresAt.Time,
	}, nil
}

// OnlyExpired tells a token that was good once from one that never was: only
// the former should send a client to refresh.
func OnlyExpired(err error) bool {
	if !errors.Is(err, jwt.ErrTokenExpired) {
		return false
	}
	for _, other := range []error{
		jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience, jwt.ErrTokenUsedBeforeIssued,
		jwt.ErrTokenNotValidYet, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}
