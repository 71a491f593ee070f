package redisstore

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// chunk bounds one pipeline, so that one slow group does not time out whole.
const chunk = 200

// beatNode renews a lease and forgets those that have ended. KEYS: nodes.
// ARGV: node, lease ms. Returns 1 when there was no lease.
var beatNode = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local new = redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 10)
return new
`)

// liveNodes lists the nodes with a lease. KEYS: nodes.
var liveNodes = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
`)

// enterConnection counts a connection unless there are enough. KEYS:
// connections. ARGV: connection, session hash, JSON, ttl ms, most.
// Returns 1 or 0. Entries of dead nodes count here; the caller cleans up and
// asks again, which only a user at the limit pays for.
var enterConnection = redis.NewScript(`
local most = tonumber(ARGV[5])
if redis.call('HLEN', KEYS[1]) >= most and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  local n = 0
  for _, v in ipairs(redis.call('HVALS', KEYS[1])) do
    local session = string.match(v, '^([^|]*)|')
    if ARGV[2] == '' or session ~= ARGV[2] then n = n + 1 end
  end
  if n >= most then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '|' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`)

// Beat implements sessions.Presence.
func (s *Store) Beat(ctx context.Context, node string) (bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	fresh, err := beatNode.Run(ctx, s.rdb, []string{keyNodes}, node, s.opt.Lease.Milliseconds()).Bool()
	return fresh, wrap("renew lease", err)
}

// Leave implements sessions.Presence.
func (s *Store) Leave(ctx context.Context, node string) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return wrap("end lease", s.rdb.ZRem(ctx, keyNodes, node).Err())
}

func (s *Store) nodes(ctx context.Context) (map[string]bool, error) {
	list, err := liveNodes.Run(ctx, s.rdb, []string{keyNodes}).StringSlice()
	if err != nil {
		return nil, wrap("list nodes", err)
	}
	live := make(map[string]bool, len(list))
	for _, n := range list {
		live[n] = true
	}
	return live, nil
}

// Enter implements sessions.Presence.
func (s *Store) Enter(ctx context.Context, c sessions.Connection, most int) (bool, error) {
	ok, err := s.enter(ctx, c, most)
	if ok || err != nil {
		return ok, err
	}
	if _, err := s.Connections(ctx, c.User); err != nil { // this removes what dead nodes left
		return false, err
	}
	return s.enter(ctx, c, most)
}

func (s *Store) enter(ctx context.Context, c sessions.Connection, most int) (bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	raw, err := json.Marshal(c)
	if err != nil {
		return false, wrap("enter connection", err)
	}
	ok, err := enterConnection.Run(ctx, s.rdb, []string{keyConnections(c.User)}, c.ID, c.Session, raw, s.opt.EntryTTL.Milliseconds(), most).Bool()
	return ok, wrap("enter connection", err)
}

// PutConnections implements sessions.Presence.
func (s *Store) PutConnections(ctx context.Context, cs []sessions.Connection) error {
	for part := range slices.Chunk(cs, chunk) {
		err := s.pipe(ctx, func(ctx context.Context, p redis.Pipeliner) error {
			for _, c := range part {
				raw, err := json.Marshal(c)
				if err != nil {
					return err
				}
				key := keyConnections(c.User)
				p.HSet(ctx, key, c.ID, c.Session+"|"+string(raw))
				p.PExpire(ctx, key, s.opt.EntryTTL)
			}
			return nil
		})
		if err != nil {
			return wrap("put connections", err)
		}
	}
	return nil
}

// Exit implements sessions.Presence.
func (s *Store) Exit(ctx context.Context, cs []sessions.Connection) error {
	for part := range slices.Chunk(cs, chunk) {
		err := s.pipe(ctx, func(ctx context.Context, p redis.Pipeliner) error {
			for _, c := range part {
				p.HDel(ctx, keyConnections(c.User), c.ID)
			}
			return nil
		})
		if err != nil {
			return wrap("exit connections", err)
		}
	}
	return nil
}

// Connections implements sessions.Presence.
func (s *Store) Connections(ctx context.Context, user conversation.LearnerID) ([]sessions.Connection, error) {
	out, err := entries(ctx, s, keyConnections(user), func(c sessions.Connection) string { return c.Node })
	slices.SortFunc(out, sessions.CompareConnections)
	return out, wrap("list connections", err)
}

// PutViewers implements sessions.Presence.
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
				p.PExpire(ctx, key, s.opt.EntryTTL)
			}
			return nil
		})
		if err != nil {
			return wrap("put viewers", err)
		}
	}
	return nil
}

// DropViewers implements sessions.Presence.
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

// ListViewers implements sessions.Presence.
func (s *Store) ListViewers(ctx context.Context, id conversation.ID) ([]sessions.Viewer, error) {
	out, err := entries(ctx, s, keyViewers(id), func(v sessions.Viewer) string { return v.Node })
	slices.SortFunc(out, sessions.CompareViewers)
	return out, wrap("list viewers", err)
}

func (s *Store) pipe(ctx context.Context, f func(context.Context, redis.Pipeliner) error) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { return f(ctx, p) })
	return err
}

// entries reads a hash of what nodes entered and removes what dead ones left.
// The leases are read after the entries: a node has its lease before it enters
// anything, so an entry seen here is of a node whose lease was there.
func entries[T any](ctx context.Context, s *Store, key string, node func(T) string) ([]T, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	fields, err := s.rdb.HGetAll(ctx, key).Result()
	if err != nil || len(fields) == 0 {
		return nil, err
	}
	live, err := s.nodes(ctx)
	if err != nil {
		return nil, err
	}
	var out []T
	var dead []string
	for id, raw := range fields {
		if i := strings.IndexByte(raw, '{'); i > 0 { // what the script counts by stands in front
			raw = raw[i:]
		}
		var v T
		if err := json.Unmarshal([]byte(raw), &v); err != nil || !live[node(v)] {
			dead = append(dead, id)
			continue
		}
		out = append(out, v)
	}
	if len(dead) > 0 {
		_ = s.rdb.HDel(ctx, key, dead...).Err() // else the next reader does; a Redis that takes no writes is read all the same
	}
	return out, nil
}
