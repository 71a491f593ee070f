package oidc

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

const maxKID = 256

var (
	errToken   = fault.New(fault.Unauthenticated, "Sign in first.")
	errExpired = fault.New(fault.TokenExpired, "The token has expired.")
)

// Verify checks an access token: everything that is in it, and no ID token
// among them, whatever its audience.
func (v *Verifier) Verify(ctx context.Context, token string) (authentication.Claims, error) {
	c, err := v.read(ctx, token, v.cfg.Audience, accessTypes)
	if err != nil {
		return authentication.Claims{}, err
	}
	if c.isIDToken() {
		return authentication.Claims{}, errToken
	}
	out := c.identity()
	if v.cfg.RolesClaim != "" {
		out.Role = v.role(c)
	}
	return out, nil
}

// VerifyID checks an ID token for a client of ours.
func (v *Verifier) VerifyID(ctx context.Context, token, client, nonce string) (authentication.Claims, error) {
	c, err := v.read(ctx, token, client, idTypes)
	switch {
	case err != nil:
		return authentication.Claims{}, err
	case len(c.Audience) > 1 && c.text("azp") != client, c.text("azp") != "" && c.text("azp") != client, nonce != "" && c.text("nonce") != nonce:
		return authentication.Claims{}, errToken
	}
	return c.identity(), nil
}

// The types in a token's header that are taken; an absent one counts as "".
// at+jwt (RFC 9068) is never an ID token.
var (
	accessTypes = []string{"", "jwt", "at+jwt", "application/at+jwt"}
	idTypes     = []string{"", "jwt"}
)

// read checks form, signature, issuer, audience and times.
func (v *Verifier) read(ctx context.Context, token, audience string, types []string) (*claims, error) {
	if token == "" || len(token) > maxToken {
		return nil, errToken
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods(methods), jwt.WithIssuer(v.cfg.Issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(v.cfg.Now), jwt.WithStrictDecoding(),
	)
	var c claims
	var asked error
	_, err := parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, isText := t.Header["kid"].(string)
		_, crit := t.Header["crit"]
		typ, _ := t.Header["typ"].(string)
		// What could not be believed anyway must not cause a look at the issuer.
		if crit || t.Header["kid"] != nil && !isText || len(kid) > maxKID || !slices.Contains(types, strings.ToLower(typ)) ||
			c.Issuer != v.cfg.Issuer || !slices.Contains(c.Audience, audience) {
			return nil, jwt.ErrTokenUnverifiable
		}
		k, err := v.keys.get(ctx, kid, t.Method.Alg())
		if err != nil {
			if !errors.Is(err, errUnknown) {
				asked = err
			}
			return nil, jwt.ErrTokenUnverifiable
		}
		return k.public, nil
	})
	now := v.cfg.Now()
	switch {
	case asked != nil:
		return nil, asked
	case authentication.OnlyExpired(err):
		return nil, errExpired
	case err != nil, c.Subject == "", len(c.Subject) > 255, c.IssuedAt == nil, c.ExpiresAt.Sub(c.IssuedAt.Time) > LongestToken:
		return nil, errToken
	case !now.Before(c.ExpiresAt.Time):
		return nil, errExpired
	}
	return &c, nil
}

var methods = func() (out []string) {
	for alg := range algorithms {
		out = append(out, alg)
	}
	return out
}()

// Profile asks the userinfo endpoint. An issuer that has none, or refuses this
// token, tells nothing, which is no failure.
func (v *Verifier) Profile(ctx context.Context, token string, c authentication.Claims) (authentication.Claims, error) {
	e, err := v.keys.endpoints(ctx)
	if err != nil || e.UserInfo == "" {
		return c, err
	}
	var said claims
	switch err := v.keys.fetch(ctx, e.UserInfo, token, &said.more); {
	case errors.Is(err, errRefused):
		return c, nil
	case err != nil:
		return c, err
	case said.text("sub") != c.Subject: // OpenID Connect Core 5.3.2: must not be used
		return c, nil
	}
	c.Email, c.EmailVerified, c.Name = said.text("email"), said.yes("email_verified"), said.text("name")
	return c, nil
}
