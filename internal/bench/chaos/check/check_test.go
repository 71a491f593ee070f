package check

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	conv   = "conv"
	epoch  = "3.abc"
	second = int64(1e9)
	tokens = 6
)

// good is a history in which everything holds: two messages; the first reply
// is hit by a kill and taken over; two viewers, one of which resumes, and one
// that comes late.
func good() []history.Record {
	var h []history.Record
	add := func(at int64, r history.Record) {
		r.T = at
		h = append(h, r)
	}
	r1, r2 := fake.Checkable("m1", tokens), fake.Checkable("m2", tokens)
	add(0, history.Record{K: history.Begin, F: "kill", Rules: &history.Rules{Fault: "kill", MinFaults: 1, MinHits: 1, TakenOver: true}})
	open := func(at int64, p, cur string) {
		add(at, history.Record{K: history.Open, P: p, N: "n1", Over: "ws", Conv: conv, Cur: cur})
	}
	ev := func(at int64, p, typ string, seq, run, att int64, more func(*history.Record)) {
		r := history.Record{K: history.Recv, P: p, N: "n1", Over: "ws", Conv: conv, Ev: typ, Epoch: epoch, Seq: seq, Run: run, Attempt: att, Base: min(att, 1),
			H: fmt.Sprintf("%s-%d", typ, seq)}
		if more != nil {
			more(&r)
		}
		add(at, r)
	}
	delta := func(at int64, p string, seq, run, att int64, text string, pos int) {
		ev(at, p, "partner.delta", seq, run, att, func(r *history.Record) { r.At, r.Txt, r.Len = int64(pos), text, int64(len(text)) })
	}
	done := func(at int64, p string, seq, run, att int64, text string, turn int64) {
		ev(at, p, "partner.completed", seq, run, att, func(r *history.Record) { r.Txt, r.Finish, r.Turn = text, "stop", turn })
	}
	snap := func(at int64, p string, seq int64, reply *history.Reply, turns ...history.Turn) {
		add(at, history.Record{K: history.Recv, P: p, N: "n1", Over: "ws", Conv: conv, Ev: "snapshot", Epoch: epoch, Seq: seq, Turns: turns, Reply: reply})
	}
	caught := func(at int64, p string) {
		add(at, history.Record{K: history.Recv, P: p, Conv: conv, Ev: "caught_up"})
	}
	say := func(id int64, cid string) {
		add(id*second, history.Record{K: history.Invoke, P: "l", Op: "submit", ID: id, Conv: conv, CID: cid, H: history.Hash(cid), Len: tokens})
	}
	turn := func(n int64, cid string, run int64, text string) history.Turn {
		t := history.Turn{N: n, Author: "partner", Run: run, Finish: "stop", H: history.Hash(text), Len: int64(len(text))}
		if cid != "" {
			t = history.Turn{N: n, Author: "learner", CID: cid, H: history.Hash(cid), Len: int64(len(cid))}
		}
		return t
	}
	turns := []history.Turn{turn(1, "m1", 0, ""), turn(2, "", 1, r1), turn(3, "m2", 0, ""), turn(4, "", 2, r2)}

	open(0, "v1", "")
	snap(0, "v1", 1, nil)
	caught(0, "v1")
	say(1, "m1")
	add(second+1, history.Record{K: history.OK, P: "l", Op: "submit", ID: 1, Conv: conv, CID: "m1", Turn: 1, Run: 1})
	ev(second+2, "v1", "message.accepted", 2, 0, 0, nil)
	ev(second+3, "v1", "partner.started", 3, 1, 1, nil)
	delta(second+4, "v1", 4, 1, 1, r1[:10], 0)
	add(second+5, history.Record{K: history.Fault, F: "kill", N: "n1", Phase: "begin"})
	add(second+6, history.Record{K: history.Close, P: "v1", Conv: conv})
	add(second+7, history.Record{K: history.Fault, F: "kill", N: "n1", Phase: "end"})
	open(second+8, "v1", epoch+".4")
	ev(second+9, "v1", "partner.resumed", 5, 1, 2, nil)
	delta(second+10, "v1", 6, 1, 2, r1[10:20], 10)
	caught(second+11, "v1")
	open(second+12, "v2", "")
	snap(second+13, "v2", 6, &history.Reply{Run: 1, Attempt: 2, Base: 1, Txt: r1[:20]}, turns[0])
	delta(second+14, "v1", 7, 1, 2, r1[20:], 20)
	delta(second+14, "v2", 7, 1, 2, r1[20:], 20)
	done(second+15, "v1", 8, 1, 2, r1, 2)
	done(second+15, "v2", 8, 1, 2, r1, 2)
	say(2, "m2")
	add(2*second+1, history.Record{K: history.Info, P: "l", Op: "submit", ID: 2, Conv: conv, CID: "m2"})
	add(2*second+2, history.Record{K: history.Invoke, P: "l", Op: "submit", ID: 3, Conv: conv, CID: "m2", H: history.Hash("m2"), Len: tokens})
	add(2*second+3, history.Record{K: history.OK, P: "l", Op: "submit", ID: 3, Conv: conv, CID: "m2", Turn: 3, Run: 2, Dup: true})
	ev(2*second+4, "v1", "message.accepted", 9, 0, 0, nil)
	delta(2*second+5, "v1", 10, 2, 1, r2, 0)
	done(2*second+6, "v1", 11, 2, 1, r2, 4)
	open(2*second+7, "v2", epoch+".8")
	add(2*second+7, history.Record{K: history.Recv, P: "v2", Conv: conv, Ev: "reset"})
	snap(2*second+8, "v2", 11, nil, turns...)
	for i, n := range []string{"n1", "n2"} {
		add(3*second+int64(i), history.Record{K: history.Final, N: n, Conv: conv, T0: 3*second - 5, Turns: slices.Clone(turns)})
	}
	for _, p := range []string{"v1", "v2"} {
		add(3*second+5, history.Record{K: history.Show, P: p, Conv: conv, Turns: []history.Turn{turns[1], turns[3]}})
	}
	up := func(cid string, from, to int64, end string, kept int64) {
		add(3*second+9, history.Record{K: history.Up, P: "model", CID: cid, T0: from, Ended: to, End: end, Kept: kept, Continued: kept > 0})
	}
	up("m1", second+1, second+5, "cancelled", 0)
	up("m1", second+8, second+14, "complete", 10)
	up("m2", 2*second+3, 2*second+5, "complete", 0)
	return number(h)
}

