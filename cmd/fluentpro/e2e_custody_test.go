package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// foreign is a hand that reaches into Redis past the server.
func (c *cluster) foreign() *redis.Client {
	c.t.Helper()
	o, err := redis.ParseURL(c.redis.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	c.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func (c *cluster) logKey(rdb *redis.Client, id, kind string) string {
	c.t.Helper()
	ks, err := rdb.Keys(c.t.Context(), "cv:{*}:[0-9]*:"+id+":"+kind).Result()
	if err != nil || len(ks) != 1 {
		c.t.Fatalf("keys %v, %v", ks, err)
	}
	return ks[0]
}

// A word of a finished turn is changed in Redis while the next reply is being
// written. Nobody is ever shown the changed word: the log is set aside with a
// report and made anew, and the reply goes on for everybody.
func TestE2EDamagedLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, id, tag, run, views := c.midReply()
	rdb := c.foreign()
	key := c.logKey(rdb, id, "t")
	turns, err := rdb.LRange(t.Context(), key, 0, -1).Result()
	if err != nil || len(turns) == 0 {
		t.Fatalf("turns %v, %v", turns, err)
	}
	changed := strings.Replace(turns[0], `"text":"`, `"text":"NEVER SAID `, 1)
	if err := rdb.LSet(t.Context(), key, 0, changed).Err(); err != nil {
		t.Fatal(err)
	}
	// A newcomer at each node, who needs the whole state.
	for _, p := range []*process{c.a, c.b} {
		views["newcomer at "+p.name] = l.watch(client.OverWS, id, p.base)
	}
	for name, v := range views {
		ends(t, name, v, run, reply(tag))
		v.Look(func(f *client.Fold) {
			for _, turn := range f.Turns {
				if strings.Contains(turn.Text, "NEVER SAID") {
					t.Errorf("%s was shown %q", name, turn.Text)
				}
			}
		})
	}
	l.answeredOnce(id, tag, run)
	var list struct{ Damages []conversation.Damage }
	if err := opsGet(l.http, c.a, "/ops/v1/damages", &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Damages) != 1 || list.Damages[0].Conversation != conversation.ID(id) || !strings.Contains(list.Damages[0].What, "checksum") {
		t.Fatalf("reports %+v", list.Damages)
	}
	kept, err := rdb.LIndex(t.Context(), list.Damages[0].Place+"t", 0).Result()
	if err != nil || kept != changed {
		t.Errorf("kept %q, %v", kept, err)
	}
}

// A number of the log is overwritten while a reply is being written: it is set
// aside with a report, and the reply goes on for everybody.
func TestE2EDamagedNumber(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, id, tag, run, views := c.midReply()
	rdb := c.foreign()
	if err := rdb.HSet(t.Context(), c.logKey(rdb, id, "m"), "top", "many").Err(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*process{c.a, c.b} {
		views["newcomer at "+p.name] = l.watch(client.OverSSE, id, p.base)
	}
	for name, v := range views {
		ends(t, name, v, run, reply(tag))
	}
	l.answeredOnce(id, tag, run)
	var list struct{ Damages []conversation.Damage }
	if err := opsGet(l.http, c.a, "/ops/v1/damages", &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Damages) != 1 || list.Damages[0].Conversation != conversation.ID(id) {
		t.Fatalf("reports %+v", list.Damages)
	}
	if kept, err := rdb.HGet(t.Context(), list.Damages[0].Place+"m", "top").Result(); err != nil || kept != "many" {
		t.Errorf("kept %q, %v", kept, err)
	}
}

// A conversation is erased while its reply is being written. Whoever watches
// is told that it is not there, and a minute later nothing that was said is
// anywhere: not in SQL, not in Redis, and the writer has given up.
func TestE2EEraseInMidReply(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, id := ready(t, c.a.base)
	stays := l.converse()
	c.model.slow(pace)
	tag := newTag()
	run := l.say(id, tag).Run
	ctx, stop := context.WithTimeout(t.Context(), 2*soon)
	defer stop()
	seen, told := client.NewView(id), make(chan error, 2)
	go func() { told <- client.Follow(ctx, l.at(c.b.base), client.OverSSE, seen) }()
	polled := client.NewView(id)
	go func() { told <- client.Follow(ctx, l.at(c.b.base), client.OverPoll, polled) }()
	reaches(t, seen, run, 60)
	reaches(t, polled, run, 60)
	l.node = c.b.base
	l.call("DELETE", "/conversations/"+id, nil, nil)
	l.call("DELETE", "/conversations/"+id, nil, nil) // repeated
	for range 2 {
		if err := <-told; client.CodeOf(err) != "not_found" {
			t.Errorf("a viewer ended with %v", err)
		}
	}
	if a, err := l.try("GET", "/conversations/"+id, nil); err != nil || a.status != http.StatusNotFound {
		t.Errorf("reading it: %d, %v", a.status, err)
	}
	rdb := c.foreign()
	testenv.Eventually(t, soon, func() error {
		for _, p := range []*process{c.a, c.b} {
			if r, err := inspect(l.http, p, id); err == nil && r.Owner != nil {
				return fmt.Errorf("%s still has an owner", p.name)
			}
		}
		return c.holds(rdb, tag)
	})
	// The writer was refused; the other conversation lives on.
	second := newTag()
	next := l.say(stays, second)
	ends(t, "the other conversation", l.watch(client.OverWS, stays, c.b.base), next.Run, reply(second))
	if err := c.holds(rdb, tag); err != nil {
		t.Error(err)
	}
	c.a.alive()
	c.b.alive()
}

// holds looks for a word in all of SQL's conversation tables and all of Redis.
func (c *cluster) holds(rdb *redis.Client, word string) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(c.t.Context()), 10*time.Second)
	defer stop()
	db, err := sqldb.Open(ctx, c.sql, sqldb.Options{MaxConns: 1})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for table, column := range map[string]string{"turns": "text", "runs": "text", "facts": "data", "conversations": "title || meta"} {
		var n int
		if err := db.Conn(ctx).QueryRowContext(ctx, "SELECT count(*) FROM "+table+" WHERE "+column+" LIKE ?", "%"+word+"%").Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d rows of %s hold it", n, table)
		}
	}
	ks, err := rdb.Keys(ctx, "cv:*").Result()
	if err != nil {
		return err
	}
	for _, k := range ks {
		raw, err := rdb.Dump(ctx, k).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		// A dump of a short value is its bytes; longer ones may be compressed, so
		// what a key is called counts too.
		if strings.Contains(raw, word) {
			return fmt.Errorf("%s holds it", k)
		}
	}
	return nil
}
