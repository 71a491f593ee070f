package sessions

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/strictjson"
	"github.com/fluentpro/fluentpro/streaming"
)

// Close codes that are no failure's own.
const (
	closeBadFrames = 4500
	closeNoSession = 4401
)

// maxName bounds ids, keys and cursors of client frames.
const maxName = 64

// clientFrame is any frame of a client; docs/protocol.md says which fields a
// type has. Unknown fields are ignored.
type clientFrame struct {
	T string `json:"t"`

	Client  string        `json:"client"`
	Session string        `json:"session"`
	Token   string        `json:"token"`
	Ticket  string        `json:"ticket"`
	Resume  []resumeEntry `json:"resume"`

	ID   string          `json:"id"`
	C    string          `json:"c"`
	Cur  string          `json:"cur"`
	Op   string          `json:"op"`
	Key  string          `json:"key"`
	Args json.RawMessage `json:"args"`
	N    int64           `json:"n"`

	// unclear says why the frame could be read in two ways; nothing of it is
	// done then.
	unclear error
}

// frameDepth bounds the nesting of a frame.
const frameDepth = 16

type resumeEntry struct {
	C   string `json:"c"`
	Cur string `json:"cur"`
}

// sendArgs are those of send, edit, regenerate and select.
type sendArgs struct {
	Text    string `json:"text"`
	Policy  string `json:"policy"`
	Message string `json:"message"`
	Run     int64  `json:"run"`
	From    int64  `json:"from"`
}

type cancelArgs struct {
	Run int64 `json:"run"`
}

// decodeFrame reads a frame and checks what all types have in common. The
// frame is usable for its id even if an error is returned.
func decodeFrame(msg []byte) (clientFrame, error) {
	var f clientFrame
	if err := json.Unmarshal(msg, &f); err != nil {
		return clientFrame{}, fault.New(fault.BadRequest, "A frame is one JSON object with the fields of its type.")
	}
	f.unclear = strictjson.Check("frame", msg, frameDepth)
	if len(f.ID) > maxName || !printable(f.ID) {
		f.ID = ""
		return f, fault.New(fault.BadRequest, "An id is at most 64 printable ASCII characters.")
	}
	if len(f.C) > maxName {
		f.C = ""
		return f, conversation.ErrNotFound
	}
	switch f.T {
	case "hello", "sub", "unsub", "cmd", "ack", "ping", "pong", "auth":
		return f, nil
	case "":
		return f, fault.New(fault.BadRequest, "A frame needs its type in the field t.")
	default:
		return f, fault.New(fault.UnknownOp, "Unknown frame type.")
	}
}

// printable reports visible ASCII and spaces only.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// validKey checks a client's message id.
func validKey(s string) bool { return validChars(s, "._:-") }

// validCursor checks a cursor's alphabet; what it means is the feed's matter.
func validCursor(s string) bool { return validChars(s, "._-") }

func validChars(s, extra string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(extra, c) >= 0) {
			return false
		}
	}
	return true
}

// checkSend names everything that is wrong with a command at once.
func checkSend(op conversation.Op, key string, a sendArgs, limit int) error {
	var fields []fault.Field
	bad := func(name, code, message string) {
		fields = append(fields, fault.Field{Name: name, Code: code, Message: message})
	}
	if op != conversation.OpSelect && !validKey(key) {
		bad("key", "bad_format", "must be 1 to 64 of A-Z a-z 0-9 . _ : -")
	}
	if op == conversation.OpSend || op == conversation.OpEdit {
		switch {
		case conversation.Blank(a.Text):
			bad("args.text", "required", "must hold something to say")
		case strings.ContainsRune(a.Text, 0):
			bad("args.text", "bad_format", "must not hold NUL")
		case utf8.RuneCountInString(a.Text) > limit:
			bad("args.text", "too_long", "must have at most "+strconv.Itoa(limit)+" characters")
		}
	}
	if (op == conversation.OpEdit || op == conversation.OpRegenerate) && (a.Message == "" || len(a.Message) > maxName) {
		bad("args.message", "required", "must name a message by its id")
	}
	if op == conversation.OpSelect && a.Run < 1 {
		bad("args.run", "required", "must be a run, a number from 1")
	}
	switch a.Policy {
	case "", "enqueue", "reject", "interrupt", "rollback":
	default:
		bad("args.policy", "not_in_list", "must be enqueue, reject, interrupt or rollback")
	}
	if len(fields) == 0 {
		return nil
	}
	return &fault.Error{Code: fault.Invalid, Message: "The message cannot be accepted as it is.", Fields: fields}
}

