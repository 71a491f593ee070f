package main

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// The slot of a conversation moves to another primary of a Redis Cluster, there
// and back, in the middle of its replies: half a log answers TRYAGAIN or ASK,
// afterwards another primary answers, which is another incarnation. Viewers at
// both nodes see one whole text.
func TestE2EResharding(t *testing.T) {
	t.Parallel()
	rc := testenv.NewRedisCluster(t, 2)
	c := &cluster{t: t, sql: sqldbtest.PostgresURL(t), redis: rc.Primaries[0], model: newModel(t)}
	c.a, c.b = c.node("a", "FLUENTPRO_REDIS_URL="+rc.URL), c.node("b", "FLUENTPRO_REDIS_URL="+rc.URL)
	l, conversation, tag, run, views := c.midReply()

	var key string
	for _, r := range rc.Primaries {
		o, err := redis.ParseURL(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		rdb := redis.NewClient(o)
		keys, err := rdb.Keys(t.Context(), "cv:{*}:*:"+conversation+":m").Result()
		_ = rdb.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) > 0 {
			key = keys[0]
		}
	}
	if key == "" {
		t.Fatal("the conversation has no log")
	}
	key = strings.SplitAfter(key, "}:")[0] + "try"
	home, slot := rc.Home(t, key)
	before := 0
	for _, p := range []*process{c.a, c.b} {
		before += strings.Count(p.out.String(), "log lost; rebuilding it")
	}
	rc.Move(t, slot, home, 1-home, func() { _ = l.talkOf(c.a, conversation) })
	c.allEnd(l, conversation, tag, run, views, 1)

	second := newTag()
	next := l.say(conversation, second)
	for _, v := range views {
		reaches(t, v, next.Run, int64(len(reply(second))/6))
	}
	rc.Move(t, slot, 1-home, home, func() { _ = l.talkOf(c.b, conversation) })
	for name, v := range views {
		ends(t, name+", and back", v, next.Run, reply(second))
		v.Look(func(f *client.Fold) {
			for _, b := range f.Violations {
				t.Errorf("%s: %s at seq %d: %s", name, b.Kind, b.Seq, b.Detail)
			}
		})
	}
	l.answeredOnce(conversation, second, next.Run)
	c.model.oneModelText(t, second, 1)
	after := 0
	for _, p := range []*process{c.a, c.b} {
		after += strings.Count(p.out.String(), "log lost; rebuilding it")
		p.alive()
	}
	if after-before < 2 {
		t.Errorf("%d logs were made anew, the moves hit no reply", after-before)
	}
}
