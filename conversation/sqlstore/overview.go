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
