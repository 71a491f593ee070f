package conversation

import (
	"context"
	"errors"
	"time"
)

// refreshLoop extends the locks of running runs. A lock that vanished (Redis
// was wiped) is taken again: the heartbeat, not the lock, says who lives.
func (r *Runner) refreshLoop(ctx context.Context) {
	t := time.NewTicker(r.cfg.Lease / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		r.mu.Lock()
		all := make([]*activeRun, 0, len(r.active))
		for _, a := range r.active {
			all = append(all, a)
		}
		r.mu.Unlock()
		for _, a := range all {
			r.refresh(ctx, a)
		}
	}
}

func (r *Runner) refresh(ctx context.Context, a *activeRun) {
	r.mu.Lock()
	lk, claim := a.lock, a.claim
	r.mu.Unlock()
	if lk != nil {
		err := lk.Refresh(ctx, r.cfg.Lease)
		if !errors.Is(err, ErrLockLost) {
			return // held, or Redis is away: then nobody else obtains it either
		}
	}
	lk, err := r.locks.Obtain(ctx, claim.Run.Conversation, r.owner(claim.Run.No), r.cfg.Lease)
	if err != nil {
		return
	}
	r.mu.Lock()
	going := r.active[claim.Run.Conversation] == a
	if going {
		a.lock = lk
	}
	r.mu.Unlock()
	if !going {
		_ = lk.Release(ctx) // the run has ended meanwhile
	}
}

// watchLoop compares what this node writes with what SQL says it owns: a run
// that was taken, ended from outside or is to be stopped is interrupted.
func (r *Runner) watchLoop(ctx context.Context) {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	var orphans map[OwnedRun]bool // seen owned, yet not worked on, one look ago
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		r.mu.Lock()
		mine := make(map[ID]Claim, len(r.active))
		for id, a := range r.active {
			mine[id] = a.claim
		}
		r.mu.Unlock()
		c, cancel := context.WithTimeout(ctx, time.Second)
		owned, err := r.store.Owned(c, r.members.Self().ID)
		cancel()
		if err != nil {
			continue // SQL is away: the fence protects what matters
		}
		stillMine := make(map[ID]OwnedRun, len(owned))
		for _, o := range owned {
			stillMine[o.ID] = o
		}
		before := orphans
		orphans = map[OwnedRun]bool{}
		for _, o := range owned {
			if _, ok := mine[o.ID]; ok {
				continue
			}
			// Twice in a row: not just a claim that is about to start.
			if before[o] {
				_ = r.store.Release(ctx, o.ID, o.Run, o.Fence) // else at the next look
			}
			orphans[o] = true
		}
		for id, cl := range mine {
			o, ok := stillMine[id]
			switch {
			case ok && o.Run == cl.Run.No && o.Fence == cl.Fence && o.Cancel:
				r.Interrupt(id, cl.Run.No)
			case !ok || o.Run != cl.Run.No || o.Fence > cl.Fence:
				r.cancelIf(id, cl, ErrFenced)
			}
		}
	}
}

// cancelIf ends the run that was looked at, not one that began since.
func (r *Runner) cancelIf(id ID, seen Claim, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.active[id]; ok && a.claim.Run.No == seen.Run.No && a.claim.Fence == seen.Fence {
		a.cancel(cause)
	}
}

func (r *Runner) owner(run int64) LockOwner {
	return LockOwner{Node: r.members.Self().ID, Run: run, Since: time.Now().UnixMilli()}
}
