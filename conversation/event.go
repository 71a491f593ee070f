package conversation

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Event is one entry of a conversation's log. Deltas carry Text; everything
// else carries Data. Marks that a script computes (resumed, stopping) have
// their position in At.
type Event struct {
	Seq int64
	// From is the first number this event stands for; 0 means Seq. Only
	// delivery merges events, the log never does.
	From int64
	// Type is the wire name, e.g. "partner.delta".
	Type string
	Run  int64
	// Attempt wrote the event, Base is the attempt at which the run's text was
	// last begun from empty.
	Attempt, Base int64
	// At is the text position in UTF-16 units, Len the units of Text.
	At, Len int64
	// Fact numbers the durable events of a conversation without holes; 0 marks
	// what lives in the log alone (deltas, marks).
	Fact int64
	// TS is milliseconds since 1970 by Redis's clock.
	TS   int64
	Text string
	Data json.RawMessage
}

// Suffixes of run events; the run's purpose is the prefix.
const (
	evStarted    = ".started"
	evDelta      = ".delta"
	evRecovering = ".recovering"
	evResumed    = ".resumed"
	evRestarted  = ".restarted"
	evStopping   = ".stopping"
	evCompleted  = ".completed"
	evStopped    = ".stopped"
	evFailed     = ".failed"
)

// Types of events that belong to no run.
const (
	TypeCreated  = "conversation.created"
	TypeEnded    = "conversation.ended"
	TypeAccepted = "message.accepted"
	// TypeChosen says that another branch is the active one from here on.
	TypeChosen = "branch.chosen"
)

// IsDelta reports a piece of text.
func (e *Event) IsDelta() bool { return hasSuffix(e.Type, evDelta) }

// EndsRun reports the one event after which nothing of its run counts.
func (e *Event) EndsRun() bool {
	return hasSuffix(e.Type, evCompleted) || hasSuffix(e.Type, evStopped) || hasSuffix(e.Type, evFailed)
}

// Expects reports an event of a run after which more of it is to come: one
// that this version knows as such.
func (e *Event) Expects() bool {
	if e.Run == 0 || e.EndsRun() {
		return false
	}
	for _, suf := range []string{evStarted, evDelta, evRecovering, evResumed, evRestarted, evStopping} {
		if hasSuffix(e.Type, suf) {
			return true
		}
	}
	return e.Type == TypeAccepted
}

func hasSuffix(s, suf string) bool { return len(s) >= len(suf) && s[len(s)-len(suf):] == suf }

// Merge joins a delta that follows directly, reporting whether it did. The
// result stands for both numbers; limit bounds its text in bytes.
func (e *Event) Merge(next *Event, limit int) bool {
	if !e.IsDelta() || next.Type != e.Type || next.Run != e.Run || next.Attempt != e.Attempt ||
		next.Base != e.Base || next.At != e.At+e.Len || len(e.Text)+len(next.Text) > limit {
		return false
	}
	if e.From == 0 {
		e.From = e.Seq
	}
	e.Seq, e.TS = next.Seq, next.TS
	e.Text += next.Text
	e.Len += next.Len
	return true
}

// AppendJSON appends the envelope of docs/protocol.md, with the cursor in
// epoch ep.
func (e *Event) AppendJSON(b []byte, ep Epoch) []byte {
	b = append(b, `{"v":1,"seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	if e.From != 0 && e.From != e.Seq {
		b = append(b, `,"from":`...)
		b = strconv.AppendInt(b, e.From, 10)
	}
	b = append(b, `,"cur":"`...)
	b = strconv.AppendInt(b, ep.Counter, 10)
	b = append(b, '.')
	b = append(b, ep.Nonce...)
	b = append(b, '.')
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `","type":"`...)
	b = append(b, e.Type...)
	b = append(b, '"')
	if e.Run != 0 {
		b = append(b, `,"run":`...)
		b = strconv.AppendInt(b, e.Run, 10)
		b = append(b, `,"attempt":`...)
		b = strconv.AppendInt(b, e.Attempt, 10)
		b = append(b, `,"base":`...)
		b = strconv.AppendInt(b, e.Base, 10)
	}
	b = append(b, `,"ts":`...)
	b = strconv.AppendInt(b, e.TS, 10)
	b = append(b, `,"data":`...)
	switch {
	case e.IsDelta():
		b = append(b, `{"at":`...)
		b = strconv.AppendInt(b, e.At, 10)
		b = append(b, `,"text":`...)
		b = appendString(b, e.Text)
		b = append(b, '}')
	case hasSuffix(e.Type, evResumed):
		b = append(b, `{"keep":`...)
		b = strconv.AppendInt(b, e.At, 10)
		b = append(b, '}')
	case hasSuffix(e.Type, evStopping):
		b = append(b, `{"by":"learner","at":`...)
		b = strconv.AppendInt(b, e.At, 10)
		b = append(b, '}')
	case len(e.Data) == 0:
		b = append(b, `{}`...)
	default:
		b = append(b, e.Data...)
	}
	return append(b, '}')
}

const hex = "0123456789abcdef"

// appendString appends s as a JSON string. It leaves <, > and & alone, which
// encoding/json would escape, and escapes U+2028/9, which old JavaScript
// parsers cannot read inside a string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[start:i]...)
			b = append(b, "\ufffd"...)
			i++
			start = i
			continue
		}
		if r == 0x2028 || r == 0x2029 {
			b = append(b, s[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, hex[r&15])
			i += n
			start = i
			continue
		}
		i += n
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// UTF16Len counts s in UTF-16 units, as JavaScript's length does.
func UTF16Len(s string) int64 {
	n := int64(0)
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// AppendStateJSON appends the state object of a snapshot.
func (st *State) AppendStateJSON(b []byte) ([]byte, error) {
	if st.Turns == nil {
		st.Turns = []Turn{}
	}
	raw, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	return append(b, raw...), nil
}
