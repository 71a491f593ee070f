package server

import (
	"context"
	"net/http"
	"strconv"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// branchRoutes mount what makes, reads and chooses branches of a conversation.
func (s *Server) branchRoutes(a *api) {
	fails := []fault.Code{fault.NotFound, fault.RunActive, fault.QueueFull, fault.ConversationEnded, fault.IdempotencyMismatch,
		fault.StorageUnavailable, fault.Draining, fault.Overloaded, fault.RateLimited}
	add(a, route{
		ID: "edit-message", Method: http.MethodPost, Path: "/conversations/{id}/messages/{message}/edit", Tag: tagConversations, Status: http.StatusAccepted,
		Summary:     "Put another message in the place of one",
		Description: "A new branch begins there and is shown from then on; the older one stays readable. The same client_id and text again give the same answer with duplicate set.",
		Fails:       fails,
		Request:     map[string]any{"client_id": "msg-2", "text": "Could we move the delivery to Monday?", "policy": "interrupt"},
		Response:    conversation.Accepted{MessageID: exampleID, Turn: 4, Run: 3},
	}, s.editMessage)
	add(a, route{
		ID: "regenerate-reply", Method: http.MethodPost, Path: "/conversations/{id}/messages/{message}/regenerate", Tag: tagConversations, Status: http.StatusAccepted,
		Summary:     "Have a reply written anew",
		Description: "message is the id of the reply, of one that failed too, or of the message that it answers. A new branch begins there.",
		Fails:       fails,
		Request:     map[string]any{"client_id": "again-1"},
		Response:    conversation.Accepted{MessageID: exampleID, Turn: 2, Run: 3},
	}, s.regenerateReply)
	add(a, route{
		ID: "select-branch", Method: http.MethodPost, Path: "/conversations/{id}/branch", Tag: tagConversations,
		Summary: "Show another branch", Fails: []fault.Code{fault.NotFound, fault.Conflict, fault.RunActive, fault.ConversationEnded, fault.StorageUnavailable},
		Request:  map[string]any{"run": 2, "from": 3},
		Response: conversation.Accepted{MessageID: exampleID, Turn: 2, Run: 2},
	}, s.selectBranch)
	add(a, route{
		ID: "list-turns", Method: http.MethodGet, Path: "/conversations/{id}/turns", Tag: tagConversations,
		Summary: "The turns of a branch, in the order of the talk", Fails: []fault.Code{fault.CursorGone, fault.NotFound, fault.StorageUnavailable},
		Response: branchBody{Tip: conversation.Head{Run: 2, Turn: 2}, Active: true, Turns: []conversation.Turn{
			{N: 2, ID: exampleID, Author: conversation.Learner, Text: "Could we move the delivery to Friday?", ClientID: "msg-1", Run: 2, At: exampleTime, After: 1},
		}},
	}, s.listTurns)
	add(a, route{
		ID: "list-branches", Method: http.MethodGet, Path: "/conversations/{id}/branches", Tag: tagConversations,
		Summary: "The ends of all branches, newest first", Fails: []fault.Code{fault.CursorGone, fault.NotFound, fault.StorageUnavailable},
		Response: branchList{Branches: []conversation.Tip{{Head: conversation.Head{Run: 2, Turn: 2}, Active: true, State: "completed", At: exampleTime}}},
	}, s.listBranches)
}

// MessagePath is exported because huma reads no parameters from an embedded
// type that is not.
type MessagePath struct {
	ID             string `path:"id" maxLength:"64"`
	Message        string `path:"message" maxLength:"64" doc:"Id of the message, or its client_id"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Stands in for client_id"`
}

type editMessageIn struct {
	MessagePath
	Body struct {
		ClientID string `json:"client_id,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Your id of the new message; needed here or as Idempotency-Key"`
		Text     string `json:"text" minLength:"1" maxLength:"8192"`
		Policy   string `json:"policy,omitempty" enum:"enqueue,reject,interrupt,rollback" default:"enqueue" doc:"What to do while a reply is being written"`
	}
}

type regenerateIn struct {
	MessagePath
	Body struct {
		ClientID string `json:"client_id,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Your id of this wish; needed here or as Idempotency-Key"`
		Policy   string `json:"policy,omitempty" enum:"enqueue,reject,interrupt,rollback" default:"enqueue" doc:"What to do while a reply is being written"`
	}
}

func (s *Server) editMessage(ctx context.Context, in *editMessageIn) (*sendMessageOut, error) {
	return s.command(ctx, in.MessagePath, in.Body.ClientID,
		conversation.SendInput{Op: conversation.OpEdit, Text: in.Body.Text, Policy: in.Body.Policy})
}

func (s *Server) regenerateReply(ctx context.Context, in *regenerateIn) (*sendMessageOut, error) {
	return s.command(ctx, in.MessagePath, in.Body.ClientID, conversation.SendInput{Op: conversation.OpRegenerate, Policy: in.Body.Policy})
}

func (s *Server) command(ctx context.Context, at MessagePath, clientID string, c conversation.SendInput) (*sendMessageOut, error) {
	var err error
	if c.Conversation, err = conversation.ParseID(at.ID); err != nil {
		return nil, err
	}
	if c.ClientID, err = clientKey(clientID, at.IdempotencyKey); err != nil {
		return nil, err
	}
	if c.ClientID == "" {
		return nil, errNoClientID
	}
	c.Learner, c.Message = conversation.LearnerID(learnerOf(ctx)), at.Message
	acc, err := s.deps.Conversations.Send(ctx, c)
	if err != nil {
		return nil, err
	}
	return &sendMessageOut{Body: acc}, nil
}

var errNoClientID = &fault.Error{Code: fault.Invalid, Message: "A message needs a client_id, so that it can be repeated safely.",
	Fields: []fault.Field{{Name: "client_id", Code: "required", Message: "is required"}}}

type selectBranchIn struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		Run    int64  `json:"run" minimum:"1" doc:"The run at the tip"`
		From   int64  `json:"from,omitempty" minimum:"1" doc:"The tip that you see shown; when another is by now: 409 conflict"`
		Policy string `json:"policy,omitempty" enum:"enqueue,reject,interrupt,rollback" default:"enqueue" doc:"What to do while a reply is being written; enqueue lets it go on where it is"`
	}
}

