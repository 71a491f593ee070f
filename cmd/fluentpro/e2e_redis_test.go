package main

import (
	"testing"

	"github.com/fluentpro/fluentpro/internal/client"
)

// FLUSHALL in mid-reply while the writer lives: it has the whole text and
// gives it to a new log; viewers get a snapshot, and no text ever shortens.
func TestE2EFlushall(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	c.redis.Flush()
	for _, v := range views { // it goes on, and is lost once more
		reaches(t, v, run, int64(len(reply(tag))/2))
	}
	c.redis.Flush()
	c.allEnd(l, conversation, tag, run, views, 1)
	for name, v := range views {
		v.Look(func(f *client.Fold) {
			if f.Resets == 0 && f.Snapshots < 2 {
				t.Errorf("%s: %d resets and %d snapshots, the losses were not noticed", name, f.Resets, f.Snapshots)
			}
		})
	}
	if n := len(c.model.callsFor(tag)); n != 1 {
		t.Errorf("the model was called %d times, want once", n)
	}
	c.redis.Flush() // and with nothing open: all is made again from SQL
	second := newTag()
	next := l.say(conversation, second)
	for name, v := range views {
		ends(t, name+", next message", v, next.Run, reply(second))
	}
}

// Redis is killed in mid-reply and comes back empty: both nodes survive,
// a message posted while it is away is accepted and answered, and everybody
// sees the whole of both replies.
func TestE2ERedisDiesAndComesBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	c.redis.Kill()
	second := newTag()
	next := l.say(conversation, second)
	if next.Duplicate || next.Run != run+1 {
		t.Fatalf("posted while Redis is away: %+v", next)
	}
	c.redis.Restart()
	for name, v := range views {
		ends(t, name, v, run, reply(tag))
		ends(t, name+", message posted without Redis", v, next.Run, reply(second))
	}
	l.answeredOnce(conversation, tag, run)
	l.answeredOnce(conversation, second, next.Run)
	c.model.oneModelText(t, tag, 1)
	c.a.alive()
	c.b.alive()
}

// Redis stays away until replies are whole: SQL takes them, and viewers get
// them when it is back.
func TestE2EReplyWithoutRedis(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation := ready(t, c.a.base)
	views := l.everywhere(conversation, c.a, c.b)
	c.redis.Kill()
	tag := newTag()
	run := l.say(conversation, tag).Run
	eventuallyStored(t, c, conversation, run, reply(tag))
	c.redis.Restart()
	c.allEnd(l, conversation, tag, run, views, 1)
}

// The writer and Redis die together: what only they had may be lost, nothing
// that SQL accepted is. The text begins anew, which viewers are told.
func TestE2EWriterAndRedisDieTogether(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	w := c.writer(l, conversation)
	l.node = c.other(w).base
	w.kill()
	c.redis.Restart()
	for name, v := range views {
		until(t, v, name+": the run ends", func(f *client.Fold) bool {
			r := f.Runs[run]
			return r != nil && r.Ended != ""
		})
		v.Look(func(f *client.Fold) {
			if got := f.Runs[run].Text(); got != reply(tag) {
				t.Errorf("%s: %s", name, differ(got, reply(tag)))
			}
			for _, b := range f.Violations {
				t.Errorf("%s: %s at seq %d: %s", name, b.Kind, b.Seq, b.Detail)
			}
		})
	}
	l.answeredOnce(conversation, tag, run)
}
