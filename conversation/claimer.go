package conversation

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Claimer finds runs that nobody works on and claims them: at once for those
// accepted on this node, by a sweep for everything else. The pending row in
// SQL is the queue, so a crash between accept and start loses nothing.
type Claimer struct {
	store   Store
	runner  *Runner
	members *Membership
	locks   Locks
	lease   time.Duration
	sweep   time.Duration
	metrics *Metrics
	log     *slog.Logger

	sweeps, claims sparing // of lines in the log

	wake chan ID
	wg   sync.WaitGroup
	sem  chan struct{}

	mu       sync.Mutex // guards claiming
	claiming map[ID]bool
}

// claimers bounds the claims under way at once.
const claimers = 16

// NewClaimer returns a Claimer that feeds runner; sweep is the time between
// looks at all unfinished runs.
func NewClaimer(store Store, runner *Runner, members *Membership, locks Locks, lease, sweep time.Duration, metrics *Metrics, log *slog.Logger) *Claimer {
	c := &Claimer{store: store, runner: runner, members: members, locks: locks, lease: lease, sweep: sweep, metrics: metrics, log: log,
		wake: make(chan ID, 1024), sem: make(chan struct{}, claimers), claiming: map[ID]bool{}}
	runner.ended = c.Wake
	return c
}

// Wake says that a conversation may have a run to claim. It never blocks: what
// does not fit is found by the sweep.
func (c *Claimer) Wake(id ID) {
	select {
	case c.wake <- id:
	default:
	}
}

// Run claims until ctx ends, and then until the claims under way are done.
func (c *Claimer) Run(ctx context.Context) error {
	defer c.wg.Wait()
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		var only ID
		select {
		case <-ctx.Done():
			return nil
		case only = <-c.wake:
		case <-t.C:
			// A quarter either way, so that nodes do not sweep in step.
			t.Reset(c.sweep*3/4 + c.runner.cfg.Rand(c.sweep/2+1))
		}
		if only != "" {
			c.wg.Go(func() { c.look(ctx, only) })
			continue
		}
		c.look(ctx, "")
	}
}

// look lists candidates and claims each in a goroutine of its own.
func (c *Claimer) look(ctx context.Context, only ID) {
	q, cancel := context.WithTimeout(ctx, 2*time.Second)
	cands, err := c.store.Claimable(q, c.members.Alive(), only, 500)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			c.metrics.SweepErrors.Inc()
			if c.sweeps.may() {
				c.log.Warn("sweep failed", "err", err)
			}
		}
		return
	}
	for _, cand := range cands {
		if c.runner.Has(cand.ID) || !c.enter(cand.ID) {
			continue
		}
		select {
		case c.sem <- struct{}{}:
		case <-ctx.Done():
			c.leave(cand.ID)
			return
		}
		c.wg.Go(func() {
			defer func() { <-c.sem; c.leave(cand.ID) }()
			if err := c.claim(ctx, cand); err != nil && ctx.Err() == nil && c.claims.may() {
				c.log.Warn("claim failed", "conversation_id", cand.ID, "run", cand.Run, "err", err)
			}
		})
	}
}

func (c *Claimer) enter(id ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claiming[id] {
		return false
	}
	c.claiming[id] = true
	return true
}

func (c *Claimer) leave(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.claiming, id)
}

// claim takes the lock, then the run. While Redis answers no run starts
// without the lock; while it does not, SQL alone decides.
func (c *Claimer) claim(ctx context.Context, cand Candidate) error {
	lock, err := c.obtain(ctx, cand)
	var locked *LockedError
	if errors.As(err, &locked) {
		return nil // its owner lives: the next sweep looks again
	}
	if err != nil && !errors.Is(err, ErrLogDown) {
		return err
	}
	self := c.members.Self().ID
	cl, err := c.store.Claim(ctx, cand, self)
	if err != nil {
		if lock != nil {
			_ = lock.Release(ctx) // else it ends with its term
		}
		if errors.Is(err, ErrClaimLost) {
			return nil
		}
		return err
	}
	reason, label := "", "new"
	switch {
	case cl.Handoff:
		reason, label = "handoff", "handoff"
	case cl.Before != "":
		reason, label = "node_dead", "dead"
	}
	c.metrics.Claims.WithLabelValues(label).Inc()
	if !c.runner.Start(ctx, cl, lock, reason) {
		if lock != nil {
			_ = lock.Release(ctx)
		}
		return c.store.Release(context.WithoutCancel(ctx), cl.Run.Conversation, cl.Run.No, cl.Fence)
	}
	return nil
}

// obtain takes the lock; a dead owner's lock is removed, so that nobody waits
// for its term.
func (c *Claimer) obtain(ctx context.Context, cand Candidate) (Lock, error) {
	owner := LockOwner{Node: c.members.Self().ID, Run: cand.Run, Since: time.Now().UnixMilli()}
	lock, err := c.locks.Obtain(ctx, cand.ID, owner, c.lease)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Holder == nil || c.members.IsAlive(locked.Holder.Node) {
		return lock, err
	}
	if err := c.locks.Break(ctx, cand.ID, *locked.Holder); err != nil {
		return nil, err
	}
	return c.locks.Obtain(ctx, cand.ID, owner, c.lease)
}
