package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// pace of replies that are disturbed: long enough to be hit in the middle,
// short enough for the test to end soon.
const pace = 12 * time.Millisecond

// writer finds who writes in a conversation.
func (c *cluster) writer(l *learner, conversation string) *process {
	c.t.Helper()
	var found *process
	testenv.Eventually(c.t, soon, func() error {
		for _, p := range []*process{c.a, c.b} {
			r, err := inspect(l.http, p, conversation)
			if err != nil {
				return err
			}
			if r.Owner != nil && r.Owner.ID == r.Node {
				found = p
				return nil
			}
		}
		return errors.New("nobody writes")
	})
	return found
}

// midReply posts a message, watches everywhere and returns in the middle of
// its reply.
func (c *cluster) midReply() (l *learner, conversation, tag string, run int64, views map[string]*client.View) {
	c.t.Helper()
	l, conversation = ready(c.t, c.a.base)
	views = l.everywhere(conversation, c.a, c.b)
	c.model.slow(pace)
	tag = newTag()
	run = l.say(conversation, tag).Run
	for _, p := range []*process{c.a, c.b} {
		l.newcomers(conversation, p)
	}
	for _, v := range views {
		reaches(c.t, v, run, int64(len(reply(tag))/6))
	}
	return l, conversation, tag, run, views
}

// allEnd checks every view, the store and the model's record.
func (c *cluster) allEnd(l *learner, conversation, tag string, run int64, views map[string]*client.View, calls int) {
	c.t.Helper()
	for name, v := range views {
		ends(c.t, name, v, run, reply(tag))
	}
	l.answeredOnce(conversation, tag, run)
	c.model.oneModelText(c.t, tag, calls)
}

// Kill -9 of the writer in mid-reply: the other node goes on from the stored
// prefix, and all viewers on both nodes see one text.
func TestE2EKillOfTheWriter(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	w := c.writer(l, conversation)
	survivor := c.other(w)
	l.node = survivor.base

	var before int64
	probe := l.watch(client.OverWS, conversation, survivor.base)
	reaches(t, probe, run, 1)
	killed := time.Now()
	w.kill()
	// What the dead node had written may still be on its way for a moment; new
	// is what a later attempt writes.
	until(t, probe, "the takeover", func(f *client.Fold) bool { return f.Runs[run].Attempt > 1 })
	probe.Look(func(f *client.Fold) { before = f.Runs[run].Len() })
	if before == 0 || before >= int64(len(reply(tag))) {
		t.Fatalf("the takeover began at %d of %d, not in the middle", before, len(reply(tag)))
	}
	reaches(t, probe, run, before+1)
	t.Logf("kill -9 to the first new character: %v", time.Since(killed).Round(time.Millisecond))
	views["probe"] = probe
	c.allEnd(l, conversation, tag, run, views, 2)
	survivor.alive()
}

// The same in the middle of a scenario.
func TestE2EKillWhileAScenarioIsWritten(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l := signUp(t, c.a.base)
	l.onboard()
	c.model.slow(6 * time.Millisecond)
	request := l.askScenario()
	views := map[string]*client.View{ // a long poll begins with a conversation's snapshot, and this is none
		"ws at a first": l.watch(client.OverWS, request, c.a.base, c.b.base), "ws at b first": l.watch(client.OverWS, request, c.b.base, c.a.base),
		"sse at a first": l.watch(client.OverSSE, request, c.a.base, c.b.base), "sse at b first": l.watch(client.OverSSE, request, c.b.base, c.a.base),
	}
	for _, v := range views {
		reaches(t, v, 1, 200)
	}
	w := c.writer(l, request)
	l.node = c.other(w).base
	w.kill()
	text := scenarioAppears(t, views)
	if !strings.Contains(text, `"title"`) {
		t.Error("no text was seen")
	}
	for name, v := range views {
		v.Look(func(f *client.Fold) {
			if r := f.Runs[1]; r.Attempt < 2 {
				t.Errorf("%s: attempt %d, the kill hit nothing", name, r.Attempt)
			}
		})
	}
	continued := 0
	for _, call := range c.model.Calls() {
		if call.Continued {
			continued++
		}
	}
	if continued != 1 {
		t.Errorf("%d calls went on from a prefix, want 1", continued)
	}
	var list struct{ Scenarios []struct{ Title string } }
	l.call("GET", "/scenarios", nil, &list)
	if len(list.Scenarios) != 1 {
		t.Errorf("%d scenarios are stored, want 1", len(list.Scenarios))
	}
}

// SIGTERM in mid-reply: the node leaves with code 0, and the reply is finished
// by it or by the other.
func TestE2EDrain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "FLUENTPRO_DRAIN=6s")
	l, conversation, tag, run, views := c.midReply()
	w := c.writer(l, conversation)
	l.node = c.other(w).base
	w.signal(syscall.SIGTERM)
	c.allEnd(l, conversation, tag, run, views, 1)
	if code := w.wait(25 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	second := newTag()
	next := l.say(conversation, second)
	for name, v := range views {
		ends(t, name+", next message", v, next.Run, reply(second))
	}
}

