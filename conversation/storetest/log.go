package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

// LogRig is one live log and what may happen to it.
type LogRig struct {
	Log conversation.Log
	// Flush empties it, the process stays.
	Flush func()
	// Drop deletes one kind of key of a conversation: m, l, p, t or h.
	Drop func(id conversation.ID, kind string)
}

// LogTranscript performs one random sequence on one conversation: calls of
// two writers and a reader with right and wrong arguments, repeats, losses.
func LogTranscript(t testing.TB, rig LogRig, seed uint64) []string {
	p := &logPlayer{rig: rig, rnd: source(seed), id: conversation.NewID(), attempt: 1, fence: 1, run: 1}
	var out []string
	for range steps {
		out = append(out, p.step(t))
	}
	return out
}

type logPlayer struct {
	rig  LogRig
	rnd  *rand.Rand
	id   conversation.ID
	eps  []conversation.Epoch // every log there was
	last func() string        // the newest write, for a repeat

	counter, fence, run, attempt, at, fact int64
}

func (p *logPlayer) chance(percent int) bool { return p.rnd.IntN(100) < percent }

// near is n, or now and then a neighbour of it.
func (p *logPlayer) near(n int64) int64 {
	if p.chance(12) {
		return max(0, n+int64(p.rnd.IntN(5))-2)
	}
	return n
}

func (p *logPlayer) epoch() conversation.Epoch {
	if len(p.eps) == 0 {
		return conversation.Epoch{Counter: 1, Nonce: "none"}
	}
	if p.chance(8) {
		return p.eps[p.rnd.IntN(len(p.eps))]
	}
	return p.eps[len(p.eps)-1]
}

func (p *logPlayer) turn(n int64, a conversation.Author) *conversation.Turn {
	return &conversation.Turn{N: n, ID: fmt.Sprint("t", n), Author: a, Text: fmt.Sprintf("turn %d 😀", n), Run: p.run}
}

func (p *logPlayer) step(t testing.TB) string {
	ctx := t.Context()
	if len(p.eps) == 0 || p.chance(4) {
		return p.write(func() string { return p.create(t) })
	}
	switch n := p.rnd.IntN(100); {
	case n < 14:
		return p.write(p.begin(t))
	case n < 42:
		return p.write(p.append(t))
	case n < 52:
		return p.write(p.putFact(t))
	case n < 57:
		ep, run := p.epoch(), p.near(p.run)
		return p.write(func() string {
			b, err := p.rig.Log.Stop(ctx, p.id, ep, run)
			return fmt.Sprintf("stop %d: %s %s", run, verdict(err), began(b, err))
		})
	case n < 65 && p.last != nil:
		return "again " + p.last()
	case n < 80:
		ep, after, limit := p.epoch(), int64(p.rnd.IntN(30)), 1+p.rnd.IntN(20)
		page, err := p.rig.Log.Read(ctx, p.id, ep, after, limit)
		if err != nil {
			return fmt.Sprintf("read after %d: %s", after, verdict(err))
		}
		return fmt.Sprintf("read after %d: top=%d%s", after, page.Top, events(page.Events))
	case n < 96:
		a, err := p.rig.Log.Active(ctx, p.id)
		if err != nil {
			return "active: " + verdict(err)
		}
		return fmt.Sprintf("active: %d fence=%d top=%d low=%d facts=%d len=%d stop=%d%s", a.Epoch.Counter, a.Fence, a.Top, a.Low, a.Facts, a.OpenLen, a.StopAt, state(&a.State))
	case n < 97:
		p.rig.Flush()
		return "flush"
	default:
		kind := []string{"m", "l", "p", "t", "h"}[p.rnd.IntN(5)]
		p.rig.Drop(p.id, kind)
		return "drop " + kind
	}
}

func (p *logPlayer) write(fn func() string) string {
	p.last = fn
	return fn()
}

