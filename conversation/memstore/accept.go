package memstore

import (
	"context"
	"encoding/json"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers always marshal
	}
	return b
}

// Create implements conversation.Store.
func (s *Store) Create(ctx context.Context, in conversation.CreateInput) (conversation.Record, bool, error) {
	type made struct {
		rec     conversation.Record
		created bool
	}
	m, err := whole(ctx, s, "sql.create", "", func(db *DB) (made, error) {
		for _, id := range db.order {
			if c := db.chats[id]; c.header.Owner == in.Owner && c.header.Kind == in.Kind && c.clientID == in.ClientID {
				return made{c.record(), false}, nil
			}
		}
		c := &chat{clientID: in.ClientID, header: conversation.Header{ID: db.newID(), Kind: in.Kind, Owner: in.Owner, Title: in.Title,
			State: conversation.StateActive, CreatedAt: micros() / 1000, Meta: in.Meta}}
		if len(in.Meta) == 0 {
			c.header.Meta = json.RawMessage("{}")
		}
		c.addFact(&conversation.Fact{Type: conversation.TypeCreated, Data: marshal(map[string]any{"kind": in.Kind, "title": in.Title})})
		if in.Opening != "" {
			r := db.addRun(c, 0, in.Correlation)
			t := conversation.Turn{ID: r.MessageID, Author: conversation.Partner, Text: in.Opening, Run: r.No, Finish: "stop"}
			c.addTurn(&t)
			r.State, r.Text, r.TextLen, r.Finish = conversation.RunCompleted, in.Opening, conversation.UTF16Len(in.Opening), "stop"
			c.addFact(&conversation.Fact{Type: "partner.completed", Run: r.No, Data: endData(t, nil), Turn: &t})
		}
		if in.Run {
			db.addRun(c, 0, in.Correlation)
		}
		db.chats[c.header.ID] = c
		db.order = append(db.order, c.header.ID)
		return made{c.record(), true}, nil
	})
	return m.rec, m.created, err
}

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

func (db *DB) accept(c *chat, in conversation.SendInput, queue int, correlation string, interrupt *conversation.Finishing) (accepted, error) {
	var out accepted
	if in.Learner != "" && c.header.Owner != in.Learner {
		return out, conversation.ErrNotFound
	}
	for _, t := range c.turns {
		if t.ClientID != in.ClientID || db.broken.NoDedup {
			continue
		}
		if t.Text != in.Text {
			return out, fault.New(fault.IdempotencyMismatch, "This client id was used for another text.")
		}
		out.acc = conversation.Accepted{MessageID: t.ID, Turn: t.N, Run: t.Run, Duplicate: true}
		return out, nil
	}
	if c.header.State != conversation.StateActive || c.header.Kind != conversation.KindChat {
		return out, fault.New(fault.ConversationEnded, "This conversation takes no more messages.")
	}
	if interrupt != nil {
		ended, err := db.finish(c, *interrupt, nil)
		if err != nil {
			return out, err
		}
		out.facts = append(out.facts, ended.Facts...)
	}
	var open int64
	for i := range c.runs {
		if !c.runs[i].Ended() {
			open++
		}
	}
	if open > 0 && in.Policy == "reject" {
		return out, fault.New(fault.RunActive, "A reply is being written; send again when it is finished.")
	}
	if open > int64(queue) {
		return out, fault.Newf(fault.QueueFull, "At most %d messages may wait.", queue)
	}
	t := conversation.Turn{ID: string(db.newID()), Author: conversation.Learner, Text: in.Text, ClientID: in.ClientID, Run: int64(len(c.runs)) + 1}
	c.addTurn(&t)
	r := db.addRun(c, t.N, correlation)
	f := conversation.Fact{Type: conversation.TypeAccepted, Data: marshal(t), Turn: &t}
	c.addFact(&f)
	out.acc = conversation.Accepted{MessageID: t.ID, Turn: t.N, Run: r.No, Position: open}
	out.facts = append(out.facts, f)
	return out, nil
}
