package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Accounts is what the routes about accounts call; authentication.Service is
// one.
type Accounts interface {
	Account(ctx context.Context, learner authentication.LearnerID) (authentication.AccountView, error)
	Rename(ctx context.Context, learner authentication.LearnerID, name string) (authentication.AccountView, error)
	Logins(ctx context.Context, learner authentication.LearnerID, current authentication.FamilyID) ([]authentication.LoginView, error)
	EndLogin(ctx context.Context, learner authentication.LearnerID, family authentication.FamilyID) error
	ChangePassword(ctx context.Context, in authentication.ChangePasswordInput) error
	RequestPasswordReset(ctx context.Context, email, ip string) error
	ResetPassword(ctx context.Context, token, password string) error
	ChangeEmail(ctx context.Context, in authentication.ConfirmedInput, email string) error
	RequestEmailVerification(ctx context.Context, learner authentication.LearnerID, ip string) error
	ConfirmEmail(ctx context.Context, token string) error
	Deactivate(ctx context.Context, in authentication.ConfirmedInput) error
	Erase(ctx context.Context, in authentication.ConfirmedInput) error
	Export(ctx context.Context, learner authentication.LearnerID, add func(authentication.PersonalRow) error) error

	PublicKeys() []authentication.JWK

	// For operators.
	Accounts(ctx context.Context, email string, before authentication.LearnerID, limit int) ([]authentication.AccountView, authentication.LearnerID, error)
	Find(ctx context.Context, key string) (authentication.AccountView, error)
	SetRole(ctx context.Context, by authentication.Actor, learner authentication.LearnerID, role authentication.Role) error
	Suspend(ctx context.Context, by authentication.Actor, learner authentication.LearnerID) error
	Restore(ctx context.Context, by authentication.Actor, learner authentication.LearnerID) error
	EraseAccount(ctx context.Context, by authentication.Actor, learner authentication.LearnerID) error
}

const tagAccount = "Account"

var exampleAccount = authentication.AccountView{
	LearnerView: authentication.LearnerView{ID: exampleID, Email: "ana@example.com", FullName: "Ana Souza", CreatedAt: exampleTime},
	Role:        authentication.RoleLearner, State: authentication.StateActive, EmailVerified: true,
}