func (s *Server) selectBranch(ctx context.Context, in *selectBranchIn) (*sendMessageOut, error) {
	id, err := conversation.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	acc, err := s.deps.Conversations.Send(ctx, conversation.SendInput{Conversation: id, Learner: conversation.LearnerID(learnerOf(ctx)),
		Op: conversation.OpSelect, Run: in.Body.Run, From: in.Body.From, Policy: in.Body.Policy})
	if err != nil {
		return nil, err
	}
	return &sendMessageOut{Body: acc}, nil
}

type listTurnsIn struct {
	ID     string `path:"id" maxLength:"64"`
	Branch int64  `query:"branch" minimum:"0" doc:"The run at its tip; the branch that is shown without it"`
	Before string `query:"before" maxLength:"20" pattern:"^[0-9]+$" example:"12" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type branchBody struct {
	Tip    conversation.Head   `json:"tip"`
	Active bool                `json:"active" doc:"It is the branch that is shown"`
	Turns  []conversation.Turn `json:"turns"`
	Next   string              `json:"next,omitempty" doc:"Give it as before to read what was said earlier; absent at the beginning"`
}

type listTurnsOut struct{ Body branchBody }

func (s *Server) listTurns(ctx context.Context, in *listTurnsIn) (*listTurnsOut, error) {
	id, err := conversation.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	before, err := number(in.Before)
	if err != nil {
		return nil, err
	}
	page, err := s.deps.Conversations.Branch(ctx, conversation.LearnerID(learnerOf(ctx)), id, in.Branch, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := branchBody{Tip: page.Tip, Active: page.Active, Turns: page.Turns}
	if page.More {
		out.Next = strconv.FormatInt(page.Turns[0].N, 10)
	}
	return &listTurnsOut{Body: out}, nil
}

// number reads a page cursor that is a number of ours, 0 for none.
func number(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fault.New(fault.CursorGone, "The page cursor is not one of ours.")
	}
	return n, nil
}

type listBranchesIn struct {
	ID     string `path:"id" maxLength:"64"`
	Before string `query:"before" maxLength:"20" pattern:"^[0-9]+$" example:"12" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type branchList struct {
	Branches []conversation.Tip `json:"branches"`
	Next     string             `json:"next,omitempty" doc:"Give it as before to go on; absent on the last page"`
}

type listBranchesOut struct{ Body branchList }

func (s *Server) listBranches(ctx context.Context, in *listBranchesIn) (*listBranchesOut, error) {
	id, err := conversation.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	before, err := number(in.Before)
	if err != nil {
		return nil, err
	}
	tips, next, err := s.deps.Conversations.Branches(ctx, conversation.LearnerID(learnerOf(ctx)), id, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := branchList{Branches: tips}
	if next != 0 {
		out.Next = strconv.FormatInt(next, 10)
	}
	return &listBranchesOut{Body: out}, nil
}
