// Package client speaks docs/protocol.md from the other side: WebSocket, event
// stream and long poll feed one fold, which keeps the client rules and writes
// down every breach of the server's promises. The tests, the bench and the
// command line use it; it knows nothing of the server's packages, so that a
// mistake there cannot be repeated here.
package client

import "encoding/json"

// Event is one envelope.
type Event struct {
	V       int             `json:"v"`
	Seq     int64           `json:"seq"`
	From    int64           `json:"from"`
	Cur     string          `json:"cur"`
	Type    string          `json:"type"`
	Run     int64           `json:"run"`
	Attempt int64           `json:"attempt"`
	Base    int64           `json:"base"`
	TS      int64           `json:"ts"`
	Data    json.RawMessage `json:"data"`
}

// Turn is one finished message.
type Turn struct {
	N        int64  `json:"n"`
	ID       string `json:"id"`
	Author   string `json:"author"`
	Text     string `json:"text"`
	ClientID string `json:"client_id,omitempty"`
	Run      int64  `json:"run,omitempty"`
	Finish   string `json:"finish,omitempty"`
	At       int64  `json:"at"`
	// Parent is the learner's turn before this one, or the one it answers;
	// After is the run whose reply comes between.
	Parent int64 `json:"parent" doc:"number of the learner's turn before this one on its branch, or of the one it answers; 0 for none"`
	After  int64 `json:"after,omitempty" doc:"on a learner's turn: the run whose reply comes between"`
}

// UnmarshalJSON keeps apart a turn without links (of an older server) from one
// that begins a conversation: linked sees to the former.
func (t *Turn) UnmarshalJSON(raw []byte) error {
	type plain Turn
	p := plain{Parent: unlinked}
	err := json.Unmarshal(raw, &p)
	*t = Turn(p)
	return err
}

const unlinked = -1

// Head is the tip of a branch: its newest run and the turn that answers.
type Head struct {
	Run  int64 `json:"run"`
	Turn int64 `json:"turn"`
}

// Header is what does not change with each turn.
type Header struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	Title     string `json:"title"`
	State     string `json:"state"`
	CreatedAt int64  `json:"created_at"`
}

// OpenReply is the run that is being written, as a snapshot tells it.
type OpenReply struct {
	Run       int64  `json:"run"`
	MessageID string `json:"message_id"`
	Attempt   int64  `json:"attempt"`
	Base      int64  `json:"base"`
	Text      string `json:"text"`
	Stopping  bool   `json:"stopping,omitempty"`
}

// State is what a snapshot holds.
type State struct {
	Conversation Header          `json:"conversation"`
	Turns        []Turn          `json:"turns"`
	Head         Head            `json:"head" doc:"the tip of the branch that is shown"`
	Open         *OpenReply      `json:"open"`
	Result       json.RawMessage `json:"result,omitempty"`
	Failure      json.RawMessage `json:"failure,omitempty"`
}

// Violation is a promise of the protocol that was broken. Detail holds numbers
// and names, never text.
type Violation struct {
	// Kind is stable: gap, doubled, mismatch, shrunk, base_back, late,
	// two_ends, final_mismatch, stop_overrun, turn_gap, turn_changed,
	// turn_lost, bad_link, epoch_silent, bad_event, bad_snapshot, unasked.
	Kind   string
	Seq    int64
	Run    int64
	Detail string
}

// Run is what a viewer knows of one run.
type Run struct {
	No, Attempt, Base int64
	// Ended is completed, stopped or failed, "" while open.
	Ended string
	// Code is the failure's.
	Code string
	// Finish is how a completed run ended.
	Finish string
	// StopAt is where a stop mark ends the text, -1 without one.
	StopAt int64
	// Restarts counts announced new beginnings, Recoveries other attempts.
	Restarts, Recoveries int
	// Filled counts units that only the final event brought.
	Filled int64

	text []byte
	len  int64 // of text, in UTF-16 units
	// ahead is set while our text is longer than the server's picture of it
	// (a snapshot from behind): its deltas then overlap rightly.
	ahead bool
}

// Text is what is shown of the run.
func (r *Run) Text() string { return string(r.text) }

// Len is the length of Text in UTF-16 units.
func (r *Run) Len() int64 { return r.len }

// utf16Len counts s as JavaScript does.
func utf16Len[T ~string | ~[]byte](s T) int64 {
	n := int64(0)
	for _, c := range string(s) {
		n++
		if c > 0xffff {
			n++
		}
	}
	return n
}

// cut drops the first n UTF-16 units of s; ok is false when that would split a
// character or there is less.
func cut(s string, n int64) (rest string, ok bool) {
	for i, c := range s {
		if n == 0 {
			return s[i:], true
		}
		n--
		if c > 0xffff {
			n--
		}
		if n < 0 {
			return "", false
		}
	}
	return "", n == 0
}
