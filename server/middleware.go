package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// headerRequestID carries the correlation id in and out.
const headerRequestID = "X-Request-Id"

// requestInfo names the request and notes what only the edge can know.
func (s *Server) requestInfo(c *gin.Context) {
	id := c.GetHeader(headerRequestID)
	if !correlation.Valid(id) || len(c.Request.Header.Values(headerRequestID)) > 1 {
		id = correlation.New()
	}
	c.Header(headerRequestID, id)
	info := &reqInfo{clientIP: c.ClientIP(), userAgent: c.Request.UserAgent(), secure: c.Request.TLS != nil}
	// ClientIP differs from the peer only when a trusted proxy spoke for it.
	if !info.secure && c.GetHeader("X-Forwarded-Proto") == "https" && s.peerTrusted(c) {
		info.secure = true
	}
	ctx := withInfo(correlation.With(c.Request.Context(), id), info)
	c.Request = c.Request.WithContext(ctx)
}

// peerTrusted reports whether the direct peer is one of the trusted proxies.
func (s *Server) peerTrusted(c *gin.Context) bool {
	for _, n := range s.proxies {
		if n.Contains(peerAddr(c.Request)) {
			return true
		}
	}
	return false
}

// recovery turns a panic into a problem document. The panic's value may hold
// anything, learner text too, so only a runtime error's own text is logged.
func (s *Server) recovery(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		what := fmt.Sprintf("%T", v)
		if re, ok := v.(runtime.Error); ok {
			what = re.Error()
		}
		ctx := c.Request.Context()
		s.log.LogAttrs(ctx, slog.LevelError, "panic in a handler", slog.String("panic", what),
			slog.String("route", c.FullPath()), slog.String("request_id", correlation.From(ctx)),
			slog.String("stack", string(debug.Stack())))
		c.Abort()
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // the answer is half out: cut the connection, do not pretend it is whole
		}
		s.refuse(c, fault.New(fault.Internal, "Something went wrong on our side."))
	}()
	c.Next()
}

// accessLog writes one line per request: the route's template, never the path
// with its parameters, never the query.
func (s *Server) accessLog(c *gin.Context) {
	start := time.Now()
	defer func() {
		route := c.FullPath()
		if route == "" {
			route = "unmatched"
		}
		method := knownMethod(c.Request.Method)
		took := time.Since(start)
		if s.deps.Metrics != nil {
			s.deps.Metrics.Request(route, method, c.Writer.Status(), took)
		}
		ctx := c.Request.Context()
		s.log.LogAttrs(ctx, slog.LevelInfo, "request", slog.String("method", method), slog.String("route", route),
			slog.Int("status", c.Writer.Status()), slog.Int("bytes", max(c.Writer.Size(), 0)),
			slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("request_id", correlation.From(ctx)))
	}()
	c.Next()
}

// knownMethod keeps invented methods out of logs and metric labels.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}

// csp lets the page run only what we serve; model output and learner text
// cannot load or send anything.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

func (s *Server) securityHeaders(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if isSecure(c.Request.Context()) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// apiVersion names the version of an answer.
func apiVersion(c *gin.Context) { c.Writer.Header().Set("X-API-Version", "v2") }

// noStore keeps API answers out of every cache.
func noStore(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Authorization, Cookie")
}
