package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/streaming"
)

// viewer is a client by the rules of docs/protocol.md. It is cut off at any
// item and comes back, with its cursor, to any node.
type viewer struct {
	w    *world
	name string
	id   conversation.ID
	d    *die

	mu     sync.Mutex // guards what follows
	cursor string
	epoch  conversation.Epoch
	last   int64
	turns  map[int64]conversation.Turn
	head   conversation.Head
	runs   map[int64]*shown
}

// shown is one run as this viewer sees it.
type shown struct {
	base    int64
	attempt int64
	text    string
	end     string // type of the terminal event, "turn" when a snapshot had it
	missed  string // text that a snapshot left out, though the run went on
}

type envelope struct {
	Seq, From          int64
	Cur, Type          string
	Run, Attempt, Base int64
	Data               json.RawMessage
}

type payload struct {
	At   int64
	Keep int64
	Text string
	N    int64
	// Parent is of a terminal event; Run and Turn of a choice of branch.
	Parent, Run, Turn int64
}

func newViewer(w *world, chat, no int, id conversation.ID) *viewer {
	name := fmt.Sprintf("viewer %d of chat %d", no, chat)
	return &viewer{w: w, name: name, id: id, d: w.dice.fork(name), turns: map[int64]conversation.Turn{}, runs: map[int64]*shown{}}
}

func (v *viewer) run() {
	for {
		n := v.w.some(v.d)
		if n != nil {
			v.visit(n)
		}
		if sleep(v.w.life, v.d.between(5*time.Millisecond, 250*time.Millisecond)) != nil {
			return
		}
	}
}

// visit is one connection.
func (v *viewer) visit(n *node) {
	long := v.d.between(100*time.Millisecond, 4*time.Second)
	cutAt := -1 // in the middle of a batch, sometimes
	if v.w.isCalm() {
		long = 20 * time.Second
	} else if v.d.chance(40) {
		cutAt = v.d.n(20)
	}
	ctx, cancel := context.WithTimeout(v.w.life, long)
	defer cancel()
	v.mu.Lock()
	cursor := v.cursor
	v.mu.Unlock()
	feed, err := n.hub.Attach(ctx, v.id, owner, cursor)
	if err != nil {
		return
	}
	defer feed.Close()
	v.w.trace("%s at node %d from %q: %+v", v.name, n.slot, cursor, feed.Opening())
	wake := make(chan struct{}, 1)
	feed.Notify(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	for count := 0; ; {
		select {
		case <-wake:
		case <-n.gone:
			return
		case <-ctx.Done():
			return
		}
		if sleep(ctx, v.d.between(10*time.Microsecond, 900*time.Microsecond)) != nil { // the way to the client
			return
		}
		for more := true; more; {
			b, err := feed.Pull(ctx, 16, 4<<10)
			n.thaw()
			if err != nil || n.isDead() {
				return
			}
			for _, item := range b.Items {
				if count == cutAt {
					return
				}
				count++
				v.take(item)
			}
			more = b.More && len(b.Items) > 0
		}
	}
}

func (v *viewer) take(item streaming.Item) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch item.Kind {
	case streaming.ItemSnapshot:
		v.snapshot(item)
	case streaming.ItemEvent:
		v.event(item)
	case streaming.ItemReset:
		v.w.trace("%s: reset %s", v.name, item.Reason)
	}
}

func (v *viewer) breach(format string, args ...any) {
	v.w.check.breach("%s: %s", v.name, fmt.Sprintf(format, args...))
}

// to checks where the stream leads.
func (v *viewer) to(cur string) (conversation.Cursor, bool) {
	c, ok := conversation.ParseCursor(cur)
	switch {
	case !ok:
		v.breach("cursor %q cannot be read", cur)
	case c.Counter < v.epoch.Counter:
		v.breach("led back from log %s to %s", v.epoch, c.Epoch)
		ok = false
	}
	return c, ok
}

