package memstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
)

// The scripts of redislog, line by line. Each gets the book of its
// conversation with the server locked and returns the entries it has added.

type stamp struct{ seq, ts int64 }

func (s *Server) create(k bookKey, counter int64, seed conversation.Seed) (conversation.Epoch, error) {
	if b := s.book(k); b.meta != nil && b.meta.epoch.Counter >= counter {
		return conversation.Epoch{}, conversation.ErrLogExists
	}
	ep := conversation.Epoch{Counter: counter, Nonce: s.nonce(counter)}
	h := seed.Header
	s.books[k] = &book{header: &h, turns: slices.Clone(seed.Turns), meta: &meta{epoch: ep, fence: seed.Fence, low: 1, fn: seed.Facts,
		stop: -1, turns: len(seed.Turns), head: seed.Head, wait: seed.Running, result: seed.Result, failure: seed.Failure}}
	return ep, nil
}

func (s *Server) begin(b *book, ep conversation.Epoch, in conversation.Begin) (conversation.Began, []conversation.Event, error) {
	if err := b.check(ep); err != nil {
		return conversation.Began{}, nil, err
	}
	m := b.meta
	if !s.broken.NoFence && (in.Fence < m.fence || in.Fence <= m.over) {
		return conversation.Began{}, nil, conversation.ErrFenced
	}
	open := m.open && m.run == in.Run.No
	if !b.whole() || open && len(b.text) != m.bytes {
		return conversation.Began{}, nil, conversation.ErrLogMissing
	}
	answer := func() conversation.Began {
		return conversation.Began{Epoch: ep, Base: m.base, Text: b.text, Len: m.len, Stopped: m.stop >= 0}
	}
	if open && m.att == in.Run.Attempt && m.fence == in.Fence {
		return answer(), nil, nil
	}
	var added []conversation.Event
	mark := func(kind string, base, at, units int64, text string, data any) {
		ev := conversation.Event{Type: in.Run.Purpose + kind, Run: in.Run.No, Attempt: in.Run.Attempt, Base: base, At: at, Len: units, Text: text}
		if data != nil {
			ev.Data, _ = json.Marshal(data) // plain structs always marshal
		}
		added = append(added, b.add(ev))
	}
	if in.How == conversation.BeginContinue {
		if !open && !s.broken.EmptyIsNew {
			if !s.broken.UnknownKeepsFence {
				m.fence = in.Fence
			}
			return conversation.Began{}, nil, conversation.ErrLogUnknownRun
		}
		if open {
			mark(".recovering", m.base, m.len, 0, "", recovering{in.Reason, in.Run.Attempt})
			mark(".resumed", m.base, m.len, 0, "", nil)
			m.fence, m.att = in.Fence, in.Run.Attempt
			return answer(), added, nil
		}
	}
	b.text, m.failure = "", nil
	m.base, m.len, m.bytes = in.Run.Attempt, 0, 0
	if in.How == conversation.BeginRebuild {
		m.base = in.Base
	} else if s.broken.NoBase || s.broken.EmptyIsNew {
		m.base = 1
	}
	kind := ".started"
	if in.How == conversation.BeginRestart && in.Run.Attempt != 1 && !s.broken.EmptyIsNew {
		kind = ".restarted"
	}
	mark(kind, m.base, 0, 0, "", started{in.Run.MessageID, in.Run.Parent})
	if in.How == conversation.BeginRebuild {
		m.len = conversation.UTF16Len(in.Text)
		if in.Text != "" {
			mark(".delta", m.base, 0, m.len, in.Text, nil)
			b.text, m.bytes = in.Text, len(in.Text)
		}
	}
	m.fence, m.run, m.att, m.open, m.stop, m.mid, m.purpose = in.Fence, in.Run.No, in.Run.Attempt, true, -1, in.Run.MessageID, in.Run.Purpose
	m.wait = 0
	return answer(), added, nil
}

type started struct {
	MessageID string `json:"message_id"`
	Parent    int64  `json:"parent"`
}

type recovering struct {
	Reason  string `json:"reason"`
	Attempt int64  `json:"attempt"`
}

func (s *Server) append(b *book, ep conversation.Epoch, a conversation.Append, limit int64) (stamp, []conversation.Event, error) {
	if err := b.check(ep); err != nil {
		return stamp{}, nil, err
	}
	m := b.meta
	if a.Fence < m.fence && !s.broken.NoFence {
		return stamp{}, nil, conversation.ErrFenced
	}
	if a.Fence > m.fence || m.run != a.Run.No || m.att != a.Run.Attempt || !m.open {
		return stamp{}, nil, conversation.ErrLogRebegin
	}
	if len(b.text) != m.bytes || !b.whole() {
		return stamp{}, nil, conversation.ErrLogMissing
	}
	switch {
	case s.broken.BlindAppend:
		a.At = m.len
	case a.At < m.len:
		if a.At+a.Len == m.len && m.appended && strings.HasSuffix(b.text, a.Text) {
			return stamp{m.asSeq, m.asTS}, nil, nil
		}
		return stamp{}, nil, &conversation.GapError{Have: m.len}
	}
	if m.stop >= 0 {
		return stamp{}, nil, conversation.ErrLogStopped
	}
	if a.At > m.len {
		return stamp{}, nil, &conversation.GapError{Have: m.len}
	}
	ev := b.add(conversation.Event{Type: a.Run.Purpose + ".delta", Run: m.run, Attempt: m.att, Base: m.base, At: a.At, Len: a.Len, Text: a.Text})
	b.text += a.Text
	m.len, m.bytes = m.len+a.Len, len(b.text)
	m.appended, m.asSeq, m.asTS = true, ev.Seq, ev.TS
	b.trim(limit)
	return stamp{ev.Seq, ev.TS}, []conversation.Event{ev}, nil
}

