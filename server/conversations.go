package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Conversations is what the conversation routes call; conversation.Engine is
// one. Every call names the learner: a foreign id reads as a missing one.
type Conversations interface {
	// Send accepts a learner's message, an edit, a wish for another reply, or a
	// choice of branch.
	Send(ctx context.Context, in conversation.SendInput) (conversation.Accepted, error)
	// Branch reads a page of a branch by its tip, run 0 the one that is shown.
	Branch(ctx context.Context, learner conversation.LearnerID, id conversation.ID, run, before int64, limit int) (conversation.BranchPage, error)
	// Branches lists the tips of all branches, newest first, and where the next page begins.
	Branches(ctx context.Context, learner conversation.LearnerID, id conversation.ID, before int64, limit int) (tips []conversation.Tip, next int64, err error)
	// RunState is what SQL has of a run.
	RunState(ctx context.Context, learner conversation.LearnerID, id conversation.ID, run int64) (conversation.RunRow, error)
	// Cancel stops a run; it may be repeated.
	Cancel(ctx context.Context, learner conversation.LearnerID, id conversation.ID, run int64) (conversation.Stopped, error)
	// Snapshot is the state and the cursor it holds at.
	Snapshot(ctx context.Context, learner conversation.LearnerID, id conversation.ID) (conversation.State, string, error)
	// List is a page of headers, newest first, and where the next begins.
	List(ctx context.Context, learner conversation.LearnerID, kind conversation.Kind, before string, limit int) ([]conversation.Header, string, error)
}

const tagConversations = "Conversations"

func (s *Server) conversationRoutes(a *api) {
	add(a, route{
		ID: "create-conversation", Method: http.MethodPost, Path: "/conversations", Tag: tagConversations, Status: http.StatusCreated,
		Summary:  "Begin a conversation from a scenario",
		Fails:    []fault.Code{fault.NotFound, fault.StorageUnavailable},
		Request:  map[string]any{"scenario_id": exampleID, "client_id": "conv-1"},
		Response: created{ID: exampleID, Title: exampleScenario.Title},
	}, s.createConversation)
	add(a, route{
		ID: "list-conversations", Method: http.MethodGet, Path: "/conversations", Tag: tagConversations,
		Summary: "Your conversations, newest first", Fails: []fault.Code{fault.Invalid, fault.CursorGone, fault.StorageUnavailable},
		Response: conversationList{Conversations: []conversationItem{exampleConversation}},
	}, s.listConversations)
	add(a, route{
		ID: "get-conversation", Method: http.MethodGet, Path: "/conversations/{id}", Tag: tagConversations,
		Summary: "State of a conversation and its cursor", Fails: []fault.Code{fault.NotFound, fault.StorageUnavailable},
		Response: exampleSnapshot(conversation.KindChat),
	}, s.getConversation)
	add(a, route{
		ID: "send-message", Method: http.MethodPost, Path: "/conversations/{id}/messages", Tag: tagConversations, Status: http.StatusAccepted,
		Summary:     "Send a message",
		Description: "Answered after the message is durable. The same client_id and text again give the same answer with duplicate set.",
		Fails: []fault.Code{fault.NotFound, fault.RunActive, fault.QueueFull, fault.ConversationEnded, fault.IdempotencyMismatch,
			fault.StorageUnavailable, fault.Draining, fault.Overloaded, fault.RateLimited},
		Request:  map[string]any{"client_id": "msg-1", "text": "Could we move the delivery to Friday?", "policy": "enqueue"},
		Response: conversation.Accepted{MessageID: exampleID, Turn: 2, Run: 1},
	}, s.sendMessage)
	add(a, route{
		ID: "cancel-run", Method: http.MethodPost, Path: "/conversations/{id}/runs/{run}/cancel", Tag: tagConversations,
		Summary: "Stop a reply; repeatable", Fails: []fault.Code{fault.NotFound, fault.StorageUnavailable},
		Response: exampleStopped,
	}, s.cancelRun)
	if s.deps.Erase != nil {
		add(a, route{
			ID: "erase-conversation", Method: http.MethodDelete, Path: "/conversations/{id}", Tag: tagConversations, Status: http.StatusNoContent,
			Summary:     "Erase a conversation for good",
			Description: "Everything said in it is deleted; whoever watches it is told that there is no such conversation. It may be repeated.",
			Fails:       []fault.Code{fault.NotFound, fault.StorageUnavailable},
		}, s.eraseConversation)
	}
}

type createConversationIn struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Stands in for client_id"`
	Body           struct {
		ScenarioID string `json:"scenario_id" minLength:"1" maxLength:"64"`
		ClientID   string `json:"client_id,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$"`
	}
}

type created struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

type createConversationOut struct {
	Location string `header:"Location"`
	Body     created
}

