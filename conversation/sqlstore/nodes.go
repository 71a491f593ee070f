package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Register implements conversation.Nodes. On SQLite, which belongs to one
// process, every other node is dead by definition.
func (s *Store) Register(ctx context.Context, n conversation.Node) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		q, args := "UPDATE nodes SET state = 'dead' WHERE node_id <> ? AND instance = ?", []any{n.ID, n.Instance}
		if s.db.Engine == sqldb.SQLite {
			q, args = "UPDATE nodes SET state = 'dead' WHERE node_id <> ?", []any{n.ID}
		}
		if _, err := s.exec(ctx, q, args...); err != nil {
			return fmt.Errorf("register node: %w", err)
		}
		// Rows of long dead nodes say nothing any more.
		if _, err := s.exec(ctx, "DELETE FROM nodes WHERE state = 'dead' AND hb < "+s.db.Now()+" - 3600000000"); err != nil {
			return fmt.Errorf("register node: %w", err)
		}
		if _, err := s.exec(ctx, `INSERT INTO nodes (node_id, instance, boot_id, addr, version, state, hb, started_at)
			VALUES (?, ?, ?, ?, ?, 'active', `+s.db.Now()+`, `+s.db.Now()+`)`, n.ID, n.Instance, n.BootID, n.Addr, n.Version); err != nil {
			return fmt.Errorf("register node: %w", err)
		}
		return nil
	})
}

// Heartbeat implements conversation.Nodes.
func (s *Store) Heartbeat(ctx context.Context, node string) error {
	n, err := s.exec(ctx, "UPDATE nodes SET hb = "+s.db.Now()+" WHERE node_id = ? AND state <> 'dead'", node)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if n == 0 {
		return conversation.ErrNodeDead
	}
	return nil
}

// Members implements conversation.Nodes.
func (s *Store) Members(ctx context.Context) ([]conversation.Member, error) {
	var out []conversation.Member
	err := s.each(ctx, func(rows *sql.Rows) error {
		var m conversation.Member
		if err := rows.Scan(&m.ID, &m.Instance, &m.BootID, &m.Addr, &m.Version, &m.State, &m.HB, &m.AgeMicros); err != nil {
			return err
		}
		out = append(out, m)
		return nil
	}, "SELECT node_id, instance, boot_id, addr, version, state, hb, "+s.db.Now()+" - hb FROM nodes")
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return out, nil
}

// Bury implements conversation.Nodes.
func (s *Store) Bury(ctx context.Context, node string, seen int64) (bool, error) {
	n, err := s.exec(ctx, "UPDATE nodes SET state = 'dead' WHERE node_id = ? AND hb = ? AND state <> 'dead'", node, seen)
	if err != nil {
		return false, fmt.Errorf("bury node: %w", err)
	}
	return n == 1, nil
}

// SetNodeState implements conversation.Nodes.
func (s *Store) SetNodeState(ctx context.Context, node, state string) error {
	if _, err := s.exec(ctx, "UPDATE nodes SET state = ? WHERE node_id = ? AND state <> 'dead'", state, node); err != nil {
		return fmt.Errorf("set node state: %w", err)
	}
	return nil
}

// Incarnation implements conversation.Store: the same identity, the same
// number; a new identity, the next one.
func (s *Store) Incarnation(ctx context.Context, identity string) (int64, error) {
	// Of those who meet here one gets the next number, the others look again.
	for range 100 {
		var inc int64
		err := s.conn(ctx).QueryRowContext(ctx, "SELECT inc FROM redis_incarnations WHERE identity = ?", identity).Scan(&inc)
		if err == nil {
			return inc, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return 0, fmt.Errorf("incarnation: %w", err)
		}
		_, err = s.exec(ctx, `INSERT INTO redis_incarnations (identity, inc)
			SELECT ?, coalesce(max(inc), 0) + 1 FROM redis_incarnations`, identity)
		if err != nil && !sqldb.IsUnique(err) {
			return 0, fmt.Errorf("incarnation: %w", err)
		}
	}
	return 0, fmt.Errorf("incarnation: too many nodes register at once")
}
