package memstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
)

// Register implements conversation.Nodes.
func (s *Store) Register(ctx context.Context, n conversation.Node) error {
	_, err := whole(ctx, s, "sql.register", "", func(db *DB) (nothing, error) {
		if db.nodes[n.ID] != nil {
			return nothing{}, fmt.Errorf("register node: %s is taken", n.ID)
		}
		now := micros()
		for id, m := range db.nodes {
			if m.Instance == n.Instance {
				m.State = "dead"
			}
			if m.State == "dead" && m.HB < now-3600_000_000 {
				delete(db.nodes, id)
			}
		}
		db.nodes[n.ID] = &conversation.Member{Node: n, State: "active", HB: now}
		return nothing{}, nil
	})
	return err
}

// Heartbeat implements conversation.Nodes.
func (s *Store) Heartbeat(ctx context.Context, node string) error {
	_, err := whole(ctx, s, "sql.heartbeat", "", func(db *DB) (nothing, error) {
		m := db.nodes[node]
		if m == nil || m.State == "dead" {
			return nothing{}, conversation.ErrNodeDead
		}
		m.HB = micros()
		return nothing{}, nil
	})
	return err
}

// Members implements conversation.Nodes.
func (s *Store) Members(ctx context.Context) ([]conversation.Member, error) {
	return whole(ctx, s, "sql.members", "", func(db *DB) ([]conversation.Member, error) {
		out := make([]conversation.Member, 0, len(db.nodes))
		now := micros()
		for _, m := range db.nodes {
			c := *m
			c.AgeMicros = now - m.HB
			out = append(out, c)
		}
		slices.SortFunc(out, func(a, b conversation.Member) int { return strings.Compare(a.ID, b.ID) })
		return out, nil
	})
}

// Bury implements conversation.Nodes.
func (s *Store) Bury(ctx context.Context, node string, seen int64) (bool, error) {
	return whole(ctx, s, "sql.bury", "", func(db *DB) (bool, error) {
		m := db.nodes[node]
		if m == nil || m.HB != seen || m.State == "dead" {
			return false, nil
		}
		m.State = "dead"
		return true, nil
	})
}

// SetNodeState implements conversation.Nodes.
func (s *Store) SetNodeState(ctx context.Context, node, state string) error {
	_, err := whole(ctx, s, "sql.set_node_state", "", func(db *DB) (nothing, error) {
		if m := db.nodes[node]; m != nil && m.State != "dead" {
			m.State = state
		}
		return nothing{}, nil
	})
	return err
}
