package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// Beat implements sessions.Presence.
func (m *Store) Beat(_ context.Context, node string) (fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh = !m.alive(node)
	m.nodes[node] = time.Now().Add(m.opt.Lease)
	return fresh, nil
}

// Leave implements sessions.Presence.
func (m *Store) Leave(_ context.Context, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.nodes, node)
	return nil
}

// alive needs mu.
func (m *Store) alive(node string) bool { return time.Now().Before(m.nodes[node]) }

// Enter implements sessions.Presence.
func (m *Store) Enter(_ context.Context, c sessions.Connection, most int) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mine := m.conns[c.User]
	if _, again := mine[c.ID]; !again && len(mine) >= most {
		maps.DeleteFunc(mine, func(_ string, o sessions.Connection) bool { return !m.alive(o.Node) })
		n := 0
		for _, o := range mine {
			if c.Session == "" || o.Session != c.Session {
				n++
			}
		}
		if n >= most {
			return false, nil
		}
	}
	m.putConnection(c)
	return true, nil
}

// putConnection needs mu.
func (m *Store) putConnection(c sessions.Connection) {
	if m.conns[c.User] == nil {
		m.conns[c.User] = map[string]sessions.Connection{}
	}
	m.conns[c.User][c.ID] = c
}

// PutConnections implements sessions.Presence.
func (m *Store) PutConnections(_ context.Context, cs []sessions.Connection) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range cs {
		m.putConnection(c)
	}
	return nil
}

// Exit implements sessions.Presence.
func (m *Store) Exit(_ context.Context, cs []sessions.Connection) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range cs {
		if delete(m.conns[c.User], c.ID); len(m.conns[c.User]) == 0 {
			delete(m.conns, c.User)
		}
	}
	return nil
}

// Connections implements sessions.Presence.
func (m *Store) Connections(_ context.Context, user conversation.LearnerID) ([]sessions.Connection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.conns[user], func(_ string, c sessions.Connection) bool { return !m.alive(c.Node) })
	return slices.SortedFunc(maps.Values(m.conns[user]), sessions.CompareConnections), nil
}

// PutViewers implements sessions.Presence.
func (m *Store) PutViewers(_ context.Context, vs []sessions.Viewer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range vs {
		if m.viewers[v.Conversation] == nil {
			m.viewers[v.Conversation] = map[string]sessions.Viewer{}
		}
		m.viewers[v.Conversation][v.Conn] = v
	}
	return nil
}

// DropViewers implements sessions.Presence.
func (m *Store) DropViewers(_ context.Context, vs []sessions.Viewer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range vs {
		if delete(m.viewers[v.Conversation], v.Conn); len(m.viewers[v.Conversation]) == 0 {
			delete(m.viewers, v.Conversation)
		}
	}
	return nil
}

// ListViewers implements sessions.Presence.
func (m *Store) ListViewers(_ context.Context, id conversation.ID) ([]sessions.Viewer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.viewers[id], func(_ string, v sessions.Viewer) bool { return !m.alive(v.Node) })
	return slices.SortedFunc(maps.Values(m.viewers[id]), sessions.CompareViewers), nil
}
