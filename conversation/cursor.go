package conversation

import (
	"strconv"
	"strings"
)

// Epoch is the identity of one log: a counter that SQL gives out and a nonce
// made inside Redis when the log was created, so that a delayed duplicate of
// the create command can never be mistaken for the log SQL knows.
type Epoch struct {
	Counter int64
	Nonce   string
}

// Zero reports that no log is named.
func (e Epoch) Zero() bool { return e.Counter == 0 || e.Nonce == "" }

// String is "<counter>.<nonce>".
func (e Epoch) String() string { return strconv.FormatInt(e.Counter, 10) + "." + e.Nonce }

// Cursor is a position in a log: everything up to and including Seq is known.
type Cursor struct {
	Epoch
	Seq int64
}

// String is "<counter>.<nonce>.<seq>", the form every transport uses.
func (c Cursor) String() string { return c.Epoch.String() + "." + strconv.FormatInt(c.Seq, 10) }

// maxCursor is the longest cursor text that is looked at.
const maxCursor = 64

// ParseCursor reads a cursor from outside. Anything that is not one of ours,
// in its canonical form, is not ok: the viewer then begins with a snapshot.
func ParseCursor(s string) (c Cursor, ok bool) {
	if len(s) == 0 || len(s) > maxCursor {
		return Cursor{}, false
	}
	a, rest, ok1 := strings.Cut(s, ".")
	nonce, b, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || nonce == "" {
		return Cursor{}, false
	}
	for i := range len(nonce) {
		if ch := nonce[i]; (ch < '0' || ch > '9') && (ch < 'a' || ch > 'z') {
			return Cursor{}, false
		}
	}
	counter, err1 := strconv.ParseInt(a, 10, 64)
	seq, err2 := strconv.ParseInt(b, 10, 64)
	if err1 != nil || err2 != nil || counter < 1 || seq < 0 {
		return Cursor{}, false
	}
	c = Cursor{Epoch{counter, nonce}, seq}
	return c, c.String() == s
}
