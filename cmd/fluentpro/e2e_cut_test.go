package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// A viewer whose connection is cut at a random byte goes on at the other node
// and over another transport, again and again within one reply. What it has at
// the end is the reply, and no promise was broken on the way.
func TestE2ECutsAtRandomBytes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation := ready(t, c.a.base)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	proxies := []*testenv.Proxy{testenv.NewProxy(t, c.a.addr()), testenv.NewProxy(t, c.b.addr())}
	c.model.slow(3 * pace / 2)
	v := client.NewView(conversation)
	if err := client.Snapshot(t.Context(), l.at(c.a.base), v); err != nil {
		t.Fatal(err)
	}
	tag := newTag()
	run := l.say(conversation, tag).Run

	over := []client.Transport{client.OverWS, client.OverSSE, client.OverPoll}
	ended := func() (done bool) {
		v.Look(func(f *client.Fold) { r := f.Runs[run]; done = r != nil && r.Ended != "" })
		return done
	}
	cuts, used := 0, map[string]int{}
	for round := 0; !ended(); round++ {
		p, tr := proxies[round%2], over[round%3]
		used[fmt.Sprintf("%s at %d", tr, round%2)]++
		cut := p.CutAfter(rnd.Int64N(4000) + 1)
		ctx, stop := context.WithTimeout(t.Context(), soon)
		done := make(chan error, 1)
		go func() { done <- attachOnce(ctx, l.at("http://"+p.Addr), tr, v, run) }()
		err := <-done // what had arrived before the cut still counts
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			t.Fatalf("round %d over %s hangs: %v", round, tr, err)
		case isCut(cut):
			cuts++
		case err != nil:
			t.Fatalf("round %d over %s: %v", round, tr, err)
		}
		stop()
		p.DropAll()
	}
	ends(t, "the cut viewer", v, run, reply(tag))
	t.Logf("%d cuts within one reply; attached %v", cuts, used)
	if cuts < 8 {
		t.Errorf("only %d cuts fell into the reply", cuts)
	}
	l.answeredOnce(conversation, tag, run)
	c.model.oneModelText(t, tag, 1)
}

func isCut(cut <-chan struct{}) bool {
	select {
	case <-cut:
		return true
	default:
		return false
	}
}

// attachOnce follows over one transport until it breaks or the run has ended.
func attachOnce(ctx context.Context, o *client.Options, over client.Transport, v *client.View, run int64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	settled := make(chan struct{})
	go func() { // ends an attach that has delivered the end of the run
		defer close(settled)
		if v.WaitEnded(ctx, run) == nil {
			stop()
		}
	}()
	defer func() { stop(); <-settled }()
	var err error
	switch over {
	case client.OverWS:
		var ws *client.WS
		if ws, err = client.DialWS(ctx, o, "", v); err != nil {
			break
		}
		select {
		case <-ws.Done():
		case <-ctx.Done():
		}
		ws.Drop()
	case client.OverSSE:
		err = client.Stream(ctx, o, v)
	default:
		for err == nil && ctx.Err() == nil {
			err = client.Poll(ctx, o, v, time.Second)
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

// A socket that comes back with its session's id on the other node gets its
// subscriptions back, from where it last acknowledged, without naming them.
func TestE2ESessionOnTheOtherNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, first := ready(t, c.a.base)
	second := l.converse()
	va, vb := client.NewView(first), client.NewView(second)
	ws, err := client.DialWS(t.Context(), l.at(c.a.base), "", va, vb)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*client.View{va, vb} {
		until(t, v, "caught up", func(f *client.Fold) bool { return f.Cursor() != "" })
		if err := ws.Ack(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	tags, runs := []string{newTag(), newTag()}, []int64{}
	c.model.slow(pace)
	for i, conversation := range []string{first, second} {
		got, err := ws.Send(t.Context(), conversation, tags[i], message(tags[i]), "")
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, got.Run)
	}
	reaches(t, va, runs[0], 100)
	reaches(t, vb, runs[1], 100)
	for _, v := range []*client.View{va, vb} {
		if err := ws.Ack(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	// The acks are stored behind a write of the node; the inspector tells when.
	testenv.Eventually(t, soon, func() error { return acked(l, c.a, first, second) })
	session := ws.Welcome.Session
	ws.Drop()

	// The test's own reading of frames: nothing is named but the session.
	raw := dialRaw(t, c.b.base, l.token)
	raw.send(map[string]any{"t": "hello", "client": "e2e/1", "session": session})
	w := raw.until("welcome")
	if !w.Resumed || w.Session != session {
		t.Fatalf("welcome says resumed %v", w.Resumed)
	}
	back := map[string]bool{}
	for len(back) < 2 {
		back[raw.until("sub_ok").C] = true
	}
	if !back[first] || !back[second] {
		t.Fatalf("subscriptions came back for %v", back)
	}
	raw.close()
	// And a client that keeps its own cursors goes on without a gap.
	again, err := client.DialWS(t.Context(), l.at(c.b.base), session, va, vb)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Drop()
	if !again.Welcome.Resumed || again.Welcome.Node == ws.Welcome.Node {
		t.Fatalf("resumed %v at node %s, was at %s", again.Welcome.Resumed, again.Welcome.Node, ws.Welcome.Node)
	}
	ends(t, "first", va, runs[0], reply(tags[0]))
	ends(t, "second", vb, runs[1], reply(tags[1]))

	// Somebody else's session is none.
	stranger := signUp(t, c.b.base)
	other, err := client.DialWS(t.Context(), stranger.at(c.b.base), session)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Drop()
	if other.Welcome.Resumed || other.Welcome.Session == session {
		t.Error("a stranger took over the session")
	}
}

func acked(l *learner, p *process, conversations ...string) error {
	for _, id := range conversations {
		r, err := inspect(l.http, p, id)
		if err != nil {
			return err
		}
		ok := false
		for _, v := range r.Viewers {
			ok = ok || v.Acked != ""
		}
		if !ok {
			return errors.New("no viewer has acknowledged")
		}
	}
	return nil
}