// What follows writes server frames by hand: ev frames join bytes that all
// viewers share, and the rest is small.

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			q, err := json.Marshal(s)
			if err != nil { // a string always marshals
				return append(b, `""`...)
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func beginFrame(b []byte, t string) []byte {
	b = append(b, `{"t":"`...)
	b = append(b, t...)
	return append(b, '"')
}

func subOKFrame(id string, c conversation.ID, o streaming.Opening) []byte {
	b := beginFrame(nil, "sub_ok")
	if id != "" {
		b = appendField(b, "id", id)
	}
	b = appendField(b, "c", string(c))
	b = appendField(b, "mode", o.Mode)
	b = appendField(b, "cur", o.Cursor)
	return append(b, '}')
}

// authOKFrame answers auth; expires is milliseconds since 1970, 0 for never.
func authOKFrame(id string, expires int64) []byte {
	b := beginFrame(nil, "auth_ok")
	if id != "" {
		b = appendField(b, "id", id)
	}
	if expires != 0 {
		b = append(b, `,"expires_at":`...)
		b = strconv.AppendInt(b, expires, 10)
	}
	return append(b, '}')
}

// appendNotice writes the fields of a notice; its data is JSON already.
func appendNotice(b []byte, n Notice) []byte {
	b = appendField(b, "code", n.Code)
	b = appendField(b, "message", n.Message)
	if len(n.Data) > 0 {
		b = append(b, `,"data":`...)
		b = append(b, n.Data...)
	}
	return append(b, '}')
}

func noticeFrame(n Notice) []byte { return appendNotice(beginFrame(nil, "notice"), n) }

// noticeMessage is the control message notice of an event stream.
func noticeMessage(n Notice) []byte { return appendNotice([]byte(`{"v":1,"type":"notice"`), n) }

func pingFrame(t string, n int64) []byte {
	b := beginFrame(nil, t)
	b = append(b, `,"n":`...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, '}')
}

func goawayFrame(after, grace time.Duration) []byte {
	b := beginFrame(nil, "goaway")
	b = append(b, `,"reason":"draining","after_ms":`...)
	b = strconv.AppendInt(b, after.Milliseconds(), 10)
	b = append(b, `,"grace_ms":`...)
	b = strconv.AppendInt(b, grace.Milliseconds(), 10)
	return append(b, '}')
}

// errFrame answers a frame that could not be used.
func errFrame(e wireError, id string, c string) []byte {
	b := beginFrame(nil, "err")
	b = appendField(b, "code", string(e.Code))
	b = appendField(b, "message", e.Message)
	b = append(b, `,"retryable":`...)
	b = strconv.AppendBool(b, e.Retryable)
	b = append(b, `,"retry_ms":`...)
	b = strconv.AppendInt(b, e.RetryMS, 10)
	if c != "" {
		b = appendField(b, "c", c)
	}
	if id != "" {
		b = appendField(b, "id", id)
	}
	return append(b, '}')
}

// resFrame answers a command; data is nil for a failure.
func resFrame(id string, data any, e wireError) ([]byte, error) {
	b := beginFrame(nil, "res")
	b = appendField(b, "id", id)
	var raw []byte
	var err error
	if data != nil {
		b = append(b, `,"ok":true,"data":`...)
		raw, err = json.Marshal(data)
	} else {
		b = append(b, `,"ok":false,"err":`...)
		raw, err = json.Marshal(e)
	}
	if err != nil {
		return nil, err
	}
	return append(append(b, raw...), '}'), nil
}

// itemFrame is a frame for an item that is no event.
func itemFrame(b []byte, c conversation.ID, it streaming.Item) []byte {
	switch it.Kind {
	case streaming.ItemReset:
		b = beginFrame(b, "reset")
		b = appendField(b, "c", string(c))
		b = appendField(b, "reason", it.Reason)
		b = appendField(b, "cur", it.Cursor)
	case streaming.ItemSnapshot:
		b = beginFrame(b, "snapshot")
		b = appendField(b, "c", string(c))
		b = appendField(b, "cur", it.Cursor)
		b = append(b, `,"state":`...)
		b = append(b, it.JSON...)
	case streaming.ItemCaughtUp:
		b = beginFrame(b, "caught_up")
		b = appendField(b, "c", string(c))
		b = appendField(b, "cur", it.Cursor)
	default:
		return append(b, errFrame(itemError(it), "", string(c))...)
	}
	return append(b, '}')
}

// itemError is the passing trouble that an item tells of.
func itemError(it streaming.Item) wireError {
	e, _ := wireOf(fault.New(fault.Code(it.Reason), ""))
	if e.RetryMS == 0 {
		e.RetryMS = 1000
	}
	return e
}
