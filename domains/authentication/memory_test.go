package authentication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	secrets  map[TokenHash]Secret
	ended    map[FamilyID]Ended
	keys     []SigningKey
	// known, marks and foreign belong to other issuers.
	known   map[ForeignIdentity]LearnerID
	marks   map[ForeignIdentity]time.Time
	foreign map[TokenHash]FamilyID

	tx sync.Mutex // one transaction at a time
}

type memoryToken struct {
	family     FamilyID
	generation int64
}

func newMemory(now func() time.Time) *memory {
	return &memory{
		now: now, learners: map[LearnerID]LearnerRecord{},
		families: map[FamilyID]FamilyRecord{}, tokens: map[TokenHash]memoryToken{},
		secrets: map[TokenHash]Secret{}, ended: map[FamilyID]Ended{},
		known: map[ForeignIdentity]LearnerID{}, marks: map[ForeignIdentity]time.Time{}, foreign: map[TokenHash]FamilyID{},
	}
}

func (m *memory) enter() error {
	m.calls.Add(1)
	if e := m.broken.Load(); e != nil {
		return *e
	}
	return nil
}

// inTx runs fn and takes everything back when it fails.
func (m *memory) inTx(fn func() error) error {
	m.tx.Lock()
	defer m.tx.Unlock()
	m.mu.Lock()
	learners, families, tokens := maps.Clone(m.learners), maps.Clone(m.families), maps.Clone(m.tokens)
	secrets, ended := maps.Clone(m.secrets), maps.Clone(m.ended)
	m.mu.Unlock()
	err := fn()
	if err != nil {
		m.mu.Lock()
		m.learners, m.families, m.tokens, m.secrets, m.ended = learners, families, tokens, secrets, ended
		m.mu.Unlock()
	}
	return err
}

func (m *memory) emailFree(email string, but LearnerID) error {
	for _, o := range m.learners {
		if o.Email == email && o.ID != but {
			return ErrEmailTaken
		}
	}
	return nil
}

func (m *memory) Register(ctx context.Context, l *Learner, f *Family, token TokenHash, also func(context.Context) error) error {
	if err := m.enter(); err != nil {
		return err
	}
	return m.inTx(func() error {
		m.mu.Lock()
		err := m.emailFree(l.rec.Email, "")
		if err == nil {
			m.learners[l.rec.ID] = l.rec
			if f != nil {
				m.families[f.rec.ID] = f.rec
				m.tokens[token] = memoryToken{f.rec.ID, f.rec.Generation}
			}
		}
		m.mu.Unlock()
		if err != nil {
			return err
		}
		return also(ctx)
	})
}

func (m *memory) Update(ctx context.Context, id LearnerID, fn func(context.Context, *Learner, time.Time) error) error {
	return m.inTx(func() error {
		l, err := m.ByID(ctx, id)
		if err != nil {
			return err
		}
		before := l.rec
		if err := fn(ctx, l, m.now()); err != nil || l.rec == before {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		l.rec.Version++
		m.learners[id] = l.rec
		return m.emailFree(l.rec.Email, id)
	})
}

func (m *memory) Learners(_ context.Context, email string, before LearnerID, limit int) ([]*Learner, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*Learner
	ids := slices.Sorted(maps.Keys(m.learners))
	slices.Reverse(ids)
	for _, id := range ids {
		if r := m.learners[id]; (before == "" || id < before) && strings.HasPrefix(r.Email, email) && len(out) < limit {
			out = append(out, RehydrateLearner(r))
		}
	}
	return out, nil
}

func (m *memory) Remove(_ context.Context, id LearnerID) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.learners, id)
	maps.DeleteFunc(m.families, func(_ FamilyID, r FamilyRecord) bool { return r.Learner == id })
	maps.DeleteFunc(m.tokens, func(_ TokenHash, t memoryToken) bool { _, ok := m.families[t.family]; return !ok })
	maps.DeleteFunc(m.secrets, func(_ TokenHash, x Secret) bool { return x.Learner == id })
	maps.DeleteFunc(m.known, func(_ ForeignIdentity, l LearnerID) bool { return l == id })
	maps.DeleteFunc(m.foreign, func(_ TokenHash, f FamilyID) bool { _, ok := m.families[f]; return !ok })
	return nil
}

