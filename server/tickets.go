package server

import (
	"context"
	"net/http"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

// Tickets makes connection tickets; sessions.Manager is one.
type Tickets interface {
	// IssueTicket makes a ticket that stands for id once, within life; with a
	// conversation for nothing else.
	IssueTicket(ctx context.Context, id sessions.Identity, only conversation.ID) (ticket string, life time.Duration, err error)
}

func (s *Server) ticketRoutes(a *api) {
	if s.deps.Tickets == nil {
		return
	}
	add(a, route{
		ID: "create-ticket", Method: http.MethodPost, Path: "/tickets", Tag: tagStreams, Status: http.StatusCreated,
		Summary: "Get a ticket that opens one WebSocket",
		Description: "For clients that cannot or should not show their token to the WebSocket: a page with the cookie behind another host, a part of an app that is not trusted with it. " +
			"A ticket is good once and for a minute; it goes into hello, into auth, or into the list of subprotocols, never into a URL. " +
			"The connection ends when the token would that it was bought with, and with its login. With a conversation it may name no other.",
		Fails:   []fault.Code{fault.NotFound, fault.StorageUnavailable},
		Request: map[string]any{"conversation": exampleID}, Response: ticketBody{Ticket: "q3J…", ExpiresIn: 60},
	}, s.createTicket)
}

type ticketIn struct {
	Body *struct {
		Conversation string `json:"conversation,omitempty" maxLength:"64" doc:"The only one that the connection may name"`
	}
}

type ticketBody struct {
	Ticket    string `json:"ticket" doc:"A secret, 43 characters"`
	ExpiresIn int64  `json:"expires_in" doc:"Seconds within which it must be used"`
}

func (s *Server) createTicket(ctx context.Context, in *ticketIn) (*struct{ Body ticketBody }, error) {
	var only conversation.ID
	who := identityOf(ctx)
	if in.Body != nil && in.Body.Conversation != "" {
		id, err := conversation.ParseID(in.Body.Conversation)
		if err != nil {
			return nil, err
		}
		if _, _, err := s.deps.Conversations.Snapshot(ctx, conversation.LearnerID(who.Learner), id); err != nil {
			return nil, err
		}
		only = id
	}
	ticket, life, err := s.deps.Tickets.IssueTicket(ctx, sessions.Identity{LearnerID: who.Learner, Family: who.Family, ExpiresAt: who.Expires}, only)
	if err != nil {
		return nil, err
	}
	return &struct{ Body ticketBody }{ticketBody{Ticket: ticket, ExpiresIn: int64(life / time.Second)}}, nil
}
