package main

import (
	"strconv"
	"testing"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// The writer is killed, a fresh process takes its place, and then the one who
// had taken over is killed too, all within one reply.
func TestE2EKillAndKillAgain(t *testing.T) {
	t.Parallel()
	// In words this time, as with a model that cannot go on from a prefix.
	c := newCluster(t, "FLUENTPRO_UPSTREAM_CONTINUE=instruct")
	fronts := map[*process]*testenv.Proxy{c.a: testenv.NewProxy(t, c.a.addr()), c.b: testenv.NewProxy(t, c.b.addr())}
	at := func(p *process) string { return "http://" + fronts[p].Addr }
	l, conversation := ready(t, c.a.base)
	views := map[string]*client.View{}
	for _, over := range []client.Transport{client.OverWS, client.OverSSE, client.OverPoll} {
		views[string(over)+" a"] = l.watch(over, conversation, at(c.a), at(c.b))
		views[string(over)+" b"] = l.watch(over, conversation, at(c.b), at(c.a))
	}
	for _, v := range views {
		until(t, v, "the conversation", func(f *client.Fold) bool { return f.Cursor() != "" })
	}
	c.model.slow(pace)
	tag := newTag()
	run := l.say(conversation, tag).Run
	for kills := range 2 {
		for _, v := range views {
			reaches(t, v, run, int64((kills+1)*len(reply(tag))/4))
		}
		w := c.writer(l, conversation)
		w.kill()
		fresh := c.node([]string{"third", "fourth"}[kills])
		front := fronts[w]
		delete(fronts, w)
		fronts[fresh] = front
		front.Target(fresh.addr())
		if w == c.a {
			c.a = fresh
		} else {
			c.b = fresh
		}
		l.node = fresh.base
	}
	c.allEnd(l, conversation, tag, run, views, 3)
	if got := c.stored(conversation, run); got.attempt != 3 {
		t.Errorf("attempt %d, want 3", got.attempt)
	}
}

// A stop that is asked for at the other node ends the text at one place for
// everybody, and the next message is answered.
func TestE2EStop(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	l.node = c.other(c.writer(l, conversation)).base
	var s client.Stopped
	path := "/conversations/" + conversation + "/runs/" + strconv.FormatInt(run, 10) + "/cancel"
	l.call("POST", path, nil, &s)
	if s.Run != run || s.TextLen == 0 || s.TextLen >= int64(len(reply(tag))) {
		t.Fatalf("stopped: %+v", s)
	}
	want := reply(tag)[:s.TextLen] // the tokens are ASCII
	for name, v := range views {
		until(t, v, name+": the run ends", func(f *client.Fold) bool { return f.Runs[run].Ended != "" })
		v.Look(func(f *client.Fold) {
			if r := f.Runs[run]; r.Ended != "stopped" || r.Text() != want {
				t.Errorf("%s: %s, %s", name, r.Ended, differ(r.Text(), want))
			}
			for _, b := range f.Violations {
				t.Errorf("%s: %s at seq %d: %s", name, b.Kind, b.Seq, b.Detail)
			}
		})
	}
	if got := c.stored(conversation, run); got.state != "stopped" || got.text != want {
		t.Errorf("stored: %s, %s", got.state, differ(got.text, want))
	}
	var again client.Stopped
	l.call("POST", path, nil, &again)
	if again.TextLen != s.TextLen {
		t.Errorf("stopped again: %+v, was %+v", again, s)
	}
	second := newTag()
	next := l.say(conversation, second)
	for name, v := range views {
		ends(t, name+", next message", v, next.Run, reply(second))
	}
}
