package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/uptrace/bun"

	"github.com/fluentpro/fluentpro/conversation"
)

// Claimable implements conversation.Store.
func (s *Store) Claimable(ctx context.Context, alive []string, only conversation.ID, limit int) ([]conversation.Candidate, error) {
	if len(alive) == 0 {
		alive = []string{""}
	}
	// A run of a kind that came with a newer version waits for a node of it.
	q := `SELECT r.conversation, r.run, r.state, r.attempt, c.fence, r.owner
		FROM runs r JOIN conversations c ON c.id = r.conversation
		WHERE r.state IN ('pending', 'running') AND c.deleted_at IS NULL
		AND (r.state = 'pending' OR r.owner NOT IN (?)) AND r.purpose IN (?)
		AND NOT EXISTS (SELECT 1 FROM runs q WHERE q.conversation = r.conversation AND q.run < r.run AND q.state IN ('pending', 'running'))`
	args := []any{bun.List(alive), bun.List([]string{purposeScenario, purposePartner})}
	if only != "" {
		q += " AND r.conversation = ?"
		args = append(args, only)
	}
	q += " ORDER BY r.created_at LIMIT ?"
	args = append(args, limit)
	var out []conversation.Candidate
	err := s.each(ctx, func(rows *sql.Rows) error {
		var c conversation.Candidate
		if err := rows.Scan(&c.ID, &c.Run, &c.State, &c.Attempt, &c.Fence, &c.Owner); err != nil {
			return err
		}
		out = append(out, c)
		return nil
	}, q, args...)
	if err != nil {
		return nil, fmt.Errorf("list claimable runs: %w", err)
	}
	return out, nil
}

// Claim implements conversation.Store: one compare-and-set on the fence and
// one on the run. A node that is draining or dead claims nothing.
func (s *Store) Claim(ctx context.Context, c conversation.Candidate, node string) (conversation.Claim, error) {
	var cl conversation.Claim
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, `UPDATE conversations SET fence = fence + 1 WHERE id = ? AND fence = ? AND deleted_at IS NULL
			AND EXISTS (SELECT 1 FROM nodes WHERE node_id = ? AND state = 'active')`, c.ID, c.Fence, node)
		if err != nil {
			return err
		}
		if n == 0 {
			return conversation.ErrClaimLost
		}
		n, err = s.exec(ctx, `UPDATE runs SET state = 'running', attempt = attempt + 1, fence = ?, owner = ?, updated_at = ?
			WHERE conversation = ? AND run = ? AND state = ? AND attempt = ? AND owner = ?`,
			c.Fence+1, node, s.micros(), c.ID, c.Run, c.State, c.Attempt, c.Owner)
		if err != nil {
			return err
		}
		if n == 0 {
			return conversation.ErrClaimLost
		}
		row, err := s.run(ctx, c.ID, c.Run)
		if err != nil {
			return err
		}
		var facts int64
		if err := s.conn(ctx).QueryRowContext(ctx, "SELECT facts FROM conversations WHERE id = ?", c.ID).Scan(&facts); err != nil {
			return err
		}
		cl = conversation.Claim{Run: row.Run, Fence: c.Fence + 1, Before: c.Owner, Tries: row.Attempt - row.Handoffs, Log: row.Log,
			Handoff: c.State == conversation.RunPending && row.Handoffs > 0, Facts: facts,
			Text: row.Text, TextLen: row.TextLen, Base: row.Base, Cancel: row.Cancel}
		return nil
	})
	if err != nil {
		return conversation.Claim{}, fmt.Errorf("claim: %w", err)
	}
	return cl, nil
}

const runColumns = `r.run, r.purpose, r.parent, r.message_id, r.state, r.attempt, r.fence, r.owner, r.base, r.text, r.text_len,
	r.finish, r.cancel, r.handoffs, r.correlation, r.updated_at, c.log_epoch, coalesce(c.log_nonce, '')`

