package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// foreignCommand is what a foreign client asks for: its last message of the
// user, and how it is meant.
type foreignCommand struct {
	id string // of the conversation
	m  foreignMessage
	at int // place of m among the messages, -1 without one
	// trigger is submit-message (or nothing) or regenerate-message; messageID
	// the message that is edited, or the reply that is to be written anew.
	trigger, messageID, policy string
}

const (
	triggerSubmit     = "submit-message"
	triggerRegenerate = "regenerate-message"
)

// check names what cannot be done before anything is looked up.
func (c *foreignCommand) check() error {
	switch {
	case c.trigger != "" && c.trigger != triggerSubmit && c.trigger != triggerRegenerate:
		return unsupported("trigger", "This trigger is not known here.")
	case c.at < 0 && (c.trigger != triggerRegenerate || c.messageID == ""):
		return &fault.Error{Code: fault.Invalid, Message: "There is no message of the user.",
			Fields: []fault.Field{{Name: "messages", Code: "required", Message: "must hold a message of the user"}}}
	case len(c.messageID) > maxForeignID:
		return &fault.Error{Code: fault.Invalid, Message: "The id of a message is too long.",
			Fields: []fault.Field{{Name: "messageId", Code: "too_long", Message: "must have at most 256 bytes"}}}
	}
	return nil
}

const maxForeignID = 256

// begin is the Begin of the reply that the command asks for.
func (s *Server) begin(c foreignCommand) func(context.Context, conversation.LearnerID) (int64, int64, error) {
	return func(ctx context.Context, who conversation.LearnerID) (int64, int64, error) {
		conv, err := conversation.ParseID(c.id)
		if err != nil {
			return 0, 0, err
		}
		in := conversation.SendInput{Conversation: conv, Learner: who, Policy: c.policy}
		if c.trigger != triggerRegenerate && c.messageID == "" {
			in.ClientID, in.Text = foreignKey(&c.m, c.at), c.m.text()
		} else {
			st, _, err := s.deps.Conversations.Snapshot(ctx, who, conv)
			if err != nil {
				return 0, 0, err
			}
			run := int64(0)
			if c.trigger == triggerRegenerate {
				run, err = s.again(ctx, &c, &st, &in)
			} else {
				run, err = c.edit(&st, &in)
			}
			if err != nil || run != 0 {
				return run, 0, err // done before: the reply is the same
			}
		}
		acc, err := s.deps.Conversations.Send(ctx, in)
		return acc.Run, acc.Position, err
	}
}

var errNoMessage = fault.New(fault.NotFound, "No such message.")

// edit makes the command one of ours by what is shown now. A message that says
// so already was edited before; its run comes back.
func (c *foreignCommand) edit(st *conversation.State, in *conversation.SendInput) (run int64, err error) {
	t := c.shown(st, c.messageID)
	if t == nil {
		return 0, errNoMessage
	}
	in.Op, in.Text, in.Message = conversation.OpEdit, c.m.text(), t.ID
	if t.Text == in.Text {
		return t.Run, nil
	}
	// The client keeps its id whatever the message says by now; ours follows
	// the version that is replaced.
	in.ClientID = editPrefix(c.messageID) + strconv.FormatInt(t.N, 10)
	return 0, nil
}

// again names the reply to be written anew. Where the client does not, the one
// shown is meant; while that is still to come it is the answer itself.
func (s *Server) again(ctx context.Context, c *foreignCommand, st *conversation.State, in *conversation.SendInput) (int64, error) {
	in.Op = conversation.OpRegenerate
	name := c.messageID
	if name == "" {
		name = c.m.ID
	}
	t := c.shown(st, name)
	switch {
	case t == nil && c.messageID != "": // the id of a reply
		in.Message, in.ClientID = c.messageID, "g:"+digest(c.messageID)
		return 0, nil
	case t == nil:
		return 0, errNoMessage
	}
	run := t.Run
	for _, l := range st.Branch() {
		if l.Author == conversation.Learner && l.Parent == t.N {
			run = l.After
		}
	}
	if st.Head.Turn == t.N {
		run = st.Head.Run
	}
	row, err := s.deps.Conversations.RunState(ctx, in.Learner, in.Conversation, run)
	if err != nil || !row.Ended() {
		return run, err
	}
	in.Message, in.ClientID = row.MessageID, "g:"+digest(row.MessageID)
	return 0, nil
}

// shown finds the learner's turn that a foreign client knows under an id: the
// one it sent, or an edit of it; the one of the branch shown, if there is one.
func (c *foreignCommand) shown(st *conversation.State, id string) *conversation.Turn {
	m, at := foreignMessage{ID: id}, 0
	if id == c.m.ID {
		m, at = c.m, c.at
	}
	key := foreignKey(&m, at)
	find := func(turns []conversation.Turn) *conversation.Turn {
		for i := len(turns) - 1; i >= 0; i-- {
			t := &turns[i]
			if t.Author == conversation.Learner && (t.ID == id || t.ClientID == key || id != "" && strings.HasPrefix(t.ClientID, editPrefix(id))) {
				return t
			}
		}
		return nil
	}
	if t := find(st.Branch()); t != nil {
		return t
	}
	return find(st.Turns)
}

func editPrefix(id string) string { return "e:" + digest(id) + ":" }

// digest makes any id a short one of our alphabet.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
