package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/memstore"
)

var metrics = conversation.NewMetrics(nil) // counters, shared: nobody reads them here

const owner = conversation.LearnerID("learner")

// mutant is one broken rule.
type mutant struct {
	broken memstore.Broken
	store  func(n *node, s conversation.Store) conversation.Store
	log    func(n *node, l conversation.Log) conversation.Log
}

// world is one schedule: stores, nodes, learners, viewers, and the checker.
type world struct {
	t      *testing.T
	told   bool // step by step
	plan   *plan
	dice   *dice
	mutant mutant
	broken memstore.Broken
	slog   *slog.Logger
	began  time.Time
	check  *checker
	calls  calls

	db         *memstore.DB
	maxEntries int64
	ring       int
	wg         sync.WaitGroup
	quiet      context.CancelFunc
	life       context.Context
	// story, in directed schedules, goes on beside everything else.
	story func()
	// strike, in directed schedules, takes a command over.
	strike func(n *node, ctx context.Context, c memstore.Call) (error, bool)

	mu        sync.Mutex // guards what follows
	servers   []*memstore.Server
	of        []*memstore.Server // by slot
	copies    []dump
	slots     []*node
	all       []*node // every process there ever was
	boots     int
	serving   []*node
	chats     []conversation.ID
	redisAway time.Time
	refusing  string // how Redis refuses writes until refused
	refused   time.Time
	sqlAway   time.Time
	calm      bool
	closed    bool
	lines     []string
}

type dump struct {
	at     time.Time
	server *memstore.Server
}

// outcome is what a schedule showed.
type outcome struct {
	breaches []string
	lines    []string
	took     time.Duration
	replies  int
	entries  int
}

// simulate runs one schedule in a bubble of fake time.
func simulate(t *testing.T, p *plan, m mutant, verbose bool, direct func(w *world)) outcome {
	var out outcome
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, plan: p, dice: newDice(p.seed), mutant: m, broken: m.broken, slog: slog.New(slog.DiscardHandler),
			began: time.Now(), calls: calls{all: map[conversation.ID][]*call{}}}
		if verbose {
			w.told = true
			w.slog = slog.New(slog.NewTextHandler(lines{w}, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: noTime}))
		}
		d := w.dice.fork("world")
		w.maxEntries, w.ring = 4000, 512
		if d.chance(25) {
			w.maxEntries, w.ring = int64(20+d.n(40)), 4+d.n(30)
		}
		ids := w.dice.fork("ids")
		w.db = memstore.NewDB(func() conversation.ID {
			return conversation.ID(fmt.Sprintf("01900000-0000-7000-8000-%012x", ids.next()>>16))
		}, &w.broken)
		w.check = newChecker(w)
		if direct != nil {
			direct(w)
		}
		w.live(d)
		out = outcome{w.check.breaches, w.lines, time.Since(w.began), w.check.replies, len(w.check.entries)}
	})
	return out
}

// live is the life of the world: begin, trouble, calm, rest, end.
func (w *world) live(d *die) {
	first := memstore.NewServer("redis-0", &w.broken)
	w.servers = []*memstore.Server{first}
	for range w.plan.nodes {
		w.of = append(w.of, first)
		w.slots = append(w.slots, nil)
	}
	w.life, w.quiet = context.WithCancel(context.Background())
	for i := range w.plan.nodes {
		w.boot(i, nil)
	}
	author := memstore.NewStore(w.db, nil)
	for i := range w.plan.chats {
		rec, _, err := author.Create(w.life, conversation.CreateInput{Owner: owner, Kind: conversation.KindChat, ClientID: fmt.Sprint("chat-", i), Title: "talk", Opening: "Hello."})
		if err != nil {
			w.t.Fatal(err)
		}
		w.chats = append(w.chats, rec.Header.ID)
	}
	var people sync.WaitGroup
	for i, id := range w.chats {
		people.Go(func() { w.learner(i, id) })
		for v := range 1 + d.n(2) {
			vw := newViewer(w, i, v, id)
			w.check.viewers = append(w.check.viewers, vw)
			w.wg.Go(vw.run)
		}
	}
	w.wg.Go(w.copyNowAndThen)
	if w.story != nil {
		w.wg.Go(w.story)
	}
	for _, e := range w.plan.events {
		_ = sleep(w.life, time.Until(w.began.Add(e.at)))
		w.trace("EVENT %s", e)
		w.do(e)
	}
	_ = sleep(w.life, time.Until(w.began.Add(w.plan.calm)))
	w.heal()
	people.Wait()
	rested := w.check.rest()
	if rested {
		w.check.final()
	}
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.quiet()
	for _, n := range w.all {
		n.stop()
		n.unfreeze()
	}
	w.wg.Wait()
}

// boot starts a process in a slot, unless another stands there than was.
func (w *world) boot(slot int, was *node) {
	w.mu.Lock()
	if w.slots[slot] != was || w.closed {
		w.mu.Unlock()
		return
	}
	w.boots++
	n := w.newNode(slot, w.boots, w.of[slot])
	w.slots[slot] = n
	w.all = append(w.all, n)
	w.mu.Unlock()
	n.start()
}

