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
// 1; the highest signs, all verify.
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
)

// ring holds the keys in memory.
type ring struct {
	store  Keys
	now    func() time.Time
	flight singleflight.Group

	mu     sync.RWMutex // guards the rest
	byKID  map[string]ed25519.PublicKey
	newest SigningKey
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
	if r.newest.N > 0 {
		return r, nil
	}
	if err := r.rotate(ctx); err != nil {
		return nil, err
	}
	if r.newest.N == 0 {
		return nil, errors.New("signing keys: the key just stored is not there")
	}
	return r, nil
}

// rotate stores a new key after the newest that this node knows. Losing the
// race for its number is as good as winning it.
func (r *ring) rotate(ctx context.Context) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	id := make([]byte, 12)
	_, _ = rand.Read(id) // never fails
	k := SigningKey{
		N: r.signer().N + 1, KID: base64.RawURLEncoding.EncodeToString(id),
		Private: private, CreatedAt: r.now(),
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
	m := make(map[string]ed25519.PublicKey, len(keys))
	var newest SigningKey
	for _, k := range keys {
		public, ok := k.Private.Public().(ed25519.PublicKey)
		if !ok {
			return fmt.Errorf("load signing keys: key %d is no ed25519 key", k.N)
		}
		m[k.KID] = public
		if k.N > newest.N {
			newest = k
		}
	}
	r.mu.Lock()
	r.byKID, r.newest = m, newest
	r.mu.Unlock()
	return nil
}

func (r *ring) signer() SigningKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.newest
}

func (r *ring) known(kid string) (ed25519.PublicKey, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.byKID[kid]
	return k, ok
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