func (s *Server) fact(b *book, ep conversation.Epoch, f conversation.Fact, limit int64, maxTurns int) (stamp, []conversation.Event, error) {
	if err := b.check(ep); err != nil {
		return stamp{}, nil, err
	}
	m := b.meta
	switch {
	case f.N <= m.fn:
		return stamp{}, nil, nil // it has the fact
	case f.N > m.fn+1:
		return stamp{}, nil, &conversation.GapError{Have: m.fn}
	}
	ev := b.add(conversation.Event{Type: f.Type, Run: f.Run, Attempt: f.Attempt, Base: f.Base, Fact: f.N, Data: f.Data})
	m.fn = f.N
	if f.Turn != nil {
		b.turns = append(b.turns, *f.Turn)
		if n := len(b.turns) - maxTurns; n > 0 {
			b.turns = slices.Clone(b.turns[n:])
		}
		m.turns = min(m.turns+1, maxTurns)
	}
	if ev.EndsRun() {
		over := f.Fence
		if m.run == f.Run && m.open {
			over = max(over, m.fence)
			b.text, m.open, m.len, m.bytes, m.stop = "", false, 0, 0, -1
		}
		m.over = max(m.over, over)
		if m.wait == f.Run {
			m.wait = 0
		}
	}
	switch conversation.FoldField(f.Type) {
	case "res":
		m.result = f.Data
	case "fail":
		m.failure = f.Data
	case "end":
		m.end = f.Data
	}
	if h, ok := conversation.HeadOf(&f); ok {
		m.head = h
	}
	m.fence = max(m.fence, f.Fence)
	b.trim(limit)
	return stamp{ev.Seq, ev.TS}, []conversation.Event{ev}, nil
}

func (s *Server) stop(b *book, ep conversation.Epoch, run int64) (conversation.Began, []conversation.Event, error) {
	if err := b.check(ep); err != nil {
		return conversation.Began{}, nil, err
	}
	m := b.meta
	if !m.open || m.run != run {
		return conversation.Began{}, nil, conversation.ErrLogNotOpen
	}
	if len(b.text) != m.bytes {
		return conversation.Began{}, nil, conversation.ErrLogMissing
	}
	var added []conversation.Event
	if m.stop < 0 {
		added = append(added, b.add(conversation.Event{Type: m.purpose + ".stopping", Run: m.run, Attempt: m.att, Base: m.base, At: m.len}))
		m.stop = m.len
	}
	return conversation.Began{Epoch: ep, Base: m.base, Len: m.len, Text: b.text, Stopped: true}, added, nil
}

func (s *Server) read(b *book, ep conversation.Epoch, after int64, limit int) (conversation.Page, error) {
	if err := b.check(ep); err != nil {
		return conversation.Page{}, err
	}
	m := b.meta
	if after > m.top {
		if s.broken.NoAhead {
			return conversation.Page{Top: m.top}, nil
		}
		return conversation.Page{}, conversation.ErrAhead
	}
	if after+1 < m.low {
		return conversation.Page{}, conversation.ErrTrimmed
	}
	p := conversation.Page{Top: m.top}
	i, _ := slices.BinarySearchFunc(b.log, after+1, func(e conversation.Event, seq int64) int { return int(e.Seq - seq) })
	for ; i < len(b.log) && len(p.Events) < limit; i++ {
		if b.log[i].Seq != after+int64(len(p.Events))+1 {
			return conversation.Page{}, conversation.ErrLogMissing
		}
		p.Events = append(p.Events, b.log[i])
	}
	if len(p.Events) == 0 && after < p.Top {
		return conversation.Page{}, conversation.ErrLogMissing
	}
	return p, nil
}

func (s *Server) active(b *book) (conversation.Active, error) {
	m := b.meta
	if m == nil || m.wait != 0 || !b.whole() || m.open && len(b.text) != m.bytes {
		return conversation.Active{}, conversation.ErrLogMissing
	}
	a := conversation.Active{Epoch: m.epoch, Fence: m.fence, Top: m.top, Low: m.low, Facts: m.fn, StopAt: m.stop,
		State: conversation.State{Header: *b.header, Turns: slices.Clone(b.turns), Head: m.head, Result: m.result, Failure: m.failure}}
	if m.open {
		a.OpenLen = m.len
		a.State.Open = &conversation.OpenReply{Run: m.run, Attempt: m.att, Base: m.base, MessageID: m.mid, Text: b.text, Stopping: m.stop >= 0}
	}
	if m.end != nil {
		a.State.Header.State = conversation.StateEnded
	}
	return a, nil
}

// String tells a book in one line, for traces.
func (b *book) String() string {
	if b.meta == nil {
		return "no log"
	}
	m := b.meta
	return fmt.Sprintf("%s top=%d fn=%d fence=%d run=%d/%d base=%d open=%v len=%d stop=%d", m.epoch, m.top, m.fn, m.fence, m.run, m.att, m.base, m.open, m.len, m.stop)
}
