// Package sse writes text/event-stream: an encoder that cannot be made to
// write anything but the fields it means to (ids and event names come from a
// fixed alphabet, data is always one line), and a Writer that gives every
// flush a deadline of its own.
package sse

import (
	"bytes"
	"strconv"
	"time"
)

// maxID bounds an id; cursors are shorter.
const maxID = 64

// AppendRetry appends the reconnection time as a block of its own.
func AppendRetry(b []byte, d time.Duration) []byte {
	b = append(b, "retry: "...)
	b = strconv.AppendInt(b, max(d.Milliseconds(), 0), 10)
	return append(b, "\n\n"...)
}

// AppendComment appends a comment, which a client never sees.
func AppendComment(b []byte, text string) []byte {
	b = append(b, ": "...)
	b = appendLine(b, []byte(text))
	return append(b, "\n\n"...)
}

// AppendID appends a block of only an id: it moves the client's
// Last-Event-ID and fires no event. An id outside the alphabet is left out.
func AppendID(b []byte, id string) []byte {
	if !validName(id, maxID) {
		return b
	}
	return append(appendID(b, id), '\n')
}

// AppendEvent appends one message. An empty name makes it unnamed; a name or
// id outside the alphabet A-Z a-z 0-9 . _ - is left out, because a field that
// holds a line break would be two fields.
func AppendEvent(b []byte, name, id string, data ...[]byte) []byte {
	if validName(name, maxID) {
		b = append(b, "event: "...)
		b = append(b, name...)
		b = append(b, '\n')
	}
	if validName(id, maxID) {
		b = appendID(b, id)
	}
	b = append(b, "data: "...)
	for _, d := range data {
		b = appendLine(b, d)
	}
	return append(b, "\n\n"...)
}

func appendID(b []byte, id string) []byte {
	b = append(b, "id: "...)
	b = append(b, id...)
	return append(b, '\n')
}

// appendLine appends d as one line. In JSON a raw CR or LF can stand only
// between tokens, where a space means the same; NUL cannot stand at all.
func appendLine(b, d []byte) []byte {
	start := len(b)
	b = append(b, d...)
	if bytes.IndexByte(d, '\n') < 0 && bytes.IndexByte(d, '\r') < 0 && bytes.IndexByte(d, 0) < 0 {
		return b
	}
	for i := start; i < len(b); i++ {
		if b[i] == '\n' || b[i] == '\r' || b[i] == 0 {
			b[i] = ' '
		}
	}
	return b
}

// validName reports 1 to limit of the fixed alphabet.
func validName(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
