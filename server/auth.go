package server

// Authentication is what the sign-in routes call.
type Authentication interface{}

func (s *Server) authenticationRoutes(*api) {}
