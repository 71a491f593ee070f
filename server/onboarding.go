package server

// Onboarding is what the onboarding routes call.
type Onboarding interface{}

func (s *Server) onboardingRoutes(*api) {}
