package authentication

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is set by hand.
type clock struct{ us atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.us.Store(time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC).UnixMicro())
	return c
}
func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()) }
func (c *clock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

// memory is a Store for the rules of the service; sqlstore's contract test
// holds the real one to the same promises.
type memory struct {
	now   func() time.Time
	calls atomic.Int64
	// broken, when set, is what every call answers.
	broken atomic.Pointer[error]

	mu       sync.Mutex
	learners map[LearnerID]LearnerRecord
	families map[FamilyID]FamilyRecord
	tokens   map[TokenHash]memoryToken
	keys     []SigningKey
}

type memoryToken struct {
	family     FamilyID
	generation int64
}

func newMemory(now func() time.Time) *memory {
	return &memory{
		now: now, learners: map[LearnerID]LearnerRecord{},
		families: map[FamilyID]FamilyRecord{}, tokens: map[TokenHash]memoryToken{},
	}
}

func (m *memory) enter() error {
	m.calls.Add(1)
	if e := m.broken.Load(); e != nil {
		return *e
	}
	return nil
}

func (m *memory) Register(_ context.Context, l *Learner, f *Family, token TokenHash) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.learners {
		if o.Email == l.rec.Email {
			return ErrEmailTaken
		}
	}
	m.learners[l.rec.ID] = l.rec
	m.families[f.rec.ID] = f.rec
	m.tokens[token] = memoryToken{f.rec.ID, f.rec.Generation}
	return nil
}

func (m *memory) ByID(_ context.Context, id LearnerID) (*Learner, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.learners[id]; ok {
		return RehydrateLearner(r), nil
	}
	return nil, ErrNoLearner
}

func (m *memory) ByEmail(_ context.Context, email string) (*Learner, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.learners {
		if r.Email == email {
			return RehydrateLearner(r), nil
		}
	}
	return nil, ErrNoLearner
}

func (m *memory) SetPasswordHash(_ context.Context, id LearnerID, old, hash string) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.learners[id]; r.PasswordHash == old {
		r.PasswordHash = hash
		m.learners[id] = r
	}
	return nil
}

func (m *memory) StartFamily(_ context.Context, f *Family, token TokenHash) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.families[f.rec.ID] = f.rec
	m.tokens[token] = memoryToken{f.rec.ID, f.rec.Generation}
	return nil
}

func (m *memory) UseToken(_ context.Context, token TokenHash, fn func(*Family, int64, time.Time) *TokenHash) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tokens[token]
	if !ok {
		return ErrNoToken
	}
	f := RehydrateFamily(m.families[t.family])
	next := fn(f, t.generation, m.now())
	m.families[t.family] = f.rec
	if next != nil {
		m.tokens[*next] = memoryToken{t.family, f.rec.Generation}
	}
	return nil
}

func (m *memory) RevokeFamily(_ context.Context, id FamilyID, reason string) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.families[id]; ok {
		f := RehydrateFamily(r)
		f.Revoke(reason, m.now())
		m.families[id] = f.rec
	}
	return nil
}

func (m *memory) SigningKeys(context.Context) ([]SigningKey, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]SigningKey(nil), m.keys...), nil
}

func (m *memory) AddSigningKey(_ context.Context, k SigningKey) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.keys {
		if o.N == k.N {
			return ErrKeyExists
		}
	}
	m.keys = append(m.keys, k)
	return nil
}

var cheap = HashCost{MemoryKiB: 8, Passes: 1, Lanes: 1}

func newTestService(t *testing.T) (*Service, *memory, *clock) {
	t.Helper()
	c := newClock()
	m := newMemory(c.now)
	return serviceOn(t, m, c), m, c
}

func serviceOn(t *testing.T, m *memory, c *clock) *Service {
	t.Helper()
	s, err := New(t.Context(), m, Config{Hash: cheap, HashQueue: 1000, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func goodSignUp() SignUpInput {
	return SignUpInput{Email: "Ana@Example.com", Password: "correct horse", FullName: "Ana Souza", AcceptTerms: true, AgeConfirmed: true}
}

func mustSignUp(t *testing.T, s *Service) SignedIn {
	t.Helper()
	out, err := s.SignUp(t.Context(), goodSignUp())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Fatalf("got code %q (%v), want %q", got, err, want)
	}
}

var errDown = errors.New("storage is down")
