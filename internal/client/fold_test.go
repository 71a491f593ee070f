package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script builds events with consecutive numbers.
type script struct {
	epoch string
	seq   int64
	run   int64
	att   int64
	base  int64
}

func newScript() *script { return &script{epoch: "1.abc", run: 1, att: 1, base: 1} }

func (s *script) ev(typ string, data any) Event {
	s.seq++
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	e := Event{V: 1, Seq: s.seq, Cur: fmt.Sprintf("%s.%d", s.epoch, s.seq), Type: typ, TS: 1, Data: raw}
	if strings.HasPrefix(typ, "partner.") {
		e.Run, e.Attempt, e.Base = s.run, s.att, s.base
	}
	return e
}

type m = map[string]any

func (s *script) delta(at int, text string) Event {
	return s.ev("partner.delta", m{"at": at, "text": text})
}

// begin is a conversation with one message and a run that has started.
func (s *script) begin() []Event {
	return []Event{
		s.ev("conversation.created", m{"kind": "chat", "title": "t"}),
		s.ev("message.accepted", m{"n": 1, "id": "m1", "author": "learner", "text": "hi", "client_id": "k", "run": 1, "at": 1}),
		s.ev("partner.started", m{"message_id": "m2", "parent": 1}),
	}
}

func (s *script) completed(text string) Event {
	return s.ev("partner.completed", m{"message_id": "m2", "text": text, "finish": "stop", "n": 2})
}

func snapshot(t *testing.T, f *Fold, cur string, st State) {
	t.Helper()
	raw, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Snapshot(cur, raw); err != nil {
		t.Fatal(err)
	}
}

func play(t *testing.T, f *Fold, es ...Event) {
	t.Helper()
	for _, e := range es {
		if got := f.Apply(e); got != Applied {
			t.Fatalf("event %d %s: outcome %d", e.Seq, e.Type, got)
		}
	}
}

func clean(t *testing.T, f *Fold) {
	t.Helper()
	if len(f.Violations) > 0 {
		t.Fatalf("violations: %+v", f.Violations)
	}
}

func kinds(f *Fold) string {
	var out []string
	for _, v := range f.Violations {
		out = append(out, v.Kind)
	}
	return strings.Join(out, ",")
}

func TestWholeConversation(t *testing.T) {
	t.Parallel()
	s, f := newScript(), NewFold()
	play(t, f, s.begin()...)
	play(t, f, s.delta(0, "Good "), s.delta(5, "day 😀"))
	if r := f.Runs[1]; r.Text() != "Good day 😀" || r.Len() != 11 || f.Open != 1 {
		t.Fatalf("got %q, %d units, open %d", r.Text(), r.Len(), f.Open)
	}
	play(t, f, s.delta(11, "!"), s.completed("Good day 😀!"))
	play(t, f, s.ev("conversation.ended", m{"reason": "x"}), s.ev("something.new", m{}))
	clean(t, f)
	if r := f.Runs[1]; r.Ended != "completed" || r.Filled != 0 || len(f.Turns) != 2 || f.Turns[1].Text != "Good day 😀!" || !f.Ended || f.Open != 0 {
		t.Fatalf("got %+v, turns %+v", r, f.Turns)
	}
	if f.Cursor() != "1.abc.9" || f.Last() != 9 {
		t.Fatalf("cursor %s", f.Cursor())
	}
}

func TestSeqRules(t *testing.T) {
	t.Parallel()
	s, f := newScript(), NewFold()
	first := s.begin()
	play(t, f, first...)
	play(t, f, s.delta(0, "ab"), s.delta(2, "cd"))
	if got := f.Apply(first[1]); got != Dropped {
		t.Errorf("an old event: outcome %d", got)
	}
	// A merged event that overlaps what is there is cut.
	merged := s.delta(2, "cdef") // seq 6, stands for 5..6
	merged.From = 5
	play(t, f, merged)
	if got := f.Runs[1].Text(); got != "abcdef" {
		t.Errorf("got %q", got)
	}
	// A merged event that begins right after is appended.
	s.delta(6, "gh") // seq 7, never seen
	next := s.delta(6, "ghij")
	next.From = 7
	play(t, f, next)
	clean(t, f)
	if got := f.Runs[1].Text(); got != "abcdefghij" || f.Dropped != 1 {
		t.Errorf("got %q, dropped %d", got, f.Dropped)
	}
	s.seq += 3
	if got := f.Apply(s.delta(10, "x")); got != Gap || kinds(f) != "gap" || f.Last() != 8 {
		t.Errorf("a hole: outcome %d, %s, last %d", got, kinds(f), f.Last())
	}
}

