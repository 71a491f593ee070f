package server

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/docs"
	v1 "github.com/fluentpro/fluentpro/server/v1"
)

// DocsPath is where people read the API's document.
const DocsPath = "/api/docs"

// docsRoutes mount what people read: the document as a page of our own, which
// asks nobody else for anything, and the guide that v1 points to.
func (s *Server) docsRoutes() {
	if s.deps.Static != nil {
		page := gin.WrapH(s.deps.Static)
		for _, path := range []string{DocsPath, DocsPath + "/"} {
			s.engine.GET(path, page)
			s.engine.HEAD(path, page)
		}
	}
	s.engine.GET(v1.Guide, func(c *gin.Context) {
		c.Header("Cache-Control", "public, max-age=3600")
		c.Data(http.StatusOK, "text/markdown; charset=utf-8", docs.MigratingToV2)
	})
}
