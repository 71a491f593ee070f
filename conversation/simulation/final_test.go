package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// patience is how long after the last fault everything must have come to rest.
const patience = 150 * time.Second

// rest waits until every run has ended and every viewer shows it.
func (c *checker) rest() bool {
	ctx := context.Background()
	why := ""
	_ = sleep(c.w.life, 4*time.Second) // the relay's turn
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if why = c.unrest(ctx); why == "" {
			return true
		}
		_ = sleep(c.w.life, 500*time.Millisecond)
	}
	c.breach("no rest %s after the last fault: %s", patience, why)
	return false
}

func (c *checker) unrest(ctx context.Context) string {
	for _, id := range c.w.chats {
		rec, err := c.sql.Load(ctx, id)
		if err != nil {
			return err.Error()
		}
		if rec.Running != nil || rec.Waiting > 0 {
			return fmt.Sprintf("%s has %d waiting, running %+v", c.w.nameOf(id), rec.Waiting, rec.Running)
		}
		for _, v := range c.viewers {
			if v.id == id {
				if why := v.behind(rec); why != "" {
					return why
				}
			}
		}
	}
	return ""
}

// behind tells what a viewer lacks.
func (v *viewer) behind(rec conversation.Record) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.turns) != len(rec.Turns) {
		return fmt.Sprintf("%s has %d of %d turns", v.name, len(v.turns), len(rec.Turns))
	}
	if v.head != rec.Head {
		return fmt.Sprintf("%s shows branch %+v, not %+v", v.name, v.head, rec.Head)
	}
	for _, t := range rec.Turns {
		if v.turns[t.N].Text != t.Text {
			return fmt.Sprintf("%s has turn %d as %q, not %q", v.name, t.N, v.turns[t.N].Text, t.Text)
		}
		if had := v.turns[t.N]; had.Parent != t.Parent || had.After != t.After {
			return fmt.Sprintf("%s has turn %d under %d/%d, not %d/%d", v.name, t.N, had.Parent, had.After, t.Parent, t.After)
		}
	}
	for _, no := range slices.Sorted(maps.Keys(v.runs)) {
		if s := v.runs[no]; s.end == "" && s.text != "" && rec.Failure == nil {
			r, _ := v.w.check.sql.RunState(context.Background(), "", v.id, no)
			if r.State != conversation.RunFailed { // an old failure is in no snapshot
				return fmt.Sprintf("%s still shows run %d open", v.name, no)
			}
		}
	}
	return ""
}

// final compares what is left with everything that was seen.
func (c *checker) final() {
	ctx := context.Background()
	for _, id := range c.w.chats {
		rec, err := c.sql.Load(ctx, id)
		if err != nil {
			c.breach("final read: %v", err)
			return
		}
		c.messages(id, rec)
		c.tree(id, rec)
		for run := int64(2); ; run++ { // 1 is the opening
			r, err := c.sql.RunState(ctx, "", id, run)
			if err != nil {
				break
			}
			c.replies++
			c.reply(id, r)
		}
		c.logs(id)
		c.fresh(id, rec)
	}
}

// messages: accepted ones are there exactly once, in order, with their text.
func (c *checker) messages(id conversation.ID, rec conversation.Record) {
	seen := map[string]int64{}
	for i, t := range rec.Turns {
		if t.N != int64(i)+1 {
			c.breach("turn %d at place %d", t.N, i+1)
		}
		if t.Author != conversation.Learner {
			continue
		}
		in, ok := c.sent[cid{id, t.ClientID}]
		switch {
		case seen[t.ClientID] != 0:
			c.breach("message %s is stored twice", t.ClientID)
		case !ok:
			c.breach("message %s was never sent", t.ClientID)
		case in.Text != t.Text:
			c.breach("message %s was %q and is %q", t.ClientID, in.Text, t.Text)
		}
		seen[t.ClientID] = t.N
	}
	for k, acc := range c.acks {
		if k.id == id && c.sent[k].Op != conversation.OpRegenerate && seen[k.client] != acc.Turn {
			c.breach("message %s was accepted as turn %d and is turn %d", k.client, acc.Turn, seen[k.client])
		}
	}
	for _, a := range c.order {
		for _, b := range c.order {
			if a.id == id && b.id == id && a.run > 0 && b.run > 0 && a.answered.Before(b.begun) && a.run > b.run {
				c.breach("%s was answered before %s was sent and comes after it", a.client, b.client)
			}
		}
	}
}

