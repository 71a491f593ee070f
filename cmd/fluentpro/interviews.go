package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/sqlstore"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/internal/fault"
	v1 "github.com/fluentpro/fluentpro/server/v1"
)

// interviewMeta marks the conversation of an interview; the profile says what
// it is about.
type interviewMeta struct {
	Interview bool `json:"interview"`
}

func isInterview(meta json.RawMessage) bool {
	var m interviewMeta
	return json.Unmarshal(meta, &m) == nil && m.Interview
}

// interviews lets v1 hold its interview over the engine.
type interviews struct {
	engine *conversation.Engine
	store  *sqlstore.Store
}

// Start implements v1.Interviews.
func (i interviews) Start(ctx context.Context, learner, opening string) (string, error) {
	meta, err := json.Marshal(interviewMeta{true})
	if err != nil {
		return "", err
	}
	h, err := i.engine.Create(ctx, conversation.CreateInput{Owner: conversation.LearnerID(learner), Kind: conversation.KindChat,
		ClientID: uuid.NewString(), Title: "Onboarding interview", Meta: meta, Opening: opening})
	return string(h.ID), err
}

// replyLook is how often a waiting request looks for its reply. The reply is
// believed when SQL has it, so SQL is asked.
const replyLook = 100 * time.Millisecond

// Say implements v1.Interviews.
func (i interviews) Say(ctx context.Context, learner, id, clientID, text string) (string, error) {
	conv, err := conversation.ParseID(id)
	if err != nil {
		return "", err
	}
	who := conversation.LearnerID(learner)
	acc, err := i.engine.Send(ctx, conversation.SendInput{Conversation: conv, Learner: who, ClientID: clientID, Text: text})
	if err != nil {
		return "", err
	}
	tick := time.NewTicker(replyLook)
	defer tick.Stop()
	for {
		row, err := i.store.RunState(ctx, who, conv, acc.Run)
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return "", fault.New(fault.UpstreamTimeout, "The reply takes longer than usual; send the same request again.")
		case err != nil:
			return "", err
		case row.State == conversation.RunFailed:
			return "", v1.ErrNoReply
		case row.Ended():
			return row.Text, nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// interviewPrompt puts the learner's open question into the prompt.
func (s script) interviewPrompt(ctx context.Context, owner string, lines []practice.Line) (practice.Prompt, error) {
	q, err := s.onboarding.Question(ctx, onboarding.LearnerID(owner))
	if err != nil {
		return practice.Prompt{}, err
	}
	return practice.InterviewPrompt(practice.Interview{Next: v1.QuestionText(q), Options: q.Options}, lines)
}
