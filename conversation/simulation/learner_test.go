package simulation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// learner sends messages one after the other, each until it is accepted, now
// and then twice at once, and sometimes stops the reply.
func (w *world) learner(no int, id conversation.ID) {
	d := w.dice.fork(fmt.Sprint("learner ", no))
	var extra sync.WaitGroup
	defer extra.Wait()
	var known []conversation.Accepted
	var names []string // of messages that were accepted
	for i := range 2 + d.n(3) {
		_ = sleep(w.life, d.between(10*time.Millisecond, 1500*time.Millisecond))
		in := conversation.SendInput{Conversation: id, Learner: owner, ClientID: fmt.Sprintf("m%d", i), Text: fmt.Sprintf("message %d 😀 of %d", i, no)}
		if w.plan.on["interrupt"] && d.chance(35) {
			in.Policy = "interrupt"
		}
		if w.plan.on["takeback"] && d.chance(35) {
			in.Policy = "rollback"
		}
		if len(names) > 0 {
			w.branch(d, &in, names, known)
		}
		if d.chance(12) {
			twin := w.dice.fork(fmt.Sprint("twin ", no, i))
			extra.Go(func() { w.send(twin, in) })
		}
		acc, ok := w.send(d, in)
		if ok {
			known = append(known, acc)
			if in.Op == conversation.OpSend || in.Op == conversation.OpEdit {
				names = append(names, in.ClientID, acc.MessageID)
			}
		}
		if ok && w.plan.on["cancel"] && d.chance(40) {
			late, run := d.between(0, 1500*time.Millisecond), acc.Run
			hand := w.dice.fork(fmt.Sprint("cancel ", no, i))
			extra.Go(func() {
				_ = sleep(w.life, late)
				w.cancel(hand, id, run)
			})
		}
		if ok && d.chance(15) { // long after, as a client does that lost its memory
			late, again := d.between(0, 4*time.Second), w.dice.fork(fmt.Sprint("again ", no, i))
			extra.Go(func() {
				_ = sleep(w.life, late)
				w.send(again, in)
			})
		}
	}
}

// branch makes a command of another kind of a message, now and then.
func (w *world) branch(d *die, in *conversation.SendInput, names []string, known []conversation.Accepted) {
	switch {
	case w.plan.on["edit"] && d.chance(35):
		in.Op, in.Message = conversation.OpEdit, pick(d, names)
	case w.plan.on["regenerate"] && d.chance(40):
		in.Op, in.Message, in.Text = conversation.OpRegenerate, pick(d, names), ""
	case w.plan.on["select"] && d.chance(30):
		in.Op, in.Run, in.Text, in.ClientID = conversation.OpSelect, pick(d, known).Run, "", ""
	}
}

// send repeats a message with the same id until it is acknowledged.
func (w *world) send(d *die, in conversation.SendInput) (conversation.Accepted, bool) {
	for range 200 {
		n := w.some(d)
		if n == nil {
			if sleep(w.life, 100*time.Millisecond) != nil {
				return conversation.Accepted{}, false
			}
			continue
		}
		w.check.invoked(in)
		c, cancel := context.WithTimeout(w.life, 3*time.Second)
		acc, err := n.engine.Send(c, in)
		cancel()
		n.thaw()
		if err == nil && !n.isDead() { // a dead process has not answered
			w.trace("%s: %s accepted as turn %d, run %d, duplicate %v", w.nameOf(in.Conversation), in.ClientID, acc.Turn, acc.Run, acc.Duplicate)
			w.check.accepted(in, acc)
			return acc, true
		}
		if fault.CodeOf(err) == fault.IdempotencyMismatch {
			w.check.breach("the same message under the same id was refused: %v", err)
			return acc, false
		}
		if sleep(w.life, d.between(50*time.Millisecond, 800*time.Millisecond)) != nil {
			return conversation.Accepted{}, false
		}
	}
	w.check.breach("message %s was never accepted", in.ClientID)
	return conversation.Accepted{}, false
}

// cancel repeats a stop until it is answered.
func (w *world) cancel(d *die, id conversation.ID, run int64) {
	for range 100 {
		if n := w.some(d); n != nil {
			w.check.cancelled(id, run)
			c, cancel := context.WithTimeout(w.life, 5*time.Second)
			got, err := n.engine.Cancel(c, owner, id, run)
			cancel()
			n.thaw()
			if err == nil && !n.isDead() {
				w.trace("%s: stop of run %d answered %s at %d", w.nameOf(id), run, got.State, got.TextLen)
				w.check.stopped(id, got)
				return
			}
		}
		if sleep(w.life, d.between(50*time.Millisecond, 500*time.Millisecond)) != nil {
			return
		}
	}
}
