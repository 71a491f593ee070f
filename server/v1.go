package server

import (
	"io"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/fault"
	v1 "github.com/fluentpro/fluentpro/server/v1"
)

// v1Routes mount the surface of the first version, when there is one. What is
// the same for every request is done here as for v2; only errors look as they
// did then.
func (s *Server) v1Routes() {
	if s.deps.V1 == nil {
		return
	}
	g := s.engine.Group("", noStore, s.checkOrigin, s.strictBody)
	for _, r := range s.deps.V1.Routes() {
		h := s.serveV1(r)
		for _, path := range r.Paths {
			g.Handle(r.Method, path, h)
		}
	}
}

// isV1 says that a path belongs to the first version, as far as the form of an
// error is concerned.
func (s *Server) isV1(path string) bool {
	if s.deps.V1 == nil {
		return false
	}
	return path == v1.Prefix || strings.HasPrefix(path, v1.Prefix+"/") || path == "/health/" || path == "/api/health/"
}

// refuse answers err in the form of the API that was asked.
func (s *Server) refuse(c *gin.Context, err error) {
	if s.isV1(c.Request.URL.Path) {
		v1.WriteError(c.Writer, err)
		return
	}
	WriteProblem(c.Writer, c.Request, err)
}

func (s *Server) serveV1(route v1.Route) gin.HandlerFunc {
	return func(c *gin.Context) {
		r := c.Request
		fail := func(err error) { v1.WriteError(c.Writer, s.problem(r.Context(), err).cause) }
		q := v1.Request{RemoteIP: clientIP(r.Context()), Partner: c.Param("partner")}
		if !route.Public {
			if err := s.authenticate(r); err != nil {
				fail(err)
				return
			}
			q.Learner = learnerOf(r.Context())
			q.AccessToken, _, _ = TokenOf(r) // it was good a moment ago
		}
		if r.Method != http.MethodGet && r.Body != nil {
			var err error
			if q.Body, err = io.ReadAll(r.Body); err != nil { // read within its limits before
				fail(fault.Wrap(err, fault.BadRequest, "The body cannot be read."))
				return
			}
		}
		ans, err := route.Handle(r.Context(), &q)
		if err != nil {
			fail(err)
			return
		}
		v1.WriteAnswer(c.Writer, ans)
	}
}

// versions are the supported versions, in words.
func (s *Server) versions() string {
	if s.deps.V1 != nil {
		return "v1, v2"
	}
	return "v2"
}
