package auth0

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

// management is a token for the Management API: one for all, asked for once
// however many need it, and not used in its last minutes.
func (c *Client) management(ctx context.Context) (string, error) {
	c.mu.Lock()
	token, until := c.token, c.until
	c.mu.Unlock()
	if token != "" && c.cfg.Now().Before(until) {
		return token, nil
	}
	done := c.flight.DoChan("management", func() (any, error) {
		c.mu.Lock()
		token, until := c.token, c.until
		c.mu.Unlock()
		if token != "" && c.cfg.Now().Before(until) {
			return token, nil // somebody was quicker
		}
		var t tokens
		err := c.call(resilience.Repeatable(context.WithoutCancel(ctx)), http.MethodPost, c.cfg.Issuer+"oauth/token", object{"grant_type": "client_credentials",
			"client_id": c.cfg.ClientID, "client_secret": c.cfg.ClientSecret, "audience": c.cfg.Tenant + "api/v2/"}, "", "", &t)
		if err != nil {
			return "", err
		}
		life := time.Duration(t.ExpiresIn) * time.Second
		c.mu.Lock()
		c.token, c.until = t.Access, c.cfg.Now().Add(life-min(managementMargin, life/2))
		c.mu.Unlock()
		return t.Access, nil
	})
	select {
	case r := <-done:
		token, _ := r.Val.(string)
		return token, r.Err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// manage makes a call with that token. One that Auth0 does not know any more,
// because a secret was changed, is replaced once.
func (c *Client) manage(ctx context.Context, method, path string, in object, out any) error {
	for again := true; ; again = false {
		token, err := c.management(ctx)
		if err != nil {
			return err
		}
		err = c.call(ctx, method, c.cfg.Tenant+"api/v2/"+path, in, token, "", out)
		var e *Error
		if !errors.As(err, &e) || e.Status != http.StatusUnauthorized || !again {
			return err
		}
		c.mu.Lock()
		if c.token == token {
			c.token = ""
		}
		c.mu.Unlock()
	}
}

// MailVerification has Auth0 mail the link that proves a user's address.
func (c *Client) MailVerification(ctx context.Context, subject string) error {
	return judge(c.manage(ctx, http.MethodPost, "jobs/verification-email", object{"user_id": subject, "client_id": c.cfg.ClientID}, nil))
}

// SignedUp reads what our sign-up left with a user. Without the right to read
// users nothing is known; then only another sign-up finishes one that broke
// off.
func (c *Client) SignedUp(ctx context.Context, subject string) (authentication.ForeignSignUp, bool, error) {
	var u struct {
		Metadata map[string]any `json:"user_metadata"`
	}
	err := c.manage(ctx, http.MethodGet, "users/"+url.PathEscape(subject)+"?fields=user_metadata", nil, &u)
	var e *Error
	if errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized || e.Status == http.StatusNotFound) {
		return authentication.ForeignSignUp{}, false, nil
	}
	if err != nil {
		return authentication.ForeignSignUp{}, false, judge(err)
	}
	text := func(name string) string { s, _ := u.Metadata[name].(string); return s }
	if text(metaSignUp) == "" {
		return authentication.ForeignSignUp{}, false, nil
	}
	return authentication.ForeignSignUp{FullName: text(metaName), DateOfBirth: text(metaBirth), Consented: text(metaConsent) != ""}, true, nil
}

// Remove deletes a user; Auth0 answers alike for one that is not there.
func (c *Client) Remove(ctx context.Context, subject string) error {
	err := c.manage(ctx, http.MethodDelete, "users/"+url.PathEscape(subject), nil, nil)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		return nil
	}
	return judge(err)
}
