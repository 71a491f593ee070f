package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// handle works on one client frame, in the reader goroutine.
func (c *wsConn) handle(msg []byte, now time.Time) {
	if _, ok := c.frames.take(now); !ok {
		c.end(fault.RateLimited)
		return
	}
	f, err := decodeFrame(msg)
	if err == nil {
		err = c.dispatch(f, now)
	}
	switch {
	case err == nil:
		c.bad = 0
	default:
		c.badFrame(f, err)
	}
	if c.visit != nil {
		c.visit.touch(now, c.m.tim.Touch)
	}
}

func (c *wsConn) dispatch(f clientFrame, now time.Time) error {
	if f.unclear != nil && f.T != "cmd" {
		return f.unclear
	}
	if !c.helloed {
		if f.T != "hello" {
			return fault.New(fault.BadRequest, "Say hello first.")
		}
		return c.hello(f)
	}
	switch f.T {
	case "sub":
		return c.onSub(f)
	case "unsub":
		return c.onUnsub(f)
	case "cmd":
		return c.onCommand(f, now)
	case "ack":
		return c.onAck(f)
	case "ping":
		c.queue(pingFrame("pong", f.N))
	case "pong": // any frame is a sign of life
	case "auth":
		return c.onAuth(f, now)
	case "hello":
		return fault.New(fault.BadRequest, "One hello is enough.")
	}
	return nil
}

// badFrame answers a frame that could not be used and ends a connection that
// sends nothing else. Our own trouble does not count against the client.
func (c *wsConn) badFrame(f clientFrame, err error) {
	e, spec := wireOf(err)
	if spec.Code == fault.Internal {
		c.m.log.Error("frame failed", "err", err)
	}
	c.queue(errFrame(e, f.ID, f.C))
	if spec.Status >= 500 {
		return
	}
	if c.bad++; c.bad > c.m.lim.BadFrames {
		c.finish(closeBadFrames, "too many bad frames")
	}
}

func (c *wsConn) onSub(f clientFrame) error {
	id, err := conversation.ParseID(f.C)
	if err != nil {
		return err
	}
	o, err := c.subscribe(f.ID, id, f.Cur)
	if err == nil {
		c.confirm(o)
	}
	return err
}

// opened is a subscription that the client has not been told of yet.
type opened struct {
	s     *sub
	ok    []byte
	added bool
}

// confirm tells the client of subscriptions and lets their events come. The
// session is written before, so that whatever was confirmed comes back with it.
func (c *wsConn) confirm(all ...opened) {
	if slices.ContainsFunc(all, func(o opened) bool { return o.added }) {
		c.visit.keep(c.ctx)
	}
	for _, o := range all {
		c.mu.Lock()
		gone := o.s.gone // the client named a conversation twice
		c.mu.Unlock()
		if gone {
			continue
		}
		c.queue(o.ok)
		o.s.feed.Notify(o.s.wake)
	}
}

// subscribe attaches a feed; a second one for the same conversation takes the
// first one's place.
func (c *wsConn) subscribe(reqID string, id conversation.ID, cursor string) (opened, error) {
	c.mu.Lock()
	_, again := c.subs[id]
	full := !again && len(c.subs) >= c.m.lim.Subscriptions
	ident, conn := c.ident, c.conn
	c.mu.Unlock()
	if err := ident.may(id); err != nil {
		return opened{}, err
	}
	if full {
		return opened{}, fault.Newf(fault.Invalid, "A connection may watch %d conversations.", c.m.lim.Subscriptions)
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.m.tim.Attach)
	feed, err := c.m.cfg.Source.Attach(ctx, id, ident.learner(), cursor)
	cancel()
	if err != nil {
		return opened{}, attachError(err)
	}
	o := feed.Opening()
	c.m.cfg.Metrics.Attached(TransportWS, o.Mode, o.Reason)
	c.mu.Lock()
	old := c.subs[id]
	c.mu.Unlock()
	if old != nil {
		c.drop(old)
	}
	v := conn.viewer(id, o.Cursor)
	v.Session = conn.Session[:shortHash]
	s := &sub{c: c, conv: id, feed: feed, att: c.m.rep.attach(v)}
	c.mu.Lock()
	if c.subs == nil {
		c.subs = map[conversation.ID]*sub{}
	}
	c.subs[id] = s
	c.mu.Unlock()
	// Only what the client is known to have is worth storing: its own cursor.
	known := ""
	if o.Mode == "replay" {
		known = o.Cursor
	}
	return opened{s, subOKFrame(reqID, id, o), c.visit.set(id, known)}, nil
}

