package oidc

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fluentpro/fluentpro/domains/authentication"
)

// claims are the registered ones, and the others by name.
type claims struct {
	jwt.RegisteredClaims
	more map[string]any
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *claims) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &c.RegisteredClaims); err != nil {
		return err
	}
	return json.Unmarshal(b, &c.more)
}

func (c *claims) text(name string) string {
	s, _ := c.more[name].(string)
	return s
}

// yes reads a flag; some issuers write it as text.
func (c *claims) yes(name string) bool { return c.more[name] == true || c.more[name] == "true" }

// isIDToken knows an ID token by what only those carry, for an issuer where
// the API has the same name as the client.
func (c *claims) isIDToken() bool {
	for _, only := range []string{"nonce", "at_hash", "c_hash"} {
		if _, has := c.more[only]; has {
			return true
		}
	}
	// How Keycloak and Cognito say what a token is for.
	switch strings.ToLower(c.text("typ")) {
	case "id", "refresh", "logout", "offline":
		return true
	}
	use := c.text("token_use")
	return use != "" && use != "access"
}

func (c *claims) identity() authentication.Claims {
	out := authentication.Claims{
		Issuer: c.Issuer, Subject: c.Subject, IssuedAt: c.IssuedAt.Time, ExpiresAt: c.ExpiresAt.Time,
		Email: c.text("email"), EmailVerified: c.yes("email_verified"), Name: c.text("name"),
	}
	if s := c.text("sid"); len(s) <= 255 {
		out.Session = s
	}
	return out
}

// role is the highest that the token names; a learner where it names none.
func (v *Verifier) role(c *claims) authentication.Role {
	var names []string
	switch x := find(c.more, v.cfg.RolesClaim).(type) {
	case string:
		names = strings.Fields(x)
	case []any:
		for _, e := range x {
			if s, ok := e.(string); ok {
				names = append(names, s)
			}
		}
	}
	has := func(list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(names, s) })
	}
	switch {
	case has(v.cfg.Admins):
		return authentication.RoleAdmin
	case has(v.cfg.Operators):
		return authentication.RoleOperator
	}
	return authentication.RoleLearner
}

// find reads a claim by its whole name, which may be an address with dots, or
// by a path of names.
func find(m map[string]any, path string) any {
	if v, ok := m[path]; ok {
		return v
	}
	for i, r := range path {
		if r != '.' {
			continue
		}
		if sub, ok := m[path[:i]].(map[string]any); ok {
			if v := find(sub, path[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}