// A drain that is too short for the reply hands it over.
func TestE2EDrainHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "FLUENTPRO_DRAIN=1s")
	l, conversation, tag, run, views := c.midReply()
	w := c.writer(l, conversation)
	l.node = c.other(w).base
	w.signal(syscall.SIGTERM)
	c.allEnd(l, conversation, tag, run, views, 2)
	if code := w.wait(25 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// A writer that is paused past its lease and wakes up has lost its run: what it
// still holds goes nowhere, neither into the log nor into SQL.
func TestE2EPausedWriter(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation, tag, run, views := c.midReply()
	w := c.writer(l, conversation)
	survivor := c.other(w)
	l.node = survivor.base
	probe := l.watch(client.OverSSE, conversation, survivor.base)
	reaches(t, probe, run, 1)
	w.signal(syscall.SIGSTOP)
	until(t, probe, "the takeover", func(f *client.Fold) bool { return f.Runs[run].Attempt > 1 })
	reaches(t, probe, run, int64(len(reply(tag))*3/4))
	w.signal(syscall.SIGCONT) // in mid-reply of the one who took over
	ends(t, "probe", probe, run, reply(tag))
	stored := c.stored(conversation, run)
	// The zombie notices within a heartbeat; then its viewers see the text too.
	c.allEnd(l, conversation, tag, run, views, 2)
	testenv.Eventually(t, soon, func() error {
		r, err := inspect(l.http, w, conversation)
		if err != nil {
			return err
		}
		if r.State != "idle" {
			return fmt.Errorf("the woken node says %s", r.State)
		}
		return nil
	})
	testenv.EventuallyTrue(t, soon, "the woken node gives its run up", func() bool { return strings.Contains(w.out.String(), "result=fenced") })
	if now := c.stored(conversation, run); now != stored {
		t.Errorf("the zombie changed SQL: %+v, was %+v", now, stored)
	}
	if stored.attempt != 2 || stored.state != "completed" || stored.text != reply(tag) {
		t.Errorf("stored attempt %d, %s, %s", stored.attempt, stored.state, differ(stored.text, reply(tag)))
	}
	w.alive()
	second := newTag()
	l.node = w.base // and it serves again
	next := l.say(conversation, second)
	for name, v := range views {
		ends(t, name+", next message", v, next.Run, reply(second))
	}
}

// row is what SQL has of a run.
type row struct {
	state, text, owner      string
	attempt, fence, updated int64
	facts, turns            int64
}

func (c *cluster) stored(conversation string, run int64) row {
	c.t.Helper()
	db, err := sqldb.Open(c.t.Context(), c.sql, sqldb.Options{MaxConns: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var r row
	err = db.Conn(c.t.Context()).QueryRowContext(c.t.Context(), `SELECT r.state, r.text, r.owner, r.attempt, r.fence, r.updated_at,
		(SELECT count(*) FROM facts f WHERE f.conversation = r.conversation),
		(SELECT count(*) FROM turns t WHERE t.conversation = r.conversation)
		FROM runs r WHERE r.conversation = ? AND r.run = ?`, conversation, run).
		Scan(&r.state, &r.text, &r.owner, &r.attempt, &r.fence, &r.updated, &r.facts, &r.turns)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// Kill -9 of one node with several conversations in mid-reply, a viewer each
// on both nodes: every single one goes on.
func TestE2EKillWithManyConversations(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const n = 6
	type one struct {
		l                 *learner
		conversation, tag string
		run               int64
		views             map[string]*client.View
	}
	all := make([]one, n)
	l, first := ready(t, c.a.base)
	for i := range all {
		o := &all[i]
		o.l, o.conversation, o.tag = l, first, newTag()
		if i > 0 {
			o.conversation = l.converse()
		}
	}
	c.model.slow(pace)
	var wg sync.WaitGroup
	for i := range all {
		o := &all[i]
		node, other := c.a, c.b
		if i%2 == 1 {
			node, other = c.b, c.a
		}
		over := []client.Transport{client.OverWS, client.OverSSE, client.OverPoll}[i%3]
		o.views = map[string]*client.View{
			fmt.Sprintf("%d here", i):  l.watch(over, o.conversation, node.base, other.base),
			fmt.Sprintf("%d there", i): l.watch(client.OverWS, o.conversation, other.base, node.base),
		}
		l.node = node.base
		o.run = l.say(o.conversation, o.tag).Run
	}
	for _, o := range all {
		for _, v := range o.views {
			reaches(t, v, o.run, 60)
		}
	}
	c.a.kill()
	l.node = c.b.base
	for _, o := range all {
		wg.Go(func() {
			for name, v := range o.views {
				ctx, cancel := context.WithTimeout(t.Context(), soon)
				if err := v.WaitEnded(ctx, o.run); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	taken := 0
	for _, o := range all {
		c.allEnd(o.l, o.conversation, o.tag, o.run, o.views, 1)
		if len(c.model.callsFor(o.tag)) > 1 {
			taken++
		}
	}
	t.Logf("%d of %d replies were taken over", taken, n)
	if taken == 0 {
		t.Error("the kill hit no reply")
	}
}

// eventuallyStored waits until SQL has the whole of a run.
func eventuallyStored(t *testing.T, c *cluster, conversation string, run int64, want string) {
	t.Helper()
	testenv.Eventually(t, soon, func() error {
		if r := c.stored(conversation, run); r.state != "completed" || r.text != want {
			return fmt.Errorf("the run is %s with %d bytes", r.state, len(r.text))
		}
		return nil
	})
}
