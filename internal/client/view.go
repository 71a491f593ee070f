package client

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// View is a Fold for many goroutines: a transport writes, tests look and wait.
type View struct {
	// Conversation is its id.
	Conversation string

	// mu guards what follows.
	mu   sync.Mutex
	fold *Fold
	// changed is closed and replaced at every change.
	changed  chan struct{}
	caughtUp bool
	troubles []string
	// seen is called under the lock for every applied event, if set; the bench
	// measures with it.
	seen func(Event, time.Time)
	// tap is called under the lock for everything that comes, if set.
	tap func(Taken)
}

// Taken is one thing that a View took in, before its fold judged it.
type Taken struct {
	// Kind is attach, event, reset, snapshot, caught_up or error.
	Kind string
	// Event is set for an event.
	Event Event
	// Cur is the cursor of an attach or a snapshot, Reason of a reset, Code of
	// an error, State of a snapshot.
	Cur, Reason, Code string
	State             json.RawMessage
}

// NewView begins with nothing; the first attach gets a snapshot.
func NewView(conversation string) *View {
	return &View{Conversation: conversation, fold: NewFold(), changed: make(chan struct{})}
}

// OnEvent sets a function that is called for every applied event. It must be
// quick and must not call the View.
func (v *View) OnEvent(f func(e Event, at time.Time)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = f
}

// OnTake sets a function that is told everything the View takes in, in order.
// It must be quick and must not call the View.
func (v *View) OnTake(f func(Taken)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tap = f
}

// tell is called under the lock.
func (v *View) tell(t Taken) {
	if v.tap != nil {
		v.tap(t)
	}
}

// asks says that a request from the present cursor is about to be made.
func (v *View) asks() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tell(Taken{Kind: "attach", Cur: v.fold.cursor})
}

// Look calls f with the fold, which f must not keep.
func (v *View) Look(f func(*Fold)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v.fold)
}

// Cursor is where to resume.
func (v *View) Cursor() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.fold.Cursor()
}

// Violations lists every breach so far.
func (v *View) Violations() []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]Violation(nil), v.fold.Violations...)
}

// CaughtUp tells whether the present attach has delivered what there was.
func (v *View) CaughtUp() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.caughtUp
}

// Troubles lists the codes of passing errors that were told.
func (v *View) Troubles() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.troubles...)
}

// Wait returns when ok says so; it looks again after every change.
func (v *View) Wait(ctx context.Context, ok func(*Fold) bool) error {
	for {
		v.mu.Lock()
		done, changed := ok(v.fold), v.changed
		last, open := v.fold.last, v.fold.Open
		v.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for conversation %s at seq %d, open run %d: %w", v.Conversation, last, open, context.Cause(ctx))
		}
	}
}

// WaitCaughtUp returns when the present attach has delivered what there was.
func (v *View) WaitCaughtUp(ctx context.Context) error {
	return v.Wait(ctx, func(*Fold) bool { return v.caughtUp })
}

// WaitEnded returns when run has ended.
func (v *View) WaitEnded(ctx context.Context, run int64) error {
	return v.Wait(ctx, func(f *Fold) bool { r := f.Runs[run]; return r != nil && r.Ended != "" })
}

func (v *View) change(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
	close(v.changed)
	v.changed = make(chan struct{})
}

// Detached says that nothing reads at the moment: CaughtUp is false until the
// next attach has caught up. Attaching does that too.
func (v *View) Detached() { v.change(func() { v.caughtUp = false }) }

// attached begins a new attach. What the one before had still to deliver, a
// snapshot after a reset, died with it; the new one judges the cursor afresh.
func (v *View) attached() {
	v.change(func() {
		v.caughtUp, v.fold.expectSnapshot = false, false
		v.tell(Taken{Kind: "attach", Cur: v.fold.cursor})
	})
}

// events applies envelopes; resume says that something is missing and the
// transport must attach again from Cursor.
func (v *View) events(es []Event) (resume bool) {
	now := time.Now()
	v.change(func() {
		for _, e := range es {
			v.tell(Taken{Kind: "event", Event: e})
			switch v.fold.Apply(e) {
			case Gap:
				resume = true
				return
			case Applied:
				if v.seen != nil {
					v.seen(e, now)
				}
			}
		}
	})
	return resume
}

// control is a message that is not in the log, of any transport.
type control struct {
	Type      string          `json:"type"`
	Reason    string          `json:"reason"`
	Cur       string          `json:"cur"`
	State     json.RawMessage `json:"state"`
	Code      string          `json:"code"`
	Message   string          `json:"message"`
	Retryable bool            `json:"retryable"`
	RetryMS   int64           `json:"retry_ms"`
	AfterMS   int64           `json:"after_ms"`
}

func (v *View) control(c control) error {
	var err error
	v.change(func() {
		switch c.Type {
		case "reset", "snapshot", "caught_up", "error":
			v.tell(Taken{Kind: c.Type, Cur: c.Cur, Reason: c.Reason, Code: c.Code, State: c.State})
		}
		switch c.Type {
		case "reset":
			v.fold.Reset(c.Reason)
		case "snapshot":
			err = v.fold.Snapshot(c.Cur, c.State)
		case "caught_up":
			v.caughtUp = true
		case "error":
			v.troubles = append(v.troubles, c.Code)
		}
	})
	return err
}
