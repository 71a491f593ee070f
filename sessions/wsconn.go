package sessions

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
	"github.com/fluentpro/fluentpro/streaming/ws"
)

// wsConn is one WebSocket. Its reader goroutine owns it: it makes
// subscriptions, runs commands and cleans up at the end.
type wsConn struct {
	m      *Manager
	sock   *ws.Conn
	id     string
	opened time.Time
	ctx    context.Context
	cancel context.CancelFunc

	// For the reader goroutine, and the one that it waits for, alone.
	helloed bool
	// visit is set once, under mu, so that others may read it there.
	visit    *visit
	frames   bucket
	commands bucket
	bad      int
	late     int // frames that came while it was ending

	// lastRecv and lastSent are UnixNano; busy is set while the reader works
	// for the client and so cannot see its pong.
	lastRecv, lastSent atomic.Int64
	busy               atomic.Bool
	code               atomic.Int64

	// writers counts the writer goroutine; see wswrite.go.
	writers sync.WaitGroup

	// mu guards what follows. It is never held across I/O.
	mu      sync.Mutex
	ident   Identity
	greeted bool
	// conn is how all nodes see it, without an ID before welcome.
	conn    Connection
	subs    map[conversation.ID]*sub
	control [][]byte
	ready   []*sub
	writing bool
	closed  bool
	ending  *ending
	pings   int64
	pinged  time.Time
	warned  bool
	leaveAt time.Time
}

// ending is a close that waits for the control frames before it.
type ending struct {
	code   int
	reason string
	by     time.Time
}

// sub is one watched conversation.
type sub struct {
	c    *wsConn
	conv conversation.ID
	feed streaming.Feed
	att  *attachment
	// The flags are guarded by wsConn.mu. queued: it stands in ready; pulling:
	// the writer has the feed; gone: nothing more is delivered; orphan: it was
	// dropped while the writer had the feed, which therefore closes it.
	queued, pulling, gone, orphan bool
	// retryAt is when a feed that failed is asked again; fails counts.
	retryAt time.Time
	fails   int
}

// ServeWS upgrades r and returns; the connection lives in goroutines of the
// Manager. It finds out by itself who is asking.
func (m *Manager) ServeWS(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		m.cfg.Problem(w, r, fault.New(fault.ProtocolVersion, "This is a WebSocket endpoint."))
		return
	}
	if err := m.checkOrigin(r, true); err != nil {
		m.cfg.Problem(w, r, err)
		return
	}
	ident, refusal, err := m.identifyWS(r)
	if err != nil {
		m.cfg.Problem(w, r, err)
		return
	}
	learner := ident.learner()
	if err := m.enter(learner); err != nil {
		// A browser cannot see a status, and may not close too many by itself.
		if fault.CodeOf(err) != fault.TooManyConnections {
			m.cfg.Problem(w, r, err)
			return
		}
		refusal, learner, ident = err, "", Identity{}
		if err := m.enter(""); err != nil {
			m.cfg.Problem(w, r, err)
			return
		}
	}
	sock, err := ws.Accept(w, r, ws.Options{
		ReadLimit: int64(m.lim.Frame), MessageTimeout: m.tim.Message, WriteTimeout: m.tim.Write,
	})
	if err != nil {
		m.leave(learner)
		return
	}
	if refusal == nil && sock.Subprotocol() == "" {
		refusal = fault.New(fault.ProtocolVersion, "offer the subprotocol "+ws.Subprotocol)
	}
	now := time.Now()
	c := &wsConn{
		m: m, sock: sock, id: randomID(8), opened: now, ident: ident,
		frames:   newBucket(m.lim.FramesPerSecond, m.lim.FrameBurst, now),
		commands: newBucket(m.lim.CommandsPerSecond, m.lim.CommandBurst, now),
	}
	c.lastRecv.Store(now.UnixNano())
	c.lastSent.Store(now.UnixNano())
	c.ctx, c.cancel = context.WithCancel(m.ctx)
	// The handler returns, so that net/http's buffers and Gin's context are
	// freed; leave, the goroutine's last act, is what Close waits for.
	go c.run(refusal)
}

