package memstore

import (
	"context"
	"errors"
	"slices"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// accepted is what Accept answers.
type accepted struct {
	acc   conversation.Accepted
	facts []conversation.Fact
}

// Accept implements conversation.Store.
func (s *Store) Accept(ctx context.Context, in conversation.SendInput, queue int, correlation string, interrupt *conversation.Finishing) (conversation.Accepted, []conversation.Fact, error) {
	a, err := inTx(ctx, s, "sql.accept", in.Conversation, func(c *chat) (accepted, error) {
		return s.db.accept(c, in, queue, correlation, interrupt)
	})
	if err != nil {
		return conversation.Accepted{}, nil, err
	}
	return a.acc, a.facts, nil
}

var (
	errMismatch  = fault.New(fault.IdempotencyMismatch, "This client id was used for something else.")
	errNoMessage = fault.New(fault.NotFound, "No such message.")
)

func (db *DB) accept(c *chat, in conversation.SendInput, queue int, correlation string, interrupt *conversation.Finishing) (accepted, error) {
	var out accepted
	acc, known, err := db.answered(c, in)
	if known || err != nil {
		return accepted{acc: acc}, err
	}
	if c.header.State != conversation.StateActive || c.header.Kind != conversation.KindChat {
		return out, fault.New(fault.ConversationEnded, "This conversation takes no more messages.")
	}
	at, err := c.place(in)
	if err != nil {
		return out, err
	}
	if out.facts, err = db.makeRoom(c, in.Policy, interrupt); err != nil {
		return accepted{}, err
	}
	open := int64(len(c.open()))
	if open > 0 && in.Policy == "reject" {
		return out, fault.New(fault.RunActive, "A reply is being written; send again when it is finished.")
	}
	if in.Op != conversation.OpSelect && open > int64(queue) {
		return out, fault.Newf(fault.QueueFull, "At most %d messages may wait.", queue)
	}
	var f conversation.Fact
	switch in.Op {
	case conversation.OpSelect:
		c.head = in.Run
		out.acc = conversation.Accepted{MessageID: at.messageID, Turn: at.turn, Run: in.Run, Position: open}
		f = chosen(conversation.Head{Run: in.Run, Turn: at.turn}, in.Op, at.messageID)
	case conversation.OpRegenerate:
		r := db.addRun(c, at.turn, correlation)
		r.key, r.again = in.ClientID, at.again
		out.acc = conversation.Accepted{MessageID: r.MessageID, Turn: at.turn, Run: r.No, Position: open}
		f = chosen(conversation.Head{Run: r.No, Turn: at.turn}, in.Op, r.MessageID)
	default:
		t := conversation.Turn{ID: string(db.newID()), Author: conversation.Learner, Text: in.Text, ClientID: in.ClientID,
			Run: int64(len(c.runs)) + 1, Parent: at.parent, After: at.after}
		c.addTurn(&t)
		r := db.addRun(c, t.N, correlation)
		r.again = at.again
		out.acc = conversation.Accepted{MessageID: t.ID, Turn: t.N, Run: r.No, Position: open}
		f = conversation.Fact{Type: conversation.TypeAccepted, Data: marshal(t), Turn: &t}
	}
	c.addFact(&f)
	out.facts = append(out.facts, f)
	return out, nil
}

// place is where in the tree a command has its effect.
type place struct {
	parent, after, turn, again int64
	messageID                  string
}

func (c *chat) place(in conversation.SendInput) (place, error) {
	switch in.Op {
	case conversation.OpEdit:
		t, err := c.message(in.Message)
		return place{parent: t.Parent, after: t.After, again: t.Run}, err
	case conversation.OpRegenerate:
		return c.reply(in.Message)
	case conversation.OpSelect:
		r := c.run(in.Run)
		switch {
		case in.From != 0 && in.From != c.tip().Run:
			return place{}, fault.New(fault.Conflict, "Another branch is shown by now.")
		case r == nil:
			return place{}, conversation.ErrNotFound
		}
		return place{turn: r.Parent, messageID: r.MessageID}, nil
	}
	tip := c.tip()
	at := place{parent: tip.Turn, after: tip.Run}
	if in.Policy != "rollback" {
		return at, nil
	}
	// The oldest message of the branch whose reply is open gives its place.
	open := c.open()
	for run, n := tip.Run, tip.Turn; n > 0; {
		t := c.turns[n-1]
		if slices.Contains(open, run) {
			at = place{parent: t.Parent, after: t.After}
		}
		run, n = t.After, t.Parent
	}
	return at, nil
}

func (db *DB) makeRoom(c *chat, policy string, interrupt *conversation.Finishing) ([]conversation.Fact, error) {
	var facts []conversation.Fact
	if interrupt != nil {
		ended, err := db.finish(c, *interrupt, nil)
		if err != nil {
			return nil, err
		}
		facts = ended.Facts
	}
	if policy != "rollback" {
		return facts, nil
	}
	for _, no := range c.open() {
		switch r := c.run(no); {
		case r.Attempt == 0:
			ended, err := db.finish(c, conversation.Finishing{ID: c.header.ID, Run: no, State: conversation.RunStopped}, nil)
			if err != nil {
				return nil, err
			}
			facts = append(facts, ended.Facts...)
		case !r.Cancel:
			return nil, conversation.ErrClaimLost
		}
	}
	return facts, nil
}

// open lists the unfinished runs in their order.
func (c *chat) open() []int64 {
	var out []int64
	for i := range c.runs {
		if !c.runs[i].Ended() {
			out = append(out, c.runs[i].No)
		}
	}
	return out
}

// tip is the end of the active branch.
func (c *chat) tip() conversation.Head {
	h := conversation.Head{Run: c.head}
	if h.Run < 0 {
		h.Run = int64(len(c.runs))
	}
	if r := c.run(h.Run); r != nil {
		h.Turn = r.Parent
	}
	return h
}

func chosen(h conversation.Head, by conversation.Op, messageID string) conversation.Fact {
	return conversation.Fact{Type: conversation.TypeChosen, Data: marshal(struct {
		conversation.Head
		By        conversation.Op `json:"by"`
		MessageID string          `json:"message_id"`
	}{h, by, messageID})}
}

// message finds a learner's turn by its id or its client id.
func (c *chat) message(name string) (conversation.Turn, error) {
	found, err := conversation.Turn{}, error(errNoMessage)
	for _, t := range c.turns {
		if t.Author == conversation.Learner && (t.ID == name || t.ClientID == name) && (err != nil || t.ID == name) {
			found, err = t, nil
		}
	}
	return found, err
}

// reply finds what is to be written anew.
func (c *chat) reply(name string) (place, error) {
	for i := range c.runs {
		r := &c.runs[i]
		if r.MessageID != name {
			continue
		}
		if r.Parent == 0 {
			return place{}, fault.New(fault.Invalid, "The opening cannot be written anew.")
		}
		return place{turn: r.Parent, again: r.No}, nil
	}
	t, err := c.message(name)
	return place{turn: t.N, again: t.Run}, err
}

// Answered implements conversation.Store.
func (s *Store) Answered(ctx context.Context, in conversation.SendInput) (conversation.Accepted, bool, error) {
	type answer struct {
		acc   conversation.Accepted
		known bool
	}
	a, err := inTx(ctx, s, "sql.answered", in.Conversation, func(c *chat) (answer, error) {
		acc, known, err := s.db.answered(c, in)
		return answer{acc, known}, err
	})
	return a.acc, a.known && err == nil, err
}

// answered finds a command that was accepted before.
func (db *DB) answered(c *chat, in conversation.SendInput) (conversation.Accepted, bool, error) {
	acc, known, err := db.repeated(c, in)
	if known {
		acc.Position = c.position(in.Op, acc.Run)
	}
	return acc, known, err
}

// position counts the replies that still come before a command's own.
func (c *chat) position(op conversation.Op, run int64) int64 {
	open := c.open()
	if op == conversation.OpSelect {
		return int64(len(open))
	}
	return int64(max(0, slices.Index(open, run)))
}

func (db *DB) repeated(c *chat, in conversation.SendInput) (conversation.Accepted, bool, error) {
	var none conversation.Accepted
	if in.Learner != "" && c.header.Owner != in.Learner {
		return none, false, conversation.ErrNotFound
	}
	if in.Op == conversation.OpSelect {
		tip := c.tip()
		if in.Run != tip.Run {
			return none, false, nil
		}
		r := c.run(in.Run)
		if r == nil {
			return none, false, conversation.ErrNotFound
		}
		return conversation.Accepted{MessageID: r.MessageID, Turn: tip.Turn, Run: tip.Run, Duplicate: true}, true, nil
	}
	if db.broken.NoDedup {
		return none, false, nil
	}
	for _, t := range c.turns {
		if t.ClientID == "" || t.ClientID != in.ClientID {
			continue
		}
		again := c.run(t.Run).again
		if in.Op == conversation.OpRegenerate || t.Text != in.Text || in.Op == conversation.OpSend && again != 0 {
			return none, false, errMismatch
		}
		if in.Op == conversation.OpEdit {
			was, err := c.message(in.Message)
			same := was.Run == again || again == 0 && was.Parent == t.Parent && was.After == t.After
			if err != nil || !same {
				return none, false, errMismatch
			}
		}
		return conversation.Accepted{MessageID: t.ID, Turn: t.N, Run: t.Run, Duplicate: true}, true, nil
	}
	for i := range c.runs {
		r := &c.runs[i]
		if r.key == "" || r.key != in.ClientID {
			continue
		}
		if in.Op != conversation.OpRegenerate {
			return none, false, errMismatch
		}
		at, err := c.reply(in.Message)
		if errors.Is(err, errNoMessage) || err == nil && at.again != r.again {
			return none, false, errMismatch
		}
		return conversation.Accepted{MessageID: r.MessageID, Turn: r.Parent, Run: r.No, Duplicate: true}, err == nil, err
	}
	return none, false, nil
}

// Branch implements conversation.Store.
func (s *Store) Branch(ctx context.Context, owner conversation.LearnerID, id conversation.ID, run, before int64, limit int) (conversation.BranchPage, error) {
	return inTx(ctx, s, "sql.branch", id, func(c *chat) (conversation.BranchPage, error) {
		page := conversation.BranchPage{Turns: []conversation.Turn{}, Tip: c.tip(), Active: true}
		if owner != "" && owner != c.header.Owner {
			return page, conversation.ErrNotFound
		}
		if run != 0 {
			r := c.run(run)
			if r == nil {
				return page, conversation.ErrNotFound
			}
			page.Tip, page.Active = conversation.Head{Run: run, Turn: r.Parent}, run == page.Tip.Run
		}
		path, _ := conversation.Path(c.turns, page.Tip)
		var err error
		page.Turns, page.More, err = conversation.CutPage(path, before, limit)
		return page, err
	})
}

// Tips implements conversation.Store.
func (s *Store) Tips(ctx context.Context, owner conversation.LearnerID, id conversation.ID, before int64, limit int) ([]conversation.Tip, error) {
	return inTx(ctx, s, "sql.tips", id, func(c *chat) ([]conversation.Tip, error) {
		if owner != "" && owner != c.header.Owner {
			return nil, conversation.ErrNotFound
		}
		followed := map[int64]bool{}
		for _, t := range c.turns {
			if t.Author == conversation.Learner {
				followed[t.After] = true
			}
		}
		out, tip := []conversation.Tip{}, c.tip()
		for i := len(c.runs) - 1; i >= 0 && len(out) < limit; i-- {
			if r := &c.runs[i]; (before == 0 || r.No < before) && (!followed[r.No] || r.No == tip.Run) {
				out = append(out, conversation.Tip{Head: conversation.Head{Run: r.No, Turn: r.Parent}, Active: r.No == tip.Run, State: r.State, At: r.created / 1000})
			}
		}
		return out, nil
	})
}
