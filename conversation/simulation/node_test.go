package simulation

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/memstore"
	"github.com/fluentpro/fluentpro/streaming"
)

// node is one process: the real core on the world's stores.
type node struct {
	w     *world
	slot  int
	name  string
	store conversation.Store
	log   *memstore.Log
	live  conversation.Log // log, perhaps broken, with the checker reading along

	keeper  *conversation.Keeper
	runner  *conversation.Runner
	claimer *conversation.Claimer
	members *conversation.Membership
	engine  *conversation.Engine
	hub     *streaming.Hub
	locks   conversation.Locks

	gone chan struct{} // closed when nobody can reach it any more
	life context.Context
	stop context.CancelFunc
	// core is the life of claimer and runner: in a drain they end first, and
	// done is closed then.
	core     context.Context
	stopCore context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex // guards what follows
	dead   bool       // SIGKILL: nothing goes out or in any more
	frozen chan struct{}
}

// newNode puts a process together.
func (w *world) newNode(slot, boot int, server *memstore.Server) *node {
	n := &node{w: w, slot: slot, name: fmt.Sprintf("node-%d-%d", slot, boot), gone: make(chan struct{}), done: make(chan struct{})}
	n.store = memstore.NewStore(w.db, n.hook)
	n.log = memstore.NewLog(server, n.store, memstore.LogOptions{Hook: n.hook, Broken: &w.broken, MaxEntries: w.maxEntries})
	if w.mutant.store != nil {
		n.store = w.mutant.store(n, n.store)
	}
	n.live = conversation.Log(n.log)
	if w.mutant.log != nil {
		n.live = w.mutant.log(n, n.live)
	}
	n.live = tap{n.live, n}
	n.locks = memstore.NewLocks(n.log, n.hook)
	bell := memstore.NewBell(n.log, n.ring)
	n.keeper = conversation.NewKeeper(n.store, n.live, func(id conversation.ID, ep conversation.Epoch, ev conversation.Event) {
		w.check.entry(id, ep, ev)
		if !n.isDead() {
			n.hub.Offer(id, ep, ev)
		}
	})
	n.hub = streaming.NewHub(streaming.Config{Linger: 2 * time.Second, Poll: time.Second + 7, Relay: 2*time.Second + 3, RingEvents: w.ring, Replay: 50}, n.live, n.keeper, heard{bell, n}, n.store, w.slog)
	n.life, n.stop = context.WithCancel(context.Background())
	n.core, n.stopCore = context.WithCancel(n.life)
	return n
}

// start runs the process; it serves when it has joined.
func (n *node) start() { n.w.wg.Go(n.run) }

func (n *node) run() {
	w, ctx, core, locks := n.w, n.life, n.core, n.locks
	self := conversation.Node{ID: n.name, Instance: fmt.Sprint("instance-", n.slot), BootID: n.name, Addr: n.name, Version: "sim"}
	for {
		var err error
		c, cancel := context.WithTimeout(ctx, time.Second)
		n.members, err = conversation.Join(c, n.store, self, conversation.MembershipConfig{Dial: w.dial}, w.slog)
		cancel()
		if err == nil {
			break
		}
		// Its row may stand already: a process that starts anew has a new id.
		self.ID += "+"
		if sleep(ctx, 200*time.Millisecond) != nil {
			close(n.gone)
			return
		}
	}
	n.runner = conversation.NewRunner(conversation.RunnerConfig{Rand: func(limit time.Duration) time.Duration { return w.dice.draw(n.name+"rand").between(0, limit-1) }}, conversation.RunnerDeps{Store: n.store, Log: n.live, Keeper: n.keeper, Model: model{n},
		Script: script{w}, Members: n.members, Locks: locks, Metrics: metrics, Logger: w.slog})
	n.members.OnDead(n.runner.DropAll)
	n.claimer = conversation.NewClaimer(n.store, n.runner, n.members, locks, 3*time.Second, 500*time.Millisecond, metrics, w.slog)
	n.engine = conversation.NewEngine(n.store, n.live, n.keeper, n.runner, n.claimer, metrics, conversation.Limits{})
	var wg sync.WaitGroup
	beside := []func(context.Context) error{n.members.Run, n.hub.Run}
	if w.plan.on["full"] || w.plan.on["readonly"] {
		beside = append(beside, conversation.NewSentry(n.log, n.keeper, metrics, 0, w.slog).Run)
	}
	for _, run := range beside {
		wg.Go(func() { _ = run(ctx) })
	}
	wg.Go(func() {
		defer close(n.done)
		var writers sync.WaitGroup
		for _, run := range []func(context.Context) error{n.claimer.Run, n.runner.Run} {
			writers.Go(func() { _ = run(core) })
		}
		writers.Wait()
	})
	w.serve(n)
	<-ctx.Done()
	w.leave(n)
	wg.Wait()
}