// identifyWS finds out who asks. refusal is for after the handshake, where a
// browser can see it; err is for before. A cookie that is no longer good may
// be followed by a token in hello.
func (m *Manager) identifyWS(r *http.Request) (id Identity, refusal, err error) {
	token, from, err := findToken(r, true)
	switch {
	case err != nil || from == fromNowhere:
	case from == fromTicket:
		id, err = m.redeem(r.Context(), token)
	default:
		id, err = m.verify(r.Context(), token)
	}
	switch {
	case err == nil:
		return id, nil, nil
	case from == fromHeader:
		return Identity{}, nil, err
	case from == fromCookie && fault.SpecOf(fault.CodeOf(err)).Status == http.StatusUnauthorized:
		return Identity{}, nil, nil
	default:
		return Identity{}, err, nil
	}
}

// randomID is n random bytes in hexadecimal.
func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// run is the reader goroutine.
func (c *wsConn) run(refusal error) {
	c.aside(func() { c.begin(refusal) })
	defer c.teardown()
	for more := true; more; {
		c.sock.Await()
		c.aside(func() { more = c.next() })
	}
}

// begin makes the connection known.
func (c *wsConn) begin(refusal error) {
	c.m.cfg.Metrics.Opened(TransportWS)
	if c.m.join(c) {
		c.end(fault.Draining)
	}
	if refusal != nil {
		c.refuse(refusal)
	}
}

// next handles one frame; false when there are no more.
func (c *wsConn) next() bool {
	msg, err := c.sock.Read()
	if err != nil {
		c.noteReadError(err)
		return false
	}
	now := time.Now()
	c.lastRecv.Store(now.UnixNano())
	if c.over() {
		// Nothing is accepted any more; the handshake ends the connection, and at
		// once if the peer just goes on.
		if c.late++; c.late == lateFrames {
			c.hurry()
		}
		return true
	}
	c.busy.Store(true)
	defer c.busy.Store(false)
	c.handle(msg, now)
	return true
}

// lateFrames may come while a connection is ending.
const lateFrames = 64

// hurry closes now, whatever is queued.
func (c *wsConn) hurry() {
	c.mu.Lock()
	e := c.ending
	c.mu.Unlock()
	if e != nil {
		c.sock.Close(e.code, e.reason)
	}
}

// aside runs f in a goroutine of its own and waits for it. Work on a frame
// needs a deep stack; a goroutine that is parked in Read for hours would keep
// it, 4 KiB more for each idle connection.
func (c *wsConn) aside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				c.m.log.Error("viewer connection panicked", "panic", p, "stack", string(debug.Stack()))
				c.code.CompareAndSwap(0, 1011)
				c.sock.Close(1011, "internal")
			}
		}()
		f()
	}()
	<-done
}

// noteReadError records the close code for the metrics.
func (c *wsConn) noteReadError(err error) {
	code := 1006
	switch {
	case errors.Is(err, ws.ErrTooLarge):
		code = 1009
	case errors.Is(err, ws.ErrBinary):
		code = 1003
	case errors.Is(err, ws.ErrUTF8):
		code = 1007
	case errors.Is(err, ws.ErrProtocol):
		code = 1002
	case errors.Is(err, ws.ErrFlood), errors.Is(err, ws.ErrSlowMessage):
		code = 1008
	case ws.CloseCode(err) > 0:
		code = ws.CloseCode(err)
	}
	c.code.CompareAndSwap(0, int64(code))
}

// teardown ends everything that the connection started.
func (c *wsConn) teardown() {
	c.mu.Lock()
	c.closed = true
	c.control, c.ready = nil, nil
	subs := c.subs
	c.subs = nil
	for _, s := range subs {
		s.gone = true
	}
	learner := c.ident.learner()
	c.mu.Unlock()
	c.cancel()
	c.sock.CloseNow()
	c.writers.Wait()
	for _, s := range subs {
		s.feed.Close()
		s.att.detach()
	}
	if c.visit != nil {
		c.visit.change(true, func(*Session) {})
	}
	c.m.part(c)
	c.m.absent(c.self())
	c.m.cfg.Metrics.Closed(TransportWS, int(c.code.Load()))
	c.m.leave(learner)
}

// refuse closes for a failure, after the frames that are queued.
func (c *wsConn) refuse(err error) {
	e, spec := wireOf(err)
	c.finish(closeCode(spec), string(e.Code))
}

// finish closes once the control frames before it are out, or soon anyway.
func (c *wsConn) finish(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != nil || c.closed {
		return
	}
	c.ending = &ending{code, reason, time.Now().Add(2 * time.Second)}
	c.code.CompareAndSwap(0, int64(code))
	c.kick()
}

