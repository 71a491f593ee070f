package conversation

import "context"

// checkpointer commits the text of many runs in one transaction: while one
// commit is under way the next group gathers, so the disk's sync is shared.
type checkpointer struct {
	store Store
	in    chan pendingCheckpoint
}

type pendingCheckpoint struct {
	c    Checkpoint
	done chan error // capacity 1: the group never waits for a reader
}

// maxGroup bounds one transaction.
const maxGroup = 256

func newCheckpointer(store Store) *checkpointer {
	return &checkpointer{store: store, in: make(chan pendingCheckpoint, maxGroup)}
}

// save returns when the checkpoint is durable.
func (k *checkpointer) save(ctx context.Context, c Checkpoint) error {
	p := pendingCheckpoint{c, make(chan error, 1)}
	select {
	case k.in <- p:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run commits groups until ctx ends.
func (k *checkpointer) run(ctx context.Context) {
	for {
		var group []pendingCheckpoint
		select {
		case p := <-k.in:
			group = append(group, p)
		case <-ctx.Done():
			return
		}
	gather:
		for len(group) < maxGroup {
			select {
			case p := <-k.in:
				group = append(group, p)
			default:
				break gather
			}
		}
		cs := make([]Checkpoint, len(group))
		for i, p := range group {
			cs[i] = p.c
		}
		err := k.store.Checkpoint(ctx, cs)
		for _, p := range group {
			p.done <- err
		}
	}
}