func (s *Server) accountRoutes(a *api) {
	password := map[string]any{"password": "correct horse battery"}
	stored := []fault.Code{fault.StorageUnavailable}
	// Another service may keep password and e-mail; see docs/api.md.
	guarded := []fault.Code{fault.ExternalAccount, fault.RateLimited, fault.StorageUnavailable, fault.DependencyUnavailable}
	add(a, route{
		ID: "update-me", Method: http.MethodPatch, Path: "/me", Tag: tagAccount, Summary: "Change your name", Fails: stored,
		Request: map[string]any{"full_name": "Ana Souza"}, Response: exampleAccount,
	}, s.updateMe)
	add(a, route{
		ID: "list-logins", Method: http.MethodGet, Path: "/me/logins", Tag: tagAccount, Summary: "Where you are signed in", Fails: stored,
		Response: loginList{Logins: []authentication.LoginView{{ID: exampleID, Device: "Mozilla/5.0 (X11; Linux x86_64)", CreatedAt: exampleTime, UsedAt: exampleTime, Current: true}}},
	}, s.listLogins)
	add(a, route{
		ID: "end-login", Method: http.MethodDelete, Path: "/me/logins/{id}", Tag: tagAccount, Status: http.StatusNoContent,
		Summary:     "Sign one device out",
		Description: "Its access tokens are refused and its connections closed within seconds, on every node.",
		Fails:       []fault.Code{fault.NotFound, fault.StorageUnavailable},
	}, s.endLogin)
	add(a, route{
		ID: "change-password", Method: http.MethodPost, Path: "/me/password", Tag: tagAccount, Status: http.StatusNoContent,
		Summary: "Set a new password by the old one", Description: "Every other device is signed out.", Fails: append(guarded, fault.Conflict),
		Request: map[string]any{"password": "correct horse battery", "new_password": "tulip under glass"},
	}, s.changePassword)
	add(a, route{
		ID: "change-email", Method: http.MethodPost, Path: "/me/email", Tag: tagAccount, Status: http.StatusNoContent,
		Summary:     "Ask for another e-mail address",
		Description: "It becomes yours when the link in the mail that goes there is used; until then the old one stays. Whether somebody else has it is not told.",
		Fails:       guarded, Request: map[string]any{"email": "ana@new.example.com", "password": "correct horse battery"},
	}, s.changeEmail)
	add(a, route{
		ID: "request-email-verification", Method: http.MethodPost, Path: "/me/email-verifications", Tag: tagAccount, Status: http.StatusNoContent,
		Summary: "Send the mail again that proves your address", Fails: guarded,
	}, s.requestVerification)
	add(a, route{
		ID: "deactivate-me", Method: http.MethodPost, Path: "/me/deactivate", Tag: tagAccount, Status: http.StatusNoContent,
		Summary: "Take your account out of use", Description: "Every device is signed out, nothing is deleted; signing in again brings it back.",
		Fails: guarded, Request: password,
	}, s.deactivateMe)
	add(a, route{
		ID: "erase-me", Method: http.MethodPost, Path: "/me/erase", Tag: tagAccount, Status: http.StatusNoContent,
		Summary: "Delete your account and all personal data, for good", Fails: guarded, Request: password,
	}, s.eraseMe)
	a.plain(route{ID: "export-me", Method: http.MethodGet, Path: "/me/export", Tag: tagAccount,
		Summary: "All that is known about you (JSON or NDJSON, by Accept)", Fails: stored},
		map[string]*huma.Response{"200": rowsOf(a.OpenAPI().Components.Schemas.Schema(personalReflect, true, "PersonalRow"),
			authentication.PersonalRow{Domain: "authentication", Kind: "account", Data: exampleAccount})},
		nil, s.signedIn(s.exportMe))

	add(a, route{
		ID: "forgot-password", Method: http.MethodPost, Path: "/auth/forgot-password", Tag: tagAuthentication, Status: http.StatusNoContent, Public: true,
		Summary:     "Ask for a mail with a link to set a new password",
		Description: "The answer and its time are the same whether the address has an account or not. The link works once, for an hour.",
		Fails:       guarded, Request: map[string]any{"email": "ana@example.com"},
	}, s.forgotPassword)
	add(a, route{
		ID: "reset-password", Method: http.MethodPost, Path: "/auth/reset-password", Tag: tagAuthentication, Status: http.StatusNoContent, Public: true,
		Summary: "Set a new password by the token of that link", Description: "Every device is signed out. A password that is refused leaves the link as it was.",
		Fails: append(guarded, fault.LinkInvalid), Request: map[string]any{"token": "kZ3v…", "new_password": "tulip under glass"},
	}, s.resetPassword)
	add(a, route{
		ID: "verify-email", Method: http.MethodPost, Path: "/auth/verify-email", Tag: tagAuthentication, Status: http.StatusNoContent, Public: true,
		Summary: "Prove an address by the token of a mail's link", Fails: []fault.Code{fault.LinkInvalid, fault.EmailTaken, fault.StorageUnavailable},
		Request: map[string]any{"token": "kZ3v…"},
	}, s.verifyEmail)
	s.operatorRoutes(a)
}

// jwksAge is how long the published keys may be kept; a new key is published
// twice as long before it signs.
const jwksAge = authentication.KeyAnnounce / 2

// jwks publishes the keys that access tokens are signed with, for others that
// check them.
func (s *Server) jwks(c *gin.Context) {
	c.Header("Cache-Control", fmt.Sprintf("public, max-age=%d", int(jwksAge.Seconds())))
	c.JSON(http.StatusOK, map[string]any{"keys": s.deps.Accounts.PublicKeys()})
}

// who is the learner who asks.
func (s *Server) who(ctx context.Context) authentication.LearnerID {
	return authentication.LearnerID(learnerOf(ctx))
}

type renameIn struct {
	Body struct {
		FullName string `json:"full_name" doc:"2 to 100 characters of any script"`
	}
}

type accountOut struct{ Body authentication.AccountView }

func (s *Server) updateMe(ctx context.Context, in *renameIn) (*accountOut, error) {
	v, err := s.deps.Accounts.Rename(ctx, s.who(ctx), in.Body.FullName)
	return &accountOut{v}, err
}

type loginList struct {
	Logins []authentication.LoginView `json:"logins"`
}

func (s *Server) listLogins(ctx context.Context, _ *struct{}) (*struct{ Body loginList }, error) {
	list, err := s.deps.Accounts.Logins(ctx, s.who(ctx), authentication.FamilyID(identityOf(ctx).Family))
	return &struct{ Body loginList }{loginList{Logins: list}}, err
}