// attachError makes a failed attach something a client can act on.
func attachError(err error) error {
	if fault.CodeOf(err) == fault.Internal {
		return fault.Wrap(err, fault.StorageUnavailable, "The conversation cannot be read right now.")
	}
	return err
}

func (c *wsConn) onUnsub(f clientFrame) error {
	id, err := conversation.ParseID(f.C)
	if err != nil {
		return err
	}
	c.mu.Lock()
	s := c.subs[id]
	c.mu.Unlock()
	if s != nil {
		c.drop(s)
		c.visit.unset(id)
	}
	return nil
}

func (c *wsConn) onAck(f clientFrame) error {
	id, err := conversation.ParseID(f.C)
	if err != nil {
		return err
	}
	if !validCursor(f.Cur) {
		return fault.New(fault.BadRequest, "An ack names a cursor.")
	}
	c.mu.Lock()
	s := c.subs[id]
	c.mu.Unlock()
	if s == nil {
		return nil // it crossed an unsub
	}
	s.att.update(func(v *Viewer) { v.Acked = f.Cur })
	c.visit.set(id, f.Cur)
	return nil
}

// onCommand runs a command and answers it. Commands of a connection run one
// after the other, so two messages keep their order; they outlive the
// connection, for what was asked for is done even if nobody waits.
func (c *wsConn) onCommand(f clientFrame, now time.Time) error {
	if f.ID == "" {
		return fault.New(fault.BadRequest, "A command needs an id for its answer.")
	}
	var run func(context.Context) (any, error)
	switch f.Op {
	case "send", "edit", "regenerate", "select":
		run = func(ctx context.Context) (any, error) { return c.sendMessage(ctx, f) }
	case "cancel":
		run = func(ctx context.Context) (any, error) { return c.cancelRun(ctx, f) }
	default:
		return fault.New(fault.UnknownOp, "Unknown operation.")
	}
	if f.unclear != nil {
		run = func(context.Context) (any, error) { return nil, f.unclear }
	}
	var data any
	var err error
	if wait, ok := c.commands.take(now); !ok {
		err = &fault.Error{Code: fault.RateLimited, Message: "Too many commands.", RetryAfterMS: max(1, wait.Milliseconds())}
	} else {
		ctx, cancel := context.WithTimeout(c.m.ctx, c.m.tim.Command)
		data, err = run(ctx)
		cancel()
	}
	c.m.cfg.Metrics.Command(f.Op, fault.CodeOf(err), time.Since(now))
	var e wireError
	if err != nil {
		data = nil
		var spec fault.Spec
		if e, spec = wireOf(commandError(err)); spec.Status >= 500 {
			c.m.log.Warn("command failed", "op", f.Op, "err", err)
		}
	}
	frame, err := resFrame(f.ID, data, e)
	if err != nil {
		return err
	}
	c.queue(frame)
	return nil
}

// commandError: a time-out leaves open whether it was done; the same id again
// finds out.
func commandError(err error) error {
	if fault.CodeOf(err) == fault.Internal && isTimeout(err) {
		return fault.Wrap(err, fault.StorageUnavailable, "No answer in time; repeat with the same key.")
	}
	return err
}

func (c *wsConn) sendMessage(ctx context.Context, f clientFrame) (any, error) {
	id, err := conversation.ParseID(f.C)
	if err != nil {
		return nil, err
	}
	if err := c.who().may(id); err != nil {
		return nil, err
	}
	var a sendArgs
	if err := json.Unmarshal(f.Args, &a); err != nil {
		return nil, fault.New(fault.BadRequest, "args must hold what the operation needs; docs/protocol.md names it.")
	}
	op := conversation.Op(f.Op)
	if f.Op == "send" {
		op = conversation.OpSend
	}
	if err := checkSend(op, f.Key, a, c.m.lim.Message); err != nil {
		return nil, err
	}
	return c.m.cfg.Commands.Send(ctx, conversation.SendInput{
		Conversation: id, Learner: c.who().learner(), ClientID: f.Key, Op: op, Text: a.Text, Message: a.Message, Run: a.Run, From: a.From, Policy: a.Policy,
	})
}

func (c *wsConn) cancelRun(ctx context.Context, f clientFrame) (any, error) {
	id, err := conversation.ParseID(f.C)
	if err != nil {
		return nil, err
	}
	if err := c.who().may(id); err != nil {
		return nil, err
	}
	var a cancelArgs
	if err := json.Unmarshal(f.Args, &a); err != nil || a.Run < 1 {
		return nil, fault.New(fault.BadRequest, "args must hold run, a number from 1.")
	}
	return c.m.cfg.Commands.Cancel(ctx, c.who().learner(), id, a.Run)
}

// isTimeout reports that a deadline ended the work.
func isTimeout(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
