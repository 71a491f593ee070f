package conversation

import (
	"context"
	"errors"
	"time"
)

// beginning says how a writer wants to open its run in the log.
type beginning struct {
	how    BeginHow
	reason string
	// text and base are for a rebuild by the living writer.
	text string
	base int64
	// bump leaves the log that is there: it lost something, or cannot be told.
	bump bool
	// once leaves repeats to the caller.
	once bool
	// stopping, if set, reports a run that somebody has stopped.
	stopping func() bool
}

// begin opens the run in the log that SQL names, making a new one where
// needed, and returns the text that stands there. The prompt is built from
// this answer, never from an earlier read.
func (r *Runner) begin(ctx context.Context, claim *Claim, want beginning) (Began, error) {
	limit, takeover := 2*time.Second, claim.Run.Attempt > 1 && want.how == BeginContinue
	if takeover {
		limit = r.cfg.WaitLog
	}
	wait := soonest
	begun := time.Now()
	stored := !r.cfg.Checkpoint
	for moved := 0; ; {
		if want.how == BeginRebuild && !stored {
			// A rebuild shows its whole text at once: SQL has it before.
			if err := r.checkpoint(ctx, claim, want.text, UTF16Len(want.text), want.base); err != nil {
				return Began{}, err
			}
			stored = true
		}
		b, err := r.beginOnce(ctx, claim, &want)
		switch {
		case err == nil:
			if !stored && claim.Run.Attempt > 1 {
				// Pieces to come must fit what the log says.
				err = r.checkpoint(ctx, claim, b.Text, b.Len, b.Base)
			}
			return b, err
		case moved > 20: // logs vanish faster than they can be made
		case errors.Is(err, ErrLogMissing), errors.Is(err, ErrLogEpoch):
			want.bump = true
			moved++
			continue
		case errors.Is(err, errRelearned):
			moved++
			continue
		case errors.Is(err, ErrLogUnknownRun):
			want.how = BeginRestart
			if claim.TextLen > 0 {
				want.how, want.text, want.base = BeginRebuild, claim.Text, claim.Base
			}
			continue
		case errors.Is(err, ErrFenced):
			return b, ErrFenced
		case ctx.Err() != nil:
			return b, context.Cause(ctx)
		case want.once:
			return b, err
		}
		if since := time.Since(begun); since > limit {
			// A stopped run has nothing to write that could not wait, and would
			// end without the text that is in the log.
			if !takeover || want.stopping == nil || !want.stopping() || since > r.cfg.EndPatience {
				return b, err
			}
		}
		if err := sleep(ctx, wait/2+r.cfg.Rand(wait)); err != nil {
			return b, err
		}
		wait = min(wait*2, latest)
	}
}

func (r *Runner) beginOnce(ctx context.Context, claim *Claim, want *beginning) (Began, error) {
	id := claim.Run.Conversation
	if claim.Log.Zero() || want.bump {
		ep, err := r.keeper.make(ctx, id, claim.Log.Counter, claim.Fence)
		if errors.Is(err, ErrLogRenamed) || errors.Is(err, ErrLogExists) {
			return Began{}, r.relearn(ctx, claim, want)
		}
		if err != nil {
			return Began{}, err
		}
		r.metrics.Rebuilds.Inc()
		claim.Log, want.bump = ep, false
		if want.how == BeginContinue {
			// A new log holds no run; a checkpoint may hold its text.
			want.how = BeginRestart
			if claim.TextLen > 0 {
				want.how, want.text, want.base = BeginRebuild, claim.Text, claim.Base
			}
		}
	} else if err := r.keeper.CatchUp(ctx, id, claim.Facts); err != nil {
		return Began{}, err
	}
	r.keeper.learn(id, claim.Log)
	return r.log.Begin(ctx, id, claim.Log, Begin{Run: claim.Run, Fence: claim.Fence, How: want.how,
		Text: want.text, Base: want.base, Reason: want.reason})
}

// overlook reads what the run has in a log that cannot be written: a Redis that
// refuses writes still shows that text to viewers, and the reply should go on
// from it. Nothing keeps an earlier writer from adding to it, so until begin
// says otherwise it counts as another text, with the attempt as its base.
func (r *Runner) overlook(ctx context.Context, claim *Claim) Began {
	b := Began{Base: claim.Run.Attempt}
	a, err := r.log.Active(ctx, claim.Run.Conversation)
	for range 4 { // it has waited for long: one lost answer must not cost the text
		if !errors.Is(err, ErrLogDown) || sleep(ctx, latest) != nil {
			break
		}
		a, err = r.log.Active(ctx, claim.Run.Conversation)
	}
	if err != nil || a.Epoch != claim.Log || a.State.Open == nil || a.State.Open.Run != claim.Run.No {
		return b
	}
	b.Text, b.Len, b.Stopped = a.State.Open.Text, a.OpenLen, a.StopAt >= 0
	return b
}

// errRelearned says that the log has another name than was believed.
var errRelearned = errors.New("log was named anew")

// relearn reads the log's name after somebody else changed it: a reader that
// made a log before this claim, or this writer's own repeat after an unknown
// outcome. A fence that is not ours any more ends the attempt.
func (r *Runner) relearn(ctx context.Context, claim *Claim, want *beginning) error {
	rec, err := r.store.Load(ctx, claim.Run.Conversation)
	if err != nil {
		return err
	}
	if rec.Fence != claim.Fence {
		return ErrFenced
	}
	claim.Log, want.bump = rec.Log, rec.Log.Zero()
	return errRelearned
}

// checkpoint replaces the run's text in SQL.
func (r *Runner) checkpoint(ctx context.Context, claim *Claim, text string, units, base int64) error {
	return r.save(ctx, claim, Checkpoint{ID: claim.Run.Conversation, Run: claim.Run.No, Fence: claim.Fence, Base: base, Len: units, Text: text, Whole: true})
}

func (r *Runner) save(ctx context.Context, claim *Claim, c Checkpoint) error {
	return r.repeat(ctx, claim, "checkpoint", r.cfg.Patience, func() error { return r.checkpoints.save(ctx, c) })
}
