package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Authentication is what the sign-in routes call; authentication.Service is
// one.
type Authentication interface {
	SignUp(ctx context.Context, in authentication.SignUpInput) (authentication.SignedIn, error)
	Login(ctx context.Context, in authentication.LoginInput) (authentication.SignedIn, error)
	Refresh(ctx context.Context, refreshToken string) (authentication.SignedIn, error)
	Logout(ctx context.Context, in authentication.LogoutInput) error
	Me(ctx context.Context, id authentication.LearnerID) (authentication.LearnerView, error)
	Verify(ctx context.Context, accessToken string) (authentication.Identity, error)
}

// NewAuthenticator makes the built-in issuer the judge of access tokens.
func NewAuthenticator(a Authentication) Authenticator { return verifier{a} }

type verifier struct{ auth Authentication }

// Verify implements Authenticator.
func (v verifier) Verify(ctx context.Context, token string) (Identity, error) {
	id, err := v.auth.Verify(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Learner: string(id.LearnerID), Family: string(id.SessionFamily), Role: string(id.Role), Expires: id.ExpiresAt}, nil
}

const (
	tagAuthentication = "Authentication"
	// byToken puts the tokens into the answer, byCookie only into HttpOnly
	// cookies, where no script can read them.
	byToken  = "token"
	byCookie = "cookie"
	authPath = Prefix + "/auth"
)

func (s *Server) authenticationRoutes(a *api) {
	example := signedInBody{
		Learner:     authentication.LearnerView{ID: exampleID, Email: "ana@example.com", FullName: "Ana Souza", CreatedAt: exampleTime},
		AccessToken: "eyJhbGciOiJFZERTQSIs…", RefreshToken: "kZ3v…", TokenType: "Bearer", ExpiresIn: 900,
	}
	add(a, route{
		ID: "sign-up", Method: http.MethodPost, Path: "/auth/sign-up", Tag: tagAuthentication, Status: http.StatusCreated, Public: true,
		Summary: "Make an account and sign in",
		Description: "A password has 8 to 128 characters, is taken as it is, and must not be one that everybody would try; a name has 2 to 100 characters of any script. " +
			"Where sign-ups are confirmed by mail (see server-info) the answer is 202 with pending and nothing else, whether the address is new or not; email_taken does not happen.",
		Fails: []fault.Code{fault.EmailTaken, fault.ExternalAccount, fault.RateLimited, fault.StorageUnavailable, fault.DependencyUnavailable},
		Request: map[string]any{"email": "ana@example.com", "password": "correct horse battery", "full_name": "Ana Souza",
			"accept_terms": true, "age_confirmed": true},
		Response: example,
	}, s.signUp)
	created := a.OpenAPI().Paths["/auth/sign-up"].Post.Responses
	created["202"] = &huma.Response{Description: "A mail is on its way; its link makes the account usable.",
		Content: map[string]*huma.MediaType{"application/json": {Schema: created["201"].Content["application/json"].Schema, Example: map[string]any{"pending": true}}}}
	add(a, route{
		ID: "login", Method: http.MethodPost, Path: "/auth/login", Tag: tagAuthentication, Public: true,
		Summary: "Sign in", Fails: []fault.Code{fault.InvalidCredentials, fault.AccountDisabled, fault.EmailTaken, fault.ExternalAccount, fault.RateLimited, fault.StorageUnavailable, fault.DependencyUnavailable},
		Description: "An unknown e-mail and a wrong password are told alike. Signing in brings an account back that its learner deactivated.",
		Request:     map[string]any{"email": "ana@example.com", "password": "correct horse battery"}, Response: example,
	}, s.login)
	add(a, route{
		ID: "refresh", Method: http.MethodPost, Path: "/auth/refresh", Tag: tagAuthentication, Public: true,
		Summary: "Get new tokens for a refresh token",
		Description: "A refresh token works once; the one just replaced works for 10 seconds more, in case the answer was lost. " +
			"Using an older one ends this login everywhere. Without a token in the body the cookie's is used, and the answer is in cookies too.",
		Fails:   []fault.Code{fault.Unauthenticated, fault.TokenExpired, fault.RefreshReused, fault.StorageUnavailable, fault.DependencyUnavailable},
		Request: map[string]any{"refresh_token": "kZ3v…"}, Response: example,
	}, s.refresh)
	add(a, route{
		ID: "logout", Method: http.MethodPost, Path: "/auth/logout", Tag: tagAuthentication, Status: http.StatusNoContent, Public: true,
		Summary: "End this login, or all of yours",
		Description: "Names the login by the refresh token in the body, else by the cookies or the access token; repeatable. " +
			"Its access tokens are refused and its connections closed within seconds, on every node. With all, every device is signed out.",
		Fails: []fault.Code{fault.StorageUnavailable, fault.DependencyUnavailable}, Request: map[string]any{"refresh_token": "kZ3v…", "all": false},
	}, s.logout)
	add(a, route{
		ID: "get-me", Method: http.MethodGet, Path: "/me", Tag: tagAuthentication,
		Summary: "Who you are", Fails: []fault.Code{fault.StorageUnavailable},
		Response: me{AccountView: exampleAccount, OnboardingComplete: true},
	}, s.me)
}