// TestBreaches: every promise that the fold watches, broken once.
func TestBreaches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		want string
		play func(s *script, f *Fold)
	}{
		{"text position beyond the end", "gap", func(s *script, f *Fold) { f.Apply(s.delta(5, "x")) }},
		{"text twice", "doubled", func(s *script, f *Fold) { f.Apply(s.delta(2, "cd")) }},
		{"text twice and other", "doubled,mismatch", func(s *script, f *Fold) { f.Apply(s.delta(2, "xy")) }},
		{"overlap with other text", "mismatch", func(s *script, f *Fold) {
			e := s.delta(2, "xyz")
			e.From = e.Seq - 1
			f.Apply(e)
		}},
		{"overlap in the middle of a character", "doubled,mismatch", func(s *script, f *Fold) {
			f.Apply(s.delta(4, "😀"))
			f.Apply(s.delta(5, "x"))
		}},
		{"lower base", "base_back", func(s *script, f *Fold) { s.base = 0; f.Apply(s.delta(4, "x")) }},
		{"higher base without restarted", "shrunk", func(s *script, f *Fold) { s.base, s.att = 2, 2; f.Apply(s.delta(0, "x")) }},
		{"restarted with the same base", "shrunk", func(s *script, f *Fold) { f.Apply(s.ev("partner.restarted", m{})) }},
		{"resumed keeps less", "shrunk", func(s *script, f *Fold) { s.att = 2; f.Apply(s.ev("partner.resumed", m{"keep": 3})) }},
		{"attempt goes back", "base_back", func(s *script, f *Fold) {
			s.att = 3
			f.Apply(s.ev("partner.recovering", m{"reason": "node_dead", "attempt": 3}))
			s.att = 2
			f.Apply(s.delta(4, "x"))
		}},
		{"final text is shorter", "final_mismatch", func(s *script, f *Fold) { f.Apply(s.completed("abc")) }},
		{"final text is other", "final_mismatch", func(s *script, f *Fold) { f.Apply(s.completed("abcX")) }},
		{"two ends", "two_ends", func(s *script, f *Fold) {
			f.Apply(s.completed("abcd"))
			f.Apply(s.ev("partner.failed", m{"message_id": "m2", "code": "x", "text": "abcd"}))
		}},
		{"text after the end", "late", func(s *script, f *Fold) { f.Apply(s.completed("abcd")); f.Apply(s.delta(4, "e")) }},
		{"text after a stop", "stop_overrun", func(s *script, f *Fold) {
			f.Apply(s.ev("partner.stopping", m{"by": "learner", "at": 4}))
			f.Apply(s.delta(4, "e"))
		}},
		{"stop before what is shown", "stop_overrun", func(s *script, f *Fold) { f.Apply(s.ev("partner.stopping", m{"at": 2})) }},
		{"stop beyond what is shown", "gap", func(s *script, f *Fold) { f.Apply(s.ev("partner.stopping", m{"at": 9})) }},
		{"stopped elsewhere", "stop_overrun", func(s *script, f *Fold) {
			f.Apply(s.ev("partner.stopping", m{"at": 4}))
			f.Apply(s.ev("partner.stopped", m{"message_id": "m2", "text": "abcde", "by": "learner", "n": 2}))
		}},
		{"turn number skipped", "turn_gap", func(s *script, f *Fold) {
			f.Apply(s.ev("message.accepted", m{"n": 5, "id": "m9", "author": "learner", "text": "x"}))
		}},
		{"turn number used twice", "turn_changed", func(s *script, f *Fold) {
			f.Apply(s.ev("message.accepted", m{"n": 1, "id": "m9", "author": "learner", "text": "x"}))
		}},
		{"another epoch without a snapshot", "epoch_silent", func(s *script, f *Fold) { s.epoch = "2.def"; f.Apply(s.delta(4, "x")) }},
		{"an event between reset and snapshot", "unasked", func(s *script, f *Fold) { f.Reset("slow"); f.Apply(s.delta(4, "e")) }},
		{"cursor of another number", "bad_event", func(s *script, f *Fold) { e := s.delta(4, "x"); e.Cur = "1.abc.1"; f.Apply(e) }},
		{"another version", "bad_event", func(s *script, f *Fold) { e := s.delta(4, "x"); e.V = 2; f.Apply(e) }},
		{"data of another shape", "bad_event,doubled", func(s *script, f *Fold) { f.Apply(s.ev("partner.delta", "x")) }},
		{"merged fact", "bad_event", func(s *script, f *Fold) { e := s.completed("abcd"); e.From = e.Seq - 1; f.Apply(e) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, f := newScript(), NewFold()
			play(t, f, s.begin()...)
			play(t, f, s.delta(0, "ab"), s.delta(2, "cd"))
			clean(t, f)
			tc.play(s, f)
			if got := kinds(f); got != tc.want {
				t.Fatalf("got %q, want %q: %+v", got, tc.want, f.Violations)
			}
		})
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	s, f := newScript(), NewFold()
	play(t, f, s.begin()...)
	play(t, f, s.delta(0, "abcd"))
	s.att = 2
	play(t, f, s.ev("partner.recovering", m{"reason": "node_dead", "attempt": 2}), s.ev("partner.resumed", m{"keep": 4}), s.delta(4, "ef"))
	s.att, s.base = 3, 3
	play(t, f, s.ev("partner.restarted", m{}), s.delta(0, "new"))
	r := f.Runs[1]
	if r.Text() != "new" || r.Restarts != 1 || r.Recoveries != 1 || r.Attempt != 3 || r.Base != 3 {
		t.Fatalf("got %+v %q", r, r.Text())
	}
	play(t, f, s.completed("newer"))
	clean(t, f)
	if r.Filled != 2 || r.Text() != "newer" {
		t.Fatalf("filled %d, %q", r.Filled, r.Text())
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	s, f := newScript(), NewFold()
	play(t, f, s.begin()...)
	play(t, f, s.delta(0, "abcd"), s.ev("partner.stopping", m{"by": "learner", "at": 4}),
		s.ev("partner.stopped", m{"message_id": "m2", "text": "abcd", "by": "learner", "n": 2}))
	clean(t, f)
	if r := f.Runs[1]; r.Ended != "stopped" || r.Text() != "abcd" || f.Turns[1].Finish != "stopped" {
		t.Fatalf("got %+v", r)
	}
}

func state(turns []Turn, open *OpenReply) State {
	return State{Conversation: Header{ID: "c", State: "active"}, Turns: turns, Open: open}
}

func failed(st State) State {
	st.Failure = json.RawMessage(`{"code":"upstream_timeout"}`)
	return st
}

var turn1 = Turn{N: 1, ID: "m1", Author: "learner", Text: "hi", ClientID: "k", Run: 1, At: 1}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	partner := Turn{N: 2, ID: "m2", Author: "partner", Text: "abcdef", Run: 1, Finish: "stop"}
	for _, tc := range []struct {
		name   string
		cursor string
		st     State
		want   string
		text   string
		ended  string
	}{
		{"further on", "1.abc.9", state([]Turn{turn1}, &OpenReply{Run: 1, Attempt: 1, Base: 1, Text: "abcdef"}), "", "abcdef", ""},
		{"another log, further on", "2.def.3", state([]Turn{turn1}, &OpenReply{Run: 1, Attempt: 1, Base: 1, Text: "abcdef"}), "", "abcdef", ""},
		{"another log, not so far yet", "2.def.3", state([]Turn{turn1}, &OpenReply{Run: 1, Attempt: 2, Base: 1, Text: "ab"}), "", "abcd", ""},
		{"begun anew", "2.def.3", state([]Turn{turn1}, &OpenReply{Run: 1, Attempt: 2, Base: 2, Text: "x"}), "", "x", ""},
		{"ended meanwhile", "1.abc.9", state([]Turn{turn1, partner}, nil), "", "abcdef", "completed"},
		{"failed meanwhile", "1.abc.9", failed(state([]Turn{turn1}, nil)), "", "abcd", "failed"},
		{"not yet in the new log", "2.def.1", state([]Turn{turn1}, nil), "", "abcd", ""},
		{"same log, less text", "1.abc.9", state([]Turn{turn1}, &OpenReply{Run: 1, Attempt: 1, Base: 1, Text: "ab"}), "shrunk", "abcd", ""},
		{"other text", "1.abc.9", state([]Turn{turn1}, &OpenReply{Run: 1, Attempt: 1, Base: 1, Text: "XXcdef"}), "mismatch", "XXcdef", ""},
		{"lower base", "2.def.3", state([]Turn{turn1}, &OpenReply{Run: 1, Base: 0, Text: "abcdef"}), "base_back", "abcd", ""},
		{"turn lost", "1.abc.9", state(nil, &OpenReply{Run: 1, Attempt: 1, Base: 1, Text: "abcd"}), "turn_lost", "abcd", ""},
		{"turn changed", "1.abc.9", state([]Turn{{N: 1, ID: "m1", Author: "learner", Text: "ho"}},
			&OpenReply{Run: 1, Attempt: 1, Base: 1, Text: "abcd"}), "turn_changed", "abcd", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, f := newScript(), NewFold()
			play(t, f, s.begin()...)
			play(t, f, s.delta(0, "abcd"))
			f.Reset("slow")
			snapshot(t, f, tc.cursor, tc.st)
			if got := kinds(f); got != tc.want {
				t.Fatalf("got %q, want %q: %+v", got, tc.want, f.Violations)
			}
			if r := f.Runs[1]; r.Text() != tc.text || r.Ended != tc.ended {
				t.Fatalf("text %q ended %q, want %q %q", r.Text(), r.Ended, tc.text, tc.ended)
			}
			if f.Cursor() != tc.cursor {
				t.Fatalf("cursor %s", f.Cursor())
			}
		})
	}
}

