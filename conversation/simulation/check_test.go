package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/memstore"
)

// checker knows what everybody saw. Its own view of the authority passes no
// network and no fault.
type checker struct {
	w       *world
	sql     conversation.Store
	viewers []*viewer

	mu       sync.Mutex // guards what follows
	breaches []string
	entries  map[place]conversation.Event
	facts    map[factName]string
	shown    map[runBase]string
	ends_    map[runName]string
	sent     map[cid]conversation.SendInput
	// displaces are conversations with a choice of branch that ended replies.
	displaces map[conversation.ID]bool
	acks      map[cid]conversation.Accepted
	order     []ack
	stops     map[runName]bool  // somebody asked for it
	stopAt    map[runName]int64 // what the answer said
	replies   int
}

type place struct {
	id  conversation.ID
	ep  conversation.Epoch
	seq int64
}

type factName struct {
	id conversation.ID
	n  int64
}

type runName struct {
	id  conversation.ID
	run int64
}

type runBase struct {
	runName
	base int64
}

type cid struct {
	id     conversation.ID
	client string
}

// ack is one message in real time.
type ack struct {
	cid
	begun, answered time.Time
	run             int64
}

func newChecker(w *world) *checker {
	return &checker{w: w, sql: memstore.NewStore(w.db, nil), entries: map[place]conversation.Event{}, facts: map[factName]string{}, shown: map[runBase]string{},
		ends_: map[runName]string{}, sent: map[cid]conversation.SendInput{}, displaces: map[conversation.ID]bool{}, acks: map[cid]conversation.Accepted{}, stops: map[runName]bool{}, stopAt: map[runName]int64{}}
}

// maxBreaches is enough to understand a schedule.
const maxBreaches = 8

func (c *checker) breach(format string, args ...any) {
	s := fmt.Sprintf("%9.4f ", time.Since(c.w.began).Seconds()) + fmt.Sprintf(format, args...)
	c.w.trace("BREACH %s", s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.breaches) < maxBreaches {
		c.breaches = append(c.breaches, s)
	}
}

// entry is told of every entry of a log that any node has read, heard or
// written: one place has one content, for ever and for all.
func (c *checker) entry(id conversation.ID, ep conversation.Epoch, ev conversation.Event) {
	c.mu.Lock()
	was, ok := c.entries[place{id, ep, ev.Seq}]
	if !ok {
		c.entries[place{id, ep, ev.Seq}] = ev
	}
	c.mu.Unlock()
	if ok && !same(was, ev) {
		c.breach("%s: entry %s.%d was %s and is %s", c.w.nameOf(id), ep, ev.Seq, tell(was), tell(ev))
	}
	if ev.Fact == 0 || ok {
		return
	}
	said := ev.Type + string(ev.Data)
	c.mu.Lock()
	before, known := c.facts[factName{id, ev.Fact}]
	c.facts[factName{id, ev.Fact}] = said
	c.mu.Unlock()
	if known && before != said {
		c.breach("%s: fact %d was %s and is %s", c.w.nameOf(id), ev.Fact, before, said)
	}
	// What is in a log is committed.
	facts, err := c.sql.Facts(context.Background(), id, ev.Fact-1, 1)
	if err != nil || len(facts) != 1 || facts[0].Type != ev.Type || string(facts[0].Data) != string(ev.Data) {
		c.breach("%s: fact %d %s is in the log and not in SQL", c.w.nameOf(id), ev.Fact, ev.Type)
	}
}

// same compares entries but for their times: an answer that was repeated
// tells the first one's.
func same(a, b conversation.Event) bool {
	return a.Type == b.Type && a.Run == b.Run && a.Attempt == b.Attempt && a.Base == b.Base && a.At == b.At && a.Len == b.Len &&
		a.Fact == b.Fact && a.Text == b.Text && string(a.Data) == string(b.Data)
}

func tell(e conversation.Event) string {
	return fmt.Sprintf("[%s run %d/%d/%d at %d fact %d %q %s]", e.Type, e.Run, e.Attempt, e.Base, e.At, e.Fact, e.Text, e.Data)
}

// shows is told whenever a viewer's open text has changed.
func (c *checker) shows(v *viewer, run, base int64, text string) {
	k := runBase{runName{v.id, run}, base}
	c.mu.Lock()
	was := c.shown[k]
	if len(text) > len(was) {
		c.shown[k] = text
	}
	c.mu.Unlock()
	if !strings.HasPrefix(text, was) && !strings.HasPrefix(was, text) {
		v.breach("run %d base %d is %q here and %q elsewhere", run, base, text, was)
	}
	if !c.w.calls.chain(v.id, run, text, false) {
		v.breach("run %d shows %q, which no chain of calls wrote: %+v", run, text, c.w.calls.of(v.id, run))
	}
}

