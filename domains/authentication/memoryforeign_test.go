package authentication

import (
	"context"
	"time"
)

func (m *memory) ByIdentity(ctx context.Context, id ForeignIdentity) (*Learner, error) {
	m.mu.Lock()
	l := m.known[id]
	m.mu.Unlock()
	return m.ByID(ctx, l)
}

func (m *memory) AddIdentity(_ context.Context, l LearnerID, id ForeignIdentity) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.known[id]; taken {
		return ErrIdentityTaken
	}
	m.known[id] = l
	return nil
}

func (m *memory) Identities(_ context.Context, l LearnerID) (out []ForeignIdentity, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, of := range m.known {
		if of == l {
			out = append(out, id)
		}
	}
	return out, nil
}

func (m *memory) TokensFrom(_ context.Context, id ForeignIdentity) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.marks[id], nil
}

func (m *memory) AddForeignToken(_ context.Context, key TokenHash, f FamilyID, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.foreign[key] = f
	return nil
}

func (m *memory) ForeignFamily(_ context.Context, key TokenHash) (*Family, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.families[m.foreign[key]]; ok {
		return RehydrateFamily(f), nil
	}
	return nil, ErrNoToken
}
