package server

import (
	"context"
	"net/http"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

const tagOperators = "Accounts"

// operatorRoutes look after the accounts of others.
func (s *Server) operatorRoutes(a *api) {
	stored := []fault.Code{fault.StorageUnavailable}
	one := []fault.Code{fault.NotFound, fault.StorageUnavailable}
	act := func(id, path, summary string, least authentication.Role, do func(context.Context, authentication.Actor, authentication.LearnerID) error) {
		add(a, route{ID: id, Method: http.MethodPost, Path: "/accounts/{id}/" + path, Tag: tagOperators, Status: http.StatusNoContent,
			Role: least, Summary: summary, Fails: one},
			func(ctx context.Context, in *accountID) (*struct{}, error) {
				return nil, do(ctx, s.actor(ctx), authentication.LearnerID(in.ID))
			})
	}
	add(a, route{ID: "list-accounts", Method: http.MethodGet, Path: "/accounts", Tag: tagOperators, Role: authentication.RoleOperator,
		Summary: "Accounts, newest first", Fails: stored,
		Response: accountList{Accounts: []authentication.AccountView{exampleAccount}, Next: exampleID}}, s.listAccounts)
	add(a, route{ID: "get-account", Method: http.MethodGet, Path: "/accounts/{id}", Tag: tagOperators, Role: authentication.RoleOperator,
		Summary: "One account", Fails: one, Response: exampleAccount}, s.getAccount)
	add(a, route{ID: "set-account-role", Method: http.MethodPut, Path: "/accounts/{id}/role", Tag: tagOperators, Status: http.StatusNoContent,
		Role: authentication.RoleAdmin, Summary: "Say what an account may do",
		Description: "Its logins end, for their tokens say the old role.", Fails: one, Request: map[string]any{"role": "operator"}}, s.setRole)
	act("deactivate-account", "deactivate", "Take an account out of use", authentication.RoleOperator, s.suspend)
	act("reactivate-account", "reactivate", "Take a deactivated account into use again", authentication.RoleOperator, s.restore)
	act("erase-account", "erase", "Delete an account and all its personal data, for good", authentication.RoleAdmin, s.eraseAccount)
}

// actor is who asks.
func (s *Server) actor(ctx context.Context) authentication.Actor {
	id := identityOf(ctx)
	return authentication.Actor{ID: authentication.LearnerID(id.Learner), Role: authentication.Role(id.Role)}
}

type accountID struct {
	ID string `path:"id" maxLength:"64"`
}

type accountList struct {
	Accounts []authentication.AccountView `json:"accounts"`
	Next     authentication.LearnerID     `json:"next,omitempty" doc:"Send it as before for the following page; absent on the last"`
}

type listAccountsIn struct {
	Email  string `query:"email" maxLength:"254" doc:"Only addresses that begin so, in lower case"`
	Before string `query:"before" maxLength:"64" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

func (s *Server) listAccounts(ctx context.Context, in *listAccountsIn) (*struct{ Body accountList }, error) {
	list, next, err := s.deps.Accounts.Accounts(ctx, in.Email, authentication.LearnerID(in.Before), in.Limit)
	return &struct{ Body accountList }{accountList{Accounts: list, Next: next}}, err
}

func (s *Server) getAccount(ctx context.Context, in *accountID) (*accountOut, error) {
	v, err := s.deps.Accounts.Find(ctx, in.ID)
	return &accountOut{v}, err
}

type setRoleIn struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		Role string `json:"role" enum:"learner,operator,admin"`
	}
}

func (s *Server) setRole(ctx context.Context, in *setRoleIn) (*struct{}, error) {
	return nil, s.deps.Accounts.SetRole(ctx, s.actor(ctx), authentication.LearnerID(in.ID), authentication.Role(in.Body.Role))
}

func (s *Server) suspend(ctx context.Context, by authentication.Actor, id authentication.LearnerID) error {
	return s.deps.Accounts.Suspend(ctx, by, id)
}

func (s *Server) restore(ctx context.Context, by authentication.Actor, id authentication.LearnerID) error {
	return s.deps.Accounts.Restore(ctx, by, id)
}

func (s *Server) eraseAccount(ctx context.Context, by authentication.Actor, id authentication.LearnerID) error {
	return s.deps.Accounts.EraseAccount(ctx, by, id)
}
