package server

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Practice is what the scenario routes call.
type Practice interface {
	RequestScenario(ctx context.Context, learner string, in practice.RequestInput) (id string, err error)
	List(ctx context.Context, learner, before string, limit int) (list []practice.View, next string, err error)
	Get(ctx context.Context, learner, id string) (practice.View, error)
	StartConversation(ctx context.Context, learner, scenarioID, clientID string) (practice.Started, error)
}

const tagScenarios = "Scenarios"

func (s *Server) scenarioRoutes(a *api) {
	add(a, route{
		ID: "request-scenario", Method: http.MethodPost, Path: "/scenario-requests", Tag: tagScenarios, Status: http.StatusAccepted,
		Summary:     "Ask for a scenario",
		Description: "The scenario is written while you watch: read events_url (SSE) or subscribe by WebSocket. A repeated client_id answers the first request.",
		Fails:       []fault.Code{fault.OnboardingOpen, fault.StorageUnavailable, fault.RateLimited},
		Request:     map[string]any{"partner": "clients", "situation": "meetings", "client_id": "req-1"},
		Response:    requested{ID: exampleID, EventsURL: Prefix + "/scenario-requests/" + exampleID + "/events"},
	}, s.requestScenario)
	add(a, route{
		ID: "get-scenario-request", Method: http.MethodGet, Path: "/scenario-requests/{id}", Tag: tagScenarios,
		Summary: "State of a scenario request", Fails: []fault.Code{fault.NotFound, fault.StorageUnavailable},
		Response: exampleSnapshot(conversation.KindScenario),
	}, s.getScenarioRequest)
	add(a, route{
		ID: "list-scenarios", Method: http.MethodGet, Path: "/scenarios", Tag: tagScenarios,
		Summary: "Your scenarios, newest first", Fails: []fault.Code{fault.Invalid, fault.StorageUnavailable},
		Response: scenarioList{Scenarios: []practice.View{exampleScenario}},
	}, s.listScenarios)
	add(a, route{
		ID: "get-scenario", Method: http.MethodGet, Path: "/scenarios/{id}", Tag: tagScenarios,
		Summary: "One scenario", Fails: []fault.Code{fault.NotFound, fault.StorageUnavailable},
		Response: exampleScenario,
	}, s.getScenario)
}

type requestScenarioIn struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Stands in for client_id"`
	Body           struct {
		Partner   string `json:"partner,omitempty" maxLength:"200" doc:"One of your partners; empty lets us choose"`
		Situation string `json:"situation,omitempty" maxLength:"200" doc:"One of your situations with that partner"`
		ClientID  string `json:"client_id,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$"`
	}
}

type requested struct {
	ID        string `json:"id"`
	EventsURL string `json:"events_url"`
}

type requestScenarioOut struct {
	Location string `header:"Location"`
	Body     requested
}

func (s *Server) requestScenario(ctx context.Context, in *requestScenarioIn) (*requestScenarioOut, error) {
	key, err := clientKey(in.Body.ClientID, in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	id, err := s.deps.Practice.RequestScenario(ctx, learnerOf(ctx), practice.RequestInput{
		Partner: in.Body.Partner, Situation: in.Body.Situation, ClientID: key,
	})
	if err != nil {
		return nil, err
	}
	at := Prefix + "/scenario-requests/" + id
	return &requestScenarioOut{Location: at, Body: requested{ID: id, EventsURL: at + "/events"}}, nil
}

func (s *Server) getScenarioRequest(ctx context.Context, in *idIn) (*snapshotOut, error) {
	return s.snapshot(ctx, in.ID, conversation.KindScenario)
}

type idIn struct {
	ID string `path:"id" maxLength:"64"`
}

type pageIn struct {
	Before string `query:"before" maxLength:"128" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
}

type scenarioList struct {
	Scenarios []practice.View `json:"scenarios"`
	Next      string          `json:"next,omitempty" doc:"Give it as before to go on; absent on the last page"`
}

type listScenariosOut struct{ Body scenarioList }

func (s *Server) listScenarios(ctx context.Context, in *pageIn) (*listScenariosOut, error) {
	list, next, err := s.deps.Practice.List(ctx, learnerOf(ctx), in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []practice.View{}
	}
	return &listScenariosOut{Body: scenarioList{Scenarios: list, Next: next}}, nil
}

type getScenarioOut struct{ Body practice.View }

func (s *Server) getScenario(ctx context.Context, in *idIn) (*getScenarioOut, error) {
	id, err := uuid.Parse(in.ID)
	if err != nil {
		return nil, practice.ErrNoScenario
	}
	v, err := s.deps.Practice.Get(ctx, learnerOf(ctx), id.String())
	if err != nil {
		return nil, err
	}
	return &getScenarioOut{Body: v}, nil
}

// clientKey is the idempotency key of a command, from body or header; two that
// differ are a mistake.
func clientKey(body, header string) (string, error) {
	if body != "" && header != "" && body != header {
		return "", &fault.Error{Code: fault.Invalid, Message: "client_id and Idempotency-Key differ.",
			Fields: []fault.Field{{Name: "client_id", Code: "conflict", Message: "differs from the Idempotency-Key header"}}}
	}
	if body != "" {
		return body, nil
	}
	return header, nil
}