func (p *logPlayer) create(t testing.TB) string {
	counter := p.counter + 1
	if p.chance(20) {
		counter = p.counter
	}
	p.counter = max(p.counter, counter)
	seed := conversation.Seed{Fence: p.fence, Facts: p.fact, Header: conversation.Header{ID: p.id, Kind: conversation.KindChat, Owner: "o", Title: "T", State: conversation.StateActive},
		Turns: []conversation.Turn{*p.turn(1, conversation.Partner)}, Head: conversation.Head{Run: p.run, Turn: 1}}
	if p.chance(30) {
		seed.Running = p.run
	}
	ep, err := p.rig.Log.Create(t.Context(), p.id, counter, seed)
	if err == nil {
		p.eps, p.at = append(p.eps, ep), 0
	}
	return fmt.Sprintf("create %d running=%d: %s %d", counter, seed.Running, verdict(err), ep.Counter)
}

func (p *logPlayer) begin(t testing.TB) func() string {
	if p.chance(50) {
		p.fence++
		p.attempt++
	}
	if p.chance(15) {
		p.run, p.attempt = p.run+1, 1
	}
	b := conversation.Begin{Fence: p.near(p.fence), Reason: "node_dead", How: []conversation.BeginHow{conversation.BeginContinue,
		conversation.BeginRestart, conversation.BeginRebuild}[p.rnd.IntN(3)],
		Run: conversation.Run{No: p.run, Purpose: "partner", Parent: 1, MessageID: fmt.Sprint("m", p.run), Attempt: max(1, p.near(p.attempt))}}
	if b.How == conversation.BeginRebuild {
		b.Text, b.Base = []string{"", "whole 😀 text"}[p.rnd.IntN(2)], 1
	}
	ep := p.epoch()
	return func() string {
		got, err := p.rig.Log.Begin(t.Context(), p.id, ep, b)
		if err == nil {
			p.at = got.Len
		}
		return fmt.Sprintf("begin %s run=%d/%d fence=%d: %s %s", b.How, b.Run.No, b.Run.Attempt, b.Fence, verdict(err), began(got, err))
	}
}

func began(b conversation.Began, err error) string {
	if err != nil {
		return ""
	}
	return fmt.Sprintf("base=%d len=%d %q stopped=%v", b.Base, b.Len, b.Text, b.Stopped)
}

func (p *logPlayer) append(t testing.TB) func() string {
	text := []string{"a", "be ", "😀", "line\n", "|pipe|", `"q"`}[p.rnd.IntN(6)]
	a := conversation.Append{Run: conversation.Run{No: p.run, Purpose: "partner", Attempt: p.attempt}, Fence: p.near(p.fence), At: p.near(p.at),
		Len: conversation.UTF16Len(text), Text: text}
	ep := p.epoch()
	return func() string {
		seq, _, err := p.rig.Log.Append(t.Context(), p.id, ep, a)
		if err == nil {
			p.at = a.At + a.Len
		}
		return fmt.Sprintf("append %q at %d run=%d/%d fence=%d: %s %d", a.Text, a.At, a.Run.No, a.Run.Attempt, a.Fence, verdict(err), seq)
	}
}

func (p *logPlayer) putFact(t testing.TB) func() string {
	f := conversation.Fact{N: p.near(p.fact + 1), Type: []string{conversation.TypeAccepted, "partner.completed", "partner.failed",
		"partner.stopped", conversation.TypeScenarioReady, conversation.TypeEnded, conversation.TypeChosen}[p.rnd.IntN(7)],
		Data: fmt.Appendf(nil, `{"run":%d,"turn":2,"by":"select"}`, p.run)}
	ev := conversation.Event{Type: f.Type}
	if ev.EndsRun() {
		f.Run, f.Attempt, f.Base = p.run, p.attempt, 1
		f.Turn = p.turn(f.N, conversation.Partner)
	}
	if f.Type == conversation.TypeAccepted {
		f.Turn = p.turn(f.N, conversation.Learner)
	}
	if p.chance(50) {
		f.Fence = p.near(p.fence)
	}
	ep := p.epoch()
	return func() string {
		seq, _, err := p.rig.Log.PutFact(t.Context(), p.id, ep, f)
		if err == nil {
			p.fact = max(p.fact, f.N)
		}
		return fmt.Sprintf("fact %d %s run=%d fence=%d: %s %d", f.N, f.Type, f.Run, f.Fence, verdict(err), seq)
	}
}