func (m *memory) AddSecret(_ context.Context, x Secret, keep int) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.learners[x.Learner]; !ok {
		return ErrNoLearner
	}
	var same []Secret
	for _, o := range m.secrets {
		if o.Learner == x.Learner && o.Purpose == x.Purpose {
			same = append(same, o)
		}
	}
	slices.SortFunc(same, func(a, b Secret) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for _, o := range same[min(keep-1, len(same)):] {
		delete(m.secrets, o.Hash)
	}
	m.secrets[x.Hash] = x
	return nil
}

func (m *memory) FindSecret(_ context.Context, h TokenHash, p Purpose) (Secret, error) {
	if err := m.enter(); err != nil {
		return Secret{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if x, ok := m.secrets[h]; ok && x.Purpose == p && m.now().Before(x.ExpiresAt) {
		return x, nil
	}
	return Secret{}, ErrNoSecret
}

func (m *memory) TakeSecret(ctx context.Context, h TokenHash, p Purpose) (Secret, error) {
	x, err := m.FindSecret(ctx, h, p)
	if err == nil {
		m.mu.Lock()
		delete(m.secrets, h)
		m.mu.Unlock()
	}
	return x, err
}

func (m *memory) DropSecrets(_ context.Context, id LearnerID, p Purpose) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.secrets, func(_ TokenHash, x Secret) bool { return x.Learner == id && x.Purpose == p })
	return nil
}

func (m *memory) Logins(_ context.Context, id LearnerID) ([]*Family, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*Family
	for _, r := range m.families {
		if r.Learner == id && r.RevokedAt.IsZero() && m.now().Before(r.IdleUntil) {
			out = append(out, RehydrateFamily(r))
		}
	}
	slices.SortFunc(out, func(a, b *Family) int { return strings.Compare(string(b.rec.ID), string(a.rec.ID)) })
	return out, nil
}

func (m *memory) EndLogin(_ context.Context, learner LearnerID, id FamilyID, reason string) (bool, error) {
	if err := m.enter(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.families[id]
	if !ok || r.Learner != learner || !r.RevokedAt.IsZero() {
		return false, nil
	}
	m.end(RehydrateFamily(r), reason)
	return true, nil
}

// end revokes and lists; m.mu is held.
func (m *memory) end(f *Family, reason string) {
	f.Revoke(reason, m.now())
	m.families[f.rec.ID] = f.rec
	m.ended[f.rec.ID] = Ended{Learner: f.rec.Learner, Family: f.rec.ID, At: m.now()}
}

func (m *memory) EndLogins(_ context.Context, learner LearnerID, but FamilyID, reason string) (ended []FamilyID, err error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, l := range m.known {
		if l == learner {
			m.marks[id] = m.now()
		}
	}
	for id, r := range m.families {
		if r.Learner == learner && id != but && r.RevokedAt.IsZero() {
			m.end(RehydrateFamily(r), reason)
			ended = append(ended, id)
		}
	}
	return ended, nil
}

func (m *memory) Ended(_ context.Context, since time.Time) (out []Ended, now time.Time, err error) {
	if err := m.enter(); err != nil {
		return nil, now, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.ended {
		if !x.At.Before(since) {
			out = append(out, x)
		}
	}
	return out, m.now(), nil
}

func (m *memory) Sweep(_ context.Context, before SweepBefore) (out Swept, err error) {
	if err := m.enter(); err != nil {
		return out, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.ended, func(_ FamilyID, x Ended) bool { return x.At.Before(before.Ends) })
	maps.DeleteFunc(m.secrets, func(_ TokenHash, x Secret) bool { return !before.Links.Before(x.ExpiresAt) })
	return out, nil
}

func (m *memory) Unconfirmed(context.Context, time.Time, time.Time, int) ([]LearnerID, error) {
	return nil, nil
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

func (m *memory) StartFamily(_ context.Context, f *Family, token TokenHash) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.families[f.rec.ID] = f.rec
	if token != "" {
		m.tokens[token] = memoryToken{f.rec.ID, f.rec.Generation}
	}
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
	if !f.rec.RevokedAt.IsZero() {
		m.ended[f.rec.ID] = Ended{Learner: f.rec.Learner, Family: f.rec.ID, At: f.rec.RevokedAt}
	}
	if next != nil {
		m.tokens[*next] = memoryToken{t.family, f.rec.Generation}
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

func (m *memory) RemoveSigningKeys(_ context.Context, n int64) error {
	if err := m.enter(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = slices.DeleteFunc(m.keys, func(k SigningKey) bool { return k.N < n })
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

// copy is the whole data as text, to be compared.
func (m *memory) copy() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprint(m.learners, m.families, m.tokens, m.secrets, m.ended)
}
