// Package check reads the history of a chaos run and says which promises were
// broken. It knows the history only: no server, no store, no client code, so a
// mistake there cannot excuse itself here. The names V1 to V31 are those of
// docs/reliability.md; M names are about the run itself, which must not pass
// by missing its target.
package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// Violation is one broken promise.
type Violation struct {
	// Rule is V1…V31, P for Porcupine, M… for the run itself.
	Rule string
	// No is the line where it showed, 0 for the whole.
	No   int64
	What string
}

// Error implements error.
func (v Violation) Error() string { return fmt.Sprintf("%s at line %d: %s", v.Rule, v.No, v.What) }

// Result is what a history holds.
type Result struct {
	Violations []Violation
	Figures    Figures
}

// message is one client id of a conversation.
type message struct {
	conv, cid string
	hash      string // of the text first invoked
	tokens    int64
	invoked   int64 // T of the first invocation
	accepted  int64 // T of the first ok, 0 for none
	no        int64
	turn, run int64
	unknown   bool // some try ended without an answer
	refused   bool // some try ended with a refusal
	bodies    map[string]bool
}

// want is the whole text that answers it.
func (m *message) want() string { return fake.Checkable(m.cid, int(m.tokens)) }

type convRun struct {
	conv string
	run  int64
}

// state is a check under way.
type state struct {
	records  []history.Record
	rules    history.Rules
	found    []Violation
	messages map[string]*message // by client id, which no two messages share
	byRun    map[convRun]*message
	ends     map[convRun]*ending
	figures  Figures
}

// ending is how a run ended, as first seen.
type ending struct {
	t      int64
	verb   string
	hash   string
	finish string
	turn   int64
}

// most bounds the violations of one rule that are told.
const most = 20

func (s *state) breach(rule string, r *history.Record, format string, args ...any) {
	n := 0
	for _, v := range s.found {
		if v.Rule == rule {
			n++
		}
	}
	s.figures.Violations++
	if n >= most {
		return
	}
	v := Violation{Rule: rule, What: fmt.Sprintf(format, args...)}
	if r != nil {
		v.No = r.No
		if r.P != "" {
			v.What = r.P + ": " + v.What
		}
	}
	s.found = append(s.found, v)
}

// Check judges a whole history.
func Check(records []history.Record) Result {
	s := &state{records: records, messages: map[string]*message{}, byRun: map[convRun]*message{}, ends: map[convRun]*ending{}}
	s.whole()
	s.submits()
	s.linear()
	s.logs()
	s.viewers()
	s.reads()
	s.replies()
	s.calls()
	s.bounds()
	s.storms()
	s.measure()
	slices.SortStableFunc(s.found, func(a, b Violation) int { return strings.Compare(a.Rule, b.Rule) })
	return Result{s.found, s.figures}
}

// whole checks that the history is one: no hole, nothing left open, and that
// something happened.
func (s *state) whole() {
	open := map[int64]*history.Record{}
	faults, submits, finals := 0, 0, 0
	for i := range s.records {
		r := &s.records[i]
		if r.No != int64(i)+1 {
			s.breach("M1", r, "line %d has number %d", i+1, r.No)
			return
		}
		switch r.K {
		case history.Begin:
			if r.Rules != nil {
				s.rules = *r.Rules
			}
		case history.Invoke:
			open[r.ID] = r
			if r.Op == "submit" {
				submits++
			}
		case history.OK, history.Fail, history.Info:
			if open[r.ID] == nil {
				s.breach("M2", r, "an answer without an invocation, or a second one")
			}
			delete(open, r.ID)
		case history.Fault:
			if r.Phase == "begin" && (s.rules.Fault == "" || r.F == s.rules.Fault) {
				faults++
			}
		case history.Final:
			finals++
		case history.Breach:
			s.breach("F", r, "the client's own fold: %s", r.Arg)
		default:
		}
	}
	for _, r := range open {
		s.breach("M2", r, "invocation without an answer")
	}
	s.figures.Faults = faults
	switch {
	case submits == 0:
		s.breach("M3", nil, "no message was sent")
	case finals == 0:
		s.breach("M3", nil, "nobody read afterwards")
	case faults < max(1, s.rules.MinFaults):
		s.breach("M3", nil, "%d faults of at least %d", faults, max(1, s.rules.MinFaults))
	}
}
