// Package server is the front door: it turns HTTP into calls of the rooms
// behind it and their answers back into HTTP, and decides nothing itself.
//
// Conventions for a handler: it is a method of Server,
//
//	func (s *Server) getThing(ctx context.Context, in *getThingIn) (*getThingOut, error)
//
// with huma's tags on In and Out; it returns fault errors (anything else
// reads as internal and is logged); learnerOf(ctx) is who asks; it is
// registered by add with a route whose Fails lists the codes it may answer.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/conversation"
	v1 "github.com/fluentpro/fluentpro/server/v1"
)

// Deps is what the server calls. Logger, Authenticator and the ports of the
// routes are needed; the rest may be nil.
type Deps struct {
	Logger *slog.Logger
	// Version of the binary, shown in the OpenAPI document.
	Version string
	// Origins are the exact origins ("https://app.example") that may use
	// cookies; empty allows the host that was asked for where it is an IP
	// address or localhost, which DNS rebinding cannot forge.
	Origins []string
	// TrustedProxies are the addresses or CIDRs whose X-Forwarded-For and
	// X-Forwarded-Proto are believed; empty trusts nobody.
	TrustedProxies []string
	// MaxBody bounds a request body [64 KiB].
	MaxBody int64
	// BodyTimeout bounds the time a body may take to arrive [10 s].
	BodyTimeout time.Duration

	Authenticator  Authenticator
	Authentication Authentication
	Accounts       Accounts
	Onboarding     Onboarding
	Practice       Practice
	// Recommendations suggests scenarios.
	Recommendations Recommender
	Conversations   Conversations
	// Erase deletes a learner's conversation for good; nil: none can be.
	Erase func(ctx context.Context, learner conversation.LearnerID, id conversation.ID) error
	// V1 is the surface of the first version; nil leaves it out.
	V1 *v1.API
	// Transcripts may be nil: there are no exports then.
	Transcripts Transcripts

	// WebSocket serves GET /api/v2/ws; it authenticates by itself, the Origin
	// was checked before.
	WebSocket http.HandlerFunc
	// Events serves the SSE stream of a conversation. It authenticates by
	// itself; the id is checked for form, not for ownership.
	Events func(w http.ResponseWriter, r *http.Request, conversation string)
	// Log serves the JSON log in the same way.
	Log func(w http.ResponseWriter, r *http.Request, conversation string)
	// Replies streams one reply in the protocol of another client; it
	// authenticates by itself.
	Replies Replies
	// Tickets makes connection tickets; nil means that there are none.
	Tickets Tickets
	// Static serves the page: everything outside /api.
	Static http.Handler

	// Info is what a visitor may know about this server.
	Info Info

	// Checks are what /readyz asks.
	Checks []Check
	// Metrics counts requests.
	Metrics Metrics
}

// Server is the public listener's handler.
type Server struct {
	deps    Deps
	log     *slog.Logger
	engine  *gin.Engine
	origins *origins
	proxies []netip.Prefix
	api     *api
}

// New builds the handler; it fails on settings that make no sense.
func New(d Deps) (*Server, error) {
	if d.Logger == nil || d.Authenticator == nil {
		return nil, errors.New("server: Logger and Authenticator are needed")
	}
	if d.MaxBody <= 0 {
		d.MaxBody = 64 << 10
	}
	if d.BodyTimeout <= 0 {
		d.BodyTimeout = 10 * time.Second
	}
	o, err := newOrigins(d.Origins)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	proxies, err := parseProxies(d.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s := &Server{deps: d, log: d.Logger, origins: o, proxies: proxies}
	e := gin.New()
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true
	// Gin trusts everybody's X-Forwarded-For unless told otherwise.
	if err := e.SetTrustedProxies(d.TrustedProxies); err != nil {
		return nil, fmt.Errorf("server: trusted proxies: %w", err)
	}
	s.engine = e
	e.Use(s.requestInfo, s.accessLog, s.recovery, s.securityHeaders)
	e.NoRoute(s.noRoute)
	e.NoMethod(s.noMethod)
	if err := s.routes(); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// OpenAPI is the OpenAPI 3.1 document, as it is served.
func (s *Server) OpenAPI() []byte { return s.api.document }

func init() {
	// Gin prints its routes to stdout in debug mode.
	gin.SetMode(gin.ReleaseMode)
}
