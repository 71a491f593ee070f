package conversation

import "encoding/json"

// Op is what a learner's command does.
type Op string

// The operations. All but OpSelect start a run.
const (
	// OpSend adds a message to the active branch.
	OpSend Op = ""
	// OpEdit puts another message in the place of one: a new branch begins there.
	OpEdit Op = "edit"
	// OpRegenerate has a reply written anew, beside the one that is there.
	OpRegenerate Op = "regenerate"
	// OpSelect makes another branch the active one.
	OpSelect Op = "select"
)

// SendInput is a learner's command. ClientID makes it safe to repeat for
// ever: the same id with the same content is answered as the first time was.
// A choice of branch needs none.
type SendInput struct {
	Conversation ID
	Learner      LearnerID
	ClientID     string
	Op           Op
	// Text is the message of OpSend and OpEdit.
	Text string
	// Message names, by its id or its client id, the learner's message that
	// OpEdit replaces; for OpRegenerate also a reply.
	Message string
	// Run is the tip of the branch for OpSelect; From, when not 0, must be the
	// tip of the active one.
	Run, From int64
	// Policy says what to do while a reply is being written: "" or "enqueue"
	// (at most Limits.Queue wait), "reject", "interrupt" (stop it, keep its
	// text, then answer), or "rollback" (stop everything unfinished, and take
	// it out of the active branch together with what it answers).
	Policy string
}

// BranchPage is a part of a branch, in the order of the talk.
type BranchPage struct {
	Tip    Head   `json:"tip"`
	Active bool   `json:"active"`
	Turns  []Turn `json:"turns"`
	// More says that older turns come before the first.
	More bool `json:"more"`
}

// Tip is the end of a branch.
type Tip struct {
	Head
	Active bool `json:"active"`
	// State is that of the run.
	State string `json:"state"`
	// At is milliseconds since 1970.
	At int64 `json:"at"`
}

// Accepted says that a command is durable.
type Accepted struct {
	// MessageID is the message's, or that of the reply to be written anew.
	MessageID string `json:"message_id"`
	// Turn is the learner's turn that Run answers.
	Turn int64 `json:"turn"`
	// Run will answer it, or is the tip that was chosen.
	Run int64 `json:"run"`
	// Position counts the replies that come before this one.
	Position int64 `json:"position"`
	// Duplicate is set when the command had been accepted before.
	Duplicate bool `json:"duplicate"`
}

// Stopped says where a run ended: TextLen is in UTF-16 units, At is
// milliseconds since 1970. A run that had finished before answers its own end.
type Stopped struct {
	Run     int64  `json:"run"`
	State   string `json:"state"`
	At      int64  `json:"at"`
	TextLen int64  `json:"text_len"`
}

// CreateInput makes a conversation. ClientID is the owner's idempotency key:
// the same key returns the conversation made first.
type CreateInput struct {
	Owner    LearnerID
	Kind     Kind
	ClientID string
	Title    string
	// Meta is kept with the conversation for the Script; it never reaches a client.
	Meta json.RawMessage
	// Opening, when set, becomes the partner's first turn, word for word.
	Opening string
	// Run starts a run at once, answering no turn (a scenario request).
	Run bool
	// Correlation is the id of the request, carried to the upstream call.
	Correlation string
}
