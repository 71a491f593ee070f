package check

import (
	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// submits gathers the messages and checks V4 to V6 among the answers.
func (s *state) submits() {
	invoked := map[int64]*history.Record{}
	for i := range s.records {
		r := &s.records[i]
		if r.Op != "submit" {
			continue
		}
		switch r.K {
		case history.Invoke:
			invoked[r.ID] = r
			m := s.messages[r.CID]
			if m == nil {
				m = &message{conv: r.Conv, cid: r.CID, hash: r.H, tokens: r.Len, invoked: r.T, no: r.No, bodies: map[string]bool{}}
				s.messages[r.CID] = m
			}
			m.bodies[r.H] = true
		case history.OK:
			in := invoked[r.ID]
			if in == nil {
				continue // M2 tells it
			}
			s.acknowledged(in, r)
		case history.Info:
			if in := invoked[r.ID]; in != nil {
				s.messages[in.CID].unknown = true
			}
		case history.Fail:
			in := invoked[r.ID]
			if in == nil {
				continue
			}
			m := s.messages[in.CID]
			if in.H == m.hash {
				m.refused = true
			}
		default:
		}
	}
	s.inOrder()
}

func (s *state) acknowledged(in, r *history.Record) {
	m := s.messages[in.CID]
	if m.accepted != 0 {
		if m.turn != r.Turn || m.run != r.Run {
			s.breach("V4", r, "%s was turn %d, run %d, and is now turn %d, run %d", m.cid, m.turn, m.run, r.Turn, r.Run)
		}
		if in.H != m.hash {
			s.breach("V4", r, "%s with another text was accepted", m.cid)
		}
		return
	}
	m.accepted, m.turn, m.run, m.hash = r.T, r.Turn, r.Run, in.H
	key := convRun{m.conv, r.Run}
	if other := s.byRun[key]; other != nil && other != m {
		s.breach("V2", r, "run %d answers %s and %s", r.Run, other.cid, m.cid)
	}
	s.byRun[key] = m
}

// inOrder is V6: what was acknowledged before another message was sent has the
// lower turn.
func (s *state) inOrder() {
	top := map[string]*message{} // per conversation: of those acknowledged so far, the highest turn
	atInvoke := map[string]*message{}
	for i := range s.records {
		r := &s.records[i]
		if r.Op != "submit" {
			continue
		}
		m := s.messages[r.CID]
		switch {
		case m == nil:
		case r.K == history.Invoke && m.invoked == r.T:
			atInvoke[m.cid] = top[m.conv]
		case r.K == history.OK && m.accepted == r.T:
			if before := atInvoke[m.cid]; before != nil && before.turn >= m.turn {
				s.breach("V6", r, "%s is turn %d, %s was acknowledged before it was sent and is turn %d", m.cid, m.turn, before.cid, before.turn)
			}
			if t := top[m.conv]; t == nil || t.turn < m.turn {
				top[m.conv] = m
			}
		}
	}
}

// reads checks what fresh readers found on every node: V1 to V3, V5, V7, V16.
func (s *state) reads() {
	first := map[string]*history.Record{}
	for i := range s.records {
		r := &s.records[i]
		if r.K != history.Final {
			continue
		}
		if before := first[r.Conv]; before != nil {
			s.sameTurns(before, r)
			continue
		}
		first[r.Conv] = r
		s.turns(r)
	}
	for _, m := range s.messages {
		if m.accepted == 0 {
			continue
		}
		r := first[m.conv]
		if r == nil {
			s.breach("M3", nil, "conversation %s was not read afterwards", m.conv)
			continue
		}
		n := 0
		for _, t := range r.Turns {
			if t.Author == "learner" && t.CID == m.cid {
				n++
				if t.N != m.turn {
					s.breach("V4", r, "%s is turn %d, it was acknowledged as %d", m.cid, t.N, m.turn)
				}
			}
		}
		if n != 1 {
			s.breach("V1", r, "%s was acknowledged and is there %d times", m.cid, n)
		}
	}
}

func (s *state) sameTurns(a, b *history.Record) {
	if len(a.Turns) != len(b.Turns) {
		s.breach("V16", b, "%s has %d turns on %s and %d on %s", a.Conv, len(a.Turns), a.N, len(b.Turns), b.N)
		return
	}
	for i := range a.Turns {
		if a.Turns[i] != b.Turns[i] {
			s.breach("V16", b, "turn %d of %s differs between %s and %s", a.Turns[i].N, a.Conv, a.N, b.N)
		}
	}
}

// turns checks one stored conversation.
func (s *state) turns(r *history.Record) {
	seen := map[string]bool{}
	for i, t := range r.Turns {
		if i > 0 && t.N != r.Turns[i-1].N+1 || i == 0 && t.N != 1 {
			s.breach("V5", r, "turn %d is at place %d of %s", t.N, i+1, r.Conv)
		}
		if t.Author != "learner" {
			continue
		}
		m := s.messages[t.CID]
		switch {
		case m == nil || m.conv != r.Conv:
			s.breach("V3", r, "nobody sent %s to %s", t.CID, r.Conv)
			continue
		case m.accepted == 0 && !m.unknown:
			s.breach("V3", r, "%s was refused and is there", t.CID)
		case seen[t.CID]:
			s.breach("V2", r, "%s is there twice", t.CID)
		}
		seen[t.CID] = true
		if m.accepted != 0 && t.H != m.hash || !m.bodies[t.H] {
			s.breach("V7", r, "%s has another text than was sent", t.CID)
		}
	}
}
