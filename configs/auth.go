package configs

import (
	"net/url"
	"strings"
)

// The words of auth.passwords besides auto.
const (
	PasswordsLocal = "local"
	PasswordsAuth0 = "auth0"
	PasswordsOff   = "off"
)

// Auth is another issuer that says who learners are.
type Auth struct {
	Issuer        string   `yaml:"issuer" doc:"issuer whose access tokens are believed besides our own, byte for byte, a slash at the end too: https://<tenant>.<region>.auth0.com/; none set: nobody's"`
	Audience      string   `yaml:"audience" doc:"name of this API at the issuer, which its access tokens must carry"`
	Passwords     string   `yaml:"passwords" oneof:"auto|local|auth0|off" doc:"who checks the passwords of sign-up and login: local is this server, auth0 the issuer's Auth0 behind our routes, off nobody; auto is local, and must be replaced where auth.issuer is set"`
	RolesClaim    string   `yaml:"roles_claim" doc:"claim of the issuer's access tokens that says the role, a name or a path with dots; none set: roles are given here"`
	RolesOperator []string `yaml:"roles_operator" doc:"values of that claim that make an operator"`
	RolesAdmin    []string `yaml:"roles_admin" doc:"values of that claim that make an admin"`
	Auth0         Auth0    `yaml:"auth0"`
}

// Auth0 is the application that checks passwords at Auth0.
type Auth0 struct {
	ClientID     string `yaml:"client_id" doc:"client id of the application at Auth0 that may use the grants password-realm, refresh token and client credentials"`
	ClientSecret Secret `yaml:"client_secret" doc:"its secret"`
	Connection   string `yaml:"connection" doc:"database connection where users are"`
	Tenant       string `yaml:"tenant" doc:"address of the tenant, with a slash at the end, for the Management API; none set: auth.issuer, which is wrong for a custom domain only"`
}

func authDefaults() Auth {
	return Auth{Passwords: auto, RolesOperator: []string{"operator"}, RolesAdmin: []string{"admin"}, Auth0: Auth0{Connection: "Username-Password-Authentication"}}
}

// Passwords is who checks passwords: local, auth0 or off.
func (c *Config) Passwords() string {
	if c.Auth.Passwords == auto {
		return PasswordsLocal
	}
	return c.Auth.Passwords
}

func (v *validator) auth() {
	a := &v.c.Auth
	if a.Issuer == "" {
		for key, set := range map[string]bool{"auth.audience": a.Audience != "", "auth.roles_claim": a.RolesClaim != "",
			"auth.passwords": a.Passwords == PasswordsAuth0 || a.Passwords == PasswordsOff, "auth.auth0.client_id": a.Auth0.ClientID != ""} {
			if set {
				v.bad(key, "needs %s", v.env["auth.issuer"])
			}
		}
		return
	}
	v.issuer("auth.issuer", a.Issuer)
	if a.Audience == "" {
		v.bad("auth.audience", "is needed for %s: without it any token of the issuer would do, made for any other service", v.env["auth.issuer"])
	}
	if a.Passwords == auto {
		v.bad("auth.passwords", "must be said because %s is set: %s keeps sign-up and login by password here beside the issuer, %s hands them to Auth0, %s leaves the issuer alone",
			v.env["auth.issuer"], PasswordsLocal, PasswordsAuth0, PasswordsOff)
	}
	if a.Passwords != PasswordsAuth0 {
		return
	}
	if !strings.HasSuffix(a.Issuer, "/") {
		v.bad("auth.issuer", "%q has no slash at the end, and Auth0's has", a.Issuer)
	}
	if a.Auth0.Tenant != "" {
		v.issuer("auth.auth0.tenant", a.Auth0.Tenant)
		if !strings.HasSuffix(a.Auth0.Tenant, "/") {
			v.bad("auth.auth0.tenant", "%q has no slash at the end", a.Auth0.Tenant)
		}
	}
	for key, value := range map[string]string{"auth.auth0.client_id": a.Auth0.ClientID, "auth.auth0.client_secret": a.Auth0.ClientSecret.Reveal(), "auth.auth0.connection": a.Auth0.Connection} {
		if value == "" {
			v.bad(key, "is needed for %s=%s", v.env["auth.passwords"], PasswordsAuth0)
		} else if strings.ContainsAny(value, "\r\n\t") || key != "auth.auth0.connection" && strings.Contains(value, " ") {
			v.bad(key, "contains white space")
		}
	}
	if v.c.Accounts.SignUp == "confirmed" {
		v.bad("accounts.sign_up", "confirmed is Auth0's to do where %s=%s: have it refuse logins of unproven addresses", v.env["auth.passwords"], PasswordsAuth0)
	}
}

// issuer checks an address that is compared byte for byte: nothing is mended.
func (v *validator) issuer(key, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.bad(key, "must be like https://<tenant>.<region>.auth0.com/")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		v.bad(key, "must be scheme, host and path only")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.bad(key, "is plain http: whoever is on the way could name keys of their own; use https")
	}
}
