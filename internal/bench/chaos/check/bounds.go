package check

import (
	"strings"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

const (
	// hangUp is how long after an acknowledged stop the model may be listened to.
	hangUp = int64(1e9)
	// signedOut is how long after a sign-out its connections may last.
	signedOut = int64(5e9)
)

// bounds checks what must not be crossed: V22 the place of a stop, V23 and V24
// what belongs to another learner, V25 a login that was ended, V26 operations
// on foreign things, V27 secrets in the nodes' logs.
func (s *state) bounds() {
	b := &bound{state: s, asked: map[int64]*history.Record{}, ownerOf: map[string]string{}, author: map[string]string{},
		user: map[string]string{}, login: map[string]string{}, over: map[string]int64{}, stops: map[convRun]*history.Record{}}
	for i := range s.records {
		if r := &s.records[i]; r.K == history.Invoke && r.Op == "submit" && r.U != "" {
			b.ownerOf[r.Conv], b.author[r.CID] = r.U, r.U
		}
	}
	for i := range s.records {
		b.line(&s.records[i])
	}
	for i := range s.records {
		b.stopped(&s.records[i])
	}
	s.figures.Stops = len(b.stops)
	if s.rules.Bounds && (len(b.stops) == 0 || len(b.over) == 0 || b.trespasses == 0 || b.swept == 0) {
		s.breach("M3", nil, "%d stops, %d sign-outs, %d trespasses, %d bytes of logs searched: one is missing", len(b.stops), len(b.over), b.trespasses, b.swept)
	}
}

type bound struct {
	*state
	asked       map[int64]*history.Record
	ownerOf     map[string]string // user by conversation
	author      map[string]string // user by client id of a message
	user, login map[string]string // by viewer
	over        map[string]int64  // when a login was ended
	stops       map[convRun]*history.Record
	trespasses  int
	swept       int64
}

func (b *bound) line(r *history.Record) {
	switch r.K {
	case history.Invoke:
		b.asked[r.ID] = r
		if r.Op == "trespass" {
			b.trespasses++
		}
	case history.OK:
		b.done(r)
	case history.Fail:
		if r.Op == "trespass" && r.Code == "forbidden" {
			b.breach("V26", r, "a refusal tells that %s is there", r.Conv)
		}
	case history.Open:
		b.user[r.P], b.login[r.P] = r.U, r.Login
	case history.Recv:
		b.sent(r)
	case history.Swept:
		b.swept += r.Len
	case history.Leak:
		b.breach("V27", r, "the log of %s holds a %s", r.N, r.Arg)
	default:
	}
}

func (b *bound) done(r *history.Record) {
	in := b.asked[r.ID]
	switch {
	case in == nil: // M2 tells it
	case r.Op == "trespass":
		b.breach("V26", r, "%s was let at %s", in.U, in.Conv)
	case r.Op == "sign-out":
		b.over[in.Login] = r.T
	case r.Op == "cancel" && r.Code == "stopped":
		key := convRun{in.Conv, in.Run}
		if had := b.stops[key]; had != nil && had.Len != r.Len {
			b.breach("V22", r, "run %d of %s was stopped at %d and at %d", in.Run, in.Conv, had.Len, r.Len)
		}
		if b.stops[key] == nil {
			b.stops[key] = r
		}
	}
}

// sent judges what a viewer was sent against whose it is.
func (b *bound) sent(r *history.Record) {
	if r.Ev == "error" {
		return // a refusal
	}
	if ended, ok := b.over[b.login[r.P]]; ok && b.login[r.P] != "" && r.T > ended+signedOut {
		b.breach("V25", r, "%s came %d ms after the sign-out", r.Ev, (r.T-ended)/1e6)
	}
	who := b.user[r.P]
	if who == "" {
		return
	}
	if owner := b.ownerOf[r.Conv]; owner != "" && owner != who {
		b.breach("V24", r, "%s of %s, which is not the viewer's", r.Ev, r.Conv)
	}
	text := r.Txt
	if r.Reply != nil {
		text += " " + r.Reply.Txt
	}
	for word := range strings.FieldsSeq(text) {
		// A piece may begin or end within a word: what is left names nobody.
		if i := strings.LastIndexByte(word, '.'); i > 0 && b.author[word[:i]] != "" && b.author[word[:i]] != who {
			b.breach("V23", r, "text that answers %s, which is not the viewer's", word[:i])
			return
		}
	}
}

// stopped judges everything about a stopped run against the place of its stop.
func (b *bound) stopped(r *history.Record) {
	switch {
	case r.K == history.Recv && r.Run != 0:
		at := b.stops[convRun{r.Conv, r.Run}]
		switch {
		case at == nil:
		case strings.HasSuffix(r.Ev, ".delta") && r.At+r.Len > at.Len:
			b.breach("V22", r, "run %d was stopped at %d and has text up to %d", r.Run, at.Len, r.At+r.Len)
		case strings.HasSuffix(r.Ev, ".stopped") && int64(len(r.Txt)) != at.Len, strings.HasSuffix(r.Ev, ".completed"):
			b.breach("V22", r, "run %d was stopped at %d, %s has %d characters", r.Run, at.Len, r.Ev, len(r.Txt))
		}
	case r.K == history.Final:
		for _, t := range r.Turns {
			if at := b.stops[convRun{r.Conv, t.Run}]; at != nil && t.Author == "partner" && (t.Finish != "stopped" || t.Len != at.Len) {
				b.breach("V22", r, "run %d was stopped at %d and is stored as %s with %d characters", t.Run, at.Len, t.Finish, t.Len)
			}
		}
	case r.K == history.Up:
		m := b.messages[r.CID]
		if m == nil {
			return
		}
		at := b.stops[convRun{m.conv, m.run}]
		switch {
		case at == nil:
		case r.T0 > at.T+hangUp:
			b.breach("V22", r, "the model was asked about %s after its stop", r.CID)
		case r.Ended > at.T+hangUp && !b.rules.Busy:
			b.breach("V22", r, "the model was listened to %d ms after the stop of %s", (r.Ended-at.T)/1e6, r.CID)
		}
	}
}
