package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
)

// shreddedMark stands in an erased conversation's nonce when its log is gone
// from Redis; a nonce is hexadecimal, so it cannot be one.
const shreddedMark = "shredded"

// Erase implements conversation.Archive. The row stays, without anything that
// somebody wrote: its fence and counter refuse whoever was writing.
func (s *Store) Erase(ctx context.Context, owner conversation.LearnerID, id conversation.ID) (int64, error) {
	var counter int64
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		r, err := s.lock(ctx, id, owner)
		if errors.Is(err, conversation.ErrNotFound) {
			counter, err = s.erased(ctx, owner, id)
			return err
		}
		if err != nil {
			return err
		}
		for _, table := range []string{"facts", "runs", "turns"} {
			if _, err := s.exec(ctx, "DELETE FROM "+table+" WHERE conversation = ?", id); err != nil {
				return fmt.Errorf("erase %s: %w", table, err)
			}
		}
		// What a paused maker has named may still come: its counter is refused.
		counter = r.log.Counter + 1
		_, err = s.exec(ctx, `UPDATE conversations SET title = '', meta = '{}', client_id = ?, state = ?, turns = 0, runs = 0,
			fence = fence + 1, log_epoch = ?, log_nonce = NULL, updated_at = ?, deleted_at = ? WHERE id = ?`,
			"erased:"+string(id), conversation.StateEnded, counter, s.micros(), s.micros(), id)
		return err
	})
	if err != nil && !errors.Is(err, conversation.ErrNotFound) {
		return 0, fmt.Errorf("erase conversation: %w", err)
	}
	return counter, err
}

// erased is the counter of a conversation that was erased before.
func (s *Store) erased(ctx context.Context, owner conversation.LearnerID, id conversation.ID) (counter int64, err error) {
	err = s.db.Conn(ctx).QueryRowContext(ctx, "SELECT log_epoch FROM conversations WHERE id = ? AND (? = '' OR owner = ?)", id, owner, owner).Scan(&counter)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, conversation.ErrNotFound
	}
	return counter, err
}

// Of implements conversation.Archive.
func (s *Store) Of(ctx context.Context, owner conversation.LearnerID, after conversation.ID, limit int) ([]conversation.ID, error) {
	return s.ids(ctx, "SELECT id FROM conversations WHERE owner = ? AND deleted_at IS NULL AND id > ? ORDER BY id LIMIT ?", owner, after, limit)
}

// Still implements conversation.Archive.
func (s *Store) Still(ctx context.Context, from, to int64, limit int) ([]conversation.Resting, error) {
	var out []conversation.Resting
	err := s.each(ctx, func(rows *sql.Rows) error {
		var c conversation.Resting
		err := rows.Scan(&c.ID, &c.Changed)
		out = append(out, c)
		return err
	}, `SELECT c.id, c.updated_at FROM conversations c WHERE c.deleted_at IS NULL AND c.updated_at >= ? AND c.updated_at < ?
		AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.conversation = c.id AND r.state IN ('pending', 'running'))
		ORDER BY c.updated_at LIMIT ?`, from, to, limit)
	if err != nil {
		return nil, fmt.Errorf("list conversations at rest: %w", err)
	}
	return out, nil
}

func (s *Store) ids(ctx context.Context, q string, args ...any) (out []conversation.ID, err error) {
	err = s.each(ctx, func(rows *sql.Rows) error {
		var id conversation.ID
		err := rows.Scan(&id)
		out = append(out, id)
		return err
	}, q, args...)
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	return out, nil
}

// Unshredded implements conversation.Archive.
func (s *Store) Unshredded(ctx context.Context, limit int) (map[conversation.ID]int64, error) {
	out := map[conversation.ID]int64{}
	err := s.each(ctx, func(rows *sql.Rows) error {
		var id conversation.ID
		var counter int64
		err := rows.Scan(&id, &counter)
		out[id] = counter
		return err
	}, "SELECT id, log_epoch FROM conversations WHERE deleted_at IS NOT NULL AND coalesce(log_nonce, '') <> ? ORDER BY deleted_at LIMIT ?", shreddedMark, limit)
	if err != nil {
		return nil, fmt.Errorf("list erased conversations: %w", err)
	}
	return out, nil
}

// Shredded implements conversation.Archive.
func (s *Store) Shredded(ctx context.Context, id conversation.ID) error {
	_, err := s.exec(ctx, "UPDATE conversations SET log_nonce = ? WHERE id = ? AND deleted_at IS NOT NULL", shreddedMark, id)
	return err
}

// stuckAfter is how long an open run may be still, in microseconds.
const stuckAfter = 120_000_000

// Census implements conversation.Archive.
func (s *Store) Census(ctx context.Context) (conversation.Census, error) {
	var c conversation.Census
	err := s.each(ctx, func(rows *sql.Rows) error {
		var state string
		var erased bool
		var n int64
		if err := rows.Scan(&state, &erased, &n); err != nil {
			return err
		}
		switch {
		case erased:
			c.Erased += n
		case state == conversation.StateEnded:
			c.Ended += n
		default:
			c.Idle += n // those with a run are taken off below
		}
		return nil
	}, "SELECT state, deleted_at IS NOT NULL, count(*) FROM conversations GROUP BY 1, 2")
	if err != nil {
		return c, fmt.Errorf("count conversations: %w", err)
	}
	now := s.micros()
	err = s.each(ctx, func(rows *sql.Rows) error {
		var writing, updated int64
		var ended bool
		if err := rows.Scan(&writing, &updated, &ended); err != nil {
			return err
		}
		switch {
		case ended: // counted there
		case writing > 0:
			c.Writing++
			c.Idle--
		default:
			c.Waiting++
			c.Idle--
		}
		c.OldestRun = max(c.OldestRun, float64(now-updated)/1e6)
		if now-updated > stuckAfter {
			c.Stuck++
		}
		return nil
	}, `SELECT sum(CASE WHEN r.state = 'running' THEN 1 ELSE 0 END), min(r.updated_at), c.state = 'ended' FROM runs r JOIN conversations c ON c.id = r.conversation
		WHERE r.state IN ('pending', 'running') AND c.deleted_at IS NULL GROUP BY r.conversation, c.state`)
	if err != nil {
		return c, fmt.Errorf("count open runs: %w", err)
	}
	return c, nil
}

// ReportDamage implements conversation.Archive.
func (s *Store) ReportDamage(ctx context.Context, d conversation.Damage) error {
	_, err := s.exec(ctx, "INSERT INTO damages (id, conversation, node, what, place, found_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
		d.ID, d.Conversation, d.Node, d.What, d.Place, d.Found)
	return err
}

// Damages implements conversation.Archive.
func (s *Store) Damages(ctx context.Context, limit int) ([]conversation.Damage, error) {
	var out []conversation.Damage
	err := s.each(ctx, func(rows *sql.Rows) error {
		var d conversation.Damage
		err := rows.Scan(&d.ID, &d.Conversation, &d.Node, &d.What, &d.Place, &d.Found)
		out = append(out, d)
		return err
	}, "SELECT id, conversation, node, what, place, found_at FROM damages ORDER BY found_at DESC, id DESC LIMIT ?", limit)
	if err != nil {
		return nil, fmt.Errorf("list damages: %w", err)
	}
	return out, nil
}