// TestAheadOfSnapshot: text that was kept over a snapshot from behind is met
// by deltas that bring it again; they must be the same.
func TestAheadOfSnapshot(t *testing.T) {
	t.Parallel()
	s, f := newScript(), NewFold()
	play(t, f, s.begin()...)
	play(t, f, s.delta(0, "abcd"))
	snapshot(t, f, "2.def.3", state([]Turn{turn1}, &OpenReply{Run: 1, Attempt: 1, Base: 1, Text: "a"}))
	s.epoch, s.seq = "2.def", 3
	play(t, f, s.delta(1, "bc"), s.delta(3, "def"), s.delta(6, "g"))
	clean(t, f)
	if got := f.Runs[1].Text(); got != "abcdefg" || f.Kept != 1 {
		t.Fatalf("got %q, kept %d", got, f.Kept)
	}
	f.Apply(s.delta(6, "g"))
	if kinds(f) != "doubled" {
		t.Fatalf("got %q once the text was level again", kinds(f))
	}
}

// TestRebuiltLog: after a loss of Redis a viewer may see the new log before the
// living writer has put its text there; that comes whole, and nothing changes.
func TestRebuiltLog(t *testing.T) {
	t.Parallel()
	s, f := newScript(), NewFold()
	play(t, f, s.begin()...)
	play(t, f, s.delta(0, "abcd"))
	f.Reset("epoch_changed")
	snapshot(t, f, "2.def.1", state([]Turn{turn1}, nil))
	if got := f.Runs[1].Text(); got != "abcd" {
		t.Fatalf("shown text became %q", got)
	}
	s.epoch, s.seq = "2.def", 1
	play(t, f, s.ev("partner.started", m{"message_id": "m2", "parent": 1}), s.delta(0, "abcdef"), s.completed("abcdef"))
	clean(t, f)
	if r := f.Runs[1]; r.Text() != "abcdef" || r.Ended != "completed" || r.Restarts != 0 {
		t.Fatalf("got %+v", r)
	}
}

