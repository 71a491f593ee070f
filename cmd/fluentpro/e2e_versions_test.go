package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// newer is what a node of a later version does to a live log: an entry of a
// type that nobody here knows, and a field of its own.
var newer = redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'top')
local seq = string.format('%.0f', m[3] + 1)
local e = ARGV[1] .. '|' .. ARGV[2] .. '|' .. ARGV[3] .. '|1|1|0|0|0|1780000000000|' .. ARGV[4]
redis.call('XADD', KEYS[2], seq .. '-0', 'e', e)
redis.call('HSET', KEYS[1], 'top', seq, 'later', 'x')
redis.call('PUBLISH', ARGV[5], m[1] .. '.' .. m[2] .. '.' .. seq .. '|' .. e)
return seq`)

// events reads a conversation's log after a cursor at a node, as types to data.
func (l *learner) events(p *process, conversation, after string) map[string]string {
	l.t.Helper()
	was := l.node
	defer func() { l.node = was }()
	l.node = p.base
	out := map[string]string{}
	for more := true; more; {
		var got struct {
			Events []struct {
				Type string
				Data json.RawMessage
			}
			Cur  string
			More bool
		}
		l.call("GET", "/conversations/"+conversation+"/log?after="+after, nil, &got)
		for _, e := range got.Events {
			out[e.Type] = string(e.Data)
		}
		after, more = got.Cur, got.More
	}
	return out
}

// A rolling upgrade, seen by the nodes that are to be replaced: the schema has
// become newer, a newer node writes events, facts and fields that they do not
// know, and has a kind of conversation of its own. They pass on what they do
// not understand, call nothing damaged, leave alone what they could only spoil,
// and do their own work as ever; one more of them may start.
func TestE2EBesideANewerVersion(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	db, err := sqldb.Open(t.Context(), c.sql, sqldb.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	do := func(q string, args ...any) {
		t.Helper()
		if _, err := db.Conn(t.Context()).ExecContext(t.Context(), q, args...); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}

	// Its migrations, while replies are being written.
	for _, table := range []string{"conversations", "runs", "turns", "facts", "nodes", "learners"} {
		do("ALTER TABLE " + table + " ADD COLUMN later TEXT NOT NULL DEFAULT ''")
	}
	do("CREATE TABLE later (id TEXT PRIMARY KEY)")
	do("INSERT INTO goose_db_version (version_id, is_applied) VALUES (90000, true)")

	// Its events: one in the log alone, one of the open run, one durable.
	rdb := c.foreign()
	shard := strings.SplitAfter(c.logKey(rdb, conversation, "m"), "}:")[0]
	keys := []string{c.logKey(rdb, conversation, "m"), c.logKey(rdb, conversation, "l")}
	name, err := rdb.HMGet(t.Context(), keys[0], "c", "n").Result()
	if err != nil {
		t.Fatal(err)
	}
	front := fmt.Sprintf("%s.%s.0", name...)
	for kind, no := range map[string]int64{"room.lit": 0, "partner.mood": run} {
		if err := newer.Run(t.Context(), rdb, keys, conversation[len(conversation)-12:], kind, no, `{"later":true}`, shard+conversation).Err(); err != nil {
			t.Fatal(err)
		}
	}
	do(`WITH c AS (UPDATE conversations SET facts = facts + 1 WHERE id = ? RETURNING facts)
		INSERT INTO facts (conversation, n, type, run, attempt, base, data, turn, created_at) SELECT ?, facts, 'conversation.pinned', 0, 0, 0, '{"later":true}', 0, 1 FROM c`,
		conversation, conversation)

	// Its kind of conversation, with a run that waits for its writer.
	const duel = "0190a000-0000-7000-8000-00000000d0e1"
	do(`INSERT INTO conversations (id, kind, owner, client_id, title, meta, state, fence, log_epoch, log_fence, turns, runs, facts, created_at, updated_at)
		SELECT ?, 'duel', owner, 'duel', 'Duel', meta, 'active', 0, 0, 0, 0, 1, 0, created_at, updated_at FROM conversations WHERE id = ?`, duel, conversation)
	do(`INSERT INTO runs (conversation, run, purpose, parent, message_id, state, attempt, fence, owner, base, text, text_len, finish, cancel, handoffs, correlation, created_at, updated_at)
		VALUES (?, 1, 'duel', 0, 'm', 'pending', 0, 0, '', 0, '', 0, '', 0, 0, '', 1, 1)`, duel)

	third := c.node("c") // of this version, on the newer schema
	views["newcomer at c"] = l.watch("ws", conversation, third.base)
	c.allEnd(l, conversation, tag, run, views, 1)
	for _, p := range []*process{c.a, c.b, third} {
		testenv.Eventually(t, soon, func() error {
			got := l.events(p, conversation, front)
			for _, kind := range []string{"room.lit", "partner.mood", "conversation.pinned"} {
				if got[kind] != `{"later":true}` {
					return fmt.Errorf("%s does not pass %s on: %q", p.name, kind, got[kind])
				}
			}
			return nil
		})
		if said, err := opsText(p, "/metrics"); err != nil || !strings.Contains(said, "fluentpro_log_damages_total 0") {
			t.Errorf("%s found damage (%v)", p.name, err)
		}
	}
	if !strings.Contains(third.out.String(), "newer than this binary") {
		t.Error("a node that starts on a newer schema does not say so")
	}

	second := newTag()
	next := l.say(conversation, second)
	for name, v := range views {
		ends(t, name+", next message", v, next.Run, reply(second))
	}
	got, err := l.try("POST", "/conversations/"+duel+"/messages", map[string]any{"client_id": "x", "text": "En garde!"})
	if err != nil || got.status != http.StatusServiceUnavailable || got.code() != "storage_unavailable" {
		t.Errorf("a message in a conversation of an unknown kind: %d %s, %v", got.status, got.code(), err)
	}
	if r := c.stored(duel, 1); r.state != "pending" || r.attempt != 0 {
		t.Errorf("a run of an unknown purpose is %s after %d attempts", r.state, r.attempt)
	}
	for _, p := range []*process{c.a, c.b, third} {
		if p.gone() {
			t.Error(errors.New(p.name + " has ended"))
		}
	}
}
