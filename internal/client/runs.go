package client

import "strings"

// runEvent takes an event of a run; false means that text is missing.
func (f *Fold) runEvent(e *Event, verb string, overlap bool) bool {
	if e.Run == 0 {
		// A turn without a run: the partner's opening line.
		if verb == "completed" {
			f.endTurn(e, "")
		}
		return true
	}
	r := f.Runs[e.Run]
	first := r == nil
	if first {
		r = &Run{No: e.Run, StopAt: -1, Attempt: e.Attempt, Base: e.Base}
		f.Runs[e.Run] = r
	}
	if r.Ended != "" {
		switch verb {
		case "completed", "stopped", "failed":
			f.breach("two_ends", e, "%s after %s", verb, r.Ended)
		default:
			f.breach("late", e, "%s after %s", verb, r.Ended)
		}
		return true
	}
	switch {
	case e.Base < r.Base && verb != "failed":
		f.breach("base_back", e, "%s with base %d, have %d", verb, e.Base, r.Base)
		return true
	case e.Base > r.Base:
		// A higher base replaces the text; restarted announces it.
		if verb != "restarted" && (r.len > 0 || r.Base > 0) {
			f.breach("shrunk", e, "base %d began with %s, not with restarted", e.Base, verb)
		}
		if r.len > 0 || verb == "restarted" {
			r.Restarts++
		}
		r.Base, r.text, r.len, r.ahead = e.Base, nil, 0, false
	case verb == "restarted" && !first: // whoever sees the run for the first time has nothing to lose
		f.breach("shrunk", e, "restarted with base %d as before", e.Base)
	}
	if e.Attempt < r.Attempt && verb != "stopping" {
		f.breach("base_back", e, "%s of attempt %d after %d", verb, e.Attempt, r.Attempt)
	}
	r.Attempt = max(r.Attempt, e.Attempt)
	switch verb {
	case "completed", "stopped", "failed": // one that waits may end while another is open
	default:
		f.Open = e.Run
	}
	switch verb {
	case "delta":
		return f.delta(e, r, overlap)
	case "recovering":
		r.Recoveries++
	case "resumed":
		var d struct{ Keep int64 }
		f.read(e, &d)
		if d.Keep != r.len && !(r.ahead && d.Keep <= r.len) {
			f.breach("shrunk", e, "resumed keeps %d of %d units", d.Keep, r.len)
		}
	case "stopping":
		var d struct{ At int64 }
		f.read(e, &d)
		if r.len > d.At && !r.ahead {
			f.breach("stop_overrun", e, "text has %d units, the stop is at %d", r.len, d.At)
		}
		if r.len < d.At {
			f.breach("gap", e, "the stop is at %d, text has %d units", d.At, r.len)
		}
		r.StopAt = d.At
	case "completed", "stopped", "failed":
		f.end(e, r, verb)
	}
	return true
}

// delta appends text at its position.
func (f *Fold) delta(e *Event, r *Run, overlap bool) bool {
	var d struct {
		At   int64
		Text string
	}
	f.read(e, &d)
	n := utf16Len(d.Text)
	if r.StopAt >= 0 && d.At+n > r.StopAt {
		f.breach("stop_overrun", e, "text to %d, the stop is at %d", d.At+n, r.StopAt)
		return true
	}
	if d.At > r.len {
		f.breach("gap", e, "text at %d, have %d", d.At, r.len)
		return false
	}
	f.Deltas++
	if d.At < r.len {
		if !overlap && !r.ahead {
			f.breach("doubled", e, "text at %d, have %d", d.At, r.len)
		}
		if !f.sameOverlap(r, d.At, d.Text) {
			f.breach("mismatch", e, "text at %d differs from what was shown", d.At)
		}
		if d.At+n <= r.len {
			return true
		}
		rest, ok := cut(d.Text, r.len-d.At)
		if !ok {
			f.breach("mismatch", e, "text at %d splits a character at %d", d.At, r.len)
			return true
		}
		d.Text = rest
	}
	r.text = append(r.text, d.Text...)
	r.len += utf16Len(d.Text)
	r.ahead = false
	return true
}

// sameOverlap compares text at a position with what is shown there.
func (f *Fold) sameOverlap(r *Run, at int64, text string) bool {
	shown, ok := cut(r.Text(), at)
	if !ok {
		return false
	}
	return strings.HasPrefix(shown, text) || strings.HasPrefix(text, shown)
}

// end takes the one event that ends a run.
func (f *Fold) end(e *Event, r *Run, verb string) {
	var d struct {
		Text, Finish, Code string
		N                  int64
	}
	f.read(e, &d)
	n := utf16Len(d.Text)
	switch {
	case !strings.HasPrefix(d.Text, r.Text()):
		f.breach("final_mismatch", e, "%s with %d units, %d were shown", verb, n, r.len)
	case r.StopAt >= 0 && verb == "stopped" && n != r.StopAt:
		f.breach("stop_overrun", e, "stopped with %d units, the stop is at %d", n, r.StopAt)
	default:
		r.Filled = n - r.len
	}
	r.text, r.len = []byte(d.Text), n
	r.Ended, r.Finish, r.Code = verb, d.Finish, d.Code
	if f.Open == r.No {
		f.Open = 0
	}
	if verb == "failed" {
		f.Failure = e.Data
		f.looseTurns = true
	} else {
		f.Failure = nil
	}
	f.endTurn(e, verb)
}

// endTurn adds the partner's turn, if the run made one.
func (f *Fold) endTurn(e *Event, verb string) {
	var d struct {
		MessageID string `json:"message_id"`
		Text      string
		Finish    string
		N         int64
		Parent    *int64
	}
	f.read(e, &d)
	if d.N == 0 {
		return
	}
	if verb == "stopped" || verb == "failed" {
		d.Finish = verb
	}
	t := Turn{N: d.N, ID: d.MessageID, Author: "partner", Text: d.Text, Run: e.Run, Finish: d.Finish, At: e.TS, Parent: unlinked}
	if d.Parent != nil {
		t.Parent = *d.Parent
	}
	if f.addTurn(e, t) && f.Head.Run == 0 {
		f.Head = Head{Run: t.Run} // an opening
	}
}
