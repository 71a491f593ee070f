package client

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Outcome is what Apply did with an event.
type Outcome int

// The outcomes.
const (
	// Applied: the event is part of the picture now.
	Applied Outcome = iota
	// Dropped: it was known already, or belongs to another epoch.
	Dropped
	// Gap: something before it is missing; resume from Cursor.
	Gap
)

// Fold is one conversation as a viewer has it. It is for one goroutine; View
// wraps it for many.
type Fold struct {
	Header Header
	// Turns are those of all branches; Branch picks what is shown.
	Turns []Turn
	// Head is the tip of the branch that is shown.
	Head    Head
	Runs    map[int64]*Run
	Open    int64 // the run that is being written, 0 for none
	Result  json.RawMessage
	Failure json.RawMessage
	// Ended is set by conversation.ended.
	Ended bool
	// Events counts envelopes applied, Deltas those with text, Snapshots and
	// Resets control messages; Kept counts snapshots from behind, over which
	// longer text was kept.
	Events, Deltas, Snapshots, Resets, Dropped, Kept int
	// Reasons counts resets by reason.
	Reasons    map[string]int
	Violations []Violation

	last   int64
	epoch  string
	cursor string
	// expectSnapshot: a reset was told and nothing else may come before it.
	expectSnapshot bool
	// looseTurns: a failed run may have taken a turn number silently.
	looseTurns bool
}

// NewFold begins with nothing.
func NewFold() *Fold {
	return &Fold{Runs: map[int64]*Run{}, Reasons: map[string]int{}}
}

// Cursor is where to resume, "" before anything was applied.
func (f *Fold) Cursor() string { return f.cursor }

// Last is the seq of what was applied last.
func (f *Fold) Last() int64 { return f.last }

func (f *Fold) breach(kind string, e *Event, format string, args ...any) {
	f.Violations = append(f.Violations, Violation{kind, e.Seq, e.Run, fmt.Sprintf(format, args...)})
}

// splitCursor reads "<epoch>.<nonce>.<seq>".
func splitCursor(cur string) (epoch string, seq int64, ok bool) {
	i := strings.LastIndexByte(cur, '.')
	if i <= 0 || !strings.Contains(cur[:i], ".") || len(cur) > 64 {
		return "", 0, false
	}
	seq, err := strconv.ParseInt(cur[i+1:], 10, 64)
	return cur[:i], seq, err == nil && seq >= 0
}

// Apply takes one envelope.
func (f *Fold) Apply(e Event) Outcome {
	epoch, seq, ok := splitCursor(e.Cur)
	from := e.From
	if from == 0 {
		from = e.Seq
	}
	if e.V != 1 || !ok || seq != e.Seq || e.Seq < 1 || from < 1 || from > e.Seq || e.Type == "" {
		f.breach("bad_event", &e, "v %d, seq %d, from %d, cursor %q, type %q", e.V, e.Seq, e.From, e.Cur, e.Type)
		return Dropped
	}
	if f.expectSnapshot {
		f.breach("unasked", &e, "%s between reset and snapshot", e.Type)
	}
	if f.epoch != "" && epoch != f.epoch {
		// Numbers of two logs cannot be compared; only a snapshot leads over.
		f.breach("epoch_silent", &e, "from %s to %s without a snapshot", f.epoch, epoch)
		return Gap
	}
	switch {
	case e.Seq <= f.last:
		f.Dropped++
		return Dropped
	case from > f.last+1:
		f.breach("gap", &e, "have %d, got %d..%d", f.last, from, e.Seq)
		return Gap
	}
	overlap := from <= f.last
	if overlap && !strings.HasSuffix(e.Type, ".delta") {
		f.breach("bad_event", &e, "%s stands for %d..%d", e.Type, from, e.Seq)
	}
	if !f.take(&e, overlap) {
		return Gap
	}
	f.last, f.epoch, f.cursor = e.Seq, epoch, e.Cur
	f.Events++
	return Applied
}

