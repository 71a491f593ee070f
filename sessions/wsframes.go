package sessions

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
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

// hello authenticates if that is still to be done, finds the session and
// brings its subscriptions back.
func (c *wsConn) hello(f clientFrame) error {
	if len(f.Resume) > c.m.lim.Subscriptions || len(f.Client) > 2*maxName {
		return fault.New(fault.BadRequest, "Too many resume entries or a client name that is too long.")
	}
	if err := c.login(f.Token); err != nil {
		if fault.SpecOf(fault.CodeOf(err)).Status >= 500 {
			c.m.log.Warn("token could not be verified", "err", err)
		}
		c.refuse(err)
		return nil
	}
	sess, resumed := c.session(f)
	frame, err := c.welcomeFrame(sess.ID, resumed)
	if err != nil {
		return err
	}
	c.helloed = true
	c.visit = &visit{rep: c.m.rep, s: sess, saved: time.Now()}
	c.mu.Lock()
	c.greeted = true
	c.mu.Unlock()
	c.queue(frame)
	c.visit.change(resumed, func(*Session) {})
	c.restore(f, sess)
	return nil
}

// login takes the token of hello. Where the handshake has told already who
// this is, the token must speak for the same learner and may extend the time.
func (c *wsConn) login(token string) error {
	known := c.who()
	if token == "" {
		if known.LearnerID == "" {
			return errSignIn
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.m.tim.Attach)
	defer cancel()
	id, err := c.m.verify(ctx, token)
	if err != nil {
		return err
	}
	switch {
	case known.LearnerID == "":
		if err := c.m.admit(id.learner()); err != nil {
			return err
		}
	case known.LearnerID != id.LearnerID:
		return fault.New(fault.Unauthenticated, "The token is not of the learner who connected.")
	case known.ExpiresAt.IsZero() || !id.ExpiresAt.IsZero() && id.ExpiresAt.Before(known.ExpiresAt):
		return nil
	}
	c.mu.Lock()
	c.ident = id
	c.mu.Unlock()
	return nil
}

// session finds the one that the client names, or begins another. What a
// welcome names is stored, unless the store does not answer; the visit goes on
// without it then.
func (c *wsConn) session(f clientFrame) (s Session, resumed bool) {
	user, store := c.who().learner(), c.m.cfg.Store
	if store != nil && validSession(f.Session) {
		s, ok, err := store.Get(c.ctx, f.Session, user)
		c.m.rep.note(err)
		if err == nil && ok && s.User == user {
			s.ID, s.Node, s.LastSeen = f.Session, c.m.cfg.Node, time.Now()
			if f.Client != "" {
				s.Client = f.Client
			}
			return s, true
		}
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	now := time.Now()
	s = Session{
		ID: base64.RawURLEncoding.EncodeToString(b), User: user, Client: f.Client,
		Node: c.m.cfg.Node, Created: now, LastSeen: now,
	}
	if store != nil && !c.m.rep.failing.Load() {
		c.m.rep.note(store.Save(c.ctx, s))
	}
	return s, false
}

// validSession reports the form of our own ids.
func validSession(s string) bool { return len(s) == 43 && validChars(s, "_-") }

func (c *wsConn) welcomeFrame(session string, resumed bool) ([]byte, error) {
	lim, tim := c.m.lim, c.m.tim
	type heartbeat struct {
		Interval int64 `json:"interval_ms"`
		Timeout  int64 `json:"timeout_ms"`
	}
	type limits struct {
		Frame         int     `json:"frame_bytes"`
		Message       int     `json:"message_chars"`
		Subscriptions int     `json:"subscriptions"`
		Connections   int     `json:"connections_per_user"`
		Rate          float64 `json:"commands_per_second"`
		Burst         int     `json:"command_burst"`
	}
	return json.Marshal(struct {
		T       string    `json:"t"`
		Session string    `json:"session"`
		Node    string    `json:"node"`
		Resumed bool      `json:"resumed"`
		HB      heartbeat `json:"hb"`
		Limits  limits    `json:"limits"`
		Time    int64     `json:"server_time"`
	}{
		"welcome", session, c.m.cfg.Node, resumed,
		heartbeat{tim.Ping.Milliseconds(), tim.Ping.Milliseconds() * 5 / 2},
		limits{lim.Frame, lim.Message, lim.Subscriptions, lim.ConnectionsPerUser, lim.CommandsPerSecond, lim.CommandBurst},
		time.Now().UnixMilli(),
	})
}

// restore attaches what hello asks for and what the session had. The client's
// own cursor wins over the stored one.
func (c *wsConn) restore(f clientFrame, s Session) {
	named := map[conversation.ID]bool{}
	for _, r := range f.Resume {
		id, err := conversation.ParseID(r.C)
		if err == nil {
			named[id] = true
			err = c.subscribe("", id, r.Cur)
		}
		if err != nil && !c.over() {
			c.badFrame(clientFrame{C: r.C}, err)
		}
	}
	for id, cur := range s.Subs {
		if named[id] {
			continue
		}
		if err := c.subscribe("", id, cur); err != nil {
			// Perhaps deleted meanwhile; the client did not ask, but it may wait.
			e, _ := wireOf(err)
			c.queue(errFrame(e, "", string(id)))
			if fault.SpecOf(fault.CodeOf(err)).Status < 500 {
				c.visit.unset(id)
			}
		}
	}
}

func (c *wsConn) onSub(f clientFrame) error {
	id, err := conversation.ParseID(f.C)
	if err != nil {
		return err
	}
	return c.subscribe(f.ID, id, f.Cur)
}

// subscribe attaches a feed; a second one for the same conversation takes the
// first one's place.
func (c *wsConn) subscribe(reqID string, id conversation.ID, cursor string) error {
	c.mu.Lock()
	_, again := c.subs[id]
	full := !again && len(c.subs) >= c.m.lim.Subscriptions
	ident := c.ident
	c.mu.Unlock()
	if full {
		return fault.Newf(fault.Invalid, "A connection may watch %d conversations.", c.m.lim.Subscriptions)
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.m.tim.Attach)
	feed, err := c.m.cfg.Source.Attach(ctx, id, ident.learner(), cursor)
	cancel()
	if err != nil {
		return attachError(err)
	}
	o := feed.Opening()
	c.m.cfg.Metrics.Attached(TransportWS, o.Mode, o.Reason)
	c.mu.Lock()
	old := c.subs[id]
	c.mu.Unlock()
	if old != nil {
		c.drop(old)
	}
	s := &sub{c: c, conv: id, feed: feed, att: c.m.rep.attach(Viewer{
		Conversation: id, Conn: c.id, Node: c.m.cfg.Node, Session: HashID(c.visit.s.ID)[:shortHash],
		User: ident.learner(), Transport: TransportWS, Cursor: o.Cursor,
	})}
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
	c.visit.set(id, known, true)
	c.queue(subOKFrame(reqID, id, o))
	feed.Notify(s.wake)
	return nil
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
	c.visit.set(id, f.Cur, false)
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
	case "send":
		run = func(ctx context.Context) (any, error) { return c.sendMessage(ctx, f) }
	case "cancel":
		run = func(ctx context.Context) (any, error) { return c.cancelRun(ctx, f) }
	default:
		return fault.New(fault.UnknownOp, "Unknown operation.")
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
	var a sendArgs
	if err := json.Unmarshal(f.Args, &a); err != nil {
		return nil, fault.New(fault.BadRequest, "args must hold text and may hold policy.")
	}
	if err := checkSend(f.Key, a, c.m.lim.Message); err != nil {
		return nil, err
	}
	return c.m.cfg.Commands.Send(ctx, conversation.SendInput{
		Conversation: id, Learner: c.who().learner(), ClientID: f.Key, Text: a.Text, Policy: a.Policy,
	})
}

func (c *wsConn) cancelRun(ctx context.Context, f clientFrame) (any, error) {
	id, err := conversation.ParseID(f.C)
	if err != nil {
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
