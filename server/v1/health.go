package v1

import (
	"context"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// health answers whether the node should get traffic, with 503 when not.
func (a *API) health(ctx context.Context, _ *Request) (Answer, error) {
	if a.deps.Healthy != nil && !a.deps.Healthy(ctx) {
		return Answer{}, fault.New(fault.Overloaded, "The service is not ready.")
	}
	return Answer{Body: object{
		"status": "healthy", "service": "FluentPro", "version": a.deps.Version, "environment": a.deps.Environment,
		// Storage is SQL behind our own pool; the old name stays, and it is
		// never missing in a process that runs.
		"auth0_configured": a.deps.External, "supabase_configured": true,
	}}, nil
}