type signUpIn struct {
	Body struct {
		Email        string `json:"email"`
		Password     string `json:"password" format:"password" doc:"8 to 128 characters"`
		FullName     string `json:"full_name" doc:"2 to 100 characters of any script"`
		AcceptTerms  bool   `json:"accept_terms" doc:"Must be true"`
		AgeConfirmed bool   `json:"age_confirmed" doc:"Must be true"`
		Transport    string `json:"transport,omitempty" enum:"token,cookie" default:"token" doc:"Where the tokens go: into the answer, or only into HttpOnly cookies"`
	}
}

type signedInBody struct {
	Learner      authentication.LearnerView `json:"learner"`
	AccessToken  string                     `json:"access_token,omitempty" doc:"Absent with transport cookie"`
	RefreshToken string                     `json:"refresh_token,omitempty" doc:"Absent with transport cookie"`
	TokenType    string                     `json:"token_type"`
	ExpiresIn    int64                      `json:"expires_in" doc:"Seconds that the access token is good for"`
}

// signedUpBody is signedInBody, or only pending.
type signedUpBody struct {
	Learner      *authentication.LearnerView `json:"learner,omitempty"`
	AccessToken  string                      `json:"access_token,omitempty" doc:"Absent with transport cookie"`
	RefreshToken string                      `json:"refresh_token,omitempty" doc:"Absent with transport cookie"`
	TokenType    string                      `json:"token_type,omitempty"`
	ExpiresIn    int64                       `json:"expires_in,omitempty" doc:"Seconds that the access token is good for"`
	Pending      bool                        `json:"pending,omitempty" doc:"A mail must confirm the sign-up first"`
}

type signUpOut struct {
	Status    int
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      signedUpBody
}

type signedInOut struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      signedInBody
}

func (s *Server) signUp(ctx context.Context, in *signUpIn) (*signUpOut, error) {
	got, err := s.deps.Authentication.SignUp(ctx, authentication.SignUpInput{
		Email: in.Body.Email, Password: in.Body.Password, FullName: in.Body.FullName,
		AcceptTerms: in.Body.AcceptTerms, AgeConfirmed: in.Body.AgeConfirmed,
		RemoteIP: clientIP(ctx), Device: userAgent(ctx),
	})
	if err != nil {
		return nil, err
	}
	if got.Pending {
		return &signUpOut{Status: http.StatusAccepted, Body: signedUpBody{Pending: true}}, nil
	}
	out := handOut(ctx, got, in.Body.Transport)
	b := out.Body
	return &signUpOut{Status: http.StatusCreated, SetCookie: out.SetCookie, Body: signedUpBody{
		Learner: &b.Learner, AccessToken: b.AccessToken, RefreshToken: b.RefreshToken, TokenType: b.TokenType, ExpiresIn: b.ExpiresIn}}, nil
}

type loginIn struct {
	Body struct {
		Email     string `json:"email"`
		Password  string `json:"password" format:"password"`
		Transport string `json:"transport,omitempty" enum:"token,cookie" default:"token" doc:"Where the tokens go: into the answer, or only into HttpOnly cookies"`
	}
}

func (s *Server) login(ctx context.Context, in *loginIn) (*signedInOut, error) {
	got, err := s.deps.Authentication.Login(ctx, authentication.LoginInput{
		Email: in.Body.Email, Password: in.Body.Password, RemoteIP: clientIP(ctx), Device: userAgent(ctx),
	})
	if err != nil {
		return nil, err
	}
	return handOut(ctx, got, in.Body.Transport), nil
}

