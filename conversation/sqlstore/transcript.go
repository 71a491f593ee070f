package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
)

// Turns returns finished messages after a number, in order: what a transcript
// is read from, page by page. Turns are never changed, so the pages fit.
func (s *Store) Turns(ctx context.Context, owner conversation.LearnerID, id conversation.ID, after int64, limit int) ([]conversation.Turn, error) {
	if _, err := s.row(ctx, id, owner, ""); err != nil {
		return nil, err
	}
	var out []conversation.Turn
	err := s.each(ctx, func(rows *sql.Rows) error {
		t, err := scanTurn(rows)
		out = append(out, t)
		return err
	}, "SELECT "+turnColumns+" FROM turns t WHERE t.conversation = ? AND t.n > ? ORDER BY t.n LIMIT ?", id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read transcript: %w", err)
	}
	return out, nil
}

// Path numbers the turns of a branch in the order of the talk, from its
// beginning to its tip; run 0 is the branch that is shown. An unknown run is
// ErrNotFound.
func (s *Store) Path(ctx context.Context, owner conversation.LearnerID, id conversation.ID, run int64) ([]int64, error) {
	r, err := s.row(ctx, id, owner, "")
	if err != nil {
		return nil, err
	}
	_, path, err := s.path(ctx, r, run)
	return numbers(path), err
}

// TurnsOf reads turns by their numbers, which all have to be there, in that
// order: a part of what Path returned.
func (s *Store) TurnsOf(ctx context.Context, owner conversation.LearnerID, id conversation.ID, ns []int64) ([]conversation.Turn, error) {
	if _, err := s.row(ctx, id, owner, ""); err != nil || len(ns) == 0 {
		return nil, err
	}
	return s.texts(ctx, id, ns)
}
