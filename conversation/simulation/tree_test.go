package simulation

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
)

// prompt is told what the model will read: exactly the branch of its run, with
// every reply that was given on it.
func (c *checker) prompt(run conversation.Run, got []conversation.Turn) {
	page, err := c.sql.Branch(context.Background(), "", run.Conversation, run.No, 0, 1000)
	if err != nil {
		c.breach("branch of run %d: %v", run.No, err)
		return
	}
	same := slices.EqualFunc(page.Turns, got, func(a, b conversation.Turn) bool { return a.N == b.N && a.Text == b.Text })
	if !same && !c.ended(run.Conversation, run.No) { // it may have ended meanwhile, with a turn of its own
		c.breach("run %d is asked for with %v, its branch is %v", run.No, numbers(got), numbers(page.Turns))
	}
}

func numbers(turns []conversation.Turn) []int64 {
	out := make([]int64, 0, len(turns))
	for _, t := range turns {
		out = append(out, t.N)
	}
	return out
}

// tree replays the facts: every command had its effect where the branch that
// was shown then, and what was open then, wanted it.
func (c *checker) tree(id conversation.ID, rec conversation.Record) {
	facts, err := c.sql.Facts(context.Background(), id, 0, 1000)
	if err != nil {
		c.breach("facts: %v", err)
		return
	}
	head := conversation.Head{}
	turns := map[int64]conversation.Turn{}
	open := map[int64]bool{}
	var justStopped []int64 // without anything in between
	runs := 0
	for _, f := range facts {
		switch {
		case f.Type == conversation.TypeAccepted:
			t := *f.Turn
			in := c.sent[cid{id, t.ClientID}]
			c.link(in, t, head, turns, open, justStopped)
			turns[t.N] = t
			head = conversation.Head{Run: t.Run, Turn: t.N}
			open[t.Run] = true
			runs++
		case f.Type == conversation.TypeChosen:
			var d struct {
				conversation.Head
				By conversation.Op
			}
			if err := json.Unmarshal(f.Data, &d); err != nil {
				c.breach("fact %d: %v", f.N, err)
			}
			r, err := c.sql.RunState(context.Background(), "", id, d.Run)
			if err != nil || r.Parent != d.Turn {
				c.breach("fact %d chooses %+v, the run is %+v", f.N, d.Head, r)
			}
			if head = d.Head; d.By == conversation.OpRegenerate {
				open[d.Run] = true
				runs++
			}
		case f.Run > 0:
			if f.Run == 1 && !open[1] { // the opening
				head, runs = conversation.Head{Run: 1}, runs+1
			}
			delete(open, f.Run)
			if strings.HasSuffix(f.Type, ".stopped") {
				justStopped = append(justStopped, f.Run)
				continue
			}
		}
		justStopped = nil
	}
	if head != rec.Head {
		c.breach("the facts lead to branch %+v, SQL has %+v", head, rec.Head)
	}
	wanted := 1
	for _, t := range turns {
		if t.Author == conversation.Learner {
			wanted++
		}
	}
	for k := range c.acks {
		if k.id == id && c.sent[k].Op == conversation.OpRegenerate {
			wanted++
		}
	}
	if runs != wanted {
		c.breach("%d runs for %d commands", runs, wanted)
	}
}

// link judges where a message was put.
func (c *checker) link(in conversation.SendInput, t conversation.Turn, head conversation.Head, turns map[int64]conversation.Turn, open map[int64]bool, justStopped []int64) {
	at := conversation.Head{Run: t.After, Turn: t.Parent}
	if in.Op == conversation.OpEdit {
		for _, was := range turns {
			if (was.ID == in.Message || was.ClientID == in.Message) && (was.Parent != t.Parent || was.After != t.After) {
				c.breach("turn %d replaces turn %d and stands under %+v", t.N, was.N, at)
			}
		}
	}
	if in.Op != conversation.OpEdit && in.Policy != "rollback" && at != head {
		c.breach("turn %d stands under %+v, the branch shown ended with %+v", t.N, at, head)
	}
	if in.Policy != "rollback" {
		return
	}
	for run := range open {
		r, err := c.sql.RunState(context.Background(), "", in.Conversation, run)
		if err != nil || !r.Cancel {
			c.breach("turn %d took back everything, and run %d went on", t.N, run)
		}
	}
	if in.Op != conversation.OpSend {
		return
	}
	// A stop just before may be this command's or an earlier one's.
	for i := range len(justStopped) + 1 {
		before := maps.Clone(open)
		for _, run := range justStopped[i:] {
			before[run] = true
		}
		if at == unfinished(head, turns, before) {
			return
		}
	}
	c.breach("turn %d took back and stands under %+v; shown was %+v, open %v, stopped %v", t.N, at, head, open, justStopped)
}

// unfinished is the place of the oldest message shown whose reply is open.
func unfinished(tip conversation.Head, turns map[int64]conversation.Turn, open map[int64]bool) conversation.Head {
	at := tip
	for run, n := tip.Run, tip.Turn; n > 0; {
		t := turns[n]
		if open[run] {
			at = conversation.Head{Run: t.After, Turn: t.Parent}
		}
		run, n = t.After, t.Parent
	}
	return at
}