func (s *Server) createConversation(ctx context.Context, in *createConversationIn) (*createConversationOut, error) {
	key, err := clientKey(in.Body.ClientID, in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	c, err := s.deps.Practice.StartConversation(ctx, learnerOf(ctx), in.Body.ScenarioID, key)
	if err != nil {
		return nil, err
	}
	return &createConversationOut{Location: Prefix + "/conversations/" + c.ID, Body: created{ID: c.ID, Title: c.Title}}, nil
}

type conversationItem struct {
	ID         string `json:"id"`
	Title      string `json:"title"`
	State      string `json:"state" enum:"active,ended"`
	CreatedAt  int64  `json:"created_at" doc:"Milliseconds since 1970"`
	ScenarioID string `json:"scenario_id"`
}

type conversationList struct {
	Conversations []conversationItem `json:"conversations"`
	Next          string             `json:"next,omitempty" doc:"Give it as before to go on; absent on the last page"`
}

type listConversationsOut struct{ Body conversationList }

func (s *Server) listConversations(ctx context.Context, in *pageIn) (*listConversationsOut, error) {
	list, next, err := s.deps.Conversations.List(ctx, conversation.LearnerID(learnerOf(ctx)), conversation.KindChat, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := conversationList{Conversations: make([]conversationItem, 0, len(list)), Next: next}
	for _, h := range list {
		out.Conversations = append(out.Conversations, conversationItem{
			ID: string(h.ID), Title: h.Title, State: h.State, CreatedAt: h.CreatedAt, ScenarioID: scenarioOf(h.Meta),
		})
	}
	return &listConversationsOut{Body: out}, nil
}

// scenarioOf takes the one thing out of a conversation's meta that its owner
// may see.
func scenarioOf(meta json.RawMessage) string {
	var m struct {
		ScenarioID string `json:"scenario_id"`
	}
	if json.Unmarshal(meta, &m) != nil {
		return ""
	}
	return m.ScenarioID
}

type snapshotBody struct {
	Cur   string             `json:"cur" doc:"Where this state holds; give it to events or a subscription to go on"`
	State conversation.State `json:"state"`
}

type snapshotOut struct{ Body snapshotBody }

func (s *Server) getConversation(ctx context.Context, in *idIn) (*snapshotOut, error) {
	return s.snapshot(ctx, in.ID, conversation.KindChat)
}

// snapshot reads one conversation of one kind; another kind reads as missing.
func (s *Server) snapshot(ctx context.Context, raw string, kind conversation.Kind) (*snapshotOut, error) {
	id, err := conversation.ParseID(raw)
	if err != nil {
		return nil, err
	}
	st, cur, err := s.deps.Conversations.Snapshot(ctx, conversation.LearnerID(learnerOf(ctx)), id)
	if err != nil {
		return nil, err
	}
	if st.Header.Kind != kind {
		return nil, conversation.ErrNotFound
	}
	if st.Turns == nil {
		st.Turns = []conversation.Turn{}
	}
	return &snapshotOut{Body: snapshotBody{Cur: cur, State: st}}, nil
}

type sendMessageIn struct {
	ID             string `path:"id" maxLength:"64"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Stands in for client_id"`
	Body           struct {
		ClientID string `json:"client_id,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" doc:"Your id of this message; needed here or as Idempotency-Key"`
		Text     string `json:"text" minLength:"1" maxLength:"8192"`
		Policy   string `json:"policy,omitempty" enum:"enqueue,reject,interrupt,rollback" default:"enqueue" doc:"What to do while a reply is being written"`
	}
}

type sendMessageOut struct{ Body conversation.Accepted }

func (s *Server) sendMessage(ctx context.Context, in *sendMessageIn) (*sendMessageOut, error) {
	id, err := conversation.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	key, err := clientKey(in.Body.ClientID, in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, errNoClientID
	}
	acc, err := s.deps.Conversations.Send(ctx, conversation.SendInput{
		Conversation: id, Learner: conversation.LearnerID(learnerOf(ctx)), ClientID: key, Text: in.Body.Text, Policy: in.Body.Policy,
	})
	if err != nil {
		return nil, err
	}
	return &sendMessageOut{Body: acc}, nil
}

type eraseConversationIn struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) eraseConversation(ctx context.Context, in *eraseConversationIn) (*struct{}, error) {
	id, err := conversation.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, s.deps.Erase(ctx, conversation.LearnerID(learnerOf(ctx)), id)
}

type cancelRunIn struct {
	ID  string `path:"id" maxLength:"64"`
	Run int64  `path:"run" minimum:"1"`
}

type cancelRunOut struct{ Body conversation.Stopped }

func (s *Server) cancelRun(ctx context.Context, in *cancelRunIn) (*cancelRunOut, error) {
	id, err := conversation.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	st, err := s.deps.Conversations.Cancel(ctx, conversation.LearnerID(learnerOf(ctx)), id, in.Run)
	if err != nil {
		return nil, err
	}
	return &cancelRunOut{Body: st}, nil
}