type refreshBody struct {
	RefreshToken string `json:"refresh_token,omitempty" doc:"Without it the cookie's is used"`
	Transport    string `json:"transport,omitempty" enum:"token,cookie" doc:"Where the tokens go; by default back where the old one came from"`
}

type refreshIn struct {
	Body   *refreshBody
	cookie string
}

// Resolve implements huma.Resolver.
func (in *refreshIn) Resolve(c huma.Context) []error {
	in.cookie = refreshCookie(humagin.Unwrap(c).Request)
	return nil
}

// refreshCookie is the refresh token that a browser brought, "" for none; two
// of one name mean that somebody else set one of them.
func refreshCookie(r *http.Request) string {
	if c := r.CookiesNamed(RefreshCookie); len(c) == 1 {
		return c[0].Value
	}
	return ""
}

func (s *Server) refresh(ctx context.Context, in *refreshIn) (*signedInOut, error) {
	var body refreshBody
	if in.Body != nil {
		body = *in.Body
	}
	token, transport := body.RefreshToken, byToken
	if token == "" {
		token, transport = in.cookie, byCookie
	}
	// A cookie's token never turns into one that scripts can read.
	if body.Transport == byCookie {
		transport = byCookie
	}
	got, err := s.deps.Authentication.Refresh(ctx, token)
	if err != nil {
		return nil, err
	}
	return handOut(ctx, got, transport), nil
}

type logoutIn struct {
	Body *struct {
		RefreshToken string `json:"refresh_token,omitempty"`
		All          bool   `json:"all,omitempty" doc:"Sign out on every device"`
	}
	cookie, access string
}

// Resolve implements huma.Resolver.
func (in *logoutIn) Resolve(c huma.Context) []error {
	r := humagin.Unwrap(c).Request
	in.cookie = refreshCookie(r)
	in.access, _, _ = TokenOf(r) // without one, the refresh token tells the login
	return nil
}

type logoutOut struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
}

func (s *Server) logout(ctx context.Context, in *logoutIn) (*logoutOut, error) {
	var out authentication.LogoutInput
	if in.Body != nil {
		out.RefreshToken, out.All = in.Body.RefreshToken, in.Body.All
	}
	if out.RefreshToken == "" {
		out.RefreshToken = in.cookie
	}
	if out.RefreshToken == "" && in.access != "" {
		if id, err := s.deps.Authentication.Verify(ctx, in.access); err == nil {
			out.Learner, out.Family = id.LearnerID, id.SessionFamily
		}
	}
	if err := s.deps.Authentication.Logout(ctx, out); err != nil {
		return nil, err
	}
	return &logoutOut{SetCookie: cookies(ctx, "", -1, "", -1)}, nil
}

type me struct {
	authentication.AccountView
	OnboardingComplete bool `json:"onboarding_complete"`
}

type meOut struct{ Body me }

func (s *Server) me(ctx context.Context, _ *struct{}) (*meOut, error) {
	l, err := s.deps.Accounts.Account(ctx, authentication.LearnerID(learnerOf(ctx)))
	if err != nil {
		return nil, err
	}
	o, err := s.deps.Onboarding.Get(ctx, onboarding.LearnerID(learnerOf(ctx)))
	if err != nil {
		return nil, err
	}
	return &meOut{Body: me{AccountView: l, OnboardingComplete: o.Complete}}, nil
}

// handOut answers with tokens by the transport that was asked for.
func handOut(ctx context.Context, got authentication.SignedIn, transport string) *signedInOut {
	t := got.Tokens
	out := &signedInOut{Body: signedInBody{Learner: got.Learner, TokenType: t.TokenType, ExpiresIn: t.ExpiresIn}}
	if transport == byCookie {
		out.SetCookie = cookies(ctx, t.AccessToken, int(t.ExpiresIn), t.RefreshToken, int(t.RefreshExpiresIn))
		return out
	}
	out.Body.AccessToken, out.Body.RefreshToken = t.AccessToken, t.RefreshToken
	return out
}

// cookies are the two of the browser transport; a negative age deletes one.
func cookies(ctx context.Context, access string, accessAge int, refresh string, refreshAge int) []http.Cookie {
	c := http.Cookie{
		Name: AccessCookie, Value: access, Path: "/api", MaxAge: accessAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: isSecure(ctx),
	}
	r := c
	r.Name, r.Value, r.Path, r.MaxAge = RefreshCookie, refresh, authPath, refreshAge
	return []http.Cookie{c, r}
}