// reply: the end of a run is what calls wrote, and what was promised.
func (c *checker) reply(id conversation.ID, r conversation.RunRow) {
	k := runName{id, r.No}
	calls := c.w.calls.of(id, r.No)
	if !c.w.calls.chain(id, r.No, r.Text, r.State == conversation.RunCompleted) {
		c.breach("run %d %s with %q, which no chain of calls wrote: %+v", r.No, r.State, r.Text, calls)
	}
	switch r.State {
	case conversation.RunStopped:
		if !c.stops[k] && !c.interrupts(id, r.No) {
			c.breach("run %d is stopped and nobody asked for it", r.No)
		}
	case conversation.RunFailed:
		if on := c.w.plan.on; !on["upstream"] && r.Attempt-r.Handoffs < 3 {
			c.breach("run %d failed with %s after %d attempts", r.No, r.Finish, r.Attempt)
		}
	}
	if at, ok := c.stopAt[k]; ok && at != conversation.UTF16Len(r.Text) {
		c.breach("run %d was answered to end at %d and ends at %d", r.No, at, conversation.UTF16Len(r.Text))
	}
	if said, ok := c.ends_[k]; ok && said != r.State+" "+r.Text {
		c.breach("run %d ended %q for a viewer and is %s %q", r.No, said, r.State, r.Text)
	}
	if was := c.shown[runBase{k, r.Base}]; !strings.HasPrefix(r.Text, was) {
		c.breach("run %d showed %q and is %q", r.No, was, r.Text)
	}
	if int64(len(calls)) > r.Attempt {
		c.breach("run %d: %d calls in %d attempts", r.No, len(calls), r.Attempt)
	}
}

// interrupts reports a command that may have ended a run: an earlier one, whose
// own reply comes later, never itself.
func (c *checker) interrupts(id conversation.ID, run int64) bool {
	if c.displaces[id] {
		return true
	}
	for k, in := range c.sent {
		if k.id == id && in.Policy != "" && c.acks[k].Run > run {
			return true
		}
	}
	return false
}

// logs folds what was seen of each log, as far as it hangs together.
func (c *checker) logs(id conversation.ID) {
	by := map[conversation.Epoch][]conversation.Event{}
	for p, ev := range c.entries {
		if p.id == id {
			by[p.ep] = append(by[p.ep], ev)
		}
	}
	for ep, evs := range by {
		slices.SortFunc(evs, func(a, b conversation.Event) int { return int(a.Seq - b.Seq) })
		c.fold(ep, evs)
	}
}

func (c *checker) fold(ep conversation.Epoch, evs []conversation.Event) {
	var fact, seq int64
	unbroken := false // nothing is missing since that fact
	length := map[runBase]int64{}
	attempt, ended := map[int64]int64{}, map[int64]string{}
	for _, ev := range evs {
		whole := ev.Seq == seq+1
		if seq = ev.Seq; !whole {
			clear(length) // nobody has seen what stands between
			unbroken = false
		}
		if ev.Fact > 0 {
			if ev.Fact <= fact || unbroken && fact > 0 && ev.Fact != fact+1 {
				c.breach("log %s: fact %d follows fact %d", ep, ev.Fact, fact)
			}
			fact, unbroken = ev.Fact, true
		}
		if ev.Run == 0 {
			continue
		}
		if ended[ev.Run] != "" {
			c.breach("log %s: %s after %s", ep, tell(ev), ended[ev.Run])
		}
		if ev.Attempt < attempt[ev.Run] {
			c.breach("log %s: %s after attempt %d", ep, tell(ev), attempt[ev.Run])
		}
		attempt[ev.Run] = ev.Attempt
		k := runBase{runName{run: ev.Run}, ev.Base}
		have, known := length[k]
		switch {
		case ev.EndsRun():
			ended[ev.Run] = ev.Type
		case ev.IsDelta():
			if whole && known && ev.At != have {
				c.breach("log %s: text of %d units goes on with %s", ep, have, tell(ev))
			}
			length[k] = ev.At + ev.Len
		case strings.HasSuffix(ev.Type, ".started") || strings.HasSuffix(ev.Type, ".restarted"):
			if known && have > 0 {
				c.breach("log %s: %s though %d units stood there", ep, tell(ev), have)
			}
			length[k] = 0
		}
	}
}

// fresh is a new client at every node: it gets what SQL has.
func (c *checker) fresh(id conversation.ID, rec conversation.Record) {
	c.w.mu.Lock()
	nodes := slices.Clone(c.w.serving)
	c.w.mu.Unlock()
	for _, n := range nodes {
		ctx, cancel := context.WithTimeout(c.w.life, 10*time.Second)
		st, cur, err := n.engine.Snapshot(ctx, owner, id)
		cancel()
		switch {
		case err != nil:
			c.breach("node %d has no snapshot: %v", n.slot, err)
			continue
		case cur == "":
			c.breach("node %d has no log", n.slot)
		case st.Head != rec.Head:
			c.breach("node %d shows branch %+v, SQL has %+v", n.slot, st.Head, rec.Head)
		case st.Open != nil:
			c.breach("node %d shows run %d open, which has ended", n.slot, st.Open.Run)
		}
		if len(st.Turns) != len(rec.Turns) {
			c.breach("node %d has %d of %d turns", n.slot, len(st.Turns), len(rec.Turns))
			continue
		}
		for i, t := range st.Turns {
			if t.Text != rec.Turns[i].Text || t.ID != rec.Turns[i].ID || t.Parent != rec.Turns[i].Parent || t.After != rec.Turns[i].After {
				c.breach("node %d has turn %d as %q, SQL as %q", n.slot, t.N, t.Text, rec.Turns[i].Text)
			}
		}
	}
}
