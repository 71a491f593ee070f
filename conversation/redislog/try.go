package redislog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

// tryTerm is how long what a try has written lies in Redis.
const tryTerm = time.Minute

// words are the refusals that have a name of their own; all but these are
// "other", so that a metric has few values.
var words = []string{"OOM", "READONLY", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "NOPERM", "NOAUTH"}

// Writable implements conversation.Log: it writes a key that nobody reads to
// where the conversation's log lies, or would lie.
func (l *Log) Writable(ctx context.Context, id conversation.ID) error {
	_, err := guarded(ctx, l.gate, func() (struct{}, error) {
		return struct{}{}, down(l.try(ctx, l.rdb, shard(id)))
	})
	return err
}

// Try implements conversation.Prober: a write on each primary.
func (l *Log) Try(ctx context.Context) error {
	cluster, ok := l.rdb.(*redis.ClusterClient)
	if !ok {
		return judged(l.try(ctx, l.rdb, 0))
	}
	seen := map[*redis.Client]bool{}
	for s := range shards {
		one, err := cluster.MasterForKey(ctx, tryKey(s))
		if err == nil && !seen[one] {
			seen[one] = true
			err = l.try(ctx, cluster, s)
		}
		if err != nil {
			return judged(err)
		}
	}
	return nil
}

func (l *Log) try(ctx context.Context, rdb redis.Cmdable, s int) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	return rdb.Set(ctx, tryKey(s), "1", tryTerm).Err()
}

// judged tells a Redis that answers and takes no writes from one that does
// not answer.
func judged(err error) error {
	var said redis.Error
	if err == nil || !errors.As(err, &said) {
		return down(err)
	}
	reason := "other"
	for _, w := range words {
		if strings.HasPrefix(said.Error(), w) {
			reason = w
		}
	}
	return fmt.Errorf("%w: %w", conversation.ErrLogDown, &conversation.RefusedError{Reason: reason})
}
