package redislog

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

var (
	//go:embed scripts/shred.lua
	shredLua string
	//go:embed scripts/compact.lua
	compactLua string
	//go:embed scripts/aside.lua
	asideLua string

	shredScript   = redis.NewScript(libLua + shredLua)
	compactScript = redis.NewScript(libLua + compactLua)
	asideScript   = redis.NewScript(libLua + asideLua)
)

const (
	// olderLives is in how many earlier incarnations Shred looks for a log: what
	// an older one left is never read, but it is there until its term ends.
	olderLives = 32
	// formerLives is in how many Create does: a Redis that restarts often must
	// not fill up with the logs of its earlier lives.
	formerLives = 8
	// restEntries is what Compact keeps: the last turn or two, for those who
	// were away for a moment.
	restEntries = 64
)

// Shred implements conversation.Custodian.
func (l *Log) Shred(ctx context.Context, id conversation.ID, counter int64) error {
	if _, err := l.run(ctx, shredScript, id, counter); err != nil {
		return err
	}
	return l.unlinkOlder(ctx, id, olderLives)
}

// unlinkOlder frees what a log left in so many earlier incarnations, which
// nobody reads any more.
func (l *Log) unlinkOlder(ctx context.Context, id conversation.ID, lives int64) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	s := shard(id)
	in, err := l.inc.of(ctx, s)
	if err != nil {
		return down(err)
	}
	var keys []string
	for inc := in.inc - 1; inc >= max(1, in.inc-lives); inc-- {
		keys = append(keys, logKeys(s, inc, id)...)
	}
	if len(keys) == 0 {
		return nil
	}
	return down(l.rdb.Unlink(ctx, keys...).Err())
}

// Compact implements conversation.Custodian.
func (l *Log) Compact(ctx context.Context, id conversation.ID) (bool, error) {
	r, err := l.run(ctx, compactScript, id, restEntries)
	if err != nil {
		return false, err
	}
	return r[1] == "1", nil
}

// SetAside implements conversation.Custodian.
func (l *Log) SetAside(ctx context.Context, id conversation.ID, ep conversation.Epoch) (string, error) {
	place := shardTag(shard(id)) + "aside:" + strconv.FormatInt(time.Now().UnixMilli(), 10) + ":" + string(id) + ":"
	r, err := l.run(ctx, asideScript, id, place, ep.Counter, ep.Nonce)
	if err != nil {
		return "", fmt.Errorf("set log aside: %w", err)
	}
	if r[1] == "0" {
		return "", nil
	}
	return place, nil
}
