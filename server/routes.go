package server

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// routes mounts everything that the public listener serves. Each area lists
// its own routes next to its handlers, in the same form.
func (s *Server) routes() error {
	s.engine.GET("/livez", gin.WrapF(s.livez))
	s.engine.GET("/readyz", gin.WrapF(s.readyz))
	s.engine.GET("/.well-known/jwks.json", s.jwks)

	s.docsRoutes()
	s.v1Routes()
	g := s.engine.Group(Prefix, noStore, apiVersion)
	a := s.newAPI(g.Group("", s.checkOrigin, s.strictBody))
	s.api = a
	s.authenticationRoutes(a)
	s.accountRoutes(a)
	s.onboardingRoutes(a)
	s.scenarioRoutes(a)
	s.recommendationRoutes(a)
	s.conversationRoutes(a)
	s.branchRoutes(a)
	s.streamRoutes(a)
	s.ticketRoutes(a)
	s.exportRoutes(a)
	s.infoRoutes(a)
	s.chatRoutes(a)
	s.aguiRoutes(a)
	return a.freeze()
}

var versionPath = regexp.MustCompile(`^/api/(v[0-9]+)(/|$)`)

// hidden are paths of the operations listener; here they never exist, not
// even as a page route.
var hidden = []string{"/metrics", "/debug", "/ops", "/admin", "/healthz"}

// noRoute answers what no route matches: an API problem, or the page.
func (s *Server) noRoute(c *gin.Context) {
	path := c.Request.URL.Path
	if m := versionPath.FindStringSubmatch(path); m != nil && m[1] != "v2" && !s.isV1(path) {
		noStore(c)
		WriteProblem(c.Writer, c.Request, fault.New(fault.UnknownVersion, "This API version does not exist. Supported: "+s.versions()+"."))
		return
	}
	if path == "/api" || strings.HasPrefix(path, "/api/") {
		noStore(c)
		s.refuse(c, errNoSuchPath)
		return
	}
	for _, h := range hidden {
		if path == h || strings.HasPrefix(path, h+"/") {
			WriteProblem(c.Writer, c.Request, errNoSuchPath)
			return
		}
	}
	switch {
	case s.deps.Static == nil:
		WriteProblem(c.Writer, c.Request, errNoSuchPath)
	case c.Request.Method != http.MethodGet && c.Request.Method != http.MethodHead:
		c.Header("Allow", "GET, HEAD")
		WriteProblem(c.Writer, c.Request, fault.New(fault.MethodNotAllowed, "This path can only be read."))
	default:
		c.Status(http.StatusOK) // gin sets 404 before a NoRoute handler
		s.deps.Static.ServeHTTP(c.Writer, c.Request)
	}
}

var errNoSuchPath = fault.New(fault.NotFound, "No such path.")

// noMethod answers a known path asked with another method; gin has set Allow.
func (s *Server) noMethod(c *gin.Context) {
	noStore(c)
	s.refuse(c, fault.New(fault.MethodNotAllowed, "This path does not know that method; see Allow."))
}
