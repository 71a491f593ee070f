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

// Options of a Store; zero means the value in brackets.
type Options struct {
	// SessionTTL is how long a session lives after it was last seen [15 min].
	SessionTTL time.Duration
	// SessionsPerUser bounds the visits of one user [64].
	SessionsPerUser int
	// Lease is how long a node's entries outlive its last beat [6 s].
	Lease time.Duration
}

// Store implements sessions.Store.
type Store struct {
	opt Options

	// mu guards the maps. Sessions and tickets are keyed by their hash.
	mu       sync.Mutex
	sessions map[conversation.LearnerID]map[string]sessions.Session
	nodes    map[string]time.Time
	conns    map[conversation.LearnerID]map[string]sessions.Connection
	viewers  map[conversation.ID]map[string]sessions.Viewer
	tickets  map[string]ticket
}

type ticket struct {
	t   sessions.Ticket
	end time.Time
}

// New makes an empty store.
func New(o Options) *Store {
	if o.SessionTTL <= 0 {
		o.SessionTTL = 15 * time.Minute
	}
	if o.SessionsPerUser <= 0 {
		o.SessionsPerUser = 64
	}
	if o.Lease <= 0 {
		o.Lease = 6 * time.Second
	}
	s := &Store{opt: o}
	s.Wipe()
	return s
}

var _ sessions.Store = (*Store)(nil)

// Wipe forgets everything, as a Redis does that lost its data.
func (m *Store) Wipe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions = map[conversation.LearnerID]map[string]sessions.Session{}
	m.nodes = map[string]time.Time{}
	m.conns = map[conversation.LearnerID]map[string]sessions.Connection{}
	m.viewers = map[conversation.ID]map[string]sessions.Viewer{}
	m.tickets = map[string]ticket{}
}

// live needs mu.
func (m *Store) live(user conversation.LearnerID, hash string) (sessions.Session, bool) {
	s, ok := m.sessions[user][hash]
	return s, ok && !m.ended(s)
}

func (m *Store) ended(s sessions.Session) bool {
	return !time.Now().Before(s.LastSeen.Add(m.opt.SessionTTL))
}

// put needs mu.
func (m *Store) put(s sessions.Session, hash string) sessions.Session {
	mine := m.sessions[s.User]
	if mine == nil {
		mine = map[string]sessions.Session{}
		m.sessions[s.User] = mine
	}
	s.LastSeen = time.Now()
	mine[hash] = copied(s, "")
	return s
}

// Create implements sessions.Visits.
func (m *Store) Create(_ context.Context, s sessions.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for user, mine := range m.sessions {
		maps.DeleteFunc(mine, func(_ string, s sessions.Session) bool { return m.ended(s) })
		if len(mine) == 0 {
			delete(m.sessions, user)
		}
	}
	h, mine := sessions.HashID(s.ID), m.sessions[s.User]
	if _, again := mine[h]; !again && len(mine) >= m.opt.SessionsPerUser {
		delete(mine, slices.MinFunc(slices.Collect(maps.Keys(mine)), func(a, b string) int {
			return mine[a].LastSeen.Compare(mine[b].LastSeen)
		}))
	}
	m.put(s, h)
	return nil
}

// Get implements sessions.Visits.
func (m *Store) Get(_ context.Context, id string, user conversation.LearnerID) (sessions.Session, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.live(user, sessions.HashID(id))
	if !ok {
		return sessions.Session{}, false, nil
	}
	return copied(s, id), true, nil
}

// Take implements sessions.Visits.
func (m *Store) Take(_ context.Context, id string, user conversation.LearnerID, holder string) (sessions.Session, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := sessions.HashID(id)
	s, ok := m.live(user, h)
	if !ok {
		return sessions.Session{}, false, nil
	}
	s.Holder = holder
	return copied(m.put(s, h), id), true, nil
}

// Update implements sessions.Visits.
func (m *Store) Update(_ context.Context, s sessions.Session) (sessions.Outcome, error) {
	return m.update(s, func(old sessions.Session) sessions.Session { s.Created = old.Created; return s }), nil
}

// Extend implements sessions.Visits.
func (m *Store) Extend(_ context.Context, s sessions.Session) (sessions.Outcome, error) {
	return m.update(s, func(old sessions.Session) sessions.Session { return old }), nil
}

func (m *Store) update(s sessions.Session, become func(sessions.Session) sessions.Session) sessions.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := sessions.HashID(s.ID)
	switch old, ok := m.live(s.User, h); {
	case !ok:
		return sessions.Gone
	case old.Holder != s.Holder:
		return sessions.Taken
	default:
		m.put(become(old), h)
		return sessions.Done
	}
}

// Delete implements sessions.Visits.
func (m *Store) Delete(_ context.Context, id string, user conversation.LearnerID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions[user], sessions.HashID(id))
	return nil
}

// List implements sessions.Visits.
func (m *Store) List(_ context.Context, user conversation.LearnerID) ([]sessions.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sessions.Session
	for h, s := range m.sessions[user] {
		if !m.ended(s) {
			out = append(out, copied(s, h))
		}
	}
	slices.SortFunc(out, func(a, b sessions.Session) int { return b.LastSeen.Compare(a.LastSeen) })
	return out, nil
}

func copied(s sessions.Session, id string) sessions.Session {
	s.ID = id
	s.Subs = maps.Clone(s.Subs)
	return s
}

// PutTicket implements sessions.Tickets.
func (m *Store) PutTicket(_ context.Context, hash string, t sessions.Ticket, life time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(m.tickets, func(_ string, t ticket) bool { return !now.Before(t.end) })
	m.tickets[hash] = ticket{t, now.Add(life)}
	return nil
}

// TakeTicket implements sessions.Tickets.
func (m *Store) TakeTicket(_ context.Context, hash string) (sessions.Ticket, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tickets[hash]
	delete(m.tickets, hash)
	if !ok || !time.Now().Before(t.end) {
		return sessions.Ticket{}, false, nil
	}
	return t.t, true, nil
}
