package redislog

import (
	"context"
	_ "embed"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

//go:embed scripts/head.lua
var headLua string

var headScript = redis.NewScript(libLua + headLua)

// Behind implements conversation.Log: one trip for all that the caller names,
// a second where Redis does not know the script yet.
func (l *Log) Behind(ctx context.Context, at map[conversation.ID]conversation.Cursor) ([]conversation.ID, error) {
	if len(at) == 0 {
		return nil, nil
	}
	return guarded(ctx, l.gate, func() ([]conversation.ID, error) {
		ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
		defer cancel()
		ids := make([]conversation.ID, 0, len(at))
		for id := range at {
			ids = append(ids, id)
		}
		behind, unknown, err := l.heads(ctx, ids, at)
		if len(unknown) > 0 && err == nil {
			if err = headScript.Load(ctx, l.rdb).Err(); err != nil {
				return nil, down(err)
			}
			var more, still []conversation.ID
			more, still, err = l.heads(ctx, unknown, at)
			behind = append(append(behind, more...), still...)
		}
		return behind, down(err)
	})
}

// heads asks in one pipeline. unknown are those where the script is not known;
// the error is of Redis itself, never of one log.
func (l *Log) heads(ctx context.Context, ids []conversation.ID, at map[conversation.ID]conversation.Cursor) (behind, unknown []conversation.ID, err error) {
	ins := make([]incarnation, len(ids))
	asked := make([]*redis.Cmd, len(ids))
	pipe := l.rdb.Pipeline()
	for i, id := range ids {
		s := shard(id)
		if ins[i], err = l.inc.of(ctx, s); err != nil {
			return nil, nil, err
		}
		c := at[id]
		keys, argv := l.call(s, ins[i], id, []any{c.Counter, c.Nonce, c.Seq})
		asked[i] = headScript.EvalSha(ctx, pipe, keys, argv...)
	}
	_, _ = pipe.Exec(ctx) // each answer has its own error
	for i, id := range ids {
		res, rerr := asked[i].StringSlice()
		switch {
		case rerr != nil && redis.HasErrorPrefix(rerr, "NOSCRIPT"):
			unknown = append(unknown, id)
		case rerr != nil && !isAnswer(rerr):
			return nil, nil, rerr
		case rerr == nil && res[0] == "OK":
		default:
			if rerr == nil && res[0] == "INC" {
				l.inc.forget(shard(id), ins[i])
			}
			behind = append(behind, id)
		}
	}
	return behind, unknown, nil
}

// isAnswer reports an error that Redis gave for one key, as for one of another
// kind; whoever reads that log finds it too.
func isAnswer(err error) bool { return strings.Contains(err.Error(), "WRONGTYPE") }
