package conversation

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// MaxReply is the longest text of one run in bytes; a longer one ends with
// finish "length".
const MaxReply = 64 << 10

// maxBatch bounds one append.
const maxBatch = 16 << 10

const (
	// quick is how long an append may take before its writer slows down.
	quick = 5 * time.Millisecond
	// maxGap bounds how far it slows down.
	maxGap = 50 * time.Millisecond
	// soonest and latest bound the wait between two tries at a log that is
	// down: text is to go on well within a second of its return.
	soonest, latest = 20 * time.Millisecond, 200 * time.Millisecond
	// forsake is how long a finished text waits for its log before SQL has it
	// without.
	forsake = 1500 * time.Millisecond
)

var (
	errTooLong = errors.New("reply is too long")
	// errStopped is the cause that ends generation at a stop mark.
	errStopped = errors.New("stopped by the learner")
	// ErrDraining is the cause that hands a run over to another node.
	ErrDraining = errors.New("node is draining")
)

// pen writes one run's text into the log: the model's goroutine calls Write,
// one goroutine of the run calls loop. One append is in flight; what arrives
// meanwhile makes the next batch, so a slow Redis makes bigger batches and
// not a longer queue. The whole text stays in memory, which is how a Redis
// that lost everything is given back all of it.
type pen struct {
	r     *Runner
	claim Claim
	// stop ends generation with a cause.
	stop context.CancelCauseFunc
	wake chan struct{} // capacity 1: "there is something"

	mu     sync.Mutex // guards what follows
	text   []byte
	shown  int // bytes of text that viewers may see
	closed bool
	err    error

	// Only loop and, after it ended, the run's goroutine touch these.
	ep        Epoch
	base      int64
	sent      int   // bytes known to be in the log
	tried     int   // bytes that may be there: the answer of the last append was lost
	sentUnits int64 // the same in UTF-16 units
	detached  bool  // the log could not be reached; SQL will have the text
	// unsure is set while the text before this attempt was only read, from a log
	// that takes no writes: it is adopted when that log still ends with it.
	unsure bool
	reason string // of the attempt
	gap    time.Duration
}

func newPen(r *Runner, claim Claim, b Began, stop context.CancelCauseFunc) *pen {
	p := &pen{r: r, claim: claim, stop: stop, wake: make(chan struct{}, 1)}
	p.text = append(make([]byte, 0, len(b.Text)+1024), b.Text...)
	p.shown = len(b.Text)
	p.ep, p.base, p.sent, p.sentUnits = b.Epoch, b.Base, len(b.Text), b.Len
	p.detached = b.Epoch.Zero()
	return p
}

// Write takes a piece from the model.
func (p *pen) Write(s string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if room := MaxReply - len(p.text); len(s) > room {
		for room > 0 && !utf8.RuneStart(s[room]) {
			room--
		}
		s = s[:max(room, 0)]
		p.err = errTooLong
	}
	p.text = append(p.text, s...)
	p.shown = max(p.shown, p.r.script.Shown(p.claim.Run, p.text))
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return p.err
}

// close says that nothing more comes.
func (p *pen) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// fail ends everything with a cause.
func (p *pen) fail(err error) {
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	p.stop(err)
}

// whole is the text so far, and the part of it that viewers may see.
func (p *pen) whole() (text, shown string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = string(p.text)
	return text, text[:p.shown]
}

// next returns what is not in the log yet, frozen, and whether all was written.
func (p *pen) next() (batch string, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.text[p.sent:p.shown]
	if len(b) > maxBatch {
		n := maxBatch
		for !utf8.RuneStart(b[n]) {
			n--
		}
		return string(b[:n]), false
	}
	return string(b), p.closed
}