// take applies the event's content; false means that text is missing.
func (f *Fold) take(e *Event, overlap bool) bool {
	switch e.Type {
	case "conversation.created":
		var d struct{ Kind, Title string }
		f.read(e, &d)
		f.Header.Kind, f.Header.Title, f.Header.State = d.Kind, d.Title, "active"
		return true
	case "conversation.ended":
		f.Ended, f.Header.State = true, "ended"
		return true
	case "message.accepted":
		var t Turn
		f.read(e, &t)
		if f.addTurn(e, t) {
			f.Head = Head{Run: t.Run, Turn: t.N}
		}
		return true
	case "branch.chosen":
		var h Head
		f.read(e, &h)
		if h.Run < 1 || h.Turn > 0 && !f.hasTurn(h.Turn) && len(f.Turns) > 0 && h.Turn >= f.Turns[0].N {
			f.breach("bad_link", e, "run %d of turn %d is chosen", h.Run, h.Turn)
		}
		f.Head = h
		return true
	case "scenario.ready":
		var d struct{ Scenario json.RawMessage }
		f.read(e, &d)
		f.Result = d.Scenario
		return true
	}
	purpose, verb, ok := strings.Cut(e.Type, ".")
	if !ok || purpose != "partner" && purpose != "scenario" {
		return true // unknown types are to be ignored
	}
	return f.runEvent(e, verb, overlap)
}

func (f *Fold) read(e *Event, into any) {
	if err := json.Unmarshal(e.Data, into); err != nil {
		f.breach("bad_event", e, "data of %s cannot be read", e.Type)
	}
}

// addTurn appends a finished message and reports whether it was new.
func (f *Fold) addTurn(e *Event, t Turn) bool {
	if t.N < 1 {
		f.breach("turn_gap", e, "turn number %d", t.N)
		return false
	}
	top := int64(0)
	if n := len(f.Turns); n > 0 {
		top = f.Turns[n-1].N
	}
	switch {
	case t.N <= top:
		for _, have := range f.Turns {
			if have.N == t.N && (have.ID != t.ID || have.Text != t.Text) {
				f.breach("turn_changed", e, "turn %d", t.N)
			}
		}
		if !f.hasTurn(t.N) {
			f.breach("turn_gap", e, "turn %d came after %d", t.N, top)
		}
		return false
	case t.N != top+1 && !f.looseTurns:
		f.breach("turn_gap", e, "turn %d follows %d", t.N, top)
	}
	f.looseTurns = false
	f.link(e, &t)
	f.Turns = append(f.Turns, t)
	return true
}

func (f *Fold) hasTurn(n int64) bool {
	for _, t := range f.Turns {
		if t.N == n {
			return true
		}
	}
	return false
}

// Reset takes the control message.
func (f *Fold) Reset(reason string) {
	f.Resets++
	f.Reasons[reason]++
	f.expectSnapshot = true
}

// Snapshot takes the folded state at cur: it replaces everything, except that
// open text of the same run and base never shortens.
func (f *Fold) Snapshot(cur string, raw json.RawMessage) error {
	f.expectSnapshot = false
	e := &Event{Cur: cur}
	epoch, seq, ok := splitCursor(cur)
	var st State
	if err := json.Unmarshal(raw, &st); err != nil || !ok {
		f.breach("bad_snapshot", e, "cursor %q", cur)
		return fmt.Errorf("snapshot at %q cannot be read: %w", cur, err)
	}
	e.Seq = seq
	f.Snapshots++
	now := st.Turns
	f.compareTurns(e, now)
	f.Header, f.Turns, f.Head, f.Result, f.Failure = st.Conversation, nil, st.Head, nil, st.Failure
	if len(st.Result) > 0 {
		var d struct{ Scenario json.RawMessage }
		_ = json.Unmarshal(st.Result, &d) // one that cannot be read is none
		f.Result = d.Scenario
	}
	for i := range now {
		f.link(e, &now[i])
		f.Turns = append(f.Turns, now[i])
	}
	if f.Head.Run == 0 && len(now) > 0 {
		f.Head = newest(now) // of a server without branches
	}
	f.Ended = st.Conversation.State == "ended"
	f.Open = 0
	if o := st.Open; o != nil {
		f.openSnapshot(e, o, epoch == f.epoch && seq >= f.last)
	}
	for no, r := range f.Runs {
		if r.Ended == "" && no != f.Open {
			f.settleRun(e, r)
		}
	}
	// Runs that we never saw open are known by their turns.
	for _, t := range f.Turns {
		if f.Runs[t.Run] == nil && t.Run > 0 && t.Author == "partner" {
			r := &Run{No: t.Run, StopAt: -1}
			r.endAs(t)
			f.Runs[t.Run] = r
		}
	}
	f.last, f.epoch, f.cursor = seq, epoch, cur
	return nil
}