func scanRun(id conversation.ID, scan func(...any) error) (conversation.RunRow, error) {
	r := conversation.RunRow{Run: conversation.Run{Conversation: id}}
	var cancel int64
	err := scan(&r.No, &r.Purpose, &r.Parent, &r.MessageID, &r.State, &r.Attempt, &r.Fence, &r.Owner, &r.Base, &r.Text, &r.TextLen,
		&r.Finish, &cancel, &r.Handoffs, &r.Correlation, &r.Updated, &r.Log.Counter, &r.Log.Nonce)
	r.Cancel = cancel != 0
	return r, err
}

func (s *Store) run(ctx context.Context, id conversation.ID, run int64) (conversation.RunRow, error) {
	r, err := scanRun(id, s.conn(ctx).QueryRowContext(ctx, "SELECT "+runColumns+
		" FROM runs r JOIN conversations c ON c.id = r.conversation WHERE r.conversation = ? AND r.run = ?", id, run).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, conversation.ErrNotFound
	}
	return r, err
}

// RunState implements conversation.Store.
func (s *Store) RunState(ctx context.Context, owner conversation.LearnerID, id conversation.ID, run int64) (conversation.RunRow, error) {
	r, err := scanRun(id, s.conn(ctx).QueryRowContext(ctx, "SELECT "+runColumns+
		` FROM runs r JOIN conversations c ON c.id = r.conversation
		WHERE r.conversation = ? AND r.run = ? AND (? = '' OR c.owner = ?) AND c.deleted_at IS NULL`, id, run, owner, owner).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, conversation.ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("read run: %w", err)
	}
	return r, nil
}

// Owned implements conversation.Store.
func (s *Store) Owned(ctx context.Context, node string) ([]conversation.OwnedRun, error) {
	var out []conversation.OwnedRun
	err := s.each(ctx, func(rows *sql.Rows) error {
		var o conversation.OwnedRun
		var cancel int64
		if err := rows.Scan(&o.ID, &o.Run, &o.Fence, &cancel); err != nil {
			return err
		}
		o.Cancel = cancel != 0
		out = append(out, o)
		return nil
	}, "SELECT conversation, run, fence, cancel FROM runs WHERE state = 'running' AND owner = ?", node)
	if err != nil {
		return nil, fmt.Errorf("list own runs: %w", err)
	}
	return out, nil
}

// Release implements conversation.Store. The attempt that a hand-over costs is
// counted as planned, so it does not use up the run's tries.
func (s *Store) Release(ctx context.Context, id conversation.ID, run, fence int64) error {
	_, err := s.exec(ctx, `UPDATE runs SET state = 'pending', owner = '', handoffs = handoffs + 1, updated_at = ?
		WHERE conversation = ? AND run = ? AND fence = ? AND state = 'running'`, s.micros(), id, run, fence)
	if err != nil {
		return fmt.Errorf("release run: %w", err)
	}
	return nil
}

// AskCancel implements conversation.Store.
func (s *Store) AskCancel(ctx context.Context, id conversation.ID, run int64) error {
	_, err := s.exec(ctx, "UPDATE runs SET cancel = 1 WHERE conversation = ? AND run = ? AND state IN ('pending', 'running')", id, run)
	if err != nil {
		return fmt.Errorf("ask cancel: %w", err)
	}
	return nil
}

// Checkpoint implements conversation.Store: one transaction for text of many
// runs. A piece that is there already, or whose run has another owner now, is
// passed over; the latter learns it from its next append.
func (s *Store) Checkpoint(ctx context.Context, cs []conversation.Checkpoint) error {
	// One order of row locks for all writers.
	sort.Slice(cs, func(i, j int) bool { return strings.Compare(string(cs[i].ID), string(cs[j].ID)) < 0 })
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		for _, c := range cs {
			q := `UPDATE runs SET text = text || ?, text_len = text_len + ?, base = ? WHERE conversation = ? AND run = ? AND fence = ? AND state = 'running' AND text_len = ? AND (base = ? OR text_len = 0 AND base < ?)`
			args := []any{c.Text, c.Len, c.Base, c.ID, c.Run, c.Fence, c.At, c.Base, c.Base}
			if c.Whole {
				q = `UPDATE runs SET text = ?, text_len = ?, base = ? WHERE conversation = ? AND run = ? AND fence = ? AND state = 'running'`
				args = []any{c.Text, c.Len, c.Base, c.ID, c.Run, c.Fence}
			}
			if _, err := s.exec(ctx, q, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
