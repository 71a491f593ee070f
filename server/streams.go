package server

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

const tagStreams = "Realtime"

// streamRoutes mounts the handlers that hold a connection. They are plain
// handlers: huma's sse package knows no cursors that are not integers, no
// heartbeats, and leaves a write deadline armed. They are documented all the
// same. They authenticate by themselves, because a native EventSource must not
// be told of a passing trouble by a status.
func (s *Server) streamRoutes(a *api) {
	sse := map[string]*huma.Response{
		"200": {Description: "Events as docs/protocol.md has them; control messages carry no seq.", Content: map[string]*huma.MediaType{
			"text/event-stream": {Schema: &huma.Schema{Type: "string"}, Example: "retry: 1000\n\nid: " + exampleCur + "\ndata: {\"v\":1,\"seq\":412,\"type\":\"partner.delta\",\"data\":{\"at\":0,\"text\":\"Hello\"}}\n\n"},
		}},
		"204": {Description: "The conversation has ended and the cursor is at its end."},
	}
	if s.deps.Events != nil {
		a.plain(route{ID: "stream-conversation-events", Method: http.MethodGet, Path: "/conversations/{id}/events", Tag: tagStreams,
			Summary: "Events of a conversation (SSE)", Fails: []fault.Code{fault.NotFound, fault.TooManyConnections, fault.Draining}},
			sse, cursorParams, s.withConversation(s.deps.Events))
		a.plain(route{ID: "stream-scenario-request-events", Method: http.MethodGet, Path: "/scenario-requests/{id}/events", Tag: tagStreams,
			Summary: "Events of a scenario being written (SSE)", Fails: []fault.Code{fault.NotFound, fault.TooManyConnections, fault.Draining}},
			sse, cursorParams, s.withConversation(s.deps.Events))
	}
	if s.deps.Log != nil {
		a.plain(route{ID: "read-conversation-log", Method: http.MethodGet, Path: "/conversations/{id}/log", Tag: tagStreams,
			Summary: "The log as JSON, with long poll", Fails: []fault.Code{fault.NotFound, fault.CursorGone, fault.Invalid, fault.Draining}},
			map[string]*huma.Response{"200": {Description: "Events after the cursor.", Content: map[string]*huma.MediaType{
				"application/json": {Schema: logSchema, Example: map[string]any{"events": []any{}, "cur": exampleCur, "more": false}},
			}}}, logParams, s.withConversation(s.deps.Log))
	}
	if s.deps.WebSocket != nil {
		a.plain(route{ID: "open-websocket", Method: http.MethodGet, Path: "/ws", Tag: tagStreams, Public: true,
			Summary:     "WebSocket, subprotocol conv.v1.json",
			Description: "Authentication by header, cookie with our own Origin, subprotocol or the hello frame, by token or ticket; never in the URL. Frames and close codes are in docs/protocol.md.",
			Fails:       []fault.Code{fault.ForeignOrigin, fault.Unauthenticated, fault.ProtocolVersion, fault.TooManyConnections, fault.Draining}},
			map[string]*huma.Response{"101": {Description: "Upgraded."}}, nil, s.upgrade)
	}
}

var (
	idParam      = &huma.Param{Name: "id", In: "path", Required: true, Example: exampleID, Schema: &huma.Schema{Type: "string", Format: "uuid"}}
	cursorParams = []*huma.Param{idParam,
		{Name: "cursor", In: "query", Example: exampleCur, Description: "Where to go on, unless Last-Event-ID says it.", Schema: &huma.Schema{Type: "string"}},
		{Name: "Last-Event-ID", In: "header", Example: exampleCur, Description: "Where to go on.", Schema: &huma.Schema{Type: "string"}}}
	logParams = []*huma.Param{idParam,
		{Name: "after", In: "query", Example: exampleCur, Schema: &huma.Schema{Type: "string"}},
		{Name: "limit", In: "query", Example: 100, Schema: &huma.Schema{Type: "integer"}, Description: "1 to 1000"},
		{Name: "wait", In: "query", Example: 0, Schema: &huma.Schema{Type: "integer"}, Description: "Seconds to hold until there is something, at most 25"}}
	logSchema = &huma.Schema{Type: "object", Required: []string{"events", "cur", "more"}, Properties: map[string]*huma.Schema{
		"events": {Type: "array", Items: &huma.Schema{Type: "object", AdditionalProperties: true}},
		"cur":    {Type: "string"}, "more": {Type: "boolean"},
	}}
)

// plain mounts a gin handler and documents it.
func (a *api) plain(r route, ok map[string]*huma.Response, params []*huma.Param, h gin.HandlerFunc) {
	op := a.operation(r)
	for status, res := range ok {
		op.Responses[status] = res
	}
	op.Parameters = params
	a.OpenAPI().AddOperation(&op)
	a.group.Handle(r.Method, strings.NewReplacer("{", ":", "}", "").Replace(r.Path), h)
}

// withConversation checks the form of the id before anything is built from it.
func (s *Server) withConversation(h func(http.ResponseWriter, *http.Request, string)) gin.HandlerFunc {
	return func(c *gin.Context) {
		id, err := conversation.ParseID(c.Param("id"))
		if err != nil {
			WriteProblem(c.Writer, c.Request, err)
			return
		}
		h(c.Writer, c.Request, string(id))
	}
}

// upgrade checks the Origin before the handshake: a WebSocket is no subject to
// CORS, so this is the only thing between a foreign page and the cookie.
func (s *Server) upgrade(c *gin.Context) {
	if err := s.origins.check(c.Request, true); err != nil {
		WriteProblem(c.Writer, c.Request, err)
		return
	}
	s.deps.WebSocket(c.Writer, c.Request)
}