// loop appends until close and everything is in the log, or fails.
func (p *pen) loop(ctx context.Context) {
	for {
		batch, done := p.next()
		if batch == "" {
			if done {
				return
			}
			select {
			case <-p.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if p.detached && done {
			if !p.reattach(ctx) {
				return // Redis is away and the text is whole: SQL takes it
			}
			continue // the rebuild carried this batch too
		}
		begun := time.Now()
		if err := p.put(ctx, batch); err != nil {
			if !errors.Is(err, errDetached) {
				p.fail(err)
			}
			return
		}
		p.pace(ctx, time.Since(begun))
	}
}

// pace waits before the next batch: not at all while appends are quick, then
// as long as they take beyond that, up to 50 ms. The first piece of a run never
// waits.
func (p *pen) pace(ctx context.Context, took time.Duration) {
	want := max(p.r.cfg.MinGap, min(took-quick, maxGap))
	p.gap = (p.gap*3 + max(want, 0)) / 4
	if p.gap < time.Millisecond {
		return
	}
	t := time.NewTimer(p.gap)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

var errDetached = errors.New("log cannot be reached")

// put brings one batch into the log, however often that takes.
func (p *pen) put(ctx context.Context, batch string) error {
	units := UTF16Len(batch)
	if err := p.checkpoint(ctx, batch, units); err != nil {
		return err
	}
	r := p.retry()
	for {
		if p.detached {
			if !p.reattach(ctx) {
				return errDetached
			}
			return nil // the rebuild carried everything
		}
		p.tried = p.sent + len(batch)
		seq, ts, err := p.r.log.Append(ctx, p.claim.Run.Conversation, p.ep,
			Append{Run: p.claim.Run, Fence: p.claim.Fence, At: p.sentUnits, Len: units, Text: batch})
		var gap *GapError
		switch {
		case err == nil:
			p.r.keeper.observe(p.claim.Run.Conversation, p.ep, Event{Seq: seq, Type: p.claim.Run.Purpose + evDelta, Run: p.claim.Run.No,
				Attempt: p.claim.Run.Attempt, Base: p.base, At: p.sentUnits, Len: units, TS: ts, Text: batch})
			p.sent += len(batch)
			p.sentUnits += units
			p.r.metrics.Appends.Inc()
			return nil
		case errors.Is(err, ErrFenced):
			return ErrFenced
		case errors.Is(err, ErrLogStopped):
			p.tried = p.sent // had it been added by an earlier try it would be OK
			return errStopped
		case errors.Is(err, ErrLogMissing), errors.Is(err, ErrLogEpoch), errors.Is(err, ErrLogRebegin), errors.As(err, &gap):
			// Redis lost the log or a part of it. This writer has the whole
			// text, so nothing shown is taken back.
			p.r.lg.Info("log lost; rebuilding it", "conversation_id", p.claim.Run.Conversation, "run", p.claim.Run.No, "err", err)
			if err := p.rebuild(ctx); err != nil {
				return err
			}
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, ErrLogDown):
			return err
		}
		// Unknown outcome: the same batch again.
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// retry spaces the tries at a log that is down.
type retry struct {
	p     *pen
	gap   time.Duration
	begun time.Time
}

func (p *pen) retry() *retry { return &retry{p: p, gap: soonest, begun: time.Now()} }

// wait waits for the next try, each time up to twice as long, with jitter; it
// fails with errDetached when the text is whole and has waited long enough.
func (r *retry) wait(ctx context.Context) error {
	r.p.mu.Lock()
	done := r.p.closed
	r.p.mu.Unlock()
	if done && time.Since(r.begun) >= forsake {
		return errDetached
	}
	if err := sleep(ctx, r.gap/2+r.p.r.cfg.Rand(r.gap/2)); err != nil {
		return err
	}
	r.gap = min(r.gap*2, latest)
	return nil
}

// adopt goes on in the log that was read while it could not be written. What
// viewers have stays then; reports false when that log has other text by now.
func (p *pen) adopt(ctx context.Context) (bool, error) {
	b, err := p.r.begin(ctx, &p.claim, beginning{how: BeginContinue, reason: p.reason, once: true})
	if err != nil {
		return false, err
	}
	p.unsure = false // the fence is in the log: nobody else adds to it any more
	_, whole := p.whole()
	if !strings.HasPrefix(whole, b.Text) {
		return false, nil
	}
	p.ep, p.base, p.sent, p.sentUnits, p.detached = b.Epoch, b.Base, len(b.Text), b.Len, false
	p.tried = p.sent
	return true, nil
}

// rebuild makes a new log and gives it the whole text, until Redis takes it.
func (p *pen) rebuild(ctx context.Context) error {
	r := p.retry()
	left := p.claim.Log
	for {
		if p.unsure {
			done, err := p.adopt(ctx)
			switch {
			case done:
				return nil
			case errors.Is(err, ErrFenced):
				return ErrFenced
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				if err := r.wait(ctx); err != nil {
					return err
				}
				continue
			}
			left = p.claim.Log
		}
		_, whole := p.whole()
		// Once there is a new log, a try without an answer is repeated there: it
		// may hold the text already, and leaving it would hide that from whoever
		// takes over.
		p.tried = max(p.tried, len(whole)) // should the answer be lost
		b, err := p.r.begin(ctx, &p.claim, beginning{how: BeginRebuild, text: whole, base: p.base, bump: p.claim.Log == left, once: true})
		switch {
		case err == nil && strings.HasPrefix(whole, b.Text):
			// Less than the whole when an earlier try had been heard after all.
			p.ep, p.sent, p.sentUnits, p.detached = b.Epoch, len(b.Text), b.Len, false
			return nil
		case err == nil:
			left = p.claim.Log
			continue
		case errors.Is(err, ErrFenced):
			return ErrFenced
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// reattach tries to bring a run that began without Redis into a log.
func (p *pen) reattach(ctx context.Context) bool {
	err := p.rebuild(ctx)
	if err != nil && !errors.Is(err, errDetached) {
		p.fail(err)
	}
	return err == nil
}

// checkpoint stores text in SQL before anybody sees it, where writer and
// Redis share one process and die together.
func (p *pen) checkpoint(ctx context.Context, batch string, units int64) error {
	if !p.r.cfg.Checkpoint || p.detached {
		return nil
	}
	return p.r.save(ctx, &p.claim, Checkpoint{ID: p.claim.Run.Conversation, Run: p.claim.Run.No, Fence: p.claim.Fence,
		Base: p.base, At: p.sentUnits, Len: units, Text: batch})
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
