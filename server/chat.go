package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/streaming/aisdk"
)

const tagForeign = "Other protocols"

// chatRoutes mount what the default transport of the AI SDK calls.
func (s *Server) chatRoutes(a *api) {
	if s.deps.Replies == nil {
		return
	}
	g := s.engine.Group("", noStore, s.checkForeignOrigin)
	stream := map[string]*huma.Response{"200": {Description: "UI message stream, version 1; docs/protocol.md says which chunks come.",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}, Example: exampleChunks}}}}
	a.foreign(g, route{ID: "chat", Method: http.MethodPost, Path: "/api/chat", Tag: tagForeign,
		Summary:     "Send a message, read its reply (AI SDK)",
		Description: "id is the conversation's. Of messages only the last one of the user is read; its id makes a repeat safe.",
		Request: map[string]any{"id": exampleID, "trigger": "submit-message", "messages": []any{map[string]any{
			"id": "m1", "role": "user", "parts": []any{map[string]any{"type": "text", "text": "Would Friday work for you?"}}}}},
		Fails: []fault.Code{fault.NotFound, fault.RunActive, fault.QueueFull, fault.ConversationEnded, fault.IdempotencyMismatch,
			fault.StorageUnavailable, fault.Draining, fault.TooManyConnections}}, stream, nil, chatSchema, s.chat)
	resumed := map[string]*huma.Response{"200": stream["200"], "204": {Description: "No reply is open, and none has ended within a minute."}}
	a.foreign(g, route{ID: "resume-chat", Method: http.MethodGet, Path: "/api/chat/{id}/stream", Tag: tagForeign,
		Summary: "The open reply from its beginning (AI SDK)",
		Fails:   []fault.Code{fault.NotFound, fault.StorageUnavailable, fault.Draining, fault.TooManyConnections}}, resumed, []*huma.Param{idParam}, nil, s.resumeChat)
	a.foreign(g, route{ID: "stop-chat", Method: http.MethodPost, Path: "/api/chat/{id}/stop", Tag: tagForeign,
		Summary: "Stop the open reply (AI SDK)", Fails: []fault.Code{fault.NotFound, fault.StorageUnavailable}},
		map[string]*huma.Response{"200": {Description: "Where it ended.", Content: map[string]*huma.MediaType{
			"application/json": {Schema: a.OpenAPI().Components.Schemas.Schema(stoppedReflect, true, "Stopped"), Example: exampleStopped}}},
			"204": {Description: "No reply was open."}}, []*huma.Param{idParam}, nil, s.stopChat)
}

// chatRequest is what the default transport sends; whatever else an app adds
// is ignored.
type chatRequest struct {
	ID        string            `json:"id"`
	Messages  []json.RawMessage `json:"messages"`
	Trigger   string            `json:"trigger"`
	MessageID string            `json:"messageId"`
	// Policy is ours: what to do while another reply is being written.
	Policy string `json:"policy"`
}

func (s *Server) chat(c *gin.Context) {
	var in chatRequest
	err := s.foreignBody(c, &in)
	var m foreignMessage
	at := -1
	if err == nil {
		m, at, err = lastUser(in.Messages)
	}
	cmd := foreignCommand{id: in.ID, m: m, at: at, trigger: in.Trigger, messageID: in.MessageID, policy: in.Policy}
	if err == nil {
		err = cmd.check()
	}
	if err != nil {
		s.refuseForeign(c.Writer, c.Request, err)
		return
	}
	s.deps.Replies(c.Writer, c.Request, sessions.ReplyRequest{
		Conversation: in.ID, Begin: s.begin(cmd),
		Encoder: &aisdk.Encoder{}, Header: aisdk.Header, Refuse: s.refuseForeign, Transport: sessions.TransportAISDK,
	})
}

