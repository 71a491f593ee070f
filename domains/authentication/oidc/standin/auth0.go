package standin

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"
)

// form reads a body of either form that Auth0 takes, and remembers what was
// in it.
func (s *Server) form(r *http.Request) map[string]any {
	out := map[string]any{}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/json" {
		_ = json.NewDecoder(http.MaxBytesReader(nil, r.Body, 64<<10)).Decode(&out)
	} else if r.ParseForm() == nil {
		for k := range r.PostForm {
			out[k] = r.PostForm.Get(k)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range out {
		if text, ok := v.(string); ok {
			s.sent[r.URL.Path+" "+k] = text
		}
	}
	s.sent[r.URL.Path+" auth0-forwarded-for"] = r.Header.Get("Auth0-Forwarded-For")
	return out
}

func failed(status int, code, text string) (int, any) {
	return status, map[string]any{"error": code, "error_description": text}
}

func known(f map[string]any) bool {
	return f["client_id"] == ClientID && f["client_secret"] == ClientSecret
}

func (s *Server) token(r *http.Request) (int, any) {
	f := s.form(r)
	if !known(f) {
		return failed(401, "access_denied", "Unauthorized")
	}
	switch f["grant_type"] {
	case "http://auth0.com/oauth/grant-type/password-realm":
		return s.password(f)
	case "refresh_token":
		return s.refresh(f)
	case "client_credentials":
		if f["audience"] != s.URL+"/api/v2/" {
			return failed(403, "access_denied", "Service not enabled within domain")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		token := random()
		s.managers[token] = time.Now().Add(s.life)
		return 200, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(s.life / time.Second)}
	}
	return failed(403, "unauthorized_client", "Grant type not allowed for the client.")
}

func (s *Server) password(f map[string]any) (int, any) {
	email, _ := f["username"].(string)
	s.mu.Lock()
	u := s.users[strings.ToLower(email)]
	var user User
	if u != nil {
		user = *u
	}
	s.mu.Unlock()
	switch {
	case f["realm"] != Connection:
		return failed(400, "invalid_request", "realm")
	case u == nil || user.Password != f["password"]:
		return failed(403, "invalid_grant", "Wrong email or password.")
	case user.Blocked:
		return failed(403, "unauthorized", "user is blocked")
	case user.MFA:
		return failed(403, "mfa_required", "Multifactor authentication required")
	case f["audience"] != Audience:
		return failed(403, "access_denied", "Service not found")
	}
	scope, _ := f["scope"].(string)
	c := &chain{user: user.Email, scope: scope}
	return s.hand(c)
}

// hand answers with the tokens of a login, and a new refresh token where the
// scope asks for one.
func (s *Server) hand(c *chain) (int, any) {
	s.mu.Lock()
	u := *s.users[c.user]
	life := s.life
	next := ""
	if strings.Contains(c.scope, "offline_access") {
		next = random()
		c.current = next
		s.chains[next] = c
	}
	s.mu.Unlock()
	more := map[string]any{"azp": ClientID, "scope": c.scope}
	if len(u.Roles) > 0 {
		more["https://fluentpro/roles"] = u.Roles
	}
	id := map[string]any{"email": u.Email, "email_verified": u.Verified, "name": u.Name}
	out := map[string]any{"access_token": s.Access(u.ID, more), "id_token": s.Sign(s.claims(u.ID, ClientID, id), nil),
		"scope": c.scope, "expires_in": int(life / time.Second), "token_type": "Bearer"}
	if next != "" {
		out["refresh_token"] = next
	}
	return 200, out
}

// refresh rotates: a token works once, and the use of an old one ends the
// login.
func (s *Server) refresh(f map[string]any) (int, any) {
	token, _ := f["refresh_token"].(string)
	s.mu.Lock()
	c := s.chains[token]
	ok := c != nil && !c.dead && s.users[c.user] != nil
	if ok && c.current != token {
		c.dead, ok = true, false
	}
	s.mu.Unlock()
	if !ok {
		return failed(403, "invalid_grant", "Unknown or invalid refresh token.")
	}
	return s.hand(c)
}

func (s *Server) revoke(r *http.Request) (int, any) {
	f := s.form(r)
	if !known(f) {
		return failed(401, "invalid_client", "Unauthorized")
	}
	token, _ := f["token"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.chains[token]; c != nil {
		c.dead = true
	}
	return 200, nil
}

func (s *Server) signUp(r *http.Request) (int, any) {
	f := s.form(r)
	email, _ := f["email"].(string)
	password, _ := f["password"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f["client_id"] != ClientID || f["connection"] != Connection:
		return failed(400, "invalid_request", "connection")
	case len(password) < 8:
		return 400, map[string]any{"name": "PasswordStrengthError", "code": "invalid_password", "message": "Password is too weak"}
	case s.users[email] != nil && s.quiet:
		return 400, map[string]any{"name": "BadRequestError", "code": "invalid_signup", "description": "Invalid sign up", "statusCode": 400}
	case s.users[email] != nil:
		return 409, map[string]any{"name": "BadRequestError", "code": "user_exists", "description": "The user already exists."}
	}
	meta := map[string]string{}
	if m, ok := f["user_metadata"].(map[string]any); ok {
		for k, v := range m {
			meta[k], _ = v.(string)
		}
	}
	name, _ := f["name"].(string)
	u := s.add(User{Email: email, Password: password, Name: name, Metadata: meta})
	s.mails = append(s.mails, "verification "+u.ID)
	return 200, map[string]any{"_id": strings.TrimPrefix(u.ID, "auth0|"), "email": email, "email_verified": false}
}

// TellTaken makes sign-ups of a taken e-mail say so, as older tenants do.
func (s *Server) TellTaken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = false
}

func (s *Server) changePassword(r *http.Request) (int, any) {
	f := s.form(r)
	email, _ := f["email"].(string)
	if f["client_id"] != ClientID || f["connection"] != Connection || email == "" {
		return failed(400, "invalid_request", "email")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[email] != nil {
		s.mails = append(s.mails, "password "+email)
	}
	return 200, "We've just sent you an email to reset your password."
}

// management is the API that wants a token of its own.
func (s *Server) management(r *http.Request) (int, any) {
	if !strings.HasPrefix(r.URL.Path, "/api/v2/") {
		return 404, map[string]any{"error": "Not Found"}
	}
	f := s.form(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.managers[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok || !time.Now().Before(until) {
		return 401, map[string]any{"statusCode": 401, "error": "Unauthorized", "message": "Invalid token"}
	}
	id, isUser := strings.CutPrefix(r.URL.Path, "/api/v2/users/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/v2/jobs/verification-email":
		to, _ := f["user_id"].(string)
		s.mails = append(s.mails, "verification "+to)
		return 201, map[string]any{"type": "verification_email", "status": "pending"}
	case r.Method == http.MethodGet && isUser:
		for _, u := range s.users {
			if u.ID == id {
				return 200, map[string]any{"user_metadata": u.Metadata}
			}
		}
	case r.Method == http.MethodDelete && isUser:
		for email, u := range s.users {
			if u.ID == id {
				delete(s.users, email)
			}
		}
		return 204, nil
	}
	return 404, map[string]any{"statusCode": 404, "error": "Not Found"}
}

// ForgetManagers makes every management token invalid, as a changed secret
// does.
func (s *Server) ForgetManagers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.managers)
}
