// Package memstore is a session store in the memory of one process, for tests
// and for a node that has no Redis. It keeps the contract of
// sessions/storetest.
package memstore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// Store implements sessions.Store.
type Store struct {
	ttl time.Duration
	now func() time.Time

	// mu guards the maps. Sessions are keyed by the hash of their id.
	mu       sync.Mutex
	sessions map[string]entry
	viewers  map[conversation.ID]map[string]sessions.Viewer
}

type entry struct {
	s   sessions.Session
	end time.Time
}

// New makes an empty store whose sessions live for ttl after they were last
// seen; 0 means 15 minutes.
func New(ttl time.Duration) *Store {
	if ttl <= 0 {
		ttl = 15 * time.Minute
	}
	return &Store{
		ttl: ttl, now: time.Now,
		sessions: map[string]entry{}, viewers: map[conversation.ID]map[string]sessions.Viewer{},
	}
}

var _ sessions.Store = (*Store)(nil)

// Get implements sessions.Store.
func (m *Store) Get(_ context.Context, id string, user conversation.LearnerID) (sessions.Session, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := sessions.HashID(id)
	e, ok := m.sessions[h]
	if !ok || e.s.User != user || !m.now().Before(e.end) {
		return sessions.Session{}, false, nil
	}
	e.end = m.now().Add(m.ttl)
	m.sessions[h] = e
	return copied(e.s, id), true, nil
}

// Save implements sessions.Store.
func (m *Store) Save(_ context.Context, s sessions.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	maps.DeleteFunc(m.sessions, func(_ string, e entry) bool { return !now.Before(e.end) })
	h := sessions.HashID(s.ID)
	if e, ok := m.sessions[h]; ok && e.s.User != s.User {
		return nil
	}
	m.sessions[h] = entry{copied(s, ""), now.Add(m.ttl)}
	return nil
}

// Delete implements sessions.Store.
func (m *Store) Delete(_ context.Context, id string, user conversation.LearnerID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := sessions.HashID(id); m.sessions[h].s.User == user {
		delete(m.sessions, h)
	}
	return nil
}

// List implements sessions.Store.
func (m *Store) List(_ context.Context, user conversation.LearnerID) ([]sessions.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sessions.Session
	for h, e := range m.sessions {
		if e.s.User == user && m.now().Before(e.end) {
			out = append(out, copied(e.s, h))
		}
	}
	slices.SortFunc(out, func(a, b sessions.Session) int { return b.LastSeen.Compare(a.LastSeen) })
	return out, nil
}

// PutViewers implements sessions.Store.
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

// DropViewers implements sessions.Store.
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

// ListViewers implements sessions.Store.
func (m *Store) ListViewers(_ context.Context, id conversation.ID) ([]sessions.Viewer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.viewers[id]), sessions.CompareViewers), nil
}

func copied(s sessions.Session, id string) sessions.Session {
	s.ID = id
	s.Subs = maps.Clone(s.Subs)
	return s
}