// kill is SIGKILL: at once nothing of it has any effect, and no goodbye.
func (n *node) kill() {
	n.mu.Lock()
	n.dead = true
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
	n.mu.Unlock()
	n.w.leave(n)
	n.stop()
}

// drain is SIGTERM: hand over what runs, say goodbye, end.
func (n *node) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n.w.leave(n)
	_ = n.members.SetDraining(ctx)
	n.stopCore()
	select {
	case <-n.done:
	case <-ctx.Done():
	}
	_ = n.members.Leave(ctx)
	n.stop()
}

func (n *node) isDead() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dead
}

func (n *node) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil && !n.dead {
		n.frozen = make(chan struct{})
	}
}

func (n *node) unfreeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
}

// thaw waits while the process is stopped.
func (n *node) thaw() {
	for {
		n.mu.Lock()
		c := n.frozen
		n.mu.Unlock()
		if c == nil {
			return
		}
		<-c
	}
}

// hook is the network between this node and the stores.
func (n *node) hook(ctx context.Context, c memstore.Call) error {
	w := n.w
	n.thaw()
	if n.isDead() || w.isClosed() {
		return memstore.ErrLost
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	d := w.dice.draw(n.name + c.Op + string(c.ID))
	redis := !strings.HasPrefix(c.Op, "sql.")
	limit := 2 * time.Second
	if redis {
		limit = 300 * time.Millisecond
	}
	if w.away(redis) {
		if d.chance(50) { // refused at once, or no answer at all
			limit = time.Millisecond
		}
		if err := sleep(ctx, limit+d.between(0, time.Millisecond)); err != nil {
			return err
		}
		return memstore.ErrLost
	}
	if w.strike != nil {
		if err, struck := w.strike(n, ctx, c); struck {
			return err
		}
	}
	travel := d.between(50*time.Microsecond, 2*time.Millisecond)
	calm := w.isCalm()
	if !calm && w.plan.on["late"] && d.chance(4) {
		travel = d.between(time.Millisecond, 2*limit)
	}
	if !calm && w.plan.on["lost"] && d.chance(2) {
		_ = sleep(ctx, min(travel, limit))
		return memstore.ErrLost
	}
	if err := sleep(ctx, min(travel, limit)); err != nil || travel > limit {
		// The caller has given up; what was sent may arrive all the same.
		if d.chance(70) {
			w.later(d.between(0, 3*time.Second), func() { w.ghost(n, c) })
		}
		return memstore.ErrLost
	}
	if n.isDead() && d.chance(50) {
		return memstore.ErrLost // it never left the process
	}
	if err := w.refusal(c.Op); err != nil {
		return err
	}
	c.Exec()
	if !calm && w.plan.on["ghosts"] && redis && d.chance(5) {
		for range 1 + d.n(2) {
			w.later(d.between(0, 6*time.Second), func() { w.ghost(n, c) })
		}
	}
	if !calm && w.plan.on["lost"] && d.chance(2) {
		_ = sleep(ctx, limit)
		return memstore.ErrLost
	}
	n.thaw()
	if n.isDead() {
		return memstore.ErrLost
	}
	return nil
}

// ring decides when a message of the bell arrives.
func (n *node) ring(_ conversation.ID, arrive func()) {
	w := n.w
	if n.isDead() || w.isClosed() || w.away(true) {
		return
	}
	n.mu.Lock()
	frozen := n.frozen != nil
	n.mu.Unlock()
	d := w.dice.draw(n.name + "bell")
	switch {
	case w.plan.on["bell"] && !w.isCalm() && d.chance(15):
		return // pub/sub is at most once
	case frozen, w.plan.on["bell"] && d.chance(20):
		w.later(d.between(0, 300*time.Millisecond), func() {
			n.thaw()
			if !n.isDead() && !w.isClosed() {
				arrive()
			}
		})
	default:
		arrive()
	}
}

// heard lets the checker read along what the bell brings.
type heard struct {
	*memstore.Bell
	n *node
}

func (h heard) Listen(ctx context.Context, id conversation.ID, fn func(conversation.Epoch, conversation.Event)) (func(), error) {
	return h.Bell.Listen(ctx, id, func(ep conversation.Epoch, ev conversation.Event) {
		h.n.w.check.entry(id, ep, ev)
		fn(ep, ev)
	})
}

// tap lets the checker read along what a node reads.
type tap struct {
	conversation.Log
	n *node
}

func (t tap) Read(ctx context.Context, id conversation.ID, ep conversation.Epoch, after int64, limit int) (conversation.Page, error) {
	p, err := t.Log.Read(ctx, id, ep, after, limit)
	for _, ev := range p.Events {
		t.n.w.check.entry(id, ep, ev)
	}
	return p, err
}

var errRefused = fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