func (w *world) do(e event) {
	w.mu.Lock()
	n := w.slots[e.node]
	w.mu.Unlock()
	now := time.Now()
	switch e.kind {
	case "kill":
		if n.isDead() {
			return
		}
		n.kill()
		w.later(e.long, func() { w.boot(e.node, n) })
	case "drain":
		if n.isDead() || !w.isServing(n) {
			return
		}
		w.wg.Go(func() {
			n.drain()
			if sleep(w.life, e.long) == nil {
				w.boot(e.node, n)
			}
		})
	case "pause":
		n.freeze()
		w.later(e.long, n.unfreeze)
	case "wipe":
		w.serverOf(e.node).Flush()
	case "drop":
		w.serverOf(e.node).Drop(w.chats[e.chat], pick(w.dice.draw("drop"), []string{"m", "l", "p", "t", "h"}))
	case "unlock":
		w.serverOf(e.node).Unlock(w.chats[e.chat])
	case "rollback":
		w.promote(w.copyFrom(now.Add(-e.long)), 0)
	case "split":
		w.promote(w.copyFrom(now.Add(-w.dice.draw("lag").between(0, 800*time.Millisecond))), e.long)
	case "away":
		w.mu.Lock()
		w.redisAway = now.Add(e.long)
		w.mu.Unlock()
	case "full", "readonly":
		w.mu.Lock()
		w.refusing, w.refused = e.kind, now.Add(e.long)
		w.mu.Unlock()
	case "sqlaway":
		w.mu.Lock()
		w.sqlAway = now.Add(e.long)
		w.mu.Unlock()
	}
}

// copyNowAndThen keeps replicas and dumps of different ages.
func (w *world) copyNowAndThen() {
	d := w.dice.fork("copies")
	for sleep(w.life, d.between(50*time.Millisecond, 400*time.Millisecond)) == nil && !w.isCalm() {
		if !w.plan.on["rollback"] && !w.plan.on["split"] {
			return
		}
		w.mu.Lock()
		w.copies = append(w.copies, dump{time.Now(), w.servers[len(w.servers)-1].Copy("copy")})
		w.mu.Unlock()
	}
}

// copyFrom is the newest copy that is not younger than at.
func (w *world) copyFrom(at time.Time) *memstore.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	identity := fmt.Sprint("redis-", len(w.servers))
	for _, c := range slices.Backward(w.copies) {
		if !c.at.After(at) {
			return c.server.Copy(identity)
		}
	}
	return w.servers[len(w.servers)-1].Copy(identity)
}

// promote leads the nodes to a new primary, at once or one after the other
// over long: until then they write to the old one.
func (w *world) promote(s *memstore.Server, long time.Duration) {
	w.mu.Lock()
	w.servers = append(w.servers, s)
	w.copies = nil
	w.mu.Unlock()
	for slot := range w.plan.nodes {
		late := time.Duration(0)
		if long > 0 {
			late = w.dice.draw("promote").between(0, long)
		}
		if late == 0 {
			w.connect(slot, s)
			continue
		}
		w.later(late, func() { w.connect(slot, s) })
	}
}

func (w *world) connect(slot int, s *memstore.Server) {
	w.mu.Lock()
	if slices.Index(w.servers, w.of[slot]) > slices.Index(w.servers, s) {
		w.mu.Unlock()
		return // it knows a newer primary
	}
	w.of[slot] = s
	n, primary := w.slots[slot], slices.Index(w.servers, s)
	w.mu.Unlock()
	w.trace("node %d talks to %d. primary", slot, primary)
	if n != nil {
		n.log.Connect(s)
	}
}

// heal ends all trouble; an outage lasts as long as it was drawn.
func (w *world) heal() {
	for w.away(true) || w.away(false) || w.refusal("log.try") != nil {
		_ = sleep(w.life, 20*time.Millisecond)
	}
	w.trace("CALM")
	w.mu.Lock()
	w.calm = true
	newest := w.servers[len(w.servers)-1]
	w.mu.Unlock()
	for slot := range w.plan.nodes {
		w.connect(slot, newest)
	}
}

// later runs fn after d, if the world still lives then.
func (w *world) later(d time.Duration, fn func()) {
	w.wg.Go(func() {
		if sleep(w.life, d) == nil {
			fn()
		}
	})
}

// ghost lets a copy of a command arrive.
func (w *world) ghost(n *node, c memstore.Call) {
	if w.away(c.Op[:4] != "sql.") || w.isClosed() || w.refusal(c.Op) != nil {
		return
	}
	w.trace("ghost of %s from %s", c.Op, n.name)
	c.Again()
}

func (w *world) away(redis bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if redis {
		return time.Now().Before(w.redisAway)
	}
	return time.Now().Before(w.sqlAway)
}

// refusal is what Redis says instead of doing op, nil when it does it.
func (w *world) refusal(op string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !time.Now().Before(w.refused) || !refuses(w.refusing, op) {
		return nil
	}
	return &conversation.RefusedError{Reason: w.refusing}
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func (w *world) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func (w *world) serverOf(slot int) *memstore.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of[slot]
}

func (w *world) serve(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serving = append(w.serving, n)
}

func (w *world) leave(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.serving, n); i >= 0 {
		w.serving = slices.Delete(w.serving, i, i+1)
		close(n.gone)
	}
}

func (w *world) isServing(n *node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.serving, n)
}

// some is a node that a balancer would choose, nil if there is none.
func (w *world) some(d *die) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.serving) == 0 {
		return nil
	}
	return w.serving[d.n(len(w.serving))]
}

// dial asks whether a process listens: after a kill the kernel refuses.
func (w *world) dial(ctx context.Context, addr string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.slots {
		if n != nil && n.name == addr && !n.isDead() {
			return nil
		}
	}
	return errRefused
}

func (w *world) nameOf(id conversation.ID) string {
	return fmt.Sprint("chat ", slices.Index(w.chats, id))
}

func (w *world) trace(format string, args ...any) {
	if !w.told {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf("%9.4f ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// lines takes the nodes' own logs into the trace.
type lines struct{ w *world }

func (l lines) Write(b []byte) (int, error) {
	l.w.trace("  %s", b[:max(0, len(b)-1)])
	return len(b), nil
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