// TestRunsKnownByTurns: who comes late still sees how a run ended.
func TestRunsKnownByTurns(t *testing.T) {
	t.Parallel()
	f := NewFold()
	snapshot(t, f, "1.abc.9", state([]Turn{turn1, {N: 2, ID: "m2", Author: "partner", Text: "abc", Run: 1, Finish: "stopped"}}, nil))
	clean(t, f)
	if r := f.Runs[1]; r == nil || r.Ended != "stopped" || r.Text() != "abc" || r.Len() != 3 {
		t.Fatalf("got %+v", r)
	}
}

// TestOpeningLine: a turn that no run wrote.
func TestOpeningLine(t *testing.T) {
	t.Parallel()
	s, f := newScript(), NewFold()
	open := s.ev("partner.completed", m{"message_id": "m0", "text": "Welcome.", "finish": "stop", "n": 1})
	open.Run, open.Attempt, open.Base = 0, 0, 0
	play(t, f, open, s.ev("message.accepted", m{"n": 2, "id": "m1", "author": "learner", "text": "hi"}))
	clean(t, f)
	if len(f.Turns) != 2 || len(f.Runs) != 0 || f.Turns[0].Author != "partner" {
		t.Fatalf("got %+v", f.Turns)
	}
}

// FuzzFold: however an honest log is cut, merged, repeated and resumed, the
// fold ends with the exact text and no breach.
func FuzzFold(f *testing.F) {
	f.Add("Good day 😀, how are you?", []byte{1, 200, 3, 9, 77, 4})
	f.Add("日本語のテキスト", []byte{0, 0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, text string, moves []byte) {
		text = strings.ToValidUTF8(text, "?")
		if text == "" || len(text) > 2000 {
			return
		}
		// The log: one delta per rune.
		s := newScript()
		log := s.begin()
		at := 0
		for _, r := range text {
			log = append(log, s.delta(at, string(r)))
			at += utf16.RuneLen(r)
		}
		log = append(log, s.completed(text))
		fold := NewFold()
		pos, mi := 0, 0
		move := func() int {
			if len(moves) == 0 {
				return 1
			}
			mi++
			return int(moves[mi%len(moves)])
		}
		for steps := 0; pos < len(log); steps++ {
			n := 1 + move()%4
			start := pos
			if move()%5 == 0 && steps < 5000 { // a replay from behind
				start = max(0, pos-move()%6)
			}
			e := merge(log[start:min(len(log), pos+n)])
			switch fold.Apply(e) {
			case Gap:
				t.Fatalf("gap at %d: %+v", pos, fold.Violations)
			default:
				pos = max(pos, int(e.Seq))
			}
		}
		if len(fold.Violations) > 0 || fold.Runs[1].Text() != text || fold.Runs[1].Filled != 0 {
			t.Fatalf("got %q, want %q, %+v", fold.Runs[1].Text(), text, fold.Violations)
		}
	})
}

// merge joins the leading deltas of es, or returns the first event.
func merge(es []Event) Event {
	e := es[0]
	var d struct {
		At   int64  `json:"at"`
		Text string `json:"text"`
	}
	if e.Type != "partner.delta" || json.Unmarshal(e.Data, &d) != nil {
		return e
	}
	from := e.Seq
	for _, next := range es[1:] {
		var nd struct{ Text string }
		if next.Type != "partner.delta" || json.Unmarshal(next.Data, &nd) != nil {
			break
		}
		d.Text += nd.Text
		e.Seq, e.Cur, e.From = next.Seq, next.Cur, from
	}
	e.Data, _ = json.Marshal(d)
	return e
}