// end implements member: at once, whatever is queued.
func (c *wsConn) end(code fault.Code) {
	spec := fault.SpecOf(code)
	c.mu.Lock()
	if c.ending == nil {
		c.ending = &ending{closeCode(spec), string(code), time.Now()}
	}
	c.mu.Unlock()
	c.code.CompareAndSwap(0, int64(closeCode(spec)))
	c.sock.Close(closeCode(spec), string(code))
}

// over reports that the connection is closing.
func (c *wsConn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending != nil || c.closed
}

// drain implements member.
func (c *wsConn) drain(after, grace time.Duration) {
	c.mu.Lock()
	c.leaveAt = time.Now().Add(after + grace)
	c.mu.Unlock()
	c.queue(goawayFrame(after, grace))
}

// who implements member.
func (c *wsConn) who() Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ident
}

// self implements member.
func (c *wsConn) self() Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// tell implements member.
func (c *wsConn) tell(n Notice) {
	c.mu.Lock()
	greeted := c.greeted
	c.mu.Unlock()
	if greeted {
		c.queue(noticeFrame(n))
	}
}

// renew implements member.
func (c *wsConn) renew() {
	c.mu.Lock()
	v := c.visit
	subs := make([]*sub, 0, len(c.subs))
	for _, s := range c.subs {
		subs = append(subs, s)
	}
	c.mu.Unlock()
	for _, s := range subs {
		s.att.update(func(*Viewer) {})
	}
	if v != nil {
		v.change(true, func(*Session) {})
	}
}

// viewers implements member.
func (c *wsConn) viewers() []Viewer {
	c.mu.Lock()
	subs := make([]*sub, 0, len(c.subs))
	for _, s := range c.subs {
		subs = append(subs, s)
	}
	c.mu.Unlock()
	out := make([]Viewer, 0, len(subs))
	for _, s := range subs {
		v := s.att.view()
		v.Lag = s.feed.Lag() // how far behind now, not when it last took something
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Viewer) int { return strings.Compare(string(a.Conversation), string(b.Conversation)) })
	return out
}

// tick implements member: all clocks of the connection are looked at here.
func (c *wsConn) tick(now time.Time) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	if e := c.ending; e != nil {
		c.mu.Unlock()
		if now.After(e.by) {
			c.sock.Close(e.code, e.reason)
		}
		return
	}
	var endWith fault.Code
	var frame []byte
	expires, quiet := c.ident.ExpiresAt, c.quietSince()
	switch {
	case !expires.IsZero() && !now.Before(expires):
		endWith = fault.TokenExpired
	case !c.leaveAt.IsZero() && !now.Before(c.leaveAt):
		endWith = fault.Draining
	case !c.greeted && now.Sub(c.opened) >= c.m.tim.Hello:
		endWith = fault.HelloTimeout
	case !c.pinged.IsZero() && c.lastRecv.Load() >= c.pinged.UnixNano():
		c.pinged = time.Time{}
	case !c.pinged.IsZero() && now.Sub(c.pinged) >= c.m.tim.Pong && !c.busy.Load():
		endWith = fault.HeartbeatTimeout
	case c.pinged.IsZero() && c.greeted && now.Sub(quiet) >= c.m.tim.Ping:
		c.pings++
		c.pinged = now
		frame = pingFrame("ping", c.pings)
	}
	warn := false
	if !c.warned && c.greeted && !expires.IsZero() && endWith == "" && expires.Sub(now) <= c.m.tim.TokenWarn {
		c.warned, warn = true, true
	}
	for _, s := range c.subs {
		if !s.retryAt.IsZero() && !now.Before(s.retryAt) {
			s.retryAt = time.Time{}
			c.enqueue(s)
		}
		s.att.refresh(now, c.m.tim.Refresh)
	}
	c.mu.Unlock()
	if endWith != "" {
		c.end(endWith)
		return
	}
	if frame != nil {
		c.queue(frame)
	}
	if warn {
		e, _ := wireOf(fault.New(fault.TokenExpired, "The token ends soon; send auth with a new one, or connect again."))
		e.RetryMS = max(1, expires.Sub(now).Milliseconds())
		c.queue(errFrame(e, "", ""))
	}
}

// quietSince is since when one direction has been silent: a client that only
// listens must be heard of, and one that talks must hear of us.
func (c *wsConn) quietSince() time.Time {
	return time.Unix(0, min(c.lastRecv.Load(), c.lastSent.Load()))
}
