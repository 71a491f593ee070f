package openai

import (
	"context"
	"sync"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// gate bounds how many calls are under way. Who waits is served in turns by
// learner, not by arrival: one learner with twenty open talks waits behind a
// second one's first.
type gate struct {
	mu      sync.Mutex
	free    int
	most    int // waiting calls
	waiting int
	turns   []string // learners with somebody waiting, next first
	lines   map[string][]chan struct{}
}

func newGate(calls, waiting int) *gate {
	return &gate{free: calls, most: waiting, lines: map[string][]chan struct{}{}}
}

// enter waits for a turn; the caller leaves exactly when err is nil.
func (g *gate) enter(ctx context.Context, learner string) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	if g.waiting >= g.most {
		g.mu.Unlock()
		return fault.New(fault.Overloaded, "Too many replies are waiting for the model.")
	}
	turn := make(chan struct{})
	if len(g.lines[learner]) == 0 {
		g.turns = append(g.turns, learner)
	}
	g.lines[learner] = append(g.lines[learner], turn)
	g.waiting++
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	if !g.drop(learner, turn) {
		g.mu.Unlock()
		g.leave() // the turn came at the same moment: pass it on
		return context.Cause(ctx)
	}
	g.mu.Unlock()
	return context.Cause(ctx)
}

// drop takes a waiting call out; false when its turn has come.
func (g *gate) drop(learner string, turn chan struct{}) bool {
	line := g.lines[learner]
	for i, t := range line {
		if t != turn {
			continue
		}
		g.waiting--
		if line = append(line[:i:i], line[i+1:]...); len(line) > 0 {
			g.lines[learner] = line
			return true
		}
		delete(g.lines, learner)
		for j, l := range g.turns {
			if l == learner {
				g.turns = append(g.turns[:j:j], g.turns[j+1:]...)
				break
			}
		}
		return true
	}
	return false
}

// leave gives the turn to the next learner in the round.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turns) == 0 {
		g.free++
		return
	}
	learner := g.turns[0]
	g.turns = g.turns[1:]
	line := g.lines[learner]
	if len(line) > 1 {
		g.lines[learner] = line[1:]
		g.turns = append(g.turns, learner)
	} else {
		delete(g.lines, learner)
	}
	g.waiting--
	close(line[0])
}

// queued is how many wait.
func (g *gate) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}