func (v *viewer) snapshot(item streaming.Item) {
	c, ok := v.to(item.Cursor)
	if !ok {
		return
	}
	var st conversation.State
	if err := json.Unmarshal(item.JSON, &st); err != nil {
		v.breach("snapshot: %v", err)
		return
	}
	v.w.trace("%s: snapshot at %s: %d turns, open %+v", v.name, c, len(st.Turns), st.Open)
	if c.Epoch == v.epoch && c.Seq < v.last {
		v.breach("snapshot at %s after %d was applied", c, v.last)
	}
	v.epoch, v.last, v.cursor = c.Epoch, c.Seq, item.Cursor
	was := v.turns
	v.head = st.Head
	v.turns = map[int64]conversation.Turn{}
	for i, t := range st.Turns {
		if t.N != int64(i)+1 {
			v.breach("snapshot has turn %d at place %d", t.N, i+1)
		}
		v.turn(t)
		if t.Author == conversation.Partner {
			s := v.of(t.Run)
			if s.end == "" {
				s.end = "turn"
				// A turn tells no base: one that began anew may have been missed.
				v.final(t.Run, s, v.w.check.baseOf(v.id, t.Run), t.Text)
			} else if s.text != t.Text {
				v.breach("run %d ended with %q and is %q in a snapshot", t.Run, s.text, t.Text)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(was)) {
		// While two primaries answer, a message may be in the log of one alone,
		// until the relay comes by.
		if _, ok := v.turns[n]; !ok && !v.w.plan.on["split"] {
			v.breach("turn %d is missing in a snapshot", n)
		}
	}
	if o := st.Open; o != nil {
		v.text(o.Run, o.Attempt, o.Base, 0, o.Text, "snapshot")
	}
	for no, s := range v.runs {
		if s.end == "" && (st.Open == nil || st.Open.Run != no) {
			if !v.w.check.ended(v.id, no) && s.text != "" {
				s.missed = s.text
			}
			s.text = "" // a snapshot replaces everything
		}
	}
}

func (v *viewer) of(run int64) *shown {
	s := v.runs[run]
	if s == nil {
		s = &shown{}
		v.runs[run] = s
	}
	return s
}

func (v *viewer) turn(t conversation.Turn) {
	if was, ok := v.turns[t.N]; ok && was.Text != t.Text {
		v.breach("turn %d was %q and is %q", t.N, was.Text, t.Text)
	}
	v.turns[t.N] = t
	v.w.check.turn(v, t)
}

func (v *viewer) event(item streaming.Item) {
	var e envelope
	if err := json.Unmarshal(item.JSON, &e); err != nil {
		v.breach("event: %v", err)
		return
	}
	c, ok := v.to(e.Cur)
	if !ok {
		return
	}
	if e.From == 0 {
		e.From = e.Seq
	}
	switch {
	case c.Epoch != v.epoch || c.Seq != e.Seq:
		v.breach("event %s in log %s", e.Cur, v.epoch)
		return
	case e.Seq <= v.last:
		return
	case e.From > v.last+1:
		v.breach("events %d to %d are missing", v.last+1, e.From-1)
		return
	}
	v.last, v.cursor = e.Seq, item.Cursor
	var p payload
	if err := json.Unmarshal(e.Data, &p); err != nil {
		v.breach("data of %s: %v", e.Type, err)
		return
	}
	v.w.trace("%s: %d %s run %d/%d/%d %s", v.name, e.Seq, e.Type, e.Run, e.Attempt, e.Base, e.Data)
	switch kind := e.Type[strings.LastIndexByte(e.Type, '.')+1:]; {
	case e.Type == conversation.TypeAccepted:
		var t conversation.Turn
		if err := json.Unmarshal(e.Data, &t); err != nil {
			v.breach("turn: %v", err)
			return
		}
		v.turn(t)
		v.head = conversation.Head{Run: t.Run, Turn: t.N}
	case e.Type == conversation.TypeChosen:
		v.head = conversation.Head{Run: p.Run, Turn: p.Turn}
	case e.Run == 0:
	case kind == "completed" || kind == "stopped" || kind == "failed":
		v.ends(e, p, kind)
	case v.of(e.Run).end != "":
		// A client ignores it; that it is not there is the log's promise.
		v.breach("%s of run %d after its end", e.Type, e.Run)
	case kind == "delta":
		v.text(e.Run, e.Attempt, e.Base, p.At, p.Text, "delta")
	default:
		v.text(e.Run, e.Attempt, e.Base, 0, "", kind)
		if have := conversation.UTF16Len(v.of(e.Run).text); kind == "resumed" && p.Keep != have || kind == "stopping" && p.At != have {
			v.breach("run %d is %s at %d of %d", e.Run, kind, p.Keep+p.At, have)
		}
	}
}

// text adds what an event or a snapshot says of an open text.
func (v *viewer) text(run, attempt, base, at int64, text, what string) {
	s := v.of(run)
	if s.end != "" {
		if what != "snapshot" || !v.w.plan.on["split"] { // see the turns of a snapshot
			v.breach("%s of run %d after its end", what, run)
		}
		return
	}
	if attempt < s.attempt {
		v.breach("run %d went back from attempt %d to %d", run, s.attempt, attempt)
	}
	s.attempt = attempt
	switch {
	case base < s.base:
		v.breach("run %d went back from base %d to %d", run, s.base, base)
		return
	case base > s.base:
		if s.text != "" {
			v.w.check.takenBack(v, run, s.base, base, s.text)
		}
		s.base, s.text, s.missed = base, "", ""
	}
	if s.missed != "" && text != "" {
		v.breach("run %d showed %q, then a snapshot without it, then goes on with %q at %d", run, s.missed, text, at)
		s.missed = ""
	}
	have := conversation.UTF16Len(s.text)
	if at > have {
		v.breach("run %d has %d and gets more at %d", run, have, at)
		return
	}
	known, fresh := cut(text, have-at)
	if !strings.HasPrefix(tail(s.text, at), known) {
		v.breach("run %d shows %q and gets %q at %d", run, s.text, text, at)
		return
	}
	s.text += fresh
	v.w.check.shows(v, run, base, s.text)
}

func (v *viewer) ends(e envelope, p payload, kind string) {
	s := v.of(e.Run)
	if s.end != "" {
		if s.text != p.Text {
			v.breach("run %d ended with %q and again with %q", e.Run, s.text, p.Text)
		}
		return
	}
	s.end = kind
	v.final(e.Run, s, e.Base, p.Text)
	if p.N > 0 {
		v.turns[p.N] = conversation.Turn{N: p.N, Author: conversation.Partner, Run: e.Run, Text: p.Text, Parent: p.Parent}
	}
	v.w.check.ends(v, e.Run, kind, p.Text)
}

// final replaces what was shown by what is durable; nothing may go away.
func (v *viewer) final(run int64, s *shown, base int64, text string) {
	if base <= s.base && s.missed != "" && text != "" {
		v.breach("run %d showed %q, then a snapshot without it, and ended with %q", run, s.missed, text)
	}
	if base <= s.base && !strings.HasPrefix(text, s.text) {
		v.breach("run %d showed %q and ended with %q", run, s.text, text)
	} else if base > s.base && s.text != "" && !strings.HasPrefix(text, s.text) {
		v.w.check.takenBack(v, run, s.base, base, s.text)
	}
	s.text = text
}

// cut parts s after n UTF-16 units.
func cut(s string, n int64) (string, string) {
	for i, r := range s {
		if n <= 0 {
			return s[:i], s[i:]
		}
		if n--; r > 0xFFFF {
			n--
		}
	}
	return s, ""
}

func tail(s string, n int64) string {
	_, t := cut(s, n)
	return t
}
