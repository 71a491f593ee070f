package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/client"
)

var crossing = scenario{
	name: "bounds", short: "learners stop replies in mid-text, sign devices out, and reach for what is somebody else's", unit: "stops", count: 300, brief: 12,
	rules: func(n int) history.Rules {
		return history.Rules{Fault: "stop", MinFaults: n, MinHits: 1, Bounds: true}
	},
	fleet: func(int) fleetOptions { return fleetOptions{redis: plain, tokens: 100} },
	play: func(ctx context.Context, st *stage, count int) error {
		st.model.speak(100*time.Millisecond, 25*time.Millisecond)
		if err := st.gather(ctx, min(max(count, people), 40), 2); err != nil {
			return err
		}
		var stopped atomic.Int64
		for round := 0; stopped.Load() < int64(count); round++ {
			if round > 10+4*count/len(st.convs) {
				return fmt.Errorf("only %d of %d replies could be stopped in mid-text", stopped.Load(), count)
			}
			err := st.everyone(func(c *conv) error {
				did, err := st.stopOne(ctx, c, round)
				if did {
					stopped.Add(1)
				}
				return errors.Join(err, st.trespass(ctx, c, round))
			})
			if err != nil {
				return err
			}
			st.o.say("bounds: %d of %d replies stopped", stopped.Load(), count)
		}
		return st.signOuts(ctx)
	},
}

// stopOne has a reply begin and stops it at a moment of the seed.
func (st *stage) stopOne(ctx context.Context, c *conv, round int) (bool, error) {
	rng := rand.New(rand.NewPCG(st.seed, uint64(c.no)<<32|uint64(round))) //nolint:gosec // repeatable on purpose
	run, err := st.say(ctx, c, rng.IntN(fleet))
	if err != nil {
		return false, err
	}
	seen, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = c.viewers[0].view.Wait(seen, func(f *client.Fold) bool {
		r := f.Runs[run]
		return r != nil && (r.Len() > 0 || r.Ended != "")
	})
	if err != nil {
		return false, fmt.Errorf("%s: run %d never began: %w", c.name, run, err)
	}
	if err := pause(ctx, time.Duration(rng.Int64N(int64(1200*time.Millisecond)))); err != nil {
		return false, err
	}
	n := st.nodes[rng.IntN(fleet)]
	id := st.rec.NextID()
	ask := history.Record{K: history.Invoke, P: c.name + "-l", U: c.learner.user(), N: n.name, Op: "cancel", ID: id, Conv: c.id, Run: run}
	st.at("stop", "", "")
	st.rec.Add(ask)
	var out client.Stopped
	once, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	err = call(once, st.web, "http://"+n.calls.addr, c.learner.token(), "POST", fmt.Sprintf("/conversations/%s/runs/%d/cancel", c.id, run), nil, &out)
	ask.K, ask.Code, ask.Len = history.OK, out.State, out.TextLen
	if err != nil {
		ask.K, ask.Code = history.Info, reason(err)
	}
	st.rec.Add(ask)
	return out.State == "stopped", st.answered(ctx, c, run)
}

// trespass has another learner reach for a conversation, in every way.
func (st *stage) trespass(ctx context.Context, c *conv, round int) error {
	var other *learner
	for _, l := range st.learners {
		if l != c.learner {
			other = l
		}
	}
	if other == nil {
		return errors.New("there is nobody else")
	}
	n := st.nodes[(c.no+round)%fleet]
	base := "http://" + n.calls.addr
	for _, w := range []struct {
		method, path string
		body         any
	}{
		{"GET", "", nil}, {"GET", "/log?limit=10", nil}, {"GET", "/branches", nil}, {"POST", "/runs/1/cancel", nil},
		{"POST", "/messages", object{"client_id": st.prefix + "foreign", "text": "Hello?"}},
	} {
		id := st.rec.NextID()
		r := history.Record{K: history.Invoke, P: c.name + "-x", U: other.user(), N: n.name, Op: "trespass", ID: id, Conv: c.id, Arg: w.method + " " + w.path}
		st.rec.Add(r)
		once, done := context.WithTimeout(ctx, 10*time.Second)
		err := call(once, st.web, base, other.token(), w.method, "/conversations/"+c.id+w.path, w.body, nil)
		done()
		no := (*refused)(nil)
		switch {
		case err == nil:
			r.K = history.OK
		case errors.As(err, &no) && no.status < 500:
			r.K, r.Code = history.Fail, no.code
		default:
			r.K, r.Code = history.Info, reason(err)
		}
		st.rec.Add(r)
	}
	// The same by each transport: what comes is written down as that learner's.
	tr := []client.Transport{client.OverWS, client.OverSSE, client.OverPoll}[(c.no+round)%3]
	v := st.newViewer(&conv{no: c.no, name: fmt.Sprintf("%s-x%d", c.name, round), id: c.id, learner: other}, 0, tr)
	once, done := context.WithTimeout(ctx, 2*time.Second)
	defer done()
	v.follow(once)
	return nil
}

