package conversation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// outcome turns how generation ended into how the run goes on.
func (r *Runner) outcome(ctx, gctx context.Context, claim *Claim, p *pen, st State, fin Finish, gerr error) error {
	b := Began{Epoch: p.ep, Base: p.base}
	whole, text := p.whole()
	cause := context.Cause(gctx)
	p.mu.Lock()
	if p.err != nil {
		cause = p.err
	}
	p.mu.Unlock()
	claim.Log, claim.Text, claim.TextLen, claim.Base = p.claim.Log, text, UTF16Len(text), p.base
	switch {
	case errors.Is(cause, ErrFenced):
		return ErrFenced
	case errors.Is(cause, errStopped):
		return r.stopped(ctx, claim, p)
	case errors.Is(cause, ErrDraining):
		return ErrDraining
	case errors.Is(cause, errTooLong):
		return r.complete(ctx, claim, b, st, whole, text, "length")
	case gerr == nil && cause == nil:
		return r.complete(ctx, claim, b, st, whole, text, fin.Reason)
	case gerr == nil:
		gerr = cause
	}
	return r.fail(ctx, claim, b, text, gerr)
}

// stopPatience is how long a stopped writer asks Redis where the mark stands,
// which viewers may have seen.
const stopPatience = 3 * time.Second

// stopped ends a run at its stop mark: exactly the text that is in the log.
func (r *Runner) stopped(ctx context.Context, claim *Claim, p *pen) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	// Interrupted by a neighbour before the mark was met, or asked by SQL
	// while Redis was away: the end is what is in the log now. Where that
	// cannot be told it is everything that viewers may have got.
	_, text := p.whole()
	text = text[:max(p.sent, min(p.tried, len(text)))]
	ep := p.ep
	if !claim.Log.Zero() {
		ep = claim.Log // a rebuild that was not heard has shown text there
	}
	b, err := r.log.Stop(ctx, claim.Run.Conversation, ep, claim.Run.No)
	for begun := time.Now(); errors.Is(err, ErrLogDown) && time.Since(begun) < stopPatience; {
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			break
		}
		b, err = r.log.Stop(ctx, claim.Run.Conversation, ep, claim.Run.No)
	}
	if err == nil {
		text = b.Text
	} else if errors.Is(err, ErrLogNotOpen) && ep == p.ep {
		return errStopped // somebody has committed the end
	}
	err = r.finish(ctx, claim, Began{Epoch: p.ep, Base: p.base}, Finishing{State: RunStopped, Text: text})
	if err == nil || errors.Is(err, ErrFenced) {
		return errStopped
	}
	return err
}

// stopEarly ends a run that was stopped before this attempt wrote anything.
func (r *Runner) stopEarly(ctx context.Context, claim *Claim, b Began) error {
	if err := r.finish(ctx, claim, b, Finishing{State: RunStopped, Text: b.Text}); err != nil {
		return err
	}
	return errStopped
}

// complete commits the reply; only then is it called completed. whole is what
// the model wrote, text the part that is shown.
func (r *Runner) complete(ctx context.Context, claim *Claim, b Began, st State, whole, text, reason string) error {
	err := r.finish(ctx, claim, b, Finishing{State: RunCompleted, Text: text, Finish: reason}, func(ctx context.Context) ([]NewFact, error) {
		return r.script.Finish(ctx, st, claim.Run, whole)
	})
	if fault.CodeOf(err) == fault.UpstreamInvalid {
		if claim.Tries < r.cfg.MaxTries {
			return &againError{reason: "invalid", how: BeginRestart, err: err, text: whole}
		}
		return r.fail(ctx, claim, b, text, err)
	}
	return err
}

// fail meets a failed model call: another attempt that goes on from what is
// there, or the end.
func (r *Runner) fail(ctx context.Context, claim *Claim, b Began, text string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f := fault.Of(err)
	if own := (*fault.Error)(nil); !errors.As(err, &own) {
		f = fault.Wrap(err, fault.StorageUnavailable, "Storage does not answer.") // not the model's doing
	}
	switch f.Code {
	case fault.UpstreamUnavailable, fault.UpstreamTimeout, fault.UpstreamTruncated, fault.StorageUnavailable:
		if claim.Tries < r.cfg.MaxTries {
			return &againError{reason: "upstream_lost", how: BeginContinue, err: err}
		}
	}
	r.lg.Warn("run failed", "conversation_id", claim.Run.Conversation, "run", claim.Run.No, "code", f.Code, "err", err)
	spec := fault.SpecOf(f.Code)
	return failed(r.finish(ctx, claim, b, Finishing{State: RunFailed, Text: text, Finish: string(spec.Code), Message: spec.Title,
		Retryable: spec.Retry == "later" || spec.Retry == "reconnect"}))
}

