package server

import (
	"context"
	"net/http"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Accounts is what the routes about one's own account call;
// authentication.Service is one.
type Accounts interface {
	Logins(ctx context.Context, learner authentication.LearnerID, current authentication.FamilyID) ([]authentication.LoginView, error)
	EndLogin(ctx context.Context, learner authentication.LearnerID, family authentication.FamilyID) error
}

const tagAccount = "Account"

func (s *Server) accountRoutes(a *api) {
	add(a, route{
		ID: "list-logins", Method: http.MethodGet, Path: "/me/logins", Tag: tagAccount,
		Summary: "Where you are signed in", Fails: []fault.Code{fault.StorageUnavailable},
		Response: loginList{Logins: []authentication.LoginView{{ID: exampleID, Device: "Mozilla/5.0 (X11; Linux x86_64)", CreatedAt: exampleTime, UsedAt: exampleTime, Current: true}}},
	}, s.listLogins)
	add(a, route{
		ID: "end-login", Method: http.MethodDelete, Path: "/me/logins/{id}", Tag: tagAccount, Status: http.StatusNoContent,
		Summary:     "Sign one device out",
		Description: "Its access tokens are refused and its connections closed within seconds, on every node.",
		Fails:       []fault.Code{fault.NotFound, fault.StorageUnavailable},
	}, s.endLogin)
}

type loginList struct {
	Logins []authentication.LoginView `json:"logins"`
}

func (s *Server) listLogins(ctx context.Context, _ *struct{}) (*struct{ Body loginList }, error) {
	who := identityOf(ctx)
	list, err := s.deps.Accounts.Logins(ctx, authentication.LearnerID(who.Learner), authentication.FamilyID(who.Family))
	if err != nil {
		return nil, err
	}
	return &struct{ Body loginList }{loginList{Logins: list}}, nil
}

type loginID struct {
	ID string `path:"id" maxLength:"64" doc:"From the list of logins"`
}

func (s *Server) endLogin(ctx context.Context, in *loginID) (*struct{}, error) {
	return nil, s.deps.Accounts.EndLogin(ctx, authentication.LearnerID(learnerOf(ctx)), authentication.FamilyID(in.ID))
}
