package streaming

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
)

// ReplyEncoder tells one reply in the terms of another protocol. Each method
// returns the messages to send, in order; the adapters (streaming/aisdk,
// streaming/agui) implement it. Calls come in this order: Begin once, then
// Text and Status as often as needed, then one of the three ends. Status may
// come before Begin.
type ReplyEncoder interface {
	// Open comes first, before anything is known of the reply.
	Open() [][]byte
	// Begin names the reply.
	Begin(messageID string) [][]byte
	// Text is more of the reply; it is never empty.
	Text(text string) [][]byte
	// Status is passing: queued, recovering, resumed, delayed, and why.
	Status(state, reason string) [][]byte
	// Fact is something durable about the reply beside its text, kind
	// "feedback" or "objective": typ is the event's type, id names the thing, so
	// that the same id again replaces it.
	Fact(kind, id, typ string, data json.RawMessage) [][]byte
	// Completed, Stopped and Failed end the reply for good.
	Completed(finish string) [][]byte
	Stopped() [][]byte
	Failed(code, message string) [][]byte
}

// Reply follows one run through the items of a feed. Its encoder's protocol
// cannot take text back, so where our log does that (or a viewer would have to
// resume by a cursor), Reply fails and the stream must be cut: the client then
// asks for the reply again and gets it from its beginning.
type Reply struct {
	run   int64
	enc   ReplyEncoder
	begun bool
	over  bool
	base  int64
	// text is what is known, sent how much of it has been told, units its
	// length in UTF-16 units.
	text  []byte
	sent  int
	units int64
	// told is the last status.
	told string
}

// ErrReplyCut says that the stream cannot go on truthfully.
var ErrReplyCut = errors.New("the reply cannot be continued in this protocol")

// NewReply follows run.
func NewReply(run int64, enc ReplyEncoder) *Reply { return &Reply{run: run, enc: enc} }

// Over reports that the reply has ended and everything was told.
func (r *Reply) Over() bool { return r.over }

// Begun reports that the reply's beginning is known.
func (r *Reply) Begun() bool { return r.begun }

// envelope is what Reply reads of an event.
type envelope struct {
	Type string `json:"type"`
	Run  int64  `json:"run"`
	Base int64  `json:"base"`
	Data struct {
		At        int64  `json:"at"`
		Text      string `json:"text"`
		MessageID string `json:"message_id"`
		Finish    string `json:"finish"`
		Code      string `json:"code"`
		Message   string `json:"message"`
		Reason    string `json:"reason"`
	} `json:"data"`
}

// Event takes one envelope of the log.
func (r *Reply) Event(raw []byte) ([][]byte, error) {
	if kind := factKind(raw); kind != "" {
		return r.fact(kind, raw)
	}
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	if r.over || e.Run != r.run {
		return nil, nil
	}
	_, verb, _ := strings.Cut(e.Type, ".")
	switch verb {
	case "completed", "stopped", "failed":
		return r.end(RunEnd{State: verb, MessageID: e.Data.MessageID, Text: e.Data.Text, Finish: e.Data.Finish, Code: e.Data.Code, Message: e.Data.Message})
	}
	if e.Base < r.base {
		return nil, nil
	}
	if err := r.rebase(e.Base); err != nil {
		return nil, err
	}
	switch verb {
	case "started":
		return r.begin(e.Data.MessageID), nil
	case "delta":
		if e.Data.At > r.units {
			return nil, ErrReplyCut
		}
		if rest, ok := cutUnits(e.Data.Text, r.units-e.Data.At); ok {
			return r.grow(rest), nil
		}
	case "recovering":
		return r.Status("recovering", e.Data.Reason), nil
	case "resumed":
		return r.Status("resumed", ""), nil
	}
	return nil, nil
}

