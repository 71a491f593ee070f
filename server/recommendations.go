package server

import (
	"context"
	"net/http"

	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Recommender suggests scenarios; practice.Recommender is one.
type Recommender interface {
	List(ctx context.Context, learner string) (practice.Recommendations, error)
}

func (s *Server) recommendationRoutes(a *api) {
	add(a, route{
		ID: "list-recommendations", Method: http.MethodGet, Path: "/recommendations", Tag: tagScenarios,
		Summary: "Scenarios worth asking for",
		Description: "Made of your own choices in onboarding, best first, each with its reasons; the same until you change a choice. " +
			"partner and situation are what a scenario request takes.",
		Fails: []fault.Code{fault.OnboardingOpen, fault.StorageUnavailable},
		Response: practice.Recommendations{MadeAt: 1767322800000, Suggestions: []practice.Suggestion{{
			Partner: practice.Choice{ID: "clients", Label: "Clients"}, Situation: practice.Choice{ID: "meetings", Label: "Meetings"}, Level: "B1",
			Reasons: []practice.Reason{{Code: "partner_priority", Text: "Clients are number 1 of those you talk to."}},
		}}},
	}, s.listRecommendations)
}

type recommendationsOut struct{ Body practice.Recommendations }

func (s *Server) listRecommendations(ctx context.Context, _ *struct{}) (*recommendationsOut, error) {
	list, err := s.deps.Recommendations.List(ctx, learnerOf(ctx))
	if err != nil {
		return nil, err
	}
	return &recommendationsOut{Body: list}, nil
}
