package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
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
		r := &row{id: conversation.NewID(), kind: in.Kind, owner: in.Owner, title: in.Title, meta: string(in.Meta),
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

// Accept implements conversation.Store.
func (s *Store) Accept(ctx context.Context, in conversation.SendInput, queue int, correlation string, interrupt *conversation.Finishing) (conversation.Accepted, []conversation.Fact, error) {
	var acc conversation.Accepted
	var facts []conversation.Fact
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		acc, facts = conversation.Accepted{}, nil
		r, err := s.lock(ctx, in.Conversation, in.Learner)
		if err != nil {
			return err
		}
		if dup, err := s.duplicate(ctx, r, in, &acc); dup || err != nil {
			return err
		}
		if r.state != conversation.StateActive || r.kind != conversation.KindChat {
			return fault.New(fault.ConversationEnded, "This conversation takes no more messages.")
		}
		if interrupt != nil {
			ended, err := s.finish(ctx, r, *interrupt, nil)
			if err != nil {
				return err
			}
			facts = append(facts, ended.Facts...)
		}
		var open int64
		if err := s.conn(ctx).QueryRowContext(ctx, "SELECT count(*) FROM runs WHERE conversation = ? AND state IN ('pending', 'running')", r.id).Scan(&open); err != nil {
			return err
		}
		if open > 0 && in.Policy == "reject" {
			return fault.New(fault.RunActive, "A reply is being written; send again when it is finished.")
		}
		if open > int64(queue) {
			return fault.Newf(fault.QueueFull, "At most %d messages may wait.", queue)
		}
		t := conversation.Turn{ID: string(conversation.NewID()), Author: conversation.Learner, Text: in.Text, ClientID: in.ClientID, Run: r.runs + 1}
		if err := s.addTurn(ctx, r, &t); err != nil {
			return err
		}
		run, err := s.addRun(ctx, r, t.N, correlation)
		if err != nil {
			return err
		}
		f := conversation.Fact{Type: conversation.TypeAccepted, Data: marshal(t), Turn: &t}
		if err := s.addFact(ctx, r, &f); err != nil {
			return err
		}
		acc = conversation.Accepted{MessageID: t.ID, Turn: t.N, Run: run.No, Position: open}
		facts = append(facts, f)
		return s.save(ctx, r)
	})
	if err != nil {
		return conversation.Accepted{}, nil, err
	}
	return acc, facts, nil
}

// duplicate answers a message whose client id was used before.
func (s *Store) duplicate(ctx context.Context, r *row, in conversation.SendInput, acc *conversation.Accepted) (bool, error) {
	var textSHA string
	err := s.conn(ctx).QueryRowContext(ctx, "SELECT n, id, run, text_sha FROM turns WHERE conversation = ? AND client_id = ?", r.id, in.ClientID).
		Scan(&acc.Turn, &acc.MessageID, &acc.Run, &textSHA)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if textSHA != sha(in.Text) {
		return true, fault.New(fault.IdempotencyMismatch, "This client id was used for another text.")
	}
	acc.Duplicate = true
	return true, nil
}
