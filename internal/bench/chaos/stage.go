package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/client"
)

// stage is one scenario under way: three nodes, a Redis, a model, people.
type stage struct {
	*rig
	name, prefix string
	seed         uint64
	rng          *rand.Rand // of the scenario's goroutine
	rec          *history.Recorder
	file         *os.File
	nodes        []*node
	redis        *redisSet
	model        *standIn
	tokens       int
	convs        []*conv
	counters

	wg   sync.WaitGroup // viewers
	stop context.CancelFunc

	mu      sync.Mutex // guards what follows
	trouble []error
	notes   []string // figures of the scenario's own
}

const fleet = 3

// newStage starts everything a scenario needs.
func (r *rig) newStage(ctx context.Context, name string, seed uint64, o fleetOptions, rules history.Rules) (_ *stage, err error) {
	st := &stage{rig: r, name: name, prefix: name[:2] + "-", seed: seed, tokens: o.tokens, stop: func() {},
		rng: rand.New(rand.NewPCG(seed, uint64(len(name))))} //nolint:gosec // repeatable on purpose
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if st.file, err = os.Create(filepath.Join(r.dir, name+".ndjson")); err != nil {
		return nil, err
	}
	st.rec = history.NewRecorder(st.file)
	st.rec.Add(history.Record{K: history.Begin, F: name, Arg: fmt.Sprintf("seed %d", seed), Rules: &rules})
	if o.onCut == nil {
		o.onCut = func(node string) {
			st.cuts.Add(1)
			st.at("cut", node, "")
		}
	}
	if o.cutCommits {
		o.decide = st.commits(newDice(seed))
	}
	if o.cutViewers > 0 {
		d := newDice(seed)
		o.budget = func() int64 { return int64(1 + d.intN(o.cutViewers)) }
	}
	if st.redis, err = o.redis(ctx, r.dir); err != nil {
		return nil, err
	}
	if st.model, err = newStandIn(); err != nil {
		return nil, err
	}
	for i := range fleet {
		n, err := r.newNode(fmt.Sprintf("%s-n%d", name, i+1), st.redis, st.model, o)
		if err != nil {
			return nil, err
		}
		st.nodes = append(st.nodes, n)
		if err := n.launch(); err != nil {
			return nil, err
		}
	}
	for _, n := range st.nodes {
		if err := n.ready(ctx); err != nil {
			return nil, err
		}
	}
	for _, l := range r.learners {
		if err := l.signIn(ctx, r.web, st.nodes[0].real); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// fault writes down what the rig does; phase is begin or end.
func (st *stage) fault(f, node, phase, arg string) {
	st.rec.Add(history.Record{K: history.Fault, F: f, N: node, Phase: phase, Arg: arg})
}

// at is a fault that takes no time.
func (st *stage) at(f, node, arg string) {
	st.fault(f, node, "begin", arg)
	st.fault(f, node, "end", arg)
}

// fails notes something that should not happen and does not end the run.
func (st *stage) fails(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.trouble) < 20 {
		st.trouble = append(st.trouble, err)
	}
}

// note adds a figure of the scenario's own to the table.
func (st *stage) note(format string, args ...any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.notes = append(st.notes, fmt.Sprintf(format, args...))
}

// mixed are the transports of viewers, in turn.
var mixed = [][]client.Transport{
	{client.OverWS}, {client.OverSSE}, {client.OverWS, client.OverSSE, client.OverPoll}, {client.OverPoll, client.OverSSE},
}

// gather makes conversations with viewers and keeps the learners signed in.
func (st *stage) gather(ctx context.Context, convs, viewers int) error {
	fctx, stop := context.WithCancel(ctx)
	st.stop = stop
	if err := st.alsoConverse(ctx, convs); err != nil {
		return err
	}
	for _, c := range st.convs {
		for i := range viewers {
			v := st.newViewer(c, i, mixed[(c.no+i)%len(mixed)]...)
			c.viewers = append(c.viewers, v)
			st.wg.Go(func() { v.follow(fctx) })
		}
	}
	st.wg.Go(func() { st.keepSignedIn(fctx) })
	seen, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, c := range st.convs {
		for _, v := range c.viewers {
			if err := v.view.Wait(seen, func(f *client.Fold) bool { return f.Cursor() != "" }); err != nil {
				return fmt.Errorf("%s sees nothing: %w", v.name, err)
			}
		}
	}
	return nil
}

// alsoConverse makes more conversations, which nobody watches yet.
func (st *stage) alsoConverse(ctx context.Context, n int) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for range n {
		i := len(st.convs)
		c := &conv{no: i, name: fmt.Sprintf("c%d", i), learner: st.learners[i%len(st.learners)]}
		st.convs = append(st.convs, c)
		g.Go(func() error {
			var err error
			c.id, err = c.learner.converse(gctx, st.web, st.nodes[i%fleet].real)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("begin conversations: %w", err)
	}
	return nil
}

func (st *stage) keepSignedIn(ctx context.Context) {
	for i := 0; pause(ctx, 5*time.Second) == nil; i++ {
		for _, l := range st.learners {
			once, cancel := context.WithTimeout(ctx, 5*time.Second)
			_ = l.signIn(once, st.web, st.nodes[i%fleet].real) // a node that is down; the next turn asks another
			cancel()
		}
	}
}

// load has everybody talk until the returned function is called, which waits
// for the last replies.
func (st *stage) load(ctx context.Context, convs []*conv) (end func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, c := range convs {
		rng := rand.New(rand.NewPCG(st.seed, uint64(c.no))) //nolint:gosec // repeatable on purpose
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-ctx.Done():
					return
				default:
				}
				run, err := st.say(ctx, c, rng.IntN(fleet))
				if err == nil {
					err = st.answered(ctx, c, run)
				}
				if err != nil {
					st.fails(err)
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

// everyone runs f for each conversation at once.
func (st *stage) everyone(f func(c *conv) error) error {
	g := errgroup.Group{}
	for _, c := range st.convs {
		g.Go(func() error { return f(c) })
	}
	return g.Wait()
}

// finish reads everything once more on every node, writes what the model did
// and what viewers show, and ends the stage. It returns the history's path.
func (st *stage) finish(ctx context.Context) (string, error) {
	defer st.close()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, c := range st.convs {
		for i, n := range st.nodes {
			g.Go(func() error { return st.final(gctx, c, n, i == 0) })
		}
	}
	if err := g.Wait(); err != nil {
		st.fails(err)
	}
	st.stop()
	st.wg.Wait()
	for _, c := range st.convs {
		for _, v := range c.viewers {
			v.show()
		}
	}
	for _, n := range st.nodes {
		n.kill()
	}
	st.model.write(st.rec)
	for _, n := range st.nodes {
		if err := st.sweep(n); err != nil {
			st.fails(err)
		}
	}
	return st.file.Name(), errors.Join(st.rec.Flush(), errors.Join(st.trouble...))
}

// final reads one conversation on one node, and there once the log too.
func (st *stage) final(ctx context.Context, c *conv, n *node, log bool) error {
	var p picture
	var begun time.Time
	err := until(ctx, 3*time.Minute, func() error {
		begun = time.Now()
		var err error
		if p, err = c.learner.read(ctx, st.web, n.real, c.id); err != nil {
			return err
		}
		if p.Cur == "" || p.State.Open != nil {
			return fmt.Errorf("conversation %s is still open on %s", c.id, n.name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	turns, err := c.learner.whole(ctx, st.web, n.real, c.id, p.State.Turns)
	if err != nil {
		return err
	}
	epoch, _ := splitCursor(p.Cur)
	st.rec.Add(history.Record{K: history.Final, N: n.name, Conv: c.id, Cur: p.Cur, Epoch: epoch,
		T0: begun.Sub(st.rec.Begun()).Nanoseconds(), Turns: turnsOf(turns)})
	if !log {
		return nil
	}
	return st.readLog(ctx, c, n, epoch)
}

// readLog reads a whole log from its front, if it is all there.
func (st *stage) readLog(ctx context.Context, c *conv, n *node, epoch string) error {
	after := epoch + ".0"
	for {
		var page struct {
			Events []client.Event `json:"events"`
			Cur    string         `json:"cur"`
			More   bool           `json:"more"`
		}
		err := call(ctx, st.web, n.real, c.learner.token(), "GET", "/conversations/"+c.id+"/log?limit=1000&after="+url.QueryEscape(after), nil, &page)
		if r := (*refused)(nil); errors.As(err, &r) && r.code == "cursor_gone" {
			return nil // trimmed, or made anew since
		}
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			r := history.Record{K: history.Recv, P: "log", N: n.name, Conv: c.id, Ev: e.Type, Seq: e.Seq, Run: e.Run, Attempt: e.Attempt, Base: e.Base, TS: e.TS}
			r.Epoch, _ = splitCursor(e.Cur)
			if e.From != e.Seq {
				r.From = e.From
			}
			eventData(&r, e)
			st.rec.Add(r)
		}
		if !page.More || page.Cur == after {
			return nil
		}
		after = page.Cur
	}
}

// close ends everything of the stage; it may be called again.
func (st *stage) close() {
	st.stop()
	st.wg.Wait()
	for _, n := range st.nodes {
		n.close()
	}
	st.nodes = nil
	if st.redis != nil {
		st.redis.close()
		st.redis = nil
	}
	if st.model != nil {
		st.model.close()
		st.model = nil
	}
	if st.file != nil {
		_ = st.rec.Flush() // finish has told of an error
		_ = st.file.Close()
		st.file = nil
	}
}
