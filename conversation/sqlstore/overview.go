package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
)

// Overview lists conversations for operators, newest first.
func (s *Store) Overview(ctx context.Context, f conversation.OverviewFilter) ([]conversation.Overview, error) {
	if f.Limit <= 0 || f.Limit > 500 {
		f.Limit = 50
	}
	q := `SELECT * FROM (SELECT c.id AS id, c.kind AS kind, c.owner AS owner, c.fence AS fence, c.turns AS turns,
		coalesce(r.run, 0) AS run, coalesce(r.attempt, 0) AS attempt, coalesce(r.owner, '') AS node,
		coalesce(r.updated_at, c.updated_at) AS updated,
		CASE WHEN r.state = 'running' THEN 'writing' WHEN r.state = 'pending' THEN 'waiting'
			WHEN c.state = 'ended' THEN 'ended' ELSE 'idle' END AS state
		FROM conversations c LEFT JOIN runs r ON r.conversation = c.id AND r.state IN ('pending', 'running')
			AND NOT EXISTS (SELECT 1 FROM runs p WHERE p.conversation = c.id AND p.run < r.run AND p.state IN ('pending', 'running'))
		WHERE c.deleted_at IS NULL) o
		WHERE (? = '' OR o.state = ?) AND (? = '' OR o.kind = ?) AND (? = '' OR o.owner = ?) AND (? = '' OR o.node = ?) AND (? = '' OR o.id < ?)
		ORDER BY o.id DESC LIMIT ?`
	now := s.micros()
	var out []conversation.Overview
	err := s.each(ctx, func(rows *sql.Rows) error {
		var o conversation.Overview
		var updated int64
		if err := rows.Scan(&o.ID, &o.Kind, &o.Owner, &o.Fence, &o.Turns, &o.Run, &o.Attempt, &o.Node, &updated, &o.State); err != nil {
			return err
		}
		o.Age = float64(now-updated) / 1e6
		out = append(out, o)
		return nil
	}, q, f.State, f.State, f.Kind, f.Kind, f.Owner, f.Owner, f.Node, f.Node, f.Before, f.Before, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("overview: %w", err)
	}
	return out, nil
}

// endsBranch holds of runs r after whose reply nobody wrote, and of the tip of
// the shown branch. It takes the conversation and that tip.
const endsBranch = `(r.run NOT IN (SELECT CASE WHEN t.after_run >= 0 THEN t.after_run ELSE t.run - 1 END
	FROM turns t WHERE t.conversation = ? AND t.author = 'learner') OR r.run = ?)`

// Tree reads the newest limit runs of anybody's conversation with their places
// in it, for operators. A run that is accepted meanwhile may be in one part of
// the answer only.
func (s *Store) Tree(ctx context.Context, id conversation.ID, limit int) (conversation.Tree, error) {
	tree := conversation.Tree{Runs: []conversation.TreeRun{}}
	r, err := s.row(ctx, id, "", "")
	if err != nil {
		return tree, err
	}
	if tree.Head, err = s.head(ctx, r); err != nil {
		return tree, fmt.Errorf("read head: %w", err)
	}
	err = s.conn(ctx).QueryRowContext(ctx, "SELECT count(*) FROM runs r WHERE r.conversation = ? AND "+endsBranch, id, id, tree.Head.Run).Scan(&tree.Branches)
	if err != nil {
		return tree, fmt.Errorf("count branches: %w", err)
	}
	err = s.each(ctx, func(rows *sql.Rows) error {
		var run conversation.TreeRun
		var before int64 // the turn before Parent, which After tells better
		err := rows.Scan(&run.Run, &run.Parent, &run.ParentID, &run.Attempt, &run.State, &run.Tip, &before, &run.After)
		tree.Runs = append(tree.Runs, run)
		return err
	}, "SELECT r.run, r.parent, coalesce(t.id, ''), r.attempt, r.state, "+endsBranch+", "+turnLinks+`
		FROM runs r LEFT JOIN turns t ON t.conversation = r.conversation AND t.n = r.parent
		WHERE r.conversation = ? ORDER BY r.run DESC LIMIT ?`, id, tree.Head.Run, id, limit+1)
	if err != nil {
		return tree, fmt.Errorf("read tree: %w", err)
	}
	if len(tree.Runs) > limit {
		tree.Runs, tree.More = tree.Runs[:limit], true
	}
	return tree, nil
}