func number(h []history.Record) []history.Record {
	for i := range h {
		h[i].No = int64(i) + 1
	}
	return h
}

func TestAGoodHistoryHolds(t *testing.T) {
	t.Parallel()
	res := Check(good())
	for _, v := range res.Violations {
		t.Error(v)
	}
	f := res.Figures
	if f.Accepted != 2 || f.Hits != 1 || f.Faults != 1 || f.Calls != 3 || f.Lost+f.Doubled+f.TakenBack != 0 || len(f.Resume) != 1 || f.Takeover.Q(1) != 5 {
		t.Errorf("figures %+v", f)
	}
}

// at finds the line that f describes; there must be one.
func at(t *testing.T, h []history.Record, f func(*history.Record) bool) int {
	t.Helper()
	i := slices.IndexFunc(h, func(r history.Record) bool { return f(&r) })
	if i < 0 {
		t.Fatal("no such line")
	}
	return i
}

func recv(p string, seq int64) func(*history.Record) bool {
	return func(r *history.Record) bool { return r.K == history.Recv && r.P == p && r.Seq == seq }
}

func kind(k history.Kind, id int64) func(*history.Record) bool {
	return func(r *history.Record) bool { return r.K == k && (id == 0 || r.ID == id) }
}

// Each rule is broken once, and it is that rule that says so.
func TestEveryBrokenHistoryIsCaught(t *testing.T) {
	t.Parallel()
	type hist = []history.Record
	without := func(h hist, i int) hist { return number(slices.Delete(h, i, i+1)) }
	after := func(h hist, i int, r history.Record) hist {
		r.T = h[i].T + 1
		return number(slices.Insert(h, i+1, r))
	}
	finals := func(h hist, change func(*history.Record)) hist {
		for i := range h {
			if h[i].K == history.Final {
				change(&h[i])
			}
		}
		return h
	}
	r1 := fake.Checkable("m1", tokens)
	for _, tc := range []struct {
		name, rule string
		do         func(t *testing.T, h hist) hist
	}{
		{"a line is missing", "M1", func(t *testing.T, h hist) hist { return slices.Delete(h, 7, 8) }},
		{"nobody answers", "M2", func(t *testing.T, h hist) hist { return without(h, at(t, h, kind(history.OK, 1))) }},
		{"two answers", "M2", func(t *testing.T, h hist) hist {
			i := at(t, h, kind(history.OK, 1))
			return after(h, i, h[i])
		}},
		{"nothing happened", "M3", func(*testing.T, hist) hist { return nil }},
		{"no fault", "M3", func(t *testing.T, h hist) hist {
			h[at(t, h, kind(history.Fault, 0))].Phase = "end"
			return h
		}},
		{"the faults hit nothing", "M3", func(_ *testing.T, h hist) hist { h[0].Rules.MinHits = 2; return h }},
		{"a viewer asks from where it is not", "M5", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.K == history.Open && r.Cur == epoch+".4" })].Cur = epoch + ".3"
			return h
		}},
		{"the client's fold objects", "F", func(_ *testing.T, h hist) hist {
			return after(h, len(h)-1, history.Record{K: history.Breach, P: "v1", Arg: "gap"})
		}},
		{"an acknowledged message is lost", "V1", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns = r.Turns[:2] })
		}},
		{"a message is there twice", "V2", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { x := r.Turns[2]; x.N = 5; r.Turns = append(r.Turns, x) })
		}},
		{"one run answers two messages", "V2", func(t *testing.T, h hist) hist { h[at(t, h, kind(history.OK, 3))].Run = 1; return h }},
		{"a message that nobody sent", "V3", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { x := r.Turns[2]; x.N, x.CID = 5, "m9"; r.Turns = append(r.Turns, x) })
		}},
		{"a refused message is stored", "V3", func(t *testing.T, h hist) hist {
			for _, id := range []int64{2, 3} {
				i := at(t, h, func(r *history.Record) bool { return r.ID == id && r.K != history.Invoke })
				h[i].K, h[i].Code = history.Fail, "invalid"
			}
			return h
		}},
		{"the model is asked about nothing", "V3", func(_ *testing.T, h hist) hist {
			return after(h, len(h)-1, history.Record{K: history.Up, CID: "m9"})
		}},
		{"a repeat gets another answer", "V4", func(t *testing.T, h hist) hist {
			i := at(t, h, kind(history.OK, 3))
			h = after(h, i, history.Record{K: history.Invoke, Op: "submit", ID: 9, Conv: conv, CID: "m2", H: history.Hash("m2")})
			return after(h, i+1, history.Record{K: history.OK, Op: "submit", ID: 9, Conv: conv, CID: "m2", Turn: 5, Run: 3})
		}},
		{"stored at another turn than told", "V4", func(t *testing.T, h hist) hist { h[at(t, h, kind(history.OK, 3))].Turn = 5; return h }},
		{"turns have a hole", "V5", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns[3].N = 5 })
		}},
		{"order of time is not order of turns", "V6", func(t *testing.T, h hist) hist {
			h[at(t, h, kind(history.OK, 1))].Turn, h[at(t, h, kind(history.OK, 3))].Turn = 3, 1
			return finals(h, func(r *history.Record) { r.Turns[0].CID, r.Turns[2].CID = "m2", "m1" })
		}},
		{"the text was changed", "V7", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns[2].H = "other" })
		}},
		{"an event is missing", "V8", func(t *testing.T, h hist) hist { return without(h, at(t, h, recv("v1", 3))) }},
		{"an event comes twice", "V8", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v1", 4))
			return after(h, i, h[i])
		}},
		{"one number, two contents", "V9", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v2", 7))
			h[i].Txt = h[i].Txt[:3]
			h[i].Len = 3
			return h
		}},
		{"one number, two kinds", "V9", func(t *testing.T, h hist) hist { h[at(t, h, recv("v2", 8))].H = "other"; return h }},
		{"the epoch changes in silence", "V10", func(t *testing.T, h hist) hist { h[at(t, h, recv("v1", 7))].Epoch = "4.x"; return h }},
		{"the epoch goes back", "V10", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.P == "v2" && r.Ev == "snapshot" && r.Seq == 11 })].Epoch = "2.z"
			return h
		}},
		{"characters are skipped", "V11", func(t *testing.T, h hist) hist { h[at(t, h, recv("v1", 6))].At = 12; return h }},
		{"characters come twice", "V11", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v1", 6))
			h[i].At, h[i].Txt, h[i].Len = 8, r1[8:20], 12
			return h
		}},
		{"text of nobody", "V11", func(t *testing.T, h hist) hist { h[at(t, h, recv("v1", 10))].Txt = "x2.0 m2.1 "; return h }},
		{"a takeover goes on from other text", "V11", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.Continued })].Continued = false
			return h
		}},
		{"text after the end", "V12", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v1", 8))
			h[i+2].K = history.Close // room for the number below
			return after(h, i, history.Record{K: history.Recv, P: "v1", Conv: conv, Ev: "partner.delta", Epoch: epoch, Seq: 9, Run: 1, Attempt: 2, Base: 1})
		}},
		{"open again after the end", "V12", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.P == "v2" && r.Ev == "snapshot" && r.Seq == 11 })].Reply = &history.Reply{Run: 1, Attempt: 3, Base: 1}
			return h
		}},
		{"text is taken back without a word", "V13", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v1", 6))
			h[i].Base, h[i].At, h[i].Txt, h[i].Len = 2, 0, r1[:20], 20
			return h
		}},
		{"text is taken back though its writer lives", "V13", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v1", 5))
			h[i].Ev, h[i].Base = "partner.restarted", 2
			return h
		}},
		{"a snapshot shows less", "V13", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v1", 7))
			h = after(h, i-1, history.Record{K: history.Recv, P: "v1", Conv: conv, Ev: "reset"})
			return after(h, i, history.Record{K: history.Recv, P: "v1", Conv: conv, Ev: "snapshot", Epoch: epoch, Seq: 6,
				Reply: &history.Reply{Run: 1, Attempt: 2, Base: 1, Txt: r1[:5]}})
		}},
		{"the end has another text than was shown", "V13", func(t *testing.T, h hist) hist { h[at(t, h, recv("v1", 11))].Txt = "other"; return h }},
		{"an old attempt writes on", "V14", func(t *testing.T, h hist) hist { h[at(t, h, recv("v1", 7))].Attempt = 1; return h }},
		{"an old attempt stands in the log", "V14", func(t *testing.T, h hist) hist {
			i := len(h) - 1
			for n, att := range []int64{2, 1} {
				h = after(h, i+n, history.Record{K: history.Recv, P: "log", Conv: conv, Ev: "partner.delta", Epoch: epoch, Seq: int64(20 + n), Run: 9, Attempt: att, Base: 1, At: int64(n), Len: 1})
			}
			return h
		}},
		{"a snapshot without a reset", "V15", func(t *testing.T, h hist) hist {
			return without(h, at(t, h, func(r *history.Record) bool { return r.Ev == "reset" }))
		}},
		{"an event between reset and snapshot", "V15", func(t *testing.T, h hist) hist {
			i := at(t, h, func(r *history.Record) bool { return r.Ev == "reset" })
			return after(h, i, history.Record{K: history.Recv, P: "v2", Conv: conv, Ev: "message.accepted", Epoch: epoch, Seq: 9, H: "message.accepted-9"})
		}},
		{"an overlap in mid-attach", "V15", func(t *testing.T, h hist) hist { h[at(t, h, recv("v1", 7))].From = 6; return h }},
		{"two viewers, two ends", "V16", func(t *testing.T, h hist) hist {
			h[at(t, h, recv("v2", 8))].Txt = fake.Checkable("m1", tokens+1)
			return h
		}},
		{"two nodes, two pictures", "V16", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.K == history.Final && r.N == "n2" })].Turns[1].H = "other"
			return h
		}},
		{"the stored reply is cut short", "V17", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns[1].H, r.Turns[1].Len = history.Hash(r1[:20]), 20 })
		}},
		{"no call of the model was complete", "V17", func(t *testing.T, h hist) hist {
			h[at(t, h, func(r *history.Record) bool { return r.K == history.Up && r.CID == "m2" })].End = "cancelled"
			return h
		}},
		{"a snapshot has a reply of nobody", "V18", func(t *testing.T, h hist) hist {
			i := at(t, h, func(r *history.Record) bool { return r.P == "v2" && r.Ev == "snapshot" && r.Seq == 11 })
			h[i].Turns = slices.Clone(h[i].Turns)
			h[i].Turns[1].H = "other"
			return h
		}},
		{"a stopped reply is no beginning", "V18", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns[1].Finish, r.Turns[1].H = "stopped", "other" })
		}},
		{"a run ends twice", "V19", func(t *testing.T, h hist) hist {
			i := at(t, h, recv("v1", 9))
			h[i].Ev, h[i].Run, h[i].Attempt, h[i].Base, h[i].Txt = "partner.completed", 1, 2, 1, r1
			return h
		}},
		{"two replies to one message", "V19", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { x := r.Turns[1]; x.N = 5; r.Turns = append(r.Turns, x) })
		}},
		{"a later read does not know what was seen", "V20", func(t *testing.T, h hist) hist {
			i := at(t, h, func(r *history.Record) bool { return r.P == "v2" && r.Ev == "snapshot" && r.Seq == 11 })
			h[i].Turns = h[i].Turns[:1]
			return h
		}},
		{"two calls and no fault", "V21", func(_ *testing.T, h hist) hist {
			return after(h, len(h)-1, history.Record{K: history.Up, CID: "m2", T0: 2*second + 6, Ended: 2*second + 7, End: "complete"})
		}},
		{"a message without a reply", "V28", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns = r.Turns[:3] })
		}},
		{"a reply that failed", "V28", func(_ *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns[3].Finish = "failed" })
		}},
		{"a screen stays open", "V29", func(t *testing.T, h hist) hist { return without(h, at(t, h, recv("v1", 11))) }},
		{"the fold shows something else", "V29", func(t *testing.T, h hist) hist {
			i := at(t, h, kind(history.Show, 0))
			h[i].Turns = slices.Clone(h[i].Turns)
			h[i].Turns[0].H = "other"
			return h
		}},
		{"not linearizable", "P", func(t *testing.T, h hist) hist {
			return finals(h, func(r *history.Record) { r.Turns[0], r.Turns[2] = r.Turns[2], r.Turns[0] })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res := Check(tc.do(t, good()))
			if !slices.ContainsFunc(res.Violations, func(v Violation) bool { return v.Rule == tc.rule }) {
				t.Errorf("%s does not show; found %v", tc.rule, res.Violations)
			}
		})
	}
}

