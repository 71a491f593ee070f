package redislog

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/identity.lua
var identityLua string

// Registry numbers incarnations; SQL is behind it. The same identity always
// gets the same number, a new one a number higher than all before.
type Registry interface {
	Incarnation(ctx context.Context, identity string) (int64, error)
}

type incarnation struct {
	identity string
	inc      int64
}

// incarnations remembers, per shard, which lifetime of Redis answers there.
type incarnations struct {
	rdb  redis.UniversalClient
	mode string // 'r' replication id, 'm' marker key
	// cluster has an incarnation per primary, so one marker per shard; one
	// Redis has one for all.
	cluster bool
	reg     Registry

	mu      sync.Mutex // guards the maps
	byShard map[int]incarnation
	known   map[string]int64
}

var identityScript = redis.NewScript(identityLua)

// group is where a shard's incarnation is kept: one Redis has one for all.
func (in *incarnations) group(s int) int {
	if !in.cluster {
		return 0
	}
	return s
}

// seen is the shard's incarnation as far as it is known.
func (in *incarnations) seen(s int) (incarnation, bool) {
	s = in.group(s)
	in.mu.Lock()
	defer in.mu.Unlock()
	i, ok := in.byShard[s]
	return i, ok
}

// of returns the shard's incarnation, asking Redis and SQL when it is not
// known. SQL is asked once per identity.
func (in *incarnations) of(ctx context.Context, s int) (incarnation, error) {
	i, ok := in.seen(s)
	if ok {
		return i, nil
	}
	id, err := identityScript.Run(ctx, in.rdb, []string{in.mark(s)}, in.mode, rand.Text()).Text()
	if err != nil {
		return incarnation{}, err
	}
	if id == "" {
		return incarnation{}, fmt.Errorf("redis tells no identity in mode %q", in.mode)
	}
	in.mu.Lock()
	n, ok := in.known[id]
	in.mu.Unlock()
	if !ok {
		if n, err = in.reg.Incarnation(ctx, id); err != nil {
			return incarnation{}, fmt.Errorf("register incarnation: %w", err)
		}
	}
	i = incarnation{id, n}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.known[id] = n
	in.byShard[in.group(s)] = i
	return i, nil
}

// mark is the shard's marker key.
func (in *incarnations) mark(s int) string { return markKey(in.group(s)) }

// forget drops what was known of a shard after a script answered INC.
func (in *incarnations) forget(s int, old incarnation) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.byShard[in.group(s)] == old {
		// The same primary usually serves every shard that had this identity.
		for k, v := range in.byShard {
			if v == old {
				delete(in.byShard, k)
			}
		}
	}
}

// DetectMode asks Redis which identity it can give: "r" where a script may
// read the replication id, else "m".
func DetectMode(ctx context.Context, rdb redis.UniversalClient) (string, error) {
	id, err := identityScript.Run(ctx, rdb, []string{markKey(0)}, "r", "").Text()
	if err == nil && id != "" {
		return "r", nil
	}
	// A refusal of the command itself says "no"; anything else is trouble.
	if err == nil || strings.HasPrefix(err.Error(), "ERR") || strings.HasPrefix(err.Error(), "NOPERM") || strings.Contains(err.Error(), "INFO") {
		return "m", nil
	}
	return "", err
}
