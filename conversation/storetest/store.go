package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

// StoreTranscript performs one random sequence on one conversation of a store:
// what learners, two nodes, readers and operators call, with stale arguments.
func StoreTranscript(t testing.TB, s conversation.Store, seed uint64) []string {
	p := &storePlayer{s: s, rnd: source(seed), tag: string(conversation.NewID())}
	var out []string
	// One node only: a database that belongs to one process holds all others dead.
	p.nodes = []string{"node-" + p.tag, "node-" + p.tag, "unknown"}
	err := s.Register(t.Context(), conversation.Node{ID: p.nodes[0], Instance: p.nodes[0], BootID: "b", Addr: "a", Version: "v"})
	out = append(out, "register: "+verdict(err))
	kind := conversation.KindChat
	if seed%5 == 4 {
		kind = conversation.KindScenario
	}
	in := conversation.CreateInput{Owner: conversation.LearnerID(p.tag), Kind: kind, ClientID: "c", Title: "T", Run: kind == conversation.KindScenario}
	if seed%3 == 0 && kind == conversation.KindChat {
		in.Opening = "Hello."
	}
	for range 2 {
		rec, created, err := s.Create(t.Context(), in)
		p.id, p.owner = rec.Header.ID, in.Owner
		out = append(out, fmt.Sprintf("create: %v %s %s", created, verdict(err), record(rec)))
	}
	for range steps {
		out = append(out, p.step(t.Context()))
	}
	return out
}

type storePlayer struct {
	s     conversation.Store
	rnd   *rand.Rand
	tag   string
	id    conversation.ID
	owner conversation.LearnerID
	nodes []string

	sent   int
	named  []string // ids of messages and replies
	cands  []conversation.Candidate
	claims []conversation.Claim
	eps    []conversation.Epoch
}

func (p *storePlayer) chance(percent int) bool { return p.rnd.IntN(100) < percent }

// pick takes the newest of a list, or now and then an older one.
func pick[T any](p *storePlayer, list []T) (T, bool) {
	var none T
	switch {
	case len(list) == 0:
		return none, false
	case p.chance(25):
		return list[p.rnd.IntN(len(list))], true
	}
	return list[len(list)-1], true
}

func (p *storePlayer) node() string { return p.nodes[p.rnd.IntN(len(p.nodes))] }

func (p *storePlayer) step(ctx context.Context) string {
	switch n := p.rnd.IntN(100); {
	case n < 14:
		return p.accept(ctx, nil)
	case n < 26:
		alive := p.nodes
		if p.chance(40) {
			alive = []string{"nobody"}
		}
		cands, err := p.s.Claimable(ctx, alive, p.id, 10)
		out := "claimable: " + verdict(err)
		for _, c := range cands {
			out += fmt.Sprintf(" {%d %s %d %d own=%v}", c.Run, c.State, c.Attempt, c.Fence, c.Owner != "")
			p.cands = append(p.cands, c)
		}
		return out
	case n < 40:
		c, ok := pick(p, p.cands)
		if !ok {
			return "no candidate"
		}
		cl, err := p.s.Claim(ctx, c, p.node())
		if err == nil {
			p.claims = append(p.claims, cl)
		}
		return fmt.Sprintf("claim %d: %s run=%d/%d/%d %s parent=%d fence=%d before=%v handoff=%v tries=%d log=%d.%v facts=%d %q %d base=%d cancel=%v", c.Run, verdict(err),
			cl.Run.No, cl.Run.Attempt, cl.Run.Base, cl.Run.Purpose, cl.Run.Parent, cl.Fence, cl.Before != "", cl.Handoff, cl.Tries, cl.Log.Counter, cl.Log.Nonce != "", cl.Facts, cl.Text, cl.TextLen, cl.Base, cl.Cancel)
	case n < 48:
		return p.finish(ctx)
	case n < 56:
		return p.nameLog(ctx)
	case n < 62:
		cl, _ := pick(p, p.claims)
		k := conversation.Checkpoint{ID: p.id, Run: cl.Run.No, Fence: cl.Fence, Base: 1, At: int64(p.rnd.IntN(3)), Len: 1, Text: "x", Whole: p.chance(15)}
		return fmt.Sprintf("checkpoint at %d: %s", k.At, verdict(p.s.Checkpoint(ctx, []conversation.Checkpoint{k})))
	case n < 66:
		cl, _ := pick(p, p.claims)
		return fmt.Sprintf("release %d: %s", cl.Run.No, verdict(p.s.Release(ctx, p.id, cl.Run.No, cl.Fence)))
	case n < 69:
		run := int64(1 + p.rnd.IntN(4))
		return fmt.Sprintf("ask cancel %d: %s", run, verdict(p.s.AskCancel(ctx, p.id, run)))
	case n < 74:
		run, owner := int64(1+p.rnd.IntN(4)), p.owner
		if p.chance(20) {
			owner = "somebody"
		}
		r, err := p.s.RunState(ctx, owner, p.id, run)
		return fmt.Sprintf("run %d: %s %s", run, verdict(err), runRow(r))
	case n < 80:
		after := int64(p.rnd.IntN(6))
		facts, err := p.s.Facts(ctx, p.id, after, 1+p.rnd.IntN(10))
		return fmt.Sprintf("facts after %d: %s%s", after, verdict(err), tellFacts(facts))
	case n < 82 && p.chance(50):
		return p.branch(ctx)
	case n < 82:
		counts, err := p.s.FactCounts(ctx, []conversation.ID{p.id, conversation.NewID()})
		return fmt.Sprintf("counts: %s %d of %d", verdict(err), counts[p.id], len(counts))
	case n < 86:
		owned, err := p.s.Owned(ctx, p.node())
		out := "owned: " + verdict(err)
		for _, o := range owned {
			out += fmt.Sprintf(" {%d %d %v}", o.Run, o.Fence, o.Cancel)
		}
		return out
	case n < 88:
		hs, err := p.s.List(ctx, p.owner, conversation.KindChat, "", 5)
		return fmt.Sprintf("list: %s %d", verdict(err), len(hs))
	case n < 89:
		return "draining: " + verdict(p.s.SetNodeState(ctx, p.node(), []string{"draining", "active"}[p.rnd.IntN(2)]))
	case n < 91 && p.chance(60):
		return p.tips(ctx)
	case n < 91:
		return "heartbeat: " + verdict(p.s.Heartbeat(ctx, p.node()))
	default:
		rec, err := p.s.Load(ctx, p.id)
		return fmt.Sprintf("load: %s %s", verdict(err), record(rec))
	}
}