// compareTurns: what was once durable stays so. A snapshot may leave out old
// turns, never those after its first.
func (f *Fold) compareTurns(e *Event, now []Turn) {
	byN := map[int64]Turn{}
	for i, t := range now {
		byN[t.N] = t
		if i > 0 && t.N <= now[i-1].N {
			f.breach("bad_snapshot", e, "turn %d follows %d", t.N, now[i-1].N)
		}
	}
	for _, had := range f.Turns {
		if len(now) > 0 && had.N < now[0].N {
			continue
		}
		t, ok := byN[had.N]
		switch {
		case !ok:
			f.breach("turn_lost", e, "turn %d", had.N)
		case t.ID != had.ID || t.Text != had.Text || t.Author != had.Author:
			f.breach("turn_changed", e, "turn %d", had.N)
		}
	}
}

// openSnapshot merges the open reply. newer says that the snapshot stands at
// or after what we have, so that less text than ours breaks a promise.
func (f *Fold) openSnapshot(e *Event, o *OpenReply, newer bool) {
	e.Run = o.Run
	f.Open = o.Run
	r := f.Runs[o.Run]
	switch {
	case r == nil:
		r = &Run{No: o.Run, StopAt: -1}
		f.Runs[o.Run] = r
	case r.Ended != "":
		f.breach("late", e, "run is open again after it %s", r.Ended)
		f.Open = 0
		return
	case o.Base < r.Base:
		f.breach("base_back", e, "from %d to %d", r.Base, o.Base)
		return
	case o.Base == r.Base && len(o.Text) < len(r.text):
		if !strings.HasPrefix(r.Text(), o.Text) {
			f.breach("mismatch", e, "snapshot has other text than was shown")
		} else if newer {
			f.breach("shrunk", e, "from %d to %d units", r.len, utf16Len(o.Text))
		}
		f.Kept++
		r.ahead, r.Attempt = true, max(r.Attempt, o.Attempt)
		return
	case o.Base == r.Base && !strings.HasPrefix(o.Text, r.Text()):
		f.breach("mismatch", e, "snapshot has other text than was shown")
	case o.Base > r.Base:
		r.Restarts++
	}
	r.Attempt, r.Base, r.text, r.len, r.ahead = o.Attempt, o.Base, []byte(o.Text), utf16Len(o.Text), false
	if o.Stopping {
		r.StopAt = r.len
	}
}

// settleRun deals with a run that we saw open and a snapshot does not. Its turn
// tells how it ended. Without one it failed, or its writer has not yet brought
// its text into a new log; that text then comes again, from the beginning.
func (f *Fold) settleRun(e *Event, r *Run) {
	e.Run = r.No
	for _, t := range f.Turns {
		if t.Run != r.No || t.Author != "partner" {
			continue
		}
		if !strings.HasPrefix(t.Text, r.Text()) {
			// Only a new beginning (a higher base) may replace what was shown;
			// a turn does not tell its base, so it is counted, not judged.
			r.Restarts++
		}
		r.Filled += max(0, utf16Len(t.Text)-r.len)
		r.endAs(t)
		return
	}
	newest := true
	for no := range f.Runs {
		newest = newest && no <= r.No
	}
	if newest && len(f.Failure) > 0 && string(f.Failure) != "null" {
		r.Ended = "failed"
		return
	}
	r.ahead = r.len > 0
}

// endAs ends a run the way its turn tells.
func (r *Run) endAs(t Turn) {
	r.text, r.len = []byte(t.Text), utf16Len(t.Text)
	r.Ended, r.Finish = "completed", t.Finish
	if t.Finish == "stopped" || t.Finish == "failed" {
		r.Ended = t.Finish
	}
}
