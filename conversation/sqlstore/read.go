package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/fluentpro/fluentpro/conversation"
)

// turnsKept bounds the turns that a new log or a snapshot from SQL carries.
const turnsKept = 400

// Load implements conversation.Store.
func (s *Store) Load(ctx context.Context, id conversation.ID) (conversation.Record, error) {
	var rec conversation.Record
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		r, err := s.lock(ctx, id, "") // the lock makes the picture one
		if err != nil {
			return err
		}
		rec, err = s.record(ctx, r)
		return err
	})
	return rec, err
}

func (s *Store) record(ctx context.Context, r *row) (conversation.Record, error) {
	rec := conversation.Record{Header: r.header(), Fence: r.fence, Log: r.log, Facts: r.facts}
	var err error
	if rec.Head, err = s.head(ctx, r); err != nil {
		return rec, fmt.Errorf("read head: %w", err)
	}
	err = s.each(ctx, func(rows *sql.Rows) error {
		t, err := scanTurn(rows)
		rec.Turns = append(rec.Turns, t)
		return err
	}, "SELECT "+turnColumns+" FROM turns t WHERE t.conversation = ? ORDER BY t.n DESC LIMIT ?", r.id, turnsKept)
	if err != nil {
		return rec, fmt.Errorf("read turns: %w", err)
	}
	slices.Reverse(rec.Turns)
	err = s.each(ctx, func(rows *sql.Rows) error {
		run, err := scanRun(r.id, rows.Scan)
		if err != nil {
			return err
		}
		switch {
		case run.State == conversation.RunRunning:
			rec.Running = &run
		case run.Attempt > 0:
			rec.HandedOver = &run
			rec.Waiting++
		default:
			rec.Waiting++
		}
		return nil
	}, "SELECT "+runColumns+" FROM runs r JOIN conversations c ON c.id = r.conversation WHERE r.conversation = ? AND r.state IN ('pending', 'running')", r.id)
	if err != nil {
		return rec, fmt.Errorf("read runs: %w", err)
	}
	// Result and failure are facts; the newest of each counts, and a failure
	// only while no later run has begun.
	err = s.each(ctx, func(rows *sql.Rows) error {
		var typ, data string
		var run int64
		if err := rows.Scan(&typ, &run, &data); err != nil {
			return err
		}
		switch conversation.FoldField(typ) {
		case "res":
			rec.Result = json.RawMessage(data)
		case "fail":
			rec.Failure = json.RawMessage(data)
			if run < r.runs {
				rec.Failure = nil
			}
		}
		return nil
	}, "SELECT type, run, data FROM facts WHERE conversation = ? AND (type = ? OR type LIKE '%.failed') ORDER BY n", r.id, conversation.TypeScenarioReady)
	if err != nil {
		return rec, fmt.Errorf("read outcome: %w", err)
	}
	return rec, nil
}

// turnColumns are what scanTurn reads of turns t. A row of a node that knows
// no branches follows the one before it.
const turnColumns = `t.n, t.id, t.author, coalesce(t.client_id, ''), t.run, t.text, t.finish, t.created_at, ` + turnLinks

const turnLinks = `CASE WHEN t.parent >= 0 THEN t.parent ELSE coalesce((SELECT max(p.n) FROM turns p WHERE p.conversation = t.conversation
		AND p.n < t.n AND p.author = 'learner' AND (t.author = 'learner' OR p.run = t.run)), 0) END,
	CASE WHEN t.after_run >= 0 THEN t.after_run WHEN t.author = 'learner' AND t.run > 0 THEN t.run - 1 ELSE 0 END`

func scanTurn(rows *sql.Rows) (conversation.Turn, error) {
	var t conversation.Turn
	err := rows.Scan(&t.N, &t.ID, &t.Author, &t.ClientID, &t.Run, &t.Text, &t.Finish, &t.At, &t.Parent, &t.After)
	t.At /= 1000
	return t, err
}