func (s *Server) resumeChat(c *gin.Context) {
	s.deps.Replies(c.Writer, c.Request, sessions.ReplyRequest{
		Conversation: c.Param("id"), ReplayEnded: replayEnded,
		Encoder: &aisdk.Encoder{}, Header: aisdk.Header, Refuse: s.refuseForeign, Transport: sessions.TransportAISDK,
	})
}

// stopChat stops what resumeChat would tell. The body that apps send along
// (their picture of the reply) is not needed.
func (s *Server) stopChat(c *gin.Context) {
	st, err := s.stopFor(c)
	switch {
	case err != nil:
		s.refuseForeign(c.Writer, c.Request, err)
	case st.Run == 0:
		c.Status(http.StatusNoContent)
	default:
		c.JSON(http.StatusOK, st)
	}
}

func (s *Server) stopFor(c *gin.Context) (conversation.Stopped, error) {
	id, err := conversation.ParseID(c.Param("id"))
	if err != nil {
		return conversation.Stopped{}, err
	}
	if err := s.authenticate(c.Request); err != nil {
		return conversation.Stopped{}, err
	}
	ctx := c.Request.Context()
	return s.stopOpen(ctx, conversation.LearnerID(learnerOf(ctx)), id)
}

// stopOpen cancels the open reply, or the newest one that waits; Run is 0 when
// there is none.
func (s *Server) stopOpen(ctx context.Context, who conversation.LearnerID, id conversation.ID) (conversation.Stopped, error) {
	st, _, err := s.deps.Conversations.Snapshot(ctx, who, id)
	if err != nil {
		return conversation.Stopped{}, err
	}
	if st.Open != nil {
		return s.deps.Conversations.Cancel(ctx, who, id, st.Open.Run)
	}
	run, answered := st.Head.Run, map[int64]bool{}
	for _, t := range st.Turns {
		switch {
		case t.Author == conversation.Partner:
			answered[t.Run] = true
		case t.Run > run:
			run = t.Run
		}
	}
	if run == 0 || answered[run] {
		return conversation.Stopped{}, nil
	}
	return s.deps.Conversations.Cancel(ctx, who, id, run)
}

var chatSchema = &huma.Schema{Type: "object", Required: []string{"id", "messages"}, AdditionalProperties: true, Properties: map[string]*huma.Schema{
	"id":        {Type: "string", Format: "uuid", Description: "The conversation"},
	"messages":  {Type: "array", Items: &huma.Schema{Type: "object", AdditionalProperties: true}, Description: "UIMessages"},
	"trigger":   {Type: "string", Enum: []any{triggerSubmit, triggerRegenerate}},
	"messageId": {Type: "string", Description: "The message that the last one replaces, or the reply to be written anew"},
	"policy":    {Type: "string", Enum: []any{"enqueue", "reject", "interrupt", "rollback"}},
}}

// foreign mounts a handler outside our own prefix and documents it.
func (a *api) foreign(g *gin.RouterGroup, r route, ok map[string]*huma.Response, params []*huma.Param, body *huma.Schema, h gin.HandlerFunc) {
	op := a.operation(r)
	op.Servers = []*huma.Server{{URL: "/"}}
	schema := a.OpenAPI().Components.Schemas.Schema(refusalReflect, true, "Refusal")
	for _, res := range op.Responses {
		media := &huma.MediaType{Schema: schema, Examples: map[string]*huma.Example{}}
		for code, ex := range res.Content["application/problem+json"].Examples {
			if p, ok := ex.Value.(*Problem); ok {
				media.Examples[code] = &huma.Example{Value: refusal{p.Code, p.Detail, p.Retryable, p.RequestID, p.Errors}}
			}
		}
		res.Content = map[string]*huma.MediaType{"application/json": media}
	}
	for status, res := range ok {
		op.Responses[status] = res
	}
	op.Parameters = params
	if body != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: body, Example: r.Request}}}
	}
	a.OpenAPI().AddOperation(&op)
	g.Handle(r.Method, strings.NewReplacer("{", ":", "}", "").Replace(r.Path), h)
}
