package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Create implements conversation.Store.
func (s *Store) Create(ctx context.Context, in conversation.CreateInput) (conversation.Record, bool, error) {
	rec, err := s.create(ctx, in)
	created := err == nil
	if sqldb.IsUnique(err) || errors.Is(err, sqldb.ErrCommitUnknown) {
		// Somebody (perhaps this very call) made it before: read what stands.
		var id conversation.ID
		e := s.conn(ctx).QueryRowContext(ctx, "SELECT id FROM conversations WHERE owner = ? AND kind = ? AND client_id = ?",
			in.Owner, in.Kind, in.ClientID).Scan(&id)
		if e != nil {
			return conversation.Record{}, false, fmt.Errorf("create conversation: %w", err)
		}
		rec, err = s.Load(ctx, id)
	}
	if err != nil {
		return conversation.Record{}, false, fmt.Errorf("create conversation: %w", err)
	}
	return rec, created, nil
}

func (s *Store) create(ctx context.Context, in conversation.CreateInput) (conversation.Record, error) {
	var rec conversation.Record
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		at := s.micros()
		r := &row{id: conversation.NewID(), kind: in.Kind, owner: in.Owner, title: in.Title, meta: string(in.Meta), head: -1,
			state: conversation.StateActive, created: at}
		if r.meta == "" {
			r.meta = "{}"
		}
		if _, err := s.exec(ctx, `INSERT INTO conversations (id, kind, owner, client_id, title, meta, state, fence, log_epoch, log_nonce,
			log_fence, turns, runs, facts, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, NULL, 0, 0, 0, 0, ?, ?)`,
			r.id, r.kind, r.owner, in.ClientID, r.title, r.meta, r.state, at, at); err != nil {
			return err
		}
		f := conversation.Fact{Type: conversation.TypeCreated, Data: marshal(map[string]any{"kind": r.kind, "title": r.title})}
		if err := s.addFact(ctx, r, &f); err != nil {
			return err
		}
		if in.Opening != "" {
			if err := s.open(ctx, r, in); err != nil {
				return err
			}
		}
		if in.Run {
			if _, err := s.addRun(ctx, r, 0, in.Correlation); err != nil {
				return err
			}
		}
		if err := s.save(ctx, r); err != nil {
			return err
		}
		var err error
		rec, err = s.record(ctx, r)
		return err
	})
	return rec, err
}

// open stores the partner's first line as a run that is complete already.
func (s *Store) open(ctx context.Context, r *row, in conversation.CreateInput) error {
	run, err := s.addRun(ctx, r, 0, in.Correlation)
	if err != nil {
		return err
	}
	t := conversation.Turn{ID: run.MessageID, Author: conversation.Partner, Text: in.Opening, Run: run.No, Finish: "stop"}
	if err := s.addTurn(ctx, r, &t); err != nil {
		return err
	}
	if _, err := s.exec(ctx, "UPDATE runs SET state = ?, text = ?, text_len = ?, finish = 'stop' WHERE conversation = ? AND run = ?",
		conversation.RunCompleted, in.Opening, conversation.UTF16Len(in.Opening), r.id, run.No); err != nil {
		return err
	}
	return s.addFact(ctx, r, &conversation.Fact{Type: "partner.completed", Run: run.No, Data: endData(t, nil), Turn: &t})
}
