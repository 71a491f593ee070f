package configs

import (
	"fmt"
	"strings"
	"testing"
)

// otherAuth are rows of TestEveryKeyHasAVariable.
var otherAuth = map[string]string{
	"auth.issuer": "https://login.example.com/realms/x", "auth.audience": "other", "auth.passwords": "off", "auth.roles_claim": "realm_access.roles",
	"auth.roles_operator": "support", "auth.roles_admin": "boss", "auth.auth0.client_id": "c", "auth.auth0.client_secret": "s5",
	"auth.auth0.connection": "users", "auth.auth0.tenant": "https://t.eu.auth0.com/",
}

const (
	someIssuer   = "FLUENTPRO_AUTH_ISSUER=https://t.eu.auth0.com/"
	someAudience = "FLUENTPRO_AUTH_AUDIENCE=https://api.example.com"
)

func TestAuthSettingsAreChecked(t *testing.T) {
	t.Parallel()
	auth0 := []string{someIssuer, someAudience, "FLUENTPRO_AUTH_PASSWORDS=auth0", "FLUENTPRO_AUTH_AUTH0_CLIENT_ID=c", "FLUENTPRO_AUTH_AUTH0_CLIENT_SECRET=hunter2"}
	for want, env := range map[string][]string{
		"AUTH_PASSWORDS must be said because FLUENTPRO_AUTH_ISSUER": {someIssuer, someAudience},
		"AUTH_AUDIENCE is needed":                                   {someIssuer, "FLUENTPRO_AUTH_PASSWORDS=off"},
		"AUTH_PASSWORDS needs FLUENTPRO_AUTH_ISSUER":                {"FLUENTPRO_AUTH_PASSWORDS=auth0"},
		"AUTH_AUDIENCE needs FLUENTPRO_AUTH_ISSUER":                 {someAudience},
		"plain http":                     {"FLUENTPRO_AUTH_ISSUER=http://login.example.com/", someAudience, "FLUENTPRO_AUTH_PASSWORDS=off"},
		"must be like":                   {"FLUENTPRO_AUTH_ISSUER=t.eu.auth0.com", someAudience, "FLUENTPRO_AUTH_PASSWORDS=off"},
		"path only":                      {"FLUENTPRO_AUTH_ISSUER=https://t.eu.auth0.com/?x=1", someAudience, "FLUENTPRO_AUTH_PASSWORDS=off"},
		"has no slash":                   {"FLUENTPRO_AUTH_ISSUER=https://t.eu.auth0.com", someAudience, "FLUENTPRO_AUTH_PASSWORDS=auth0", "FLUENTPRO_AUTH_AUTH0_CLIENT_ID=c", "FLUENTPRO_AUTH_AUTH0_CLIENT_SECRET=s"},
		"CLIENT_SECRET is needed":        {someIssuer, someAudience, "FLUENTPRO_AUTH_PASSWORDS=auth0", "FLUENTPRO_AUTH_AUTH0_CLIENT_ID=c"},
		"CLIENT_ID contains white space": {someIssuer, someAudience, "FLUENTPRO_AUTH_PASSWORDS=auth0", "FLUENTPRO_AUTH_AUTH0_CLIENT_ID=a b", "FLUENTPRO_AUTH_AUTH0_CLIENT_SECRET=hunter2"},
		"confirmed is Auth0's to do":     append([]string{"FLUENTPRO_ACCOUNTS_SIGN_UP=confirmed"}, auth0...),
		"none of auto":                   {"FLUENTPRO_AUTH_PASSWORDS=ldap"},
	} {
		if got := problems(t, Input{Env: env}); !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%v: %s", env, got)
		}
	}
	c := load(t, append([]string{"FLUENTPRO_SMTP_URL=smtp://h", "FLUENTPRO_MAIL_FROM=a@example.com"}, auth0...)...)
	if c.Auth.Issuer != "https://t.eu.auth0.com/" || c.Passwords() != PasswordsAuth0 || c.ConfirmSignUp() {
		t.Errorf("got %+v", c.Auth)
	}
	for _, v := range c.Values() {
		if strings.Contains(fmt.Sprint(v), "hunter2") {
			t.Errorf("the secret is shown: %+v", v)
		}
	}
	if c := load(t, someIssuer, someAudience, "FLUENTPRO_AUTH_PASSWORDS=local"); c.Passwords() != PasswordsLocal {
		t.Error("local beside the issuer is allowed by name")
	}
	if c := load(t); c.Passwords() != PasswordsLocal {
		t.Error("without an issuer passwords are ours")
	}
}
