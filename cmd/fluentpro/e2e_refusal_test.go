package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// logName is how often SQL has named a log of the conversation.
func (c *cluster) logName(conversation string) (n int64) {
	c.t.Helper()
	db, err := sqldb.Open(c.t.Context(), c.sql, sqldb.Options{MaxConns: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Conn(c.t.Context()).QueryRowContext(c.t.Context(), `SELECT log_epoch FROM conversations WHERE id = ?`, conversation).Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// redisSet changes a setting of the running Redis.
func (c *cluster) redisSet(name, value string) {
	c.t.Helper()
	if _, err := c.redis.Do("CONFIG", "SET", name, value); err != nil {
		c.t.Fatal(err)
	}
}

// opsText reads what the operators' listener answers as text.
func opsText(p *process, path string) (string, error) {
	res, err := http.Get(p.ops + path)
	if err != nil {
		return "", err
	}
	defer drainBody(res)
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(b), err
}

// refuses waits until a node says that Redis takes no writes, and why.
func refuses(t *testing.T, p *process, reason string) {
	t.Helper()
	for path, want := range map[string]string{
		"/readyz":          `"degraded"`,
		"/ops/v1/findings": `"` + reason + `"`,
		"/metrics":         "fluentpro_redis_takes_writes 0",
	} {
		testenv.Eventually(t, soon, func() error {
			got, err := opsText(p, path)
			if err == nil && !strings.Contains(got, want) {
				err = fmt.Errorf("%s of %s does not say %s", path, p.name, want)
			}
			return err
		})
	}
}

// talkOf reads a conversation's finished turns at a node.
func (l *learner) talkOf(p *process, conversation string) (texts []string) {
	l.t.Helper()
	was := l.node
	defer func() { l.node = was }()
	l.node = p.base
	var s struct{ State client.State }
	l.call("GET", "/conversations/"+conversation, nil, &s)
	for _, turn := range s.State.Turns {
		texts = append(texts, turn.Text)
	}
	return texts
}

func holds(texts []string, text string) error {
	for _, got := range texts {
		if got == text {
			return nil
		}
	}
	return errors.New("the reply is not there")
}

// Redis runs full in mid-reply. Messages are accepted, replies become whole in
// SQL and are read from there at every node; nodes say what is wrong, once; and
// when there is room again viewers get the rest.
func TestE2ERedisIsFull(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	named := c.logName(conversation)
	c.redisSet("maxmemory", "1")
	second := newTag()
	next := l.say(conversation, second)
	if next.Duplicate || next.Run != run+1 {
		t.Fatalf("posted while Redis is full: %+v", next)
	}
	for _, p := range []*process{c.a, c.b} {
		refuses(t, p, "OOM")
	}
	eventuallyStored(t, c, conversation, run, reply(tag))
	eventuallyStored(t, c, conversation, next.Run, reply(second))
	for _, p := range []*process{c.a, c.b} {
		for _, tag := range []string{tag, second} {
			if err := holds(l.talkOf(p, conversation), reply(tag)); err != nil {
				t.Errorf("read at %s while Redis is full: %v", p.name, err)
			}
		}
	}
	if n := c.logName(conversation); n != named {
		t.Errorf("SQL named %d logs while Redis could not take one", n-named)
	}
	c.redisSet("maxmemory", "0")
	c.allEnd(l, conversation, tag, run, views, 1)
	for name, v := range views {
		ends(t, name+", message posted meanwhile", v, next.Run, reply(second))
	}
	l.answeredOnce(conversation, second, next.Run)
	c.toldOnce("OOM")
}

// toldOnce checks that each node has said once that Redis takes no writes, and
// once that it does again.
func (c *cluster) toldOnce(reason string) {
	c.t.Helper()
	for _, p := range []*process{c.a, c.b} {
		testenv.EventuallyTrue(c.t, soon, p.name+" says that it is over", func() bool {
			return strings.Contains(p.out.String(), "Redis takes writes again")
		})
		said := p.out.String()
		if n := strings.Count(said, "Redis takes no writes"); n != 1 || !strings.Contains(said, reason) {
			c.t.Errorf("%s says %d times that Redis takes no writes", p.name, n)
		}
		if n := strings.Count(said, "Redis takes writes again"); n != 1 {
			c.t.Errorf("%s says %d times that it does again", p.name, n)
		}
		p.alive()
	}
}

// A Redis that has lost everything takes no writes, as a promoted replica that
// waits for one of its own: no log can be made, and nobody has SQL name one
// again and again. The reply goes on where it stood when there is a replica.
func TestE2ERedisIsEmptyAndRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	named := c.logName(conversation)
	// Both in one step, so that nothing is written in between.
	if _, err := c.foreign().TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.FlushAll(t.Context())
		p.ConfigSet(t.Context(), "min-replicas-to-write", "1")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*process{c.a, c.b} {
		refuses(t, p, "NOREPLICAS")
		for range 5 {
			l.talkOf(p, conversation)
		}
	}
	eventuallyStored(t, c, conversation, run, reply(tag))
	if n := c.logName(conversation); n != named {
		t.Errorf("SQL named %d logs while Redis could not take one", n-named)
	}
	c.redisSet("min-replicas-to-write", "0")
	c.allEnd(l, conversation, tag, run, views, 1)
	c.toldOnce("NOREPLICAS")
}
