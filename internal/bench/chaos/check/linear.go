package check

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// Porcupine is the second opinion on messages: per conversation they are a
// list that grows at its end; a submit with a known id changes nothing and
// answers what it answered first, a read gives the list. A submit without an
// answer may have happened at any later time, or never.

type submitted struct {
	cid, hash string
	turn      int64 // 0 while nobody was told
}

type call struct {
	read      bool
	cid, hash string
}

type outcome struct {
	unknown, mismatch bool
	turn              int64
	list              []submitted
}

var register = porcupine.Model{
	Init: func() any { return []submitted(nil) },
	Step: func(st, in, out any) (bool, any) {
		list, c, o := st.([]submitted), in.(call), out.(outcome)
		if c.read {
			return step(list, o)
		}
		i := slices.IndexFunc(list, func(s submitted) bool { return s.cid == c.cid })
		if i < 0 {
			return !o.mismatch, append(slices.Clone(list), submitted{c.cid, c.hash, o.turn})
		}
		if o.unknown {
			return true, list
		}
		if o.mismatch || list[i].hash != c.hash {
			return o.mismatch && list[i].hash != c.hash, list
		}
		if list[i].turn == 0 {
			list = slices.Clone(list)
			list[i].turn = o.turn
		}
		return list[i].turn == o.turn, list
	},
	Equal: func(a, b any) bool { return slices.Equal(a.([]submitted), b.([]submitted)) },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("%+v → %+v", in, out)
	},
}

// step of a read: what is known of the list is what was read.
func step(list []submitted, o outcome) (bool, any) {
	if len(list) != len(o.list) {
		return false, list
	}
	for i, s := range list {
		if s.cid != o.list[i].cid || s.hash != o.list[i].hash || s.turn != 0 && s.turn != o.list[i].turn {
			return false, list
		}
	}
	return true, slices.Clone(o.list)
}

// chunk and patience bound Porcupine's work, which grows fast with operations
// that have no answer.
const (
	chunk    = 400
	patience = 20 * time.Second
)

func (s *state) linear() {
	ops := map[string][]porcupine.Operation{}
	open := map[int64]*history.Record{}
	answer := func(r *history.Record, o outcome, ret int64) {
		in := open[r.ID]
		if in == nil {
			return // M2 tells it
		}
		delete(open, r.ID)
		ops[in.Conv] = append(ops[in.Conv], porcupine.Operation{Input: call{cid: in.CID, hash: in.H}, Call: in.T, Output: o, Return: ret})
	}
	for i := range s.records {
		r := &s.records[i]
		switch {
		case r.K == history.Final:
			var o outcome
			for _, t := range r.Turns {
				if t.Author == "learner" {
					o.list = append(o.list, submitted{t.CID, t.H, t.N})
				}
			}
			ops[r.Conv] = append(ops[r.Conv], porcupine.Operation{Input: call{read: true}, Call: r.T0, Output: o, Return: r.T})
		case r.Op != "submit":
		case r.K == history.Invoke:
			open[r.ID] = r
		case r.K == history.OK:
			answer(r, outcome{turn: r.Turn}, r.T)
		case r.K == history.Info:
			answer(r, outcome{unknown: true}, math.MaxInt64)
		case r.K == history.Fail && strings.HasPrefix(r.Code, "idempotency_"):
			answer(r, outcome{mismatch: true}, r.T)
		}
	}
	convs := make([]string, 0, len(ops))
	for c := range ops {
		convs = append(convs, c)
	}
	slices.Sort(convs)
	for _, c := range convs {
		list := ops[c]
		s.figures.Operations += len(list)
		if len(list) > chunk {
			s.breach("M4", nil, "%d operations on %s are too many for Porcupine", len(list), c)
			continue
		}
		switch porcupine.CheckOperationsTimeout(register, list, patience) {
		case porcupine.Illegal:
			s.breach("P", nil, "the messages of %s are not linearizable", c)
		case porcupine.Unknown:
			s.breach("M4", nil, "Porcupine did not finish %s in %s", c, patience)
		case porcupine.Ok:
		}
	}
}