// takenBack is told when text that was shown begins anew.
func (c *checker) takenBack(v *viewer, run, from, to int64, text string) {
	on := c.w.plan.on
	logLost := on["wipe"] || on["rollback"] || on["split"] || on["drop"] || on["away"]
	writerLost := on["kill"] || on["pause"] || on["drain"] || on["sqlaway"] || on["lost"] || on["late"]
	if !logLost || !writerLost {
		v.breach("run %d: %q was taken back (base %d to %d) though writer and log were never lost together", run, text, from, to)
	}
}

// ended reads the authority.
func (c *checker) ended(id conversation.ID, run int64) bool {
	r, err := c.sql.RunState(context.Background(), "", id, run)
	return err == nil && r.Ended()
}

func (c *checker) baseOf(id conversation.ID, run int64) int64 {
	r, _ := c.sql.RunState(context.Background(), "", id, run) // 0 for none
	return r.Base
}

// ends is told when a viewer gets a run's terminal event.
func (c *checker) ends(v *viewer, run int64, kind, text string) {
	r, err := c.sql.RunState(context.Background(), "", v.id, run)
	if err != nil || r.State != kind || r.Text != text {
		v.breach("run %d is %s with %q here, and in SQL %s with %q (%v)", run, kind, text, r.State, r.Text, err)
	}
	k := runName{v.id, run}
	c.mu.Lock()
	was, ok := c.ends_[k]
	c.ends_[k] = kind + " " + text
	c.mu.Unlock()
	if ok && was != kind+" "+text {
		v.breach("run %d ended %q and ends %q", run, was, kind+" "+text)
	}
}

// turn is told of every finished turn a viewer gets.
func (c *checker) turn(v *viewer, t conversation.Turn) {
	rec, err := c.sql.Load(context.Background(), v.id)
	if err != nil || t.N > int64(len(rec.Turns)) || rec.Turns[t.N-1].Text != t.Text || rec.Turns[t.N-1].ID != t.ID && t.ID != "" {
		v.breach("turn %d %q is shown and not in SQL", t.N, t.Text)
	}
}

func (c *checker) invoked(in conversation.SendInput) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := cid{in.Conversation, in.ClientID}
	if in.Op == conversation.OpSelect {
		if in.Policy != "" {
			c.displaces[in.Conversation] = true
		}
		return
	}
	if _, ok := c.sent[k]; !ok {
		c.sent[k] = in
		c.order = append(c.order, ack{cid: k, begun: time.Now()})
	}
}

func (c *checker) accepted(in conversation.SendInput, acc conversation.Accepted) {
	if in.Op == conversation.OpSelect {
		if acc.Run != in.Run {
			c.breach("run %d was chosen and %d answered", in.Run, acc.Run)
		}
		return
	}
	k := cid{in.Conversation, in.ClientID}
	c.mu.Lock()
	was, ok := c.acks[k]
	if !ok {
		c.acks[k] = acc
		for i := range c.order {
			if c.order[i].cid == k {
				c.order[i].answered, c.order[i].run = time.Now(), acc.Run
			}
		}
	}
	c.mu.Unlock()
	if ok && (was.MessageID != acc.MessageID || was.Turn != acc.Turn || was.Run != acc.Run) {
		c.breach("%s was accepted as %+v and again as %+v", in.ClientID, was, acc)
	}
	if in.Op == conversation.OpRegenerate {
		r, err := c.sql.RunState(context.Background(), "", in.Conversation, acc.Run)
		if err != nil || r.Parent != acc.Turn || r.MessageID != acc.MessageID {
			c.breach("%s was acknowledged as run %d and is not in SQL: %+v", in.ClientID, acc.Run, r)
		}
		return
	}
	rec, err := c.sql.Load(context.Background(), in.Conversation)
	if err != nil || acc.Turn > int64(len(rec.Turns)) || acc.Turn < 1 || rec.Turns[acc.Turn-1].ClientID != in.ClientID {
		c.breach("%s was acknowledged as turn %d and is not in SQL", in.ClientID, acc.Turn)
	}
}

func (c *checker) cancelled(id conversation.ID, run int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stops[runName{id, run}] = true
}

func (c *checker) stopped(id conversation.ID, s conversation.Stopped) {
	if s.State == "stopping" {
		return // answered without Redis: the place comes later
	}
	c.mu.Lock()
	was, ok := c.stopAt[runName{id, s.Run}]
	c.stopAt[runName{id, s.Run}] = s.TextLen
	c.mu.Unlock()
	if ok && was != s.TextLen {
		c.breach("run %d was stopped at %d and at %d", s.Run, was, s.TextLen)
	}
}

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
