package check

import (
	"slices"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// ended notes how a run ended, as somebody saw it: V16, V19.
func (s *state) ended(r *history.Record, conv string, run int64, e ending) {
	key := convRun{conv, run}
	had := s.ends[key]
	switch {
	case had == nil:
		s.ends[key] = &e
		return
	case had.verb != e.verb || had.hash != e.hash:
		s.breach("V16", r, "run %d of %s %s, to somebody else it %s with another text", run, conv, e.verb, had.verb)
	case had.turn != 0 && e.turn != 0 && had.turn != e.turn:
		s.breach("V16", r, "run %d of %s is turn %d and turn %d", run, conv, had.turn, e.turn)
	}
	had.t = min(had.t, e.t)
}

// replies checks what became of every accepted message: V17 to V20, V28.
func (s *state) replies() {
	finals := map[string][]*history.Record{}
	for i := range s.records {
		if r := &s.records[i]; r.K == history.Final {
			finals[r.Conv] = append(finals[r.Conv], r)
		}
	}
	for conv, list := range finals {
		for _, r := range list {
			s.replyTurns(conv, r)
		}
	}
	for _, m := range s.messages {
		if m.accepted == 0 {
			continue
		}
		s.figures.Accepted++
		for _, r := range finals[m.conv] {
			i := slices.IndexFunc(r.Turns, func(t history.Turn) bool { return t.Author == "partner" && t.Run == m.run })
			if i < 0 {
				s.breach("V28", r, "%s was accepted and has no reply", m.cid)
				s.figures.Unfinished++
				break
			}
		}
	}
	s.seenStays(finals)
}

func (s *state) replyTurns(conv string, r *history.Record) {
	runs := map[int64]bool{}
	for _, t := range r.Turns {
		if t.Author != "partner" || t.Run == 0 {
			continue
		}
		if runs[t.Run] {
			s.breach("V19", r, "run %d of %s has two replies", t.Run, conv)
		}
		runs[t.Run] = true
		m := s.byRun[convRun{conv, t.Run}]
		if m == nil {
			continue
		}
		want := m.want()
		switch {
		case t.Finish == "failed":
			s.breach("V28", r, "the reply to %s failed", m.cid)
			s.figures.Unfinished++
		case t.Finish == "stopped":
			if int(t.Len) > len(want) || history.Hash(want[:t.Len]) != t.H {
				s.breach("V18", r, "the stopped reply to %s is no beginning of what the model wrote", m.cid)
			}
		case t.H != history.Hash(want):
			s.breach("V17", r, "the reply to %s has %d characters, the model wrote %d", m.cid, t.Len, len(want))
			s.figures.Lost += max(0, int64(len(want))-t.Len)
			s.figures.Doubled += max(0, t.Len-int64(len(want)))
		}
		if e := s.ends[convRun{conv, t.Run}]; e != nil && e.hash != t.H {
			s.breach("V16", r, "the reply to %s is stored with another text than was shown", m.cid)
		}
	}
}

// seenStays is V20: what somebody saw finished, every read begun later shows.
func (s *state) seenStays(finals map[string][]*history.Record) {
	type end struct {
		run, t int64
	}
	byConv := map[string][]end{}
	for k, e := range s.ends {
		if s.byRun[k] != nil && e.verb != "failed" {
			byConv[k.conv] = append(byConv[k.conv], end{k.run, e.t})
		}
	}
	look := func(r *history.Record, begun int64) {
		for _, e := range byConv[r.Conv] {
			if e.t >= begun || len(r.Turns) > 0 && r.Turns[0].N > 1 {
				continue
			}
			if !slices.ContainsFunc(r.Turns, func(t history.Turn) bool { return t.Run == e.run && t.Author == "partner" }) {
				s.breach("V20", r, "run %d of %s was seen finished and is not in a later read", e.run, r.Conv)
			}
		}
	}
	opened := map[[2]string]int64{}
	for i := range s.records {
		r := &s.records[i]
		switch {
		case r.K == history.Open:
			opened[[2]string{r.P, r.Conv}] = r.T
		case r.K == history.Recv && r.Ev == "snapshot":
			look(r, opened[[2]string{r.P, r.Conv}])
		}
	}
	for _, list := range finals {
		for _, r := range list {
			look(r, r.T0)
		}
	}
}

// window is the time of one fault.
type window struct {
	f          string
	from, upto int64
	node       string
	r          *history.Record
}

func (s *state) windows() []window {
	var out []window
	open := map[string]int{}
	for i := range s.records {
		r := &s.records[i]
		if r.K != history.Fault {
			continue
		}
		key := r.F + " " + r.N
		switch r.Phase {
		case "begin":
			open[key] = len(out)
			out = append(out, window{f: r.F, from: r.T, upto: 1<<63 - 1, node: r.N, r: r})
		case "end":
			if i, ok := open[key]; ok {
				out[i].upto = r.T
				delete(open, key)
			}
		}
	}
	return out
}

// maxCalls is how many calls of the model one message may cost: three counted
// attempts, and hand-overs on top.
const maxCalls = 12

// calls checks the stand-in's record: V21, and how often the faults hit.
func (s *state) calls() {
	byTag := map[string][]*history.Record{}
	for i := range s.records {
		if r := &s.records[i]; r.K == history.Up {
			byTag[r.CID] = append(byTag[r.CID], r)
		}
	}
	ws := s.windows()
	hit := map[string]bool{}
	for cid, m := range s.messages {
		list := byTag[cid]
		slices.SortFunc(list, func(a, b *history.Record) int { return int(a.T0 - b.T0) })
		s.figures.Calls += len(list)
		if len(list) > 1 {
			s.figures.TakenOver++
			if s.rules.TakenOver {
				hit[cid] = true
			}
		}
		if len(list) > maxCalls {
			s.breach("V21", list[0], "%d calls for %s", len(list), cid)
		}
		touched, whole := false, false
		for i, c := range list {
			// A client may hang up between the last token and the done marker.
			whole = whole || c.End == "complete" || c.Sent >= m.tokens
			if i > 0 && c.Kept > 0 && !c.Continued {
				s.breach("V11", c, "a call for %s was told to go on from %d characters that are no beginning of its text", cid, c.Kept)
			}
			for _, w := range ws {
				if w.from <= c.Ended && c.T0 <= w.upto {
					touched = true
					if !s.rules.TakenOver && c.T0 <= w.from && w.from <= c.Ended && (s.rules.Fault == "" || w.f == s.rules.Fault) {
						s.figures.Hits++
					}
				}
			}
		}
		if len(list) > 1 && !touched {
			s.figures.Needless++
		}
		if len(list) > 1 && !touched && !s.rules.Busy {
			s.breach("V21", list[1], "%d calls for %s, which no fault touched", len(list), cid)
		}
		if e := s.ends[convRun{m.conv, m.run}]; e != nil && m.accepted != 0 && e.verb == "completed" && !whole {
			s.breach("V17", nil, "the reply to %s is complete, no call of the model was", cid)
		}
	}
	if s.rules.TakenOver {
		s.figures.Hits = len(hit)
	}
	if s.figures.Hits < s.rules.MinHits {
		s.breach("M3", nil, "%d replies were hit in mid-text, at least %d are asked for", s.figures.Hits, s.rules.MinHits)
	}
	for cid := range byTag {
		if s.messages[cid] == nil {
			s.breach("V3", byTag[cid][0], "the model was asked about %s, which nobody sent", cid)
		}
	}
}
