package authentication

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// SigningKey is an Ed25519 key of the built-in issuer. N counts the keys from
// 1 and never goes back.
//
//	announced ──KeyAnnounce──▶ signing ──the next one signs──▶ verifying ──its last token ends──▶ retired
//
// A new key is published before it signs, so that every node, and whoever else
// reads the published keys, knows it when its first token comes.
type SigningKey struct {
	N         int64
	KID       string
	Private   ed25519.PrivateKey
	CreatedAt time.Time
}

const (
	// ringEvery is the shortest time between two looks for an unknown key, so
	// that made-up kids cost no SQL.
	ringEvery = 10 * time.Second
	// ringTimeout bounds one look.
	ringTimeout = 5 * time.Second
	// ringFresh is how often a node reads the keys anyway.
	ringFresh = 30 * time.Second
	// KeyAnnounce is how long a key is published before it signs.
	KeyAnnounce = 10 * time.Minute
	// keyFarewell is how long an old key verifies after the next one began to
	// sign: the last token of a node that learned of it late.
	keyFarewell = AccessTTL + clockLeeway + 2*ringFresh
)

// ring holds the keys in memory.
type ring struct {
	store  Keys
	now    func() time.Time
	flight singleflight.Group

	mu sync.RWMutex // guards the rest
	// keys are those of the store, oldest first.
	keys  []SigningKey
	byKID map[string]int
	// looked is when an unknown kid last caused a look.
	looked time.Time
}

// newRing loads the keys, making the first when there is none. Nodes that
// start at once all try to store number 1; one succeeds and the others load it.
func newRing(ctx context.Context, store Keys, now func() time.Time) (*ring, error) {
	r := &ring{store: store, now: now}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if len(r.keys) > 0 {
		return r, nil
	}
	if err := r.rotate(ctx, true); err != nil {
		return nil, err
	}
	if len(r.keys) == 0 {
		return nil, errors.New("signing keys: the key just stored is not there")
	}
	return r, nil
}

// rotate stores a new key after the newest that this node knows; at once, it
// signs without having been announced. Losing the race for its number is as
// good as winning it.
func (r *ring) rotate(ctx context.Context, atOnce bool) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	id := make([]byte, 12)
	_, _ = rand.Read(id) // never fails
	k := SigningKey{N: r.newest().N + 1, KID: base64.RawURLEncoding.EncodeToString(id), Private: private, CreatedAt: r.now()}
	if atOnce {
		k.CreatedAt = k.CreatedAt.Add(-KeyAnnounce)
	}
	if err := r.store.AddSigningKey(ctx, k); err != nil && !errors.Is(err, ErrKeyExists) {
		return fmt.Errorf("store signing key: %w", err)
	}
	return r.load(ctx)
}

func (r *ring) load(ctx context.Context) error {
	keys, err := r.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	m := make(map[string]int, len(keys))
	for i, k := range keys {
		if _, ok := k.Private.Public().(ed25519.PublicKey); !ok {
			return fmt.Errorf("load signing keys: key %d is no ed25519 key", k.N)
		}
		m[k.KID] = i
	}
	r.mu.Lock()
	r.keys, r.byKID = keys, m
	r.mu.Unlock()
	return nil
}

func (r *ring) newest() SigningKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.keys) == 0 {
		return SigningKey{}
	}
	return r.keys[len(r.keys)-1]
}

// signer is the newest key that was announced long enough; the oldest has
// nobody to wait for.
func (r *ring) signer() SigningKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	now := r.now()
	for i := len(r.keys) - 1; i > 0; i-- {
		if !now.Before(r.keys[i].signsFrom()) {
			return r.keys[i]
		}
	}
	if len(r.keys) == 0 {
		return SigningKey{}
	}
	return r.keys[0]
}

func (k SigningKey) signsFrom() time.Time { return k.CreatedAt.Add(KeyAnnounce) }

// verifiesUntil is when key i is over, zero while no later one is to sign;
// r.mu is held.
func (r *ring) verifiesUntil(i int) time.Time {
	if i+1 >= len(r.keys) {
		return time.Time{}
	}
	return r.keys[i+1].signsFrom().Add(keyFarewell)
}

// retired reports whether key i verifies nothing any more; r.mu is held.
func (r *ring) retired(i int) bool {
	until := r.verifiesUntil(i)
	return !until.IsZero() && r.now().After(until)
}

func (r *ring) known(kid string) (key ed25519.PublicKey, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, ok := r.byKID[kid]
	if !ok {
		return nil, false
	}
	if r.retired(i) {
		return nil, true
	}
	key, _ = r.keys[i].Private.Public().(ed25519.PublicKey) // load has made sure
	return key, true
}

// public finds the key of a kid; nil without an error when there is none.
func (r *ring) public(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	if k, ok := r.known(kid); ok {
		return k, nil
	}
	// The look outlives the caller that happens to make it: others wait for it.
	_, err, _ := r.flight.Do("load", func() (any, error) {
		if !r.mayLook() {
			return nil, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ringTimeout)
		defer cancel()
		return nil, r.load(ctx)
	})
	if err != nil {
		return nil, err
	}
	k, _ := r.known(kid)
	return k, nil
}

func (r *ring) mayLook() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if !r.looked.IsZero() && now.Sub(r.looked) < ringEvery {
		return false
	}
	r.looked = now
	return true
}
