// Package redisstore keeps sessions and attachments in Redis, where all nodes
// see them. Nothing here is precious and nothing here is waited for long: each
// call ends within Options.Timeout, and a viewer goes on without it.
package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// Options of a Store; zero means the value in brackets.
type Options struct {
	// SessionTTL is how long a session lives after it was last seen [15 min].
	SessionTTL time.Duration
	// ViewerTTL is how long an attachment is believed without a sign [1 h].
	ViewerTTL time.Duration
	// Timeout bounds one call [300 ms].
	Timeout time.Duration
}

// Store implements sessions.Store.
type Store struct {
	rdb redis.UniversalClient
	opt Options
}

var _ sessions.Store = (*Store)(nil)

// New makes a Store over a client whose options are the caller's.
func New(rdb redis.UniversalClient, o Options) *Store {
	if o.SessionTTL <= 0 {
		o.SessionTTL = 15 * time.Minute
	}
	if o.ViewerTTL <= 0 {
		o.ViewerTTL = time.Hour
	}
	if o.Timeout <= 0 {
		o.Timeout = 300 * time.Millisecond
	}
	return &Store{rdb: rdb, opt: o}
}

// getSession reads a session and pushes its end out, if it is the user's.
// KEYS: session. ARGV: user, ttl ms. Returns the hash's fields and values, or
// nothing. One step, or the session could end between the two.
var getSession = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'user') ~= ARGV[1] then return {} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
`)

// saveSession creates or replaces a session, unless it is somebody else's.
// KEYS: session. ARGV: user, ttl ms, then fields and values. Returns 1 or 0.
// One step, so that no two users ever share one.
var saveSession = redis.NewScript(`
local owner = redis.call('HGET', KEYS[1], 'user')
if owner and owner ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'user', ARGV[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`)

// deleteSession removes a session of its user.
// KEYS: session. ARGV: user. Returns 1 or 0.
var deleteSession = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'user') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

// touchIndex puts a session into its user's index and cleans the index. The
// clock is Redis's, so nodes need not agree on one, and the index lives as
// long as the member that was touched last, which is the one that ends last.
// KEYS: index. ARGV: session hash, ttl ms.
var touchIndex = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`)

// Get implements sessions.Store.
func (s *Store) Get(ctx context.Context, id string, user conversation.LearnerID) (sessions.Session, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	vals, err := getSession.Run(ctx, s.rdb, []string{keySession(id)}, string(user), s.opt.SessionTTL.Milliseconds()).StringSlice()
	if err != nil {
		return sessions.Session{}, false, fmt.Errorf("get session: %w", err)
	}
	if len(vals) == 0 {
		return sessions.Session{}, false, nil
	}
	out, err := parseSession(pairs(vals), id)
	if err != nil {
		// Written by another version, perhaps; a new session does as well.
		return sessions.Session{}, false, fmt.Errorf("get session: %w", err)
	}
	if err := s.index(ctx, sessions.HashID(id), user); err != nil {
		return sessions.Session{}, false, fmt.Errorf("get session: %w", err)
	}
	return out, true, nil
}

// Save implements sessions.Store.
func (s *Store) Save(ctx context.Context, v sessions.Session) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	subs, err := json.Marshal(v.Subs)
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	mine, err := saveSession.Run(ctx, s.rdb, []string{keySession(v.ID)},
		string(v.User), s.opt.SessionTTL.Milliseconds(),
		"client", v.Client, "node", v.Node, "created", v.Created.UnixMilli(), "last_seen", v.LastSeen.UnixMilli(), "subs", subs,
	).Bool()
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	if !mine {
		return nil
	}
	if err := s.index(ctx, sessions.HashID(v.ID), v.User); err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

func (s *Store) index(ctx context.Context, hash string, user conversation.LearnerID) error {
	return touchIndex.Run(ctx, s.rdb, []string{keyUser(user)}, hash, s.opt.SessionTTL.Milliseconds()).Err()
}

// Delete implements sessions.Store.
func (s *Store) Delete(ctx context.Context, id string, user conversation.LearnerID) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	if err := deleteSession.Run(ctx, s.rdb, []string{keySession(id)}, string(user)).Err(); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	if err := s.rdb.ZRem(ctx, keyUser(user), sessions.HashID(id)).Err(); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// List implements sessions.Store. A member of the index whose session is gone
// is passed over and removed.
func (s *Store) List(ctx context.Context, user conversation.LearnerID) ([]sessions.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	hashes, err := s.rdb.ZRange(ctx, keyUser(user), 0, -1).Result()
	if err != nil || len(hashes) == 0 {
		return nil, wrap("list sessions", err)
	}
	cmds, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, h := range hashes {
			p.HGetAll(ctx, keySessionHash(h))
		}
		return nil
	})
	if err != nil {
		return nil, wrap("list sessions", err)
	}
	var out []sessions.Session
	var gone []any
	for i, c := range cmds {
		fields, err := c.(*redis.MapStringStringCmd).Result()
		if err != nil {
			return nil, wrap("list sessions", err)
		}
		if len(fields) == 0 || fields["user"] != string(user) {
			gone = append(gone, hashes[i])
			continue
		}
		v, err := parseSession(fields, hashes[i])
		if err != nil {
			return nil, wrap("list sessions", err)
		}
		out = append(out, v)
	}
	if len(gone) > 0 {
		if err := s.rdb.ZRem(ctx, keyUser(user), gone...).Err(); err != nil {
			return nil, wrap("list sessions", err)
		}
	}
	slices.SortFunc(out, func(a, b sessions.Session) int { return b.LastSeen.Compare(a.LastSeen) })
	return out, nil
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}

// pairs makes a map of what HGETALL answers inside a script.
func pairs(vals []string) map[string]string {
	m := make(map[string]string, len(vals)/2)
	for i := 0; i+1 < len(vals); i += 2 {
		m[vals[i]] = vals[i+1]
	}
	return m
}

func parseSession(f map[string]string, id string) (sessions.Session, error) {
	created, err1 := strconv.ParseInt(f["created"], 10, 64)
	seen, err2 := strconv.ParseInt(f["last_seen"], 10, 64)
	var subs map[conversation.ID]string
	err3 := json.Unmarshal([]byte(f["subs"]), &subs)
	if err := errors.Join(err1, err2, err3); err != nil {
		return sessions.Session{}, fmt.Errorf("parse session: %w", err)
	}
	return sessions.Session{
		ID: id, User: conversation.LearnerID(f["user"]), Client: f["client"], Node: f["node"],
		Created: time.UnixMilli(created), LastSeen: time.UnixMilli(seen), Subs: subs,
	}, nil
}
