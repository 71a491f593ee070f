package authentication

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/alexedwards/argon2id"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// HashCost is what one password hash costs; zero values mean the defaults.
type HashCost struct {
	MemoryKiB, Passes uint32
	Lanes             uint8
}

// hasher bounds how many hashes run at once, for each takes 19 MiB, and how
// many requests wait for one.
type hasher struct {
	params  argon2id.Params
	slots   chan struct{}
	queue   int64
	waiting atomic.Int64
	// dummy is compared with when there is no account, so that an unknown
	// e-mail costs the same time as a wrong password.
	dummy string
}

func newHasher(cost HashCost, atOnce, queue int) (*hasher, error) {
	if cost.MemoryKiB == 0 {
		cost.MemoryKiB = 19 * 1024
	}
	if cost.Passes == 0 {
		cost.Passes = 2
	}
	if cost.Lanes == 0 {
		cost.Lanes = 1
	}
	if atOnce <= 0 {
		atOnce = 4
	}
	if queue <= 0 {
		queue = 50
	}
	h := &hasher{
		params: argon2id.Params{
			Memory: cost.MemoryKiB, Iterations: cost.Passes, Parallelism: cost.Lanes,
			SaltLength: 16, KeyLength: 32,
		},
		slots: make(chan struct{}, atOnce),
		queue: int64(queue),
	}
	var err error
	if h.dummy, err = argon2id.CreateHash("nobody has this password", &h.params); err != nil {
		return nil, fmt.Errorf("hash: %w", err)
	}
	return h, nil
}

// take waits for a slot; give gives it back.
func (h *hasher) take(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > h.queue {
		h.waiting.Add(-1)
		return &fault.Error{Code: fault.RateLimited, Message: "Too many people sign in right now; try again shortly.", RetryAfterMS: 1000}
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to hash: %w", ctx.Err())
	}
}

func (h *hasher) give() { <-h.slots }

func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.take(ctx); err != nil {
		return "", err
	}
	defer h.give()
	s, err := argon2id.CreateHash(password, &h.params)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	return s, nil
}

// match compares; an empty hash stands for "no account" and never matches.
// stale says that the hash was made at another cost and should be made anew.
func (h *hasher) match(ctx context.Context, password, hash string) (ok, stale bool, err error) {
	if err := h.take(ctx); err != nil {
		return false, false, err
	}
	defer h.give()
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	same, p, err := argon2id.CheckHash(password, hash)
	if err != nil {
		return false, false, fmt.Errorf("compare hash: %w", err)
	}
	return same && known, known && *p != h.params, nil
}