// List implements conversation.Store. Ids are UUIDv7, so their order is the
// order of creation.
func (s *Store) List(ctx context.Context, owner conversation.LearnerID, kind conversation.Kind, before string, limit int) ([]conversation.Header, error) {
	var out []conversation.Header
	err := s.each(ctx, func(rows *sql.Rows) error {
		h := conversation.Header{Owner: owner, Kind: kind}
		var meta string
		if err := rows.Scan(&h.ID, &h.Title, &h.State, &h.CreatedAt, &meta); err != nil {
			return err
		}
		h.CreatedAt /= 1000
		h.Meta = json.RawMessage(meta)
		out = append(out, h)
		return nil
	}, `SELECT id, title, state, created_at, meta FROM conversations
		WHERE owner = ? AND kind = ? AND deleted_at IS NULL AND (? = '' OR id < ?) ORDER BY id DESC LIMIT ?`, owner, kind, before, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	return out, nil
}

// Facts implements conversation.Store.
func (s *Store) Facts(ctx context.Context, id conversation.ID, after int64, limit int) ([]conversation.Fact, error) {
	var out []conversation.Fact
	err := s.each(ctx, func(rows *sql.Rows) error {
		var f conversation.Fact
		var data string
		var n sql.NullInt64
		var tid, author, client, text, finish sql.NullString
		var trun, tat, tparent, tafter, fence sql.NullInt64
		if err := rows.Scan(&f.N, &f.Type, &f.Run, &f.Attempt, &f.Base, &data, &f.TS, &n, &tid, &author, &client, &trun, &text, &finish, &tat, &tparent, &tafter, &fence); err != nil {
			return err
		}
		f.TS /= 1000
		if ev := (conversation.Event{Type: f.Type}); ev.EndsRun() {
			f.Fence = fence.Int64 // a claim from before the end must not open it again
		}
		f.Data = json.RawMessage(data)
		if n.Valid {
			f.Turn = &conversation.Turn{N: n.Int64, ID: tid.String, Author: conversation.Author(author.String), ClientID: client.String,
				Run: trun.Int64, Text: text.String, Finish: finish.String, At: tat.Int64 / 1000,
				Parent: tparent.Int64, After: tafter.Int64}
		}
		out = append(out, f)
		return nil
	}, `SELECT f.n, f.type, f.run, f.attempt, f.base, f.data, f.created_at, t.n, t.id, t.author, t.client_id, t.run, t.text, t.finish, t.created_at, `+turnLinks+`, r.fence
		FROM facts f LEFT JOIN turns t ON t.conversation = f.conversation AND t.n = f.turn
		LEFT JOIN runs r ON r.conversation = f.conversation AND r.run = f.run
		WHERE f.conversation = ? AND f.n > ? ORDER BY f.n LIMIT ?`, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	return out, nil
}

// FactCounts implements conversation.Store.
func (s *Store) FactCounts(ctx context.Context, ids []conversation.ID) (map[conversation.ID]int64, error) {
	out := make(map[conversation.ID]int64, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	err := s.each(ctx, func(rows *sql.Rows) error {
		var id conversation.ID
		var n int64
		if err := rows.Scan(&id, &n); err != nil {
			return err
		}
		out[id] = n
		return nil
	}, "SELECT id, facts FROM conversations WHERE id IN (?)", bun.List(ids))
	if err != nil {
		return nil, fmt.Errorf("count facts: %w", err)
	}
	return out, nil
}

// NameLog implements conversation.Store.
func (s *Store) NameLog(ctx context.Context, id conversation.ID, seen, fence int64) (int64, conversation.Seed, error) {
	var seed conversation.Seed
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		r, err := s.lock(ctx, id, "")
		if err != nil {
			return err
		}
		if r.log.Counter != seen || r.fence != fence {
			return conversation.ErrLogRenamed
		}
		if _, err := s.exec(ctx, "UPDATE conversations SET log_epoch = ?, log_nonce = NULL, log_fence = ? WHERE id = ?", seen+1, fence, id); err != nil {
			return err
		}
		rec, err := s.record(ctx, r)
		if err != nil {
			return err
		}
		seed = conversation.Seed{Fence: r.fence, Facts: r.facts, Header: rec.Header, Turns: rec.Turns, Head: rec.Head, Result: rec.Result, Failure: rec.Failure}
		if rec.Running != nil {
			seed.Running = rec.Running.No
		}
		return nil
	})
	if err != nil {
		return 0, conversation.Seed{}, fmt.Errorf("name log: %w", err)
	}
	return seen + 1, seed, nil
}

// RecordNonce implements conversation.Store.
func (s *Store) RecordNonce(ctx context.Context, id conversation.ID, ep conversation.Epoch, fence int64) error {
	n, err := s.exec(ctx, `UPDATE conversations SET log_nonce = ? WHERE id = ? AND log_epoch = ? AND log_fence = ? AND fence = ?
		AND (log_nonce IS NULL OR log_nonce = ?)`, ep.Nonce, id, ep.Counter, fence, fence, ep.Nonce)
	if err != nil {
		return fmt.Errorf("record nonce: %w", err)
	}
	if n == 0 {
		return conversation.ErrLogRenamed
	}
	return nil
}
