package check

import (
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// bounded is a good history in which the second reply was stopped after 12
// characters, a device was signed out, and somebody reached for what is not
// hers.
func bounded() []history.Record {
	h := good()
	h[0].Rules.Bounds = true
	r2 := fake.Checkable("m2", tokens)
	short := history.Turn{N: 4, Author: "partner", Run: 2, Finish: "stopped", H: history.Hash(r2[:12]), Len: 12}
	for i := range h {
		r := &h[i]
		switch {
		case r.K == history.Open || r.K == history.Invoke:
			r.U = "ann"
		case r.K == history.Recv && r.Run == 2 && r.Ev == "partner.delta":
			r.Txt, r.Len = r2[:12], 12
		case r.K == history.Recv && r.Run == 2 && r.Ev == "partner.completed":
			r.Ev, r.Txt, r.Finish = "partner.stopped", r2[:12], "stopped"
		case r.K == history.Up && r.CID == "m2":
			r.End = "cancelled"
		}
		for j := range r.Turns {
			if r.Turns[j].Run == 2 {
				r.Turns[j] = short
			}
		}
	}
	before := slices.IndexFunc(h, func(r history.Record) bool { return r.Ev == "partner.stopped" })
	at := h[before].T
	h = slices.Insert(h, before,
		history.Record{T: at - 2, K: history.Invoke, P: "l", U: "ann", Op: "cancel", ID: 20, Conv: conv, Run: 2},
		history.Record{T: at - 1, K: history.OK, P: "l", Op: "cancel", ID: 20, Conv: conv, Run: 2, Code: "stopped", Len: 12},
		history.Record{T: at - 1, K: history.Invoke, P: "x", U: "bob", Op: "trespass", ID: 21, Conv: conv},
		history.Record{T: at - 1, K: history.Fail, P: "x", Op: "trespass", ID: 21, Conv: conv, Code: "not_found"},
		history.Record{T: at - 1, K: history.Open, P: "phone", U: "ann", Login: "phone", N: "n1", Over: "ws", Conv: conv},
		history.Record{T: at - 1, K: history.Recv, P: "phone", Conv: conv, Ev: "caught_up"},
		history.Record{T: at - 1, K: history.Invoke, P: "phone", U: "ann", Login: "phone", Op: "sign-out", ID: 22},
		history.Record{T: at - 1, K: history.OK, P: "phone", Op: "sign-out", ID: 22},
	)
	last := h[len(h)-1].T
	h = append(h, history.Record{T: last, K: history.Swept, N: "n1", Len: 1000})
	return number(h)
}

func TestBoundsHold(t *testing.T) {
	t.Parallel()
	res := Check(bounded())
	for _, v := range res.Violations {
		t.Error(v)
	}
	if res.Figures.Stops != 1 {
		t.Errorf("%d stops", res.Figures.Stops)
	}
}

// Each bound is crossed once, and it is that rule that says so.
func TestEveryCrossedBoundIsCaught(t *testing.T) {
	t.Parallel()
	type hist = []history.Record
	r2 := fake.Checkable("m2", tokens)
	is := func(k history.Kind, op string) func(*history.Record) bool {
		return func(r *history.Record) bool { return r.K == k && r.Op == op }
	}
	ev := func(typ string) func(*history.Record) bool {
		return func(r *history.Record) bool { return r.Run == 2 && r.Ev == typ }
	}
	late := func(h hist, r history.Record) hist {
		r.T = h[len(h)-1].T + 10*second
		return number(append(h, r))
	}
	for _, tc := range []struct {
		name, rule string
		do         func(t *testing.T, h hist) hist
	}{
		{"the stop is somewhere else", "V22", func(t *testing.T, h hist) hist { h[at(t, h, is(history.OK, "cancel"))].Len = 11; return h }},
		{"text behind the stop", "V22", func(t *testing.T, h hist) hist {
			i := at(t, h, ev("partner.delta"))
			h[i].Txt, h[i].Len = r2[:13], 13
			return h
		}},
		{"it ends with more", "V22", func(t *testing.T, h hist) hist { h[at(t, h, ev("partner.stopped"))].Txt = r2[:14]; return h }},
		{"it is completed all the same", "V22", func(t *testing.T, h hist) hist { h[at(t, h, ev("partner.stopped"))].Ev = "partner.completed"; return h }},
		{"two stops at two places", "V22", func(t *testing.T, h hist) hist {
			h = late(h, history.Record{K: history.Invoke, P: "l", U: "ann", Op: "cancel", ID: 30, Conv: conv, Run: 2})
			return late(h, history.Record{K: history.OK, P: "l", Op: "cancel", ID: 30, Conv: conv, Run: 2, Code: "stopped", Len: 13})
		}},
		{"the model goes on", "V22", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.K == history.Up && r.CID == "m2" })].Ended += 2 * second
			return h
		}},
		{"the model is asked again", "V22", func(t *testing.T, h hist) hist {
			return late(h, history.Record{K: history.Up, P: "model", CID: "m2", T0: 9 * second, Ended: 10 * second, End: "complete"})
		}},
		{"text for somebody else", "V23", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.K == history.Invoke && r.CID == "m1" })].U = "bob"
			return h
		}},
		{"text for somebody else in a snapshot", "V23", func(t *testing.T, h hist) hist {
			for i := range h {
				if h[i].K == history.Invoke && h[i].CID == "m2" {
					h[i].U = "bob"
				}
			}
			i := at(t, h, func(r *history.Record) bool { return r.Reply != nil })
			h[i].Reply.Txt = "m2.0 m2.1 "
			return h
		}},
		{"an event for somebody else", "V24", func(t *testing.T, h hist) hist {
			h = late(h, history.Record{K: history.Open, P: "x", U: "bob", N: "n1", Over: "sse", Conv: conv})
			return late(h, history.Record{K: history.Recv, P: "x", Conv: conv, Ev: "caught_up"})
		}},
		{"an event after the sign-out", "V25", func(t *testing.T, h hist) hist {
			return late(h, history.Record{K: history.Recv, P: "phone", Conv: conv, Ev: "reset"})
		}},
		{"a foreign read is answered", "V26", func(t *testing.T, h hist) hist {
			i := at(t, h, is(history.Fail, "trespass"))
			h[i].K, h[i].Code = history.OK, ""
			return h
		}},
		{"a refusal that tells", "V26", func(t *testing.T, h hist) hist {
			h[at(t, h, is(history.Fail, "trespass"))].Code = "forbidden"
			return h
		}},
		{"a token in a log", "V27", func(t *testing.T, h hist) hist {
			return late(h, history.Record{K: history.Leak, N: "n1", Arg: "token"})
		}},
		{"nobody searched the logs", "M3", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.K == history.Swept })].Len = 0
			return h
		}},
		{"nothing was stopped", "M3", func(t *testing.T, h hist) hist { h[at(t, h, is(history.OK, "cancel"))].Code = "completed"; return h }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res := Check(tc.do(t, bounded()))
			if !slices.ContainsFunc(res.Violations, func(v Violation) bool { return v.Rule == tc.rule }) {
				t.Errorf("want %s, got %v", tc.rule, res.Violations)
			}
		})
	}
}
