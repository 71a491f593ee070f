package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// The clock of every script is Redis's, so nodes need not agree on one. A
// session's end stands in its value alone; everything else is worked out of it.
const visitClock = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function split(v)
  local till, holder, body = string.match(v or '', '^(%d+)|([^|]*)|(.*)$')
  return tonumber(till), holder, body
end
local function write(field, ttl, holder, body)
  redis.call('HSET', KEYS[1], field, string.format('%.0f|', now + ttl) .. holder .. '|' .. body)
  redis.call('PEXPIRE', KEYS[1], ttl)
end
`

// createVisit stores a session, and makes room if there are too many.
// KEYS: visits. ARGV: session hash, ttl ms, holder, JSON, most.
var createVisit = redis.NewScript(visitClock + `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  local all = redis.call('HGETALL', KEYS[1])
  local first, least, left = nil, nil, 0
  for i = 1, #all, 2 do
    local till = split(all[i + 1])
    if not till or till <= now then
      redis.call('HDEL', KEYS[1], all[i])
    else
      left = left + 1
      if not least or till < least then first, least = all[i], till end
    end
  end
  if left >= tonumber(ARGV[5]) then redis.call('HDEL', KEYS[1], first) end
end
write(ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4])
return 1
`)

// getVisit reads a session. KEYS: visits. ARGV: session hash. Returns the
// value, or false when it has ended.
var getVisit = redis.NewScript(visitClock + `
local v = redis.call('HGET', KEYS[1], ARGV[1])
local till = split(v)
if not till or till <= now then return false end
return v
`)

// takeVisit makes a connection the holder. KEYS: visits. ARGV: session hash,
// ttl ms, holder. Returns the new value, or false. One step, or the session
// could end between the two, or two connections believe that they hold it.
var takeVisit = redis.NewScript(visitClock + `
local till, _, body = split(redis.call('HGET', KEYS[1], ARGV[1]))
if not till or till <= now then return false end
write(ARGV[1], tonumber(ARGV[2]), ARGV[3], body)
return redis.call('HGET', KEYS[1], ARGV[1])
`)

// updateVisit changes a session of its holder, or only extends it where JSON
// is empty. KEYS: visits. ARGV: session hash, ttl ms, holder, JSON. Returns 0
// gone, 1 done, 2 taken.
var updateVisit = redis.NewScript(visitClock + `
local till, holder, body = split(redis.call('HGET', KEYS[1], ARGV[1]))
if not till or till <= now then return 0 end
if holder ~= ARGV[3] then return 2 end
if ARGV[4] ~= '' then body = ARGV[4] end
write(ARGV[1], tonumber(ARGV[2]), holder, body)
return 1
`)

// listVisits returns hash and value of each live session and removes the
// others. KEYS: visits.
var listVisits = redis.NewScript(visitClock + `
local all, out = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local till = split(all[i + 1])
  if not till or till <= now then
    redis.pcall('HDEL', KEYS[1], all[i]) -- a Redis that takes no writes is read all the same
  else
    out[#out + 1], out[#out + 2] = all[i], all[i + 1]
  end
end
return out
`)

// visit is the JSON of a session.
type visit struct {
	Client  string                     `json:"client,omitempty"`
	Node    string                     `json:"node,omitempty"`
	Created int64                      `json:"created"`
	Subs    map[conversation.ID]string `json:"subs,omitempty"`
}

func visitJSON(v sessions.Session) (string, error) {
	raw, err := json.Marshal(visit{v.Client, v.Node, v.Created.UnixMilli(), v.Subs})
	return string(raw), err
}

// Create implements sessions.Visits.
func (s *Store) Create(ctx context.Context, v sessions.Session) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	body, err := visitJSON(v)
	if err != nil {
		return wrap("create session", err)
	}
	return wrap("create session", createVisit.Run(ctx, s.rdb, []string{keyVisits(v.User)}, sessions.HashID(v.ID),
		s.opt.SessionTTL.Milliseconds(), v.Holder, body, s.opt.SessionsPerUser).Err())
}

// Get implements sessions.Visits.
func (s *Store) Get(ctx context.Context, id string, user conversation.LearnerID) (sessions.Session, bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	v, err := getVisit.Run(ctx, s.rdb, []string{keyVisits(user)}, sessions.HashID(id)).Text()
	return s.found(v, err, id, user, "get session")
}

// Take implements sessions.Visits.
func (s *Store) Take(ctx context.Context, id string, user conversation.LearnerID, holder string) (sessions.Session, bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	v, err := takeVisit.Run(ctx, s.rdb, []string{keyVisits(user)}, sessions.HashID(id), s.opt.SessionTTL.Milliseconds(), holder).Text()
	return s.found(v, err, id, user, "take session")
}

func (s *Store) found(v string, err error, id string, user conversation.LearnerID, op string) (sessions.Session, bool, error) {
	if errors.Is(err, redis.Nil) {
		return sessions.Session{}, false, nil
	}
	if err != nil {
		return sessions.Session{}, false, wrap(op, err)
	}
	out, ok := s.parse(v, id, user)
	return out, ok, nil
}

// Update implements sessions.Visits.
func (s *Store) Update(ctx context.Context, v sessions.Session) (sessions.Outcome, error) {
	body, err := visitJSON(v)
	if err != nil {
		return sessions.Gone, wrap("update session", err)
	}
	return s.update(ctx, v, body, "update session")
}

// Extend implements sessions.Visits.
func (s *Store) Extend(ctx context.Context, v sessions.Session) (sessions.Outcome, error) {
	return s.update(ctx, v, "", "extend session")
}

func (s *Store) update(ctx context.Context, v sessions.Session, body, op string) (sessions.Outcome, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	n, err := updateVisit.Run(ctx, s.rdb, []string{keyVisits(v.User)}, sessions.HashID(v.ID), s.opt.SessionTTL.Milliseconds(), v.Holder, body).Int()
	if err != nil {
		return sessions.Gone, wrap(op, err)
	}
	return map[int]sessions.Outcome{1: sessions.Done, 2: sessions.Taken}[n], nil
}

// Delete implements sessions.Visits.
func (s *Store) Delete(ctx context.Context, id string, user conversation.LearnerID) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return wrap("delete session", s.rdb.HDel(ctx, keyVisits(user), sessions.HashID(id)).Err())
}

// List implements sessions.Visits.
func (s *Store) List(ctx context.Context, user conversation.LearnerID) ([]sessions.Session, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	vals, err := listVisits.Run(ctx, s.rdb, []string{keyVisits(user)}).StringSlice()
	if err != nil {
		return nil, wrap("list sessions", err)
	}
	var out []sessions.Session
	for i := 0; i+1 < len(vals); i += 2 {
		if v, ok := s.parse(vals[i+1], vals[i], user); ok {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b sessions.Session) int { return b.LastSeen.Compare(a.LastSeen) })
	return out, nil
}

// parse reads a value. One that another version wrote in another form is as
// good as none: its client begins a new session.
func (s *Store) parse(value, id string, user conversation.LearnerID) (sessions.Session, bool) {
	till, rest, ok1 := strings.Cut(value, "|")
	holder, body, ok2 := strings.Cut(rest, "|")
	ms, err := strconv.ParseInt(till, 10, 64)
	var v visit
	if !ok1 || !ok2 || err != nil || json.Unmarshal([]byte(body), &v) != nil {
		return sessions.Session{}, false
	}
	return sessions.Session{
		ID: id, User: user, Client: v.Client, Node: v.Node, Holder: holder, Created: time.UnixMilli(v.Created),
		LastSeen: time.UnixMilli(ms).Add(-s.opt.SessionTTL), Subs: v.Subs,
	}, true
}