// errFailed says that a run has ended, durably, as failed.
var errFailed = errors.New("run failed")

func failed(err error) error {
	if err == nil {
		return errFailed
	}
	return err
}

// finish commits the end of the run, however long SQL takes to answer, and
// publishes it. Repeats after an unknown outcome find the first one.
func (r *Runner) finish(ctx context.Context, claim *Claim, b Began, f Finishing, also ...func(context.Context) ([]NewFact, error)) error {
	f.ID, f.Run, f.Fence, f.Base = claim.Run.Conversation, claim.Run.No, claim.Fence, b.Base
	var outcome func(context.Context) ([]NewFact, error)
	if len(also) == 1 {
		outcome = also[0]
	}
	return r.repeat(ctx, claim, "commit of its end", r.cfg.EndPatience, func() error {
		out, err := r.store.Finish(ctx, f, outcome)
		if err != nil {
			return err
		}
		if len(out.Facts) == 0 { // it had ended before, by this very attempt
			_ = r.keeper.CatchUp(ctx, f.ID, 0) // the relay does it otherwise
			return nil
		}
		// Committed: now it is published whatever becomes of this run's context.
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		r.keeper.Publish(c, f.ID, out.Facts)
		return nil
	})
}

// repeat asks SQL until it answers: a cut connection, a lost race of two
// transactions or a time-out is no attempt of the run. What goes on failing
// for longer than patience is returned; what SQL refuses, longer than EndPatience.
func (r *Runner) repeat(ctx context.Context, claim *Claim, what string, patience time.Duration, do func() error) error {
	wait := 50 * time.Millisecond
	for begun := time.Now(); ; {
		err := do()
		var fe *fault.Error
		if err == nil || errors.Is(err, ErrFenced) || errors.As(err, &fe) && fe.Code != fault.StorageUnavailable {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if since := time.Since(begun); since > patience && (since > r.cfg.EndPatience || !refuses(err)) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if r.spare.may() {
			r.lg.Warn("SQL failed; the run goes on when it answers", "conversation_id", claim.Run.Conversation, "run", claim.Run.No, "what", what, "err", err)
		}
		if err := sleep(ctx, wait/2+r.cfg.Rand(wait)); err != nil {
			return err
		}
		wait = min(wait*2, 2*time.Second)
	}
}

// refuses reports an SQL that is there and takes no writes (a full disk, a
// standby). Another attempt could do no more than this one, which has the text.
func refuses(err error) bool {
	var r interface{ StorageRefuses() bool }
	return errors.As(err, &r) && r.StorageRefuses()
}

// ask builds the prompt from where the conversation stands.
func (r *Runner) ask(ctx context.Context, claim *Claim) (st State, prompt Prompt, err error) {
	err = r.repeat(ctx, claim, "prompt", r.cfg.Patience, func() (err error) {
		if st, err = r.state(ctx, claim); err != nil {
			return err
		}
		prompt, err = r.script.Prompt(ctx, st, claim.Run)
		return err
	})
	return st, prompt, err
}

// state is what the prompt is built from: the log's, or SQL's while the log
// cannot be read.
func (r *Runner) state(ctx context.Context, claim *Claim) (State, error) {
	a, err := r.log.Active(ctx, claim.Run.Conversation)
	if err == nil && a.Epoch == claim.Log && a.Facts >= claim.Facts && a.State.reaches(claim.Run) {
		return a.State, nil
	}
	rec, err := r.store.Load(ctx, claim.Run.Conversation)
	if err != nil {
		return State{}, err
	}
	st := State{Header: rec.Header, Turns: rec.Turns, Head: rec.Head, Result: rec.Result}
	if !st.reaches(claim.Run) {
		// Its branch begins further back than turns are kept for everybody.
		page, err := r.store.Branch(ctx, rec.Header.Owner, claim.Run.Conversation, claim.Run.No, 0, promptTurns)
		if err != nil {
			return State{}, err
		}
		st.Turns = page.Turns
	}
	return st, nil
}
