package memstore

import (
	"context"
	"encoding/json"

	"github.com/fluentpro/fluentpro/conversation"
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
		c := &chat{clientID: in.ClientID, head: -1, header: conversation.Header{ID: db.newID(), Kind: in.Kind, Owner: in.Owner, Title: in.Title,
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
