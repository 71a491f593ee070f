package conversation

import "encoding/json"

// SendInput is a learner's message. ClientID makes it safe to repeat for
// ever: the same id with the same text is answered as the first time was.
type SendInput struct {
	Conversation ID
	Learner      LearnerID
	ClientID     string
	Text         string
	// Policy says what to do while a reply is being written: "" or "enqueue"
	// (at most Limits.Queue wait), "reject", or "interrupt" (stop it, keep its
	// text, then answer).
	Policy string
}

// Accepted says that a message is durable.
type Accepted struct {
	MessageID string `json:"message_id"`
	Turn      int64  `json:"turn"`
	// Run will answer it.
	Run int64 `json:"run"`
	// Position counts the replies that come before this one.
	Position int64 `json:"position"`
	// Duplicate is set when the message had been accepted before.
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