// fact tells what the practice says beside the text, of this run or of none.
// It begins no message: what comes before the reply's name is known is told by
// the log alone.
func (r *Reply) fact(kind string, raw []byte) ([][]byte, error) {
	var f struct {
		Seq  int64           `json:"seq"`
		Type string          `json:"type"`
		Run  int64           `json:"run"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	if r.over || !r.begun || f.Run != 0 && f.Run != r.run {
		return nil, nil
	}
	var named struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(f.Data, &named); err != nil || named.ID == "" {
		named.ID = kind + "-" + strconv.FormatInt(f.Seq, 10)
	}
	return r.enc.Fact(kind, named.ID, f.Type, f.Data), nil
}

var factMarks = map[string][]byte{"feedback": []byte(`"type":"feedback.`), "objective": []byte(`"type":"objective.`)}

// factKind looks before parsing, because most events are deltas; quotes inside
// a text are escaped, so that no text looks like a type.
func factKind(raw []byte) string {
	for kind, mark := range factMarks {
		if bytes.Contains(raw, mark) {
			return kind
		}
	}
	return ""
}

// Snapshot takes the folded state; known is false when it does not tell what
// became of the run, which SQL then does.
func (r *Reply) Snapshot(st *conversation.State) (out [][]byte, known bool, err error) {
	if r.over {
		return nil, true, nil
	}
	if o := st.Open; o != nil && o.Run == r.run {
		if o.Base < r.base {
			return nil, true, nil
		}
		if err := r.rebase(o.Base); err != nil {
			return nil, true, err
		}
		out = r.begin(o.MessageID)
		// A picture from behind is no news: its text comes again as deltas.
		if more, ok := strings.CutPrefix(o.Text, string(r.text)); ok {
			out = append(out, r.grow(more)...)
		} else if !strings.HasPrefix(string(r.text), o.Text) {
			return out, true, ErrReplyCut
		}
		return out, true, nil
	}
	for i := range st.Turns {
		t := &st.Turns[i]
		if t.Author != conversation.Partner || t.Run != r.run {
			continue
		}
		end := RunEnd{State: "completed", MessageID: t.ID, Text: t.Text, Finish: t.Finish}
		if t.Finish == "stopped" {
			end.State = "stopped"
		}
		out, err = r.end(end)
		return out, true, err
	}
	return nil, false, nil
}

// RunEnd is how a run ended.
type RunEnd struct {
	// State is completed, stopped or failed.
	State, MessageID, Text string
	// Finish is a completion's reason; Code and Message are a failure's.
	Finish, Code, Message string
}

// Ended takes the end of the run from elsewhere than the log.
func (r *Reply) Ended(e RunEnd) ([][]byte, error) { return r.end(e) }

// Status tells of something passing, each time once.
func (r *Reply) Status(state, reason string) [][]byte {
	if r.over || r.told == state+" "+reason {
		return nil
	}
	r.told = state + " " + reason
	return r.enc.Status(state, reason)
}

// rebase begins the text anew; that is harmless as long as none was told.
func (r *Reply) rebase(base int64) error {
	if base <= r.base {
		return nil
	}
	if r.sent > 0 {
		return ErrReplyCut
	}
	r.base, r.text, r.units = base, nil, 0
	return nil
}

func (r *Reply) begin(messageID string) (out [][]byte) {
	if r.begun || messageID == "" {
		return nil
	}
	r.begun = true
	out = r.enc.Begin(messageID)
	return append(out, r.flush()...)
}

func (r *Reply) grow(text string) [][]byte {
	if text == "" {
		return nil
	}
	r.told = ""
	r.text = append(r.text, text...)
	r.units += conversation.UTF16Len(text)
	return r.flush()
}

// flush tells what is known and not yet told; without a name it waits.
func (r *Reply) flush() [][]byte {
	if !r.begun || r.sent == len(r.text) {
		return nil
	}
	rest := string(r.text[r.sent:])
	r.sent = len(r.text)
	return r.enc.Text(rest)
}

func (r *Reply) end(e RunEnd) ([][]byte, error) {
	out := r.begin(e.MessageID)
	rest, ok := strings.CutPrefix(e.Text, string(r.text))
	switch {
	case ok:
		out = append(out, r.grow(rest)...)
	case e.State == "failed": // what was shown stays, whatever was kept
	case r.sent > 0:
		return out, ErrReplyCut
	default:
		r.text, r.units = nil, 0
		out = append(out, r.grow(e.Text)...)
	}
	r.over = true
	switch e.State {
	case "failed":
		return append(out, r.enc.Failed(e.Code, e.Message)...), nil
	case "stopped":
		return append(out, r.enc.Stopped()...), nil
	}
	return append(out, r.enc.Completed(e.Finish)...), nil
}

// cutUnits drops the first n UTF-16 units of s; ok is false when s has fewer,
// or n would split a character.
func cutUnits(s string, n int64) (rest string, ok bool) {
	for i, c := range s {
		if n <= 0 {
			return s[i:], n == 0
		}
		n--
		if c > 0xFFFF {
			n--
		}
	}
	return "", n == 0
}
