package server

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/streaming/agui"
)

// aguiRoutes mount the one endpoint of AG-UI.
func (s *Server) aguiRoutes(a *api) {
	if s.deps.Replies == nil {
		return
	}
	a.foreign(s.engine.Group("", noStore, s.checkForeignOrigin), route{ID: "run-agui", Method: http.MethodPost, Path: "/agui", Tag: tagForeign,
		Summary:     "Run the partner (AG-UI)",
		Description: "threadId is the conversation's id. The same request again attaches to the same reply, from its beginning.",
		Request:     map[string]any{"threadId": exampleID, "runId": "r1", "messages": []any{map[string]any{"id": "m1", "role": "user", "content": "Would Friday work for you?"}}},
		Fails: []fault.Code{fault.NotFound, fault.RunActive, fault.QueueFull, fault.ConversationEnded, fault.IdempotencyMismatch,
			fault.StorageUnavailable, fault.Draining, fault.TooManyConnections}},
		map[string]*huma.Response{"200": {Description: "AG-UI events; docs/protocol.md says which come.",
			Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}, Example: exampleAGUI}}},
			"204": {Description: "No message was sent, no reply is open, and none has ended within a minute."}}, nil, aguiSchema, s.agui)
}

var aguiSchema = &huma.Schema{Type: "object", Required: []string{"threadId", "runId", "messages"}, AdditionalProperties: true, Properties: map[string]*huma.Schema{
	"threadId": {Type: "string", Format: "uuid", Description: "The conversation"},
	"runId":    {Type: "string"},
	"messages": {Type: "array", Items: &huma.Schema{Type: "object", AdditionalProperties: true}},
	"forwardedProps": {Type: "object", AdditionalProperties: true, Properties: map[string]*huma.Schema{
		"trigger":   {Type: "string", Enum: []any{triggerSubmit, triggerRegenerate}},
		"messageId": {Type: "string", Description: "The message that the last one replaces, or the reply to be written anew"},
		"policy":    {Type: "string", Enum: []any{"enqueue", "reject", "interrupt", "rollback"}},
	}},
}}

// aguiRequest is what is read of RunAgentInput.
type aguiRequest struct {
	ThreadID string            `json:"threadId"`
	RunID    string            `json:"runId"`
	Messages []json.RawMessage `json:"messages"`
	// ForwardedProps are the protocol's room for what it does not have itself;
	// other apps put anything there.
	ForwardedProps json.RawMessage `json:"forwardedProps"`
}

type forwardedProps struct {
	Trigger   string `json:"trigger"`
	MessageID string `json:"messageId"`
	Policy    string `json:"policy"`
}

func (s *Server) agui(c *gin.Context) {
	var in aguiRequest
	err := s.foreignBody(c, &in)
	var m foreignMessage
	at := -1
	if err == nil {
		m, at, err = lastUser(in.Messages)
	}
	if err == nil && (in.RunID == "" || len(in.RunID) > 256) {
		err = &fault.Error{Code: fault.Invalid, Message: "A run needs an id.",
			Fields: []fault.Field{{Name: "runId", Code: "required", Message: "must have 1 to 256 bytes"}}}
	}
	var p forwardedProps
	if json.Unmarshal(in.ForwardedProps, &p) != nil {
		p = forwardedProps{} // not meant for us
	}
	cmd := foreignCommand{id: in.ThreadID, m: m, at: at, trigger: p.Trigger, messageID: p.MessageID, policy: p.Policy}
	asks := at >= 0 || p.Trigger != "" // without either the open reply is meant
	if err == nil && asks {
		err = cmd.check()
	}
	if err != nil {
		s.refuseForeign(c.Writer, c.Request, err)
		return
	}
	q := sessions.ReplyRequest{Conversation: in.ThreadID, ReplayEnded: replayEnded, Refuse: s.refuseForeign, Transport: sessions.TransportAGUI}
	var keep []json.RawMessage
	if asks {
		q.Begin = s.begin(cmd)
		if at >= 0 && at < len(in.Messages)-1 {
			// It has seen a part of the reply already and comes back.
			keep = in.Messages[:at+1]
		}
	}
	q.Encoder = agui.New(in.ThreadID, in.RunID, keep)
	s.deps.Replies(c.Writer, c.Request, q)
}