func (p *storePlayer) accept(ctx context.Context, interrupt *conversation.Finishing) string {
	n := p.sent
	if p.sent > 0 && p.chance(30) {
		n = p.rnd.IntN(p.sent)
	} else {
		p.sent++
	}
	in := conversation.SendInput{Conversation: p.id, Learner: p.owner, ClientID: fmt.Sprint("m", n), Text: fmt.Sprint("text 😀 ", n)}
	if p.chance(10) {
		in.Text = "another"
	}
	if p.chance(5) {
		in.Learner = "somebody"
	}
	in.Policy = []string{"", "", "", "enqueue", "reject", "rollback", "rollback"}[p.rnd.IntN(7)]
	in.Op = []conversation.Op{conversation.OpSend, conversation.OpSend, conversation.OpEdit, conversation.OpRegenerate, conversation.OpSelect}[p.rnd.IntN(5)]
	target, some := pick(p, p.named)
	in.Message = target
	if p.chance(5) {
		in.Message = "nothing"
	}
	if in.Op == conversation.OpSelect {
		in.Run = int64(p.rnd.IntN(8))
		if p.chance(20) {
			in.From = int64(p.rnd.IntN(8))
		}
	}
	out := fmt.Sprintf("%q %s message=%v run=%d from=%d policy=%s", in.Op, in.ClientID, some, in.Run, in.From, in.Policy)
	acc, known, err := p.s.Answered(ctx, in)
	out += fmt.Sprintf(" answered %v %s %d/%d;", known, verdict(err), acc.Turn, acc.Run)
	acc, facts, err := p.s.Accept(ctx, in, 2, "corr", interrupt)
	if err == nil {
		p.named = append(p.named, acc.MessageID)
		if in.Op == conversation.OpSend {
			p.named = append(p.named, in.ClientID)
		}
	}
	return out + fmt.Sprintf(" accept: %s turn=%d run=%d pos=%d dup=%v id=%v%s", verdict(err), acc.Turn, acc.Run, acc.Position, acc.Duplicate, acc.MessageID != "", tellFacts(facts))
}

func (p *storePlayer) branch(ctx context.Context) string {
	owner, run, before, limit := p.owner, int64(p.rnd.IntN(8)), int64(0), 1+p.rnd.IntN(6)
	if p.chance(10) {
		owner = "somebody"
	}
	if p.chance(40) {
		before = int64(1 + p.rnd.IntN(10))
	}
	page, err := p.s.Branch(ctx, owner, p.id, run, before, limit)
	if err != nil {
		return fmt.Sprintf("branch %d: %s", run, verdict(err))
	}
	return fmt.Sprintf("branch %d before %d: more=%v active=%v%s", run, before, page.More, page.Active, state(&conversation.State{Turns: page.Turns, Head: page.Tip}))
}

