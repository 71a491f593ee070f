package simulation

import (
	"context"
	"fmt"
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
