package conversation

import (
	"context"
	"errors"
	"time"

	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Limits bound what a learner may send; zero values mean the defaults in
// brackets.
type Limits struct {
	// MessageChars is the longest message in characters [8192].
	MessageChars int
	// Queue is how many messages may wait behind an open reply [4]; negative
	// means none.
	Queue int
}

// Engine is where commands go in. Every command is idempotent by its own
// nature or by a client's id, and is acknowledged after its SQL commit.
type Engine struct {
	store   Store
	log     Log
	keeper  *Keeper
	runner  *Runner
	claimer *Claimer
	metrics *Metrics
	limits  Limits
}

// NewEngine returns an Engine.
func NewEngine(store Store, log Log, keeper *Keeper, runner *Runner, claimer *Claimer, metrics *Metrics, limits Limits) *Engine {
	if limits.MessageChars <= 0 {
		limits.MessageChars = 8192
	}
	if limits.Queue == 0 {
		limits.Queue = 4
	}
	limits.Queue = max(limits.Queue, 0)
	return &Engine{store: store, log: log, keeper: keeper, runner: runner, claimer: claimer, metrics: metrics, limits: limits}
}

// Create makes a conversation and, if asked, starts its first run. The same
// owner, kind and client id return the one that was made first.
func (e *Engine) Create(ctx context.Context, in CreateInput) (Header, error) {
	if err := checkClientID(in.ClientID); err != nil {
		return Header{}, err
	}
	in.Correlation = correlation.From(ctx)
	rec, created, err := e.store.Create(ctx, in)
	if err != nil {
		return Header{}, storage(err)
	}
	if created && in.Run {
		e.claimer.Wake(rec.Header.ID)
	}
	return rec.Header, nil
}

// Cancel stops a run: the answer's position is where its text ends for every
// viewer, for ever. A run that has ended answers its own end.
func (e *Engine) Cancel(ctx context.Context, learner LearnerID, id ID, run int64) (Stopped, error) {
	for range 20 {
		row, err := e.store.RunState(ctx, learner, id, run)
		if err != nil {
			return Stopped{}, storage(err)
		}
		if row.Ended() {
			e.quoted(ctx, id)
			return Stopped{Run: run, State: row.State, At: row.Updated / 1000, TextLen: row.TextLen}, nil
		}
		f := Finishing{ID: id, Run: run, State: RunStopped, Text: row.Text, Base: row.Base}
		// A run that was handed over waits, with its text in the log.
		if row.State == RunRunning || row.Attempt > 0 {
			b, err := e.log.Stop(ctx, id, row.Log, run)
			switch {
			case errors.Is(err, ErrLogDown):
				if err := e.store.AskCancel(ctx, id, run); err != nil {
					return Stopped{}, storage(err)
				}
				return Stopped{Run: run, State: "stopping", At: time.Now().UnixMilli(), TextLen: -1}, nil
			case err != nil:
				// Its writer is about to begin or to rebuild: look again.
				if err := sleep(ctx, 30*time.Millisecond); err != nil {
					return Stopped{}, storage(err)
				}
				continue
			}
			f.Text, f.Base, f.Log = b.Text, b.Base, b.Epoch
		}
		out, err := e.store.Finish(ctx, f, nil)
		if errors.Is(err, ErrLogRenamed) || errors.Is(err, ErrClaimLost) {
			continue // the log was rebuilt, or the run claimed, in between
		}
		if err != nil {
			return Stopped{}, storage(err)
		}
		e.runner.Interrupt(id, run)
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		e.keeper.Publish(after, id, out.Facts)
		cancel()
		e.claimer.Wake(id)
		return Stopped{Run: run, State: out.Row.State, At: out.Row.Updated / 1000, TextLen: out.Row.TextLen}, nil
	}
	if err := e.store.AskCancel(ctx, id, run); err != nil {
		return Stopped{}, storage(err)
	}
	return Stopped{Run: run, State: "stopping", At: time.Now().UnixMilli(), TextLen: -1}, nil
}

// Snapshot reads a conversation's state and the cursor it stands at. Warm, it
// asks only Redis; with Redis away it is answered from SQL, without a cursor
// and without the open reply.
func (e *Engine) Snapshot(ctx context.Context, learner LearnerID, id ID) (State, string, error) {
	a, err := e.keeper.Active(ctx, id)
	if err == nil {
		if a.State.Header.Owner != learner {
			return State{}, "", ErrNotFound
		}
		return a.State, Cursor{a.Epoch, a.Top}.String(), nil
	}
	if errors.Is(err, ErrNotFound) {
		return State{}, "", err
	}
	rec, err := e.store.Load(ctx, id)
	if err != nil {
		return State{}, "", storage(err)
	}
	if rec.Header.Owner != learner {
		return State{}, "", ErrNotFound
	}
	return State{Header: rec.Header, Turns: rec.Turns, Head: rec.Head, Result: rec.Result, Failure: rec.Failure}, "", nil
}

// List pages through a learner's conversations, newest first; next is "" at
// the end.
func (e *Engine) List(ctx context.Context, learner LearnerID, kind Kind, before string, limit int) ([]Header, string, error) {
	if limit <= 0 || limit > 100 {
		limit = 50
	}
	if before != "" {
		if _, err := ParseID(before); err != nil {
			return nil, "", fault.New(fault.CursorGone, "The page cursor is not one of ours.")
		}
	}
	hs, err := e.store.List(ctx, learner, kind, before, limit+1)
	if err != nil {
		return nil, "", storage(err)
	}
	if len(hs) > limit {
		return hs[:limit], string(hs[limit-1].ID), nil
	}
	return hs, "", nil
}

// quoted brings the log up to what SQL has just told a learner: a node may have
// died between a commit and its publish, and whoever reads next, at a node that
// knows the log and asks Redis alone, must not find less. Best effort: without
// Redis that node asks SQL too.
func (e *Engine) quoted(ctx context.Context, id ID) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = e.keeper.CatchUp(ctx, id, 0)
}

// storage turns an error that is not one of ours into "repeat with the same id".
func storage(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	e := fault.Wrap(err, fault.StorageUnavailable, "Storage does not answer. Repeat with the same id.")
	e.RetryAfterMS = 1000
	return e
}
