package sessions

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// hello authenticates if that is still to be done, finds the session and
// brings its subscriptions back.
func (c *wsConn) hello(f clientFrame) error {
	if len(f.Resume) > c.m.lim.Subscriptions || len(f.Client) > 2*maxName {
		return fault.New(fault.BadRequest, "Too many resume entries or a client name that is too long.")
	}
	if err := c.login(f); err != nil {
		if fault.SpecOf(fault.CodeOf(err)).Status >= 500 {
			c.m.log.Warn("token could not be verified", "err", err)
		}
		c.refuse(err)
		return nil
	}
	sess, resumed := c.session(f)
	conn := Connection{
		ID: c.id, Node: c.m.cfg.Node, User: sess.User, Session: HashID(sess.ID), Transport: TransportWS, Client: sess.Client,
		Since: c.opened.UnixMilli(),
	}
	if err := c.m.present(c.ctx, conn); err != nil {
		c.refuse(err)
		return nil
	}
	frame, err := c.welcomeFrame(sess.ID, resumed)
	if err != nil {
		return err
	}
	c.helloed = true
	c.mu.Lock()
	c.visit = &visit{rep: c.m.rep, s: sess, saved: time.Now(), dirty: true}
	c.greeted, c.conn = true, conn
	c.mu.Unlock()
	if resumed {
		c.visit.change(false, func(*Session) {}) // its node and perhaps its client are others now
	} else {
		c.visit.keep(c.ctx)
	}
	c.queue(frame)
	c.restore(f, sess)
	return nil
}

// login takes the token or ticket of hello. Where the handshake has told
// already who this is, it must speak for the same learner and may extend the
// time.
func (c *wsConn) login(f clientFrame) error {
	known := c.who()
	if f.Token == "" && f.Ticket == "" {
		if known.LearnerID == "" {
			return errSignIn
		}
		return nil
	}
	id, err := c.credential(f)
	if err != nil {
		return err
	}
	if known.LearnerID != "" {
		return c.extend(known, id)
	}
	if err := c.m.admit(id.learner()); err != nil {
		return err
	}
	c.mu.Lock()
	c.ident = id
	c.mu.Unlock()
	return nil
}

// credential checks the token or the ticket of a frame.
func (c *wsConn) credential(f clientFrame) (Identity, error) {
	if (f.Token == "") == (f.Ticket == "") {
		return Identity{}, fault.New(fault.BadRequest, "Send a token or a ticket, one of them.")
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.m.tim.Attach)
	defer cancel()
	if f.Ticket != "" {
		return c.m.redeem(ctx, f.Ticket)
	}
	return c.m.verify(ctx, f.Token)
}

// extend lets another token or ticket of the same learner stand for the
// connection, unless it would end sooner than what stands for it now.
func (c *wsConn) extend(known, id Identity) error {
	switch {
	case known.LearnerID != id.LearnerID:
		return fault.New(fault.Unauthenticated, "The token is not of the learner who connected.")
	case id.Conversation != "" && id.Conversation != known.Conversation:
		return fault.New(fault.Forbidden, "A ticket for one conversation cannot extend this connection.")
	case known.ExpiresAt.IsZero() || !id.ExpiresAt.IsZero() && id.ExpiresAt.Before(known.ExpiresAt):
		return nil
	}
	id.Conversation = known.Conversation
	c.mu.Lock()
	c.ident, c.warned = id, false
	c.mu.Unlock()
	return nil
}

// onAuth takes a new token before the old one ends. What cannot be used leaves
// the connection as it was.
func (c *wsConn) onAuth(f clientFrame, now time.Time) error {
	if wait, ok := c.commands.take(now); !ok {
		return &fault.Error{Code: fault.RateLimited, Message: "Too many commands.", RetryAfterMS: max(1, wait.Milliseconds())}
	}
	id, err := c.credential(f)
	if err == nil {
		err = c.extend(c.who(), id)
	}
	if err != nil {
		return err
	}
	var expires int64
	if t := c.who().ExpiresAt; !t.IsZero() {
		expires = t.UnixMilli()
	}
	c.queue(authOKFrame(f.ID, expires))
	return nil
}

// session finds the one that the client names, or makes another, which is
// stored once the connection has its place.
func (c *wsConn) session(f clientFrame) (s Session, resumed bool) {
	user, store := c.who().learner(), c.m.cfg.Store
	if store != nil && validSession(f.Session) {
		s, ok, err := store.Take(c.ctx, f.Session, user, c.id)
		c.m.rep.note(err)
		if err == nil && ok && s.User == user {
			s.Node = c.m.cfg.Node
			if f.Client != "" {
				s.Client = f.Client
			}
			return s, true
		}
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return Session{
		ID: base64.RawURLEncoding.EncodeToString(b), User: user, Client: f.Client,
		Node: c.m.cfg.Node, Holder: c.id, Created: time.Now(),
	}, false
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
		Frames        float64 `json:"frames_per_second"`
		FrameBurst    int     `json:"frame_burst"`
		BadFrames     int     `json:"bad_frames"`
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
		limits{lim.Frame, lim.Message, lim.Subscriptions, lim.ConnectionsPerUser, lim.CommandsPerSecond, lim.CommandBurst,
			lim.FramesPerSecond, lim.FrameBurst, lim.BadFrames},
		time.Now().UnixMilli(),
	})
}

// restore attaches what hello asks for and what the session had. The client's
// own cursor wins over the stored one.
func (c *wsConn) restore(f clientFrame, s Session) {
	named := map[conversation.ID]bool{}
	var all []opened
	for _, r := range f.Resume {
		id, err := conversation.ParseID(r.C)
		if err == nil {
			named[id] = true
			var o opened
			if o, err = c.subscribe("", id, r.Cur); err == nil {
				all = append(all, o)
			}
		}
		if err != nil && !c.over() {
			c.badFrame(clientFrame{C: r.C}, err)
		}
	}
	for id, cur := range s.Subs {
		if named[id] {
			continue
		}
		o, err := c.subscribe("", id, cur)
		if err == nil {
			all = append(all, o)
			continue
		}
		// Perhaps deleted meanwhile; the client did not ask, but it may wait.
		e, _ := wireOf(err)
		c.queue(errFrame(e, "", string(id)))
		if fault.SpecOf(fault.CodeOf(err)).Status < 500 {
			c.visit.unset(id)
		}
	}
	c.confirm(all...)
}