// signOuts has devices of some learners watch, ends their logins, and has the
// conversations go on for longer than such a connection may last.
func (st *stage) signOuts(ctx context.Context) error {
	dctx, stop := context.WithCancel(ctx)
	defer stop()
	some := st.convs[:min(len(st.convs), 4)]
	tokens := make([]string, len(some))
	for i, c := range some {
		var err error
		if tokens[i], err = c.learner.login(ctx, st.web, st.nodes[i%fleet].real); err != nil {
			return err
		}
		for j, tr := range []client.Transport{client.OverWS, client.OverSSE, client.OverPoll} {
			v := st.newViewer(c, 10+j, tr)
			v.login, v.token = c.name+"-phone", func() string { return tokens[i] }
			st.wg.Go(func() { v.follow(dctx) })
			seen, cancel := context.WithTimeout(ctx, time.Minute)
			err := v.view.Wait(seen, func(f *client.Fold) bool { return f.Cursor() != "" })
			cancel()
			if err != nil {
				return fmt.Errorf("%s sees nothing: %w", v.name, err)
			}
		}
	}
	for i, c := range some {
		r := history.Record{K: history.Invoke, P: c.name + "-phone", U: c.learner.user(), Login: c.name + "-phone", Op: "sign-out", ID: st.rec.NextID()}
		st.rec.Add(r)
		if err := call(ctx, st.web, st.nodes[(i+1)%fleet].real, tokens[i], "POST", "/auth/logout", object{}, nil); err != nil {
			return err
		}
		r.K = history.OK
		st.rec.Add(r)
	}
	for begun := time.Now(); time.Since(begun) < 10*time.Second; {
		for i, c := range some {
			run, err := st.say(ctx, c, i)
			if err == nil {
				err = st.answered(ctx, c, run)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep searches a node's log for what it must not hold.
func (st *stage) sweep(n *node) error {
	f, err := os.Open(filepath.Join(n.dir, n.name+".log"))
	if err != nil {
		return fmt.Errorf("search a log: %w", err)
	}
	defer func() { _ = f.Close() }()
	type secret struct{ kind, text string }
	secrets := []secret{{"message", "Could we go on, please"}}
	for _, l := range st.learners {
		tokens, password := l.secrets()
		secrets = append(secrets, secret{"password", password})
		for _, t := range tokens {
			secrets = append(secrets, secret{"token", t})
		}
	}
	for _, c := range st.convs {
		for i := range c.said {
			secrets = append(secrets, secret{"reply", fmt.Sprintf("%s%s-%d.1 ", st.prefix, c.name, i+1)})
		}
	}
	size := int64(0)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		size += int64(len(lines.Bytes())) + 1
		line := lines.Text()
		for _, s := range secrets {
			if s.text != "" && strings.Contains(line, s.text) {
				st.rec.Add(history.Record{K: history.Leak, N: n.name, Arg: s.kind})
			}
		}
	}
	st.rec.Add(history.Record{K: history.Swept, N: n.name, Len: size})
	if err := lines.Err(); err != nil {
		return fmt.Errorf("search a log: %w", err)
	}
	return nil
}
