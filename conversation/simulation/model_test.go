package simulation

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// call is one call of the model: it began after kept and sent this much.
// Every word names its call, so a text tells which calls wrote it.
type call struct {
	run      int64
	attempt  int64
	kept     string
	sent     string
	complete bool
}

// calls is the model's own record.
type calls struct {
	mu  sync.Mutex
	all map[conversation.ID][]*call
}

func (c *calls) of(id conversation.ID, run int64) []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []call
	for _, k := range c.all[id] {
		if k.run == run {
			out = append(out, *k)
		}
	}
	return out
}

// chain reports whether text is what a chain of calls wrote, each going on
// exactly where the one before was cut; whole wants the last to be complete.
func (c *calls) chain(id conversation.ID, run int64, text string, whole bool) bool {
	if text == "" && !whole {
		return true
	}
	for _, k := range c.of(id, run) {
		tail, ok := strings.CutPrefix(text, k.kept)
		if !ok || !strings.HasPrefix(k.sent, tail) || tail == "" && !whole {
			continue
		}
		if whole && (!k.complete || tail != k.sent) {
			continue
		}
		if k.kept == text && !whole || c.chain(id, run, k.kept, false) {
			return true
		}
	}
	return false
}

// model is the Model of one node.
type model struct{ n *node }

func (m model) Generate(ctx context.Context, p conversation.Prompt, emit func(string) error) (conversation.Finish, error) {
	w := m.n.w
	var run, attempt int64
	if _, err := fmt.Sscanf(p.Version, "%d/%d", &run, &attempt); err != nil {
		return conversation.Finish{}, err
	}
	w.calls.mu.Lock()
	k := &call{run: run, attempt: attempt, kept: p.Kept}
	w.calls.all[p.Conversation] = append(w.calls.all[p.Conversation], k)
	no := len(w.calls.all[p.Conversation])
	w.calls.mu.Unlock()
	d := w.dice.fork(fmt.Sprint("model ", w.nameOf(p.Conversation), " ", run, " ", attempt))
	words := 4 + w.dice.fork(fmt.Sprint("words ", w.nameOf(p.Conversation), run)).n(14)
	fails := -1
	if w.plan.on["upstream"] && d.chance(25) {
		fails = d.n(words)
	}
	w.trace("node %d calls the model: %s run %d/%d after %q", m.n.slot, w.nameOf(p.Conversation), run, attempt, p.Kept)
	for i := strings.Count(p.Kept, " "); i < words; i++ {
		pause := d.between(5*time.Millisecond, 60*time.Millisecond)
		if d.chance(12) {
			pause = d.between(100*time.Millisecond, 700*time.Millisecond)
		}
		if err := sleep(ctx, pause); err != nil {
			return conversation.Finish{}, err
		}
		m.n.thaw()
		if i == fails {
			return conversation.Finish{}, fault.New(pick(d, []fault.Code{fault.UpstreamTruncated, fault.UpstreamUnavailable, fault.UpstreamRejected}), "cut")
		}
		word := "w" + strconv.Itoa(i) + "c" + strconv.Itoa(no) + "😀 "
		w.calls.mu.Lock()
		k.sent += word
		w.calls.mu.Unlock()
		if err := emit(word); err != nil {
			return conversation.Finish{}, err
		}
	}
	w.calls.mu.Lock()
	k.complete = true
	w.calls.mu.Unlock()
	return conversation.Finish{Reason: "stop"}, ctx.Err()
}

// script tells the model which run it writes.
type script struct{ w *world }

func (s script) Prompt(_ context.Context, st conversation.State, run conversation.Run) (conversation.Prompt, error) {
	s.w.check.prompt(run, st.Window(run))
	return conversation.Prompt{Purpose: run.Purpose, Version: fmt.Sprintf("%d/%d", run.No, run.Attempt)}, nil
}

func (script) Shown(_ conversation.Run, text []byte) int { return len(text) }

func (script) Finish(context.Context, conversation.State, conversation.Run, string) ([]conversation.NewFact, error) {
	return nil, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