func (p *storePlayer) tips(ctx context.Context) string {
	tips, err := p.s.Tips(ctx, p.owner, p.id, int64(p.rnd.IntN(8)), 1+p.rnd.IntN(6))
	out := "tips: " + verdict(err)
	for _, t := range tips {
		out += fmt.Sprintf(" {%d/%d %v %s}", t.Run, t.Turn, t.Active, t.State)
	}
	return out
}

func (p *storePlayer) finish(ctx context.Context) string {
	cl, ok := pick(p, p.claims)
	f := conversation.Finishing{ID: p.id, Run: cl.Run.No, Fence: cl.Fence, Base: 1, Text: "the end 😀",
		State: []string{conversation.RunCompleted, conversation.RunStopped, conversation.RunFailed}[p.rnd.IntN(3)]}
	if !ok || p.chance(15) {
		f.Run = int64(1 + p.rnd.IntN(3))
	}
	switch f.State {
	case conversation.RunCompleted:
		f.Finish = "stop"
	case conversation.RunFailed:
		f.Finish, f.Message, f.Retryable = "upstream_timeout", "Too slow.", true
	}
	outside := p.chance(25)
	if outside { // from outside: a pending run, or one whose log is known
		f.Fence, f.State, f.Finish = 0, conversation.RunStopped, ""
		if ep, ok := pick(p, p.eps); ok && p.chance(70) {
			f.Log = ep
		}
		if p.chance(40) {
			return "interrupting " + p.accept(ctx, &f)
		}
	}
	ready := p.chance(30)
	out, err := p.s.Finish(ctx, f, func(context.Context) ([]conversation.NewFact, error) {
		if !ready {
			return nil, nil
		}
		return []conversation.NewFact{{Type: conversation.TypeScenarioReady, Data: []byte(`{"s":1}`)}}, nil
	})
	return fmt.Sprintf("finish %d %s fence=%d outside=%v: %s %s%s", f.Run, f.State, f.Fence, outside, verdict(err), runRow(out.Row), tellFacts(out.Facts))
}

func (p *storePlayer) nameLog(ctx context.Context) string {
	rec, err := p.s.Load(ctx, p.id)
	if err != nil {
		return "load: " + verdict(err)
	}
	seen, fence := rec.Log.Counter, rec.Fence
	if p.chance(15) {
		seen++
	}
	if p.chance(15) {
		fence--
	}
	counter, seed, err := p.s.NameLog(ctx, p.id, seen, fence)
	out := fmt.Sprintf("name log %d/%d: %s %d fence=%d facts=%d running=%d%s", seen, fence, verdict(err), counter, seed.Fence, seed.Facts, seed.Running,
		state(&conversation.State{Header: seed.Header, Turns: seed.Turns, Head: seed.Head, Result: seed.Result, Failure: seed.Failure}))
	if err != nil || p.chance(10) {
		return out
	}
	ep := conversation.Epoch{Counter: counter, Nonce: fmt.Sprint("n", counter)}
	out += "; nonce: " + verdict(p.s.RecordNonce(ctx, p.id, ep, fence))
	out += "; again: " + verdict(p.s.RecordNonce(ctx, p.id, ep, fence))
	out += "; other: " + verdict(p.s.RecordNonce(ctx, p.id, conversation.Epoch{Counter: counter, Nonce: "zz"}, fence))
	p.eps = append(p.eps, ep)
	return out
}

func record(r conversation.Record) string {
	out := fmt.Sprintf("fence=%d log=%d.%s facts=%d waiting=%d%s", r.Fence, r.Log.Counter, r.Log.Nonce, r.Facts, r.Waiting,
		state(&conversation.State{Header: r.Header, Turns: r.Turns, Head: r.Head, Result: r.Result, Failure: r.Failure}))
	if r.Running != nil {
		out += " running " + runRow(*r.Running)
	}
	if r.HandedOver != nil {
		out += " handed over " + runRow(*r.HandedOver)
	}
	return out
}

func runRow(r conversation.RunRow) string {
	return fmt.Sprintf("<%d %s %s parent=%d %d/%d fence=%d own=%v hand=%d %q %d %s cancel=%v>", r.No, r.Purpose, r.State, r.Parent, r.Attempt, r.Base,
		r.Fence, r.Owner != "", r.Handoffs, r.Text, r.TextLen, r.Finish, r.Cancel)
}

var times = regexp.MustCompile(`"at":\d+`)

func tellFacts(fs []conversation.Fact) string {
	out := ""
	for _, f := range fs {
		turn := int64(0)
		if f.Turn != nil {
			turn = f.Turn.N
		}
		out += fmt.Sprintf(" [%d %s run=%d/%d base=%d turn=%d fence=%d %s]", f.N, f.Type, f.Run, f.Attempt, f.Base, turn, f.Fence, times.ReplaceAll(uuids.ReplaceAll(f.Data, []byte("…")), []byte(`"at":0`)))
	}
	return out
}