type loginID struct {
	ID string `path:"id" maxLength:"64" doc:"From the list of logins"`
}

func (s *Server) endLogin(ctx context.Context, in *loginID) (*struct{}, error) {
	return nil, s.deps.Accounts.EndLogin(ctx, s.who(ctx), authentication.FamilyID(in.ID))
}

type changePasswordIn struct {
	Body struct {
		Password    string `json:"password" format:"password" doc:"The one you have"`
		NewPassword string `json:"new_password" format:"password" doc:"8 to 128 characters"`
	}
}

// confirmed is a wish of the learner who asks, with the password.
func (s *Server) confirmed(ctx context.Context, password string) authentication.ConfirmedInput {
	return authentication.ConfirmedInput{Learner: s.who(ctx), Password: password, RemoteIP: clientIP(ctx)}
}

func (s *Server) changePassword(ctx context.Context, in *changePasswordIn) (*struct{}, error) {
	return nil, s.deps.Accounts.ChangePassword(ctx, authentication.ChangePasswordInput{
		ConfirmedInput: s.confirmed(ctx, in.Body.Password),
		Family:         authentication.FamilyID(identityOf(ctx).Family), NewPassword: in.Body.NewPassword,
	})
}

type changeEmailIn struct {
	Body struct {
		Email    string `json:"email"`
		Password string `json:"password" format:"password"`
	}
}

func (s *Server) changeEmail(ctx context.Context, in *changeEmailIn) (*struct{}, error) {
	return nil, s.deps.Accounts.ChangeEmail(ctx, s.confirmed(ctx, in.Body.Password), in.Body.Email)
}

func (s *Server) requestVerification(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, s.deps.Accounts.RequestEmailVerification(ctx, s.who(ctx), clientIP(ctx))
}

type passwordIn struct {
	Body struct {
		Password string `json:"password" format:"password"`
	}
}

func (s *Server) deactivateMe(ctx context.Context, in *passwordIn) (*logoutOut, error) {
	if err := s.deps.Accounts.Deactivate(ctx, s.confirmed(ctx, in.Body.Password)); err != nil {
		return nil, err
	}
	return &logoutOut{SetCookie: cookies(ctx, "", -1, "", -1)}, nil
}

func (s *Server) eraseMe(ctx context.Context, in *passwordIn) (*logoutOut, error) {
	if err := s.deps.Accounts.Erase(ctx, s.confirmed(ctx, in.Body.Password)); err != nil {
		return nil, err
	}
	return &logoutOut{SetCookie: cookies(ctx, "", -1, "", -1)}, nil
}

// exportMe streams; a page of rows is in memory at a time.
func (s *Server) exportMe(c *gin.Context) {
	ctx := c.Request.Context()
	c.Header("Content-Disposition", `attachment; filename="fluentpro-export"`)
	x := newExport(c)
	s.finishExport(c, x, s.deps.Accounts.Export(ctx, s.who(ctx), func(r authentication.PersonalRow) error {
		if err := x.add(r); err != nil || x.rows%exportPage != 0 {
			return err
		}
		return x.flush()
	}))
}

type emailIn struct {
	Body struct {
		Email string `json:"email"`
	}
}

func (s *Server) forgotPassword(ctx context.Context, in *emailIn) (*struct{}, error) {
	return nil, s.deps.Accounts.RequestPasswordReset(ctx, in.Body.Email, clientIP(ctx))
}

type resetPasswordIn struct {
	Body struct {
		Token       string `json:"token" doc:"The last part of the link"`
		NewPassword string `json:"new_password" format:"password" doc:"8 to 128 characters"`
	}
}

func (s *Server) resetPassword(ctx context.Context, in *resetPasswordIn) (*logoutOut, error) {
	if err := s.deps.Accounts.ResetPassword(ctx, in.Body.Token, in.Body.NewPassword); err != nil {
		return nil, err
	}
	return &logoutOut{SetCookie: cookies(ctx, "", -1, "", -1)}, nil
}

type tokenIn struct {
	Body struct {
		Token string `json:"token" doc:"The last part of the link"`
	}
}

func (s *Server) verifyEmail(ctx context.Context, in *tokenIn) (*struct{}, error) {
	return nil, s.deps.Accounts.ConfirmEmail(ctx, in.Body.Token)
}