func TestAReplyWithOtherBodiesIsJudgedByPorcupine(t *testing.T) {
	t.Parallel()
	h := good()
	i := at(t, h, kind(history.OK, 3))
	other := history.Record{T: h[i].T + 1, K: history.Invoke, Op: "submit", ID: 9, Conv: conv, CID: "m2", H: "other"}
	answer := history.Record{T: h[i].T + 2, K: history.Fail, Op: "submit", ID: 9, Conv: conv, CID: "m2", Code: "idempotency_mismatch"}
	right := number(slices.Insert(slices.Clone(h), i+1, other, answer))
	if v := Check(right).Violations; len(v) > 0 {
		t.Errorf("the refusal is right: %v", v)
	}
	answer.K, answer.Code, answer.Turn, answer.Run = history.OK, "", 3, 2
	wrong := Check(number(slices.Insert(slices.Clone(h), i+1, other, answer)))
	for _, rule := range []string{"P", "V4"} {
		if !slices.ContainsFunc(wrong.Violations, func(v Violation) bool { return v.Rule == rule }) {
			t.Errorf("%s does not object to another text under the same id: %v", rule, wrong.Violations)
		}
	}
}

func TestTheListOfViolationsIsBounded(t *testing.T) {
	t.Parallel()
	h := good()
	for range 100 {
		h = append(h, history.Record{K: history.Breach, P: "v1", Arg: "gap"})
	}
	res := Check(number(h))
	if len(res.Violations) != most || res.Figures.Violations != 100 {
		t.Errorf("%d told of %d", len(res.Violations), res.Figures.Violations)
	}
}

func TestHistoriesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	rec := history.NewRecorder(&b)
	want := good()
	for _, r := range want {
		rec.Add(r)
	}
	if err := rec.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := history.Read(&b)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	for i := range got {
		if got[i].No != int64(i)+1 || got[i].K != want[i].K || got[i].Txt != want[i].Txt || i > 0 && got[i].T < got[i-1].T {
			t.Errorf("line %d is %+v", i+1, got[i])
		}
	}
	if _, err := history.Read(strings.NewReader(`{"no":1,"k":"recv"}` + "\n" + `{"no":`)); err == nil {
		t.Error("a torn line was read")
	}
	if _, err := history.Read(strings.NewReader(`{"no":1,"strange":1}`)); err == nil {
		t.Error("an unknown field was read")
	}
}

func TestRecoveryLeavesOutLaterOutages(t *testing.T) {
	t.Parallel()
	ws := []window{{from: 10, upto: 20}, {from: 30, upto: 45}, {from: 60, upto: 1 << 62}}
	for _, c := range []struct{ from, upto, want int64 }{{20, 25, 0}, {20, 40, 10}, {20, 50, 15}, {20, 70, 25}, {0, 100, 65}} {
		if got := away(ws, c.from, c.upto); got != c.want {
			t.Errorf("from %d to %d: away for %d, want %d", c.from, c.upto, got, c.want)
		}
	}
}
