package server

import (
	"context"
	"net/http"
)

// Info tells a visitor what kind of server this is.
type Info struct {
	Version string `json:"version"`
	Profile string `json:"profile"`
	// Embedded names the parts that run inside the process.
	Embedded []string `json:"embedded" doc:"Parts that run inside this process: database, redis, upstream"`
	// Notes say the same in plain words, for the page.
	Notes []string `json:"notes"`
}

func (s *Server) infoRoutes(a *api) {
	add(a, route{
		ID: "get-server-info", Method: http.MethodGet, Path: "/server-info", Tag: "Server", Public: true,
		Summary:  "What kind of server this is",
		Response: Info{Version: "1.0.0", Profile: "development", Embedded: []string{"database", "redis", "upstream"}, Notes: []string{"The partner is scripted."}},
	}, func(context.Context, *struct{}) (*struct{ Body Info }, error) {
		return &struct{ Body Info }{s.deps.Info}, nil
	})
}
