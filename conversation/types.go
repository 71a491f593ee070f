package conversation

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// ID names a conversation: a lower-case UUIDv7, parsed before any key or
// query is built from it. A scenario request is a conversation of KindScenario.
type ID string

// NewID makes an ID.
func NewID() ID { return ID(uuid.Must(uuid.NewV7()).String()) }

// ParseID checks text from outside; anything else than a canonical UUID reads
// as not_found, so that a wrong id and a foreign one look alike.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != strings.ToLower(s) {
		return "", ErrNotFound
	}
	return ID(u.String()), nil
}

// LearnerID names the owner of a conversation.
type LearnerID string

// States of a conversation.
const (
	StateActive = "active"
	StateEnded  = "ended"
)

// Kind is what a conversation's log carries.
type Kind string

// The kinds.
const (
	// KindChat is a practice conversation with a partner.
	KindChat Kind = "chat"
	// KindScenario is a scenario being written: one run, then a result.
	KindScenario Kind = "scenario"
)

// Author of a turn.
type Author string

// The authors.
const (
	Learner Author = "learner"
	Partner Author = "partner"
)

// Turn is one finished message. N counts turns of a conversation from 1.
type Turn struct {
	N        int64  `json:"n"`
	ID       string `json:"id"`
	Author   Author `json:"author"`
	Text     string `json:"text"`
	ClientID string `json:"client_id,omitempty"`
	// Run is the run that answers this learner turn, or that wrote this
	// partner turn; 0 when none did.
	Run int64 `json:"run,omitempty"`
	// Finish is how a partner turn ended: stop, length, content_filter,
	// stopped (by the learner), failed.
	Finish string `json:"finish,omitempty"`
	// At is milliseconds since 1970.
	At int64 `json:"at"`
	// Parent is the learner's turn before this one on its branch; of a partner's
	// turn it is the one that is answered. 0 for none.
	Parent int64 `json:"parent"`
	// After is, on a learner's turn, the run whose reply stands between Parent
	// and it, 0 for none. That run may have left no turn.
	After int64 `json:"after,omitempty"`
}

// Header is what does not change with each turn.
type Header struct {
	ID        ID        `json:"id"`
	Kind      Kind      `json:"kind"`
	Owner     LearnerID `json:"-"`
	Title     string    `json:"title"`
	State     string    `json:"state"` // StateActive or StateEnded
	CreatedAt int64     `json:"created_at"`
	// Meta belongs to whoever made the conversation (practice keeps the
	// partner card here); conversation only carries it. It may hold facts that
	// the learner must not see, so it never goes to a client.
	Meta json.RawMessage `json:"-"`
}

// OpenReply is a run whose text is still being written.
type OpenReply struct {
	Run       int64  `json:"run"`
	MessageID string `json:"message_id"`
	Attempt   int64  `json:"attempt"`
	Base      int64  `json:"base"`
	Text      string `json:"text"`
	// Stopping is set once a learner's stop is marked in the log.
	Stopping bool `json:"stopping,omitempty"`
}

// Head is the tip of a branch: its newest run and the learner's turn which
// that answers, 0 for an opening. The head of a conversation is the tip of the
// branch that is shown.
type Head struct {
	Run  int64 `json:"run"`
	Turn int64 `json:"turn"`
}

// State is the fold of a conversation's log at a cursor.
type State struct {
	Header Header `json:"conversation"`
	// Turns are those of all branches, by number; Branch picks those shown.
	Turns []Turn     `json:"turns"`
	Head  Head       `json:"head"`
	Open  *OpenReply `json:"open"`
	// Result is the outcome of a scenario request once it is ready.
	Result json.RawMessage `json:"result,omitempty"`
	// Failure is the last run's failure, while no later run has begun.
	Failure json.RawMessage `json:"failure,omitempty"`
}

// Errors of this package that callers compare with errors.Is.
var (
	ErrNotFound = fault.New(fault.NotFound, "No such conversation.")
	// ErrFenced says that another node owns the run now: stop and write nothing.
	ErrFenced = fault.New("fenced", "Another node owns this run.")
	// ErrClaimLost says that somebody else was faster.
	ErrClaimLost = errors.New("claim lost")
	// ErrLogRenamed says that somebody else named a new log first.
	ErrLogRenamed = errors.New("log was renamed")
	// ErrNodeDead says that the other nodes have given this one up.
	ErrNodeDead = errors.New("this node was declared dead")
)
