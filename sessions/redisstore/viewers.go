package redisstore

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// chunk bounds one pipeline, so that one slow group does not time out whole.
const chunk = 200

// PutViewers implements sessions.Store.
func (s *Store) PutViewers(ctx context.Context, vs []sessions.Viewer) error {
	for part := range slices.Chunk(vs, chunk) {
		err := s.pipe(ctx, func(ctx context.Context, p redis.Pipeliner) error {
			for _, v := range part {
				raw, err := json.Marshal(v)
				if err != nil {
					return err
				}
				key := keyViewers(v.Conversation)
				p.HSet(ctx, key, v.Conn, raw)
				p.PExpire(ctx, key, s.opt.ViewerTTL)
			}
			return nil
		})
		if err != nil {
			return wrap("put viewers", err)
		}
	}
	return nil
}

// DropViewers implements sessions.Store.
func (s *Store) DropViewers(ctx context.Context, vs []sessions.Viewer) error {
	for part := range slices.Chunk(vs, chunk) {
		err := s.pipe(ctx, func(ctx context.Context, p redis.Pipeliner) error {
			for _, v := range part {
				p.HDel(ctx, keyViewers(v.Conversation), v.Conn)
			}
			return nil
		})
		if err != nil {
			return wrap("drop viewers", err)
		}
	}
	return nil
}

func (s *Store) pipe(ctx context.Context, f func(context.Context, redis.Pipeliner) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { return f(ctx, p) })
	return err
}

// ListViewers implements sessions.Store. Living nodes write every attachment
// well within ViewerTTL, so an older field was left by a node that died; it is
// removed here, or a conversation that is always watched would keep it.
func (s *Store) ListViewers(ctx context.Context, id conversation.ID) ([]sessions.Viewer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	fields, err := s.rdb.HGetAll(ctx, keyViewers(id)).Result()
	if err != nil {
		return nil, wrap("list viewers", err)
	}
	oldest := time.Now().Add(-s.opt.ViewerTTL).UnixMilli()
	var out []sessions.Viewer
	var dead []string
	for conn, raw := range fields {
		var v sessions.Viewer
		if err := json.Unmarshal([]byte(raw), &v); err != nil || v.At < oldest {
			dead = append(dead, conn)
			continue
		}
		out = append(out, v)
	}
	if len(dead) > 0 {
		if err := s.rdb.HDel(ctx, keyViewers(id), dead...).Err(); err != nil {
			return nil, wrap("list viewers", err)
		}
	}
	slices.SortFunc(out, sessions.CompareViewers)
	return out, nil
}
