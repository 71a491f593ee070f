package auth0

import (
	"context"
	"net/http"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

var (
	errCredentials = fault.New(fault.InvalidCredentials, "E-mail or password is wrong.")
	errToken       = fault.New(fault.Unauthenticated, "Sign in first.")
	errSecond      = fault.New(fault.ExternalAccount, "This account needs a second step to sign in, which cannot be asked for here.")
)

// The marks of our own sign-up in a user's metadata, which is text only.
const (
	metaSignUp  = "fluentpro_sign_up"
	metaName    = "full_name"
	metaBirth   = "date_of_birth"
	metaConsent = "terms_accepted"
)

// SignUp makes a user in the database connection. Tenants of today answer an
// address that is in use like other values that they refuse.
func (c *Client) SignUp(ctx context.Context, in authentication.ForeignSignUp) error {
	meta := map[string]string{metaSignUp: "1", metaName: in.FullName}
	if in.DateOfBirth != "" {
		meta[metaBirth] = in.DateOfBirth
	}
	if in.Consented {
		meta[metaConsent] = "1"
	}
	err := c.call(ctx, http.MethodPost, c.cfg.Issuer+"dbconnections/signup", object{"client_id": c.cfg.ClientID, "email": in.Email, "password": in.Password,
		"connection": c.cfg.Connection, "name": in.FullName, "user_metadata": meta}, "", "", nil)
	switch code(err) {
	case "invalid_signup", "user_exists", "username_exists", "email_exists":
		return authentication.ErrUserExists
	case "invalid_password", "password_strength_error", "password_dictionary_error", "password_no_user_info_error", "password_leaked",
		"PasswordStrengthError", "PasswordDictionaryError", "PasswordNoUserInfoError":
		return &fault.Error{Code: fault.Invalid, Message: "The account cannot be made like this.", Fields: []fault.Field{
			{Name: "password", Code: "too_common", Message: "This password is too easy to guess; take another, a few words for example."}}}
	}
	return judge(err)
}

// tokens is the answer of the token endpoint.
type tokens struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	ID        string `json:"id_token"`
	ExpiresIn int64  `json:"expires_in"`
}

func (t tokens) foreign() authentication.ForeignTokens {
	return authentication.ForeignTokens{Access: t.Access, Refresh: t.Refresh, ID: t.ID, ExpiresIn: time.Duration(t.ExpiresIn) * time.Second}
}

// Login signs in by password, with a refresh token.
func (c *Client) Login(ctx context.Context, email, password, ip string) (authentication.ForeignTokens, error) {
	return c.password(ctx, email, password, ip, scope+" offline_access")
}

// Check signs in without a refresh token, so nothing is left to be revoked.
func (c *Client) Check(ctx context.Context, email, password, ip string) (authentication.ForeignTokens, error) {
	return c.password(ctx, email, password, ip, scope)
}

func (c *Client) password(ctx context.Context, email, password, ip, scope string) (authentication.ForeignTokens, error) {
	var t tokens
	err := c.call(ctx, http.MethodPost, c.cfg.Issuer+"oauth/token", object{"grant_type": passwordRealm, "client_id": c.cfg.ClientID,
		"client_secret": c.cfg.ClientSecret, "username": email, "password": password, "realm": c.cfg.Connection, "audience": c.cfg.Audience, "scope": scope},
		"", ip, &t)
	switch code(err) {
	case "invalid_grant", "invalid_user_password", "password_leaked", "unauthorized":
		// A user who is blocked, too: whether there is one is not told.
		return authentication.ForeignTokens{}, errCredentials
	case "mfa_required", "mfa_registration_required", "mfa_enrollment_required":
		return authentication.ForeignTokens{}, errSecond
	}
	return t.foreign(), judge(err)
}

// Refresh spends a refresh token. It is sent once: with rotation a second use
// would look like theft.
func (c *Client) Refresh(ctx context.Context, token string) (authentication.ForeignTokens, error) {
	var t tokens
	err := c.call(ctx, http.MethodPost, c.cfg.Issuer+"oauth/token", object{"grant_type": "refresh_token", "client_id": c.cfg.ClientID,
		"client_secret": c.cfg.ClientSecret, "refresh_token": token}, "", "", &t)
	if code(err) == "invalid_grant" {
		return authentication.ForeignTokens{}, errToken
	}
	return t.foreign(), judge(err)
}

// Revoke ends the login of a refresh token.
func (c *Client) Revoke(ctx context.Context, token string) error {
	return judge(c.call(resilience.Repeatable(ctx), http.MethodPost, c.cfg.Issuer+"oauth/revoke",
		object{"client_id": c.cfg.ClientID, "client_secret": c.cfg.ClientSecret, "token": token}, "", "", nil))
}

// MailPassword has Auth0 send its mail; it answers alike for every address.
func (c *Client) MailPassword(ctx context.Context, email string) error {
	return judge(c.call(ctx, http.MethodPost, c.cfg.Issuer+"dbconnections/change_password",
		object{"client_id": c.cfg.ClientID, "email": email, "connection": c.cfg.Connection}, "", "", nil))
}
