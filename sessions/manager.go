package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// member is one connection in the Manager's register.
type member interface {
	// end closes it for the reason of code, without waiting.
	end(code fault.Code)
	// drain tells it to go after so long and closes it grace later.
	drain(after, grace time.Duration)
	// tick looks at its clocks; it never blocks.
	tick(now time.Time)
	who() Identity
	viewers() []Viewer
	// self is the connection as it is shown, without an ID before it is known
	// whose it is.
	self() Connection
	// tell sends a notice, if the transport can.
	tell(n Notice)
	// renew has everything written again that the Store should know.
	renew()
}

// Manager serves viewers. Make it with New, end it with Drain or Close.
type Manager struct {
	cfg Config
	log *slog.Logger
	lim Limits
	tim Times
	rep *reporter
	org origins
	// known are the orders of other nodes.
	known orders

	// ctx ends when Close has given up waiting; commands in flight and feeds
	// hang on it.
	ctx    context.Context
	cancel context.CancelFunc
	// wg counts WebSocket goroutines and handlers, bg those of the Manager.
	wg, bg sync.WaitGroup

	// mu guards what follows.
	mu       sync.Mutex
	members  map[member]struct{}
	perUser  map[conversation.LearnerID]int
	pending  int
	total    int
	draining bool
	// idle is closed when the last connection has left a draining Manager.
	idle   chan struct{}
	closed sync.Once
}

// New checks cfg and starts the Manager's own goroutines; Close ends them.
func New(cfg Config) (*Manager, error) {
	if cfg.Auth == nil || cfg.Commands == nil || cfg.Source == nil {
		return nil, errors.New("sessions: Auth, Commands and Source are needed")
	}
	org, err := parseOrigins(cfg.Origins)
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	if cfg.Problem == nil {
		cfg.Problem = writeProblem
	}
	if cfg.Secure == nil {
		cfg.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	cfg.Limits.defaults()
	cfg.Times.defaults()
	m := &Manager{
		cfg: cfg, log: cfg.Log, lim: cfg.Limits, tim: cfg.Times, org: org,
		members: map[member]struct{}{}, perUser: map[conversation.LearnerID]int{},
		idle: make(chan struct{}),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.rep = newReporter(cfg.Store, m.tim, m.log, func() []member { return m.snapshot(nil) })
	m.bg.Go(m.sweep)
	m.bg.Go(func() { m.rep.run(m.ctx) })
	if cfg.Store != nil {
		m.bg.Go(m.beat)
	}
	if cfg.Bus != nil {
		m.bg.Go(func() { cfg.Bus.Listen(m.ctx, m.heard) })
	}
	return m, nil
}

// sweep is the one clock of all connections: it costs an idle connection
// nothing, where timers of its own would cost it memory.
func (m *Manager) sweep() {
	t := time.NewTicker(m.tim.Sweep)
	defer t.Stop()
	var all []member
	checked := time.Now()
	for {
		select {
		case <-m.ctx.Done():
			return
		case now := <-t.C:
			all = m.snapshot(all[:0])
			for _, c := range all {
				c.tick(now)
			}
			if m.cfg.Logins != nil && now.Sub(checked) >= m.tim.LoginCheck {
				checked = now
				m.checkLogins(all)
			}
			clear(all)
		}
	}
}

func (m *Manager) snapshot(into []member) []member {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.members {
		into = append(into, c)
	}
	return into
}

// enter reserves a place for one connection of learner, "" for one that has
// not said who it is.
func (m *Manager) enter(learner conversation.LearnerID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.draining:
		return m.errDraining()
	case m.total >= m.lim.Connections, learner == "" && m.pending >= m.lim.Unauthenticated:
		return &fault.Error{Code: fault.Overloaded, Message: "This server is full; try again soon.", RetryAfterMS: 5000}
	case learner != "" && m.perUser[learner] >= m.lim.ConnectionsPerUser:
		return errTooMany
	}
	m.total++
	if learner == "" {
		m.pending++
	} else {
		m.perUser[learner]++
	}
	m.wg.Add(1)
	return nil
}

// leave gives a place back; it is the last thing a connection does.
func (m *Manager) leave(learner conversation.LearnerID) {
	m.mu.Lock()
	m.total--
	if learner == "" {
		m.pending--
	} else if m.perUser[learner]--; m.perUser[learner] == 0 {
		delete(m.perUser, learner)
	}
	if m.draining && m.total == 0 {
		m.signalIdle()
	}
	m.mu.Unlock()
	m.wg.Done()
}

// signalIdle needs mu.
func (m *Manager) signalIdle() {
	select {
	case <-m.idle:
	default:
		close(m.idle)
	}
}

// admit turns an unauthenticated place into one of learner.
func (m *Manager) admit(learner conversation.LearnerID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.perUser[learner] >= m.lim.ConnectionsPerUser {
		return errTooMany
	}
	m.pending--
	m.perUser[learner]++
	return nil
}

// join puts c into the register, or says that the Manager is draining.
func (m *Manager) join(c member) (draining bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[c] = struct{}{}
	return m.draining
}

func (m *Manager) part(c member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.members, c)
}

func (m *Manager) errDraining() error {
	return &fault.Error{Code: fault.Draining, Message: "This server is going away; connect again.", RetryAfterMS: 1000}
}

// Drain sends everybody away, evenly over Times.DrainSpread or what ctx leaves
// of it, takes nobody new, and returns when all have gone. When ctx ends first
// it drops the rest and says how many those were.
func (m *Manager) Drain(ctx context.Context) error {
	m.mu.Lock()
	m.draining = true
	if m.total == 0 {
		m.signalIdle()
	}
	m.mu.Unlock()
	spread, grace := m.tim.DrainSpread, m.tim.DrainGrace
	if by, ok := ctx.Deadline(); ok {
		left := time.Until(by)
		grace = min(grace, left/4)
		spread = max(0, min(spread, left-2*grace))
	}
	all := m.snapshot(nil)
	m.log.Info("viewers are sent away", "connections", len(all), "spread_ms", spread.Milliseconds())
	sendAway(all, spread, grace)
	var err error
	select {
	case <-m.idle:
	case <-ctx.Done():
		m.mu.Lock()
		err = fmt.Errorf("drain: %d connections had to be dropped: %w", m.total, context.Cause(ctx))
		m.mu.Unlock()
	}
	m.Close()
	return err
}

// sendAway gives each connection a part of the spread of its own, so that no
// moment is more crowded than another: drawn one by one, the times of some
// would fall together. Sockets go grace later than streams, so each kind has
// the whole spread to itself; answers that cannot be resumed have its end.
func sendAway(all []member, spread, grace time.Duration) {
	var sockets, streams, replies []member
	for _, c := range all {
		switch s := c.(type) {
		case *wsConn:
			sockets = append(sockets, c)
		case *stream:
			if s.whole {
				replies = append(replies, c)
			} else {
				streams = append(streams, c)
			}
		default:
			streams = append(streams, c)
		}
	}
	apart(streams, 0, spread, grace)
	apart(replies, spread-spread/4, spread/4, grace)
	apart(sockets, 0, spread, grace)
}

// apart drains list between from and from+width, in random order.
func apart(list []member, from, width, grace time.Duration) {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	part := width / time.Duration(max(1, len(list)))
	for i, c := range list {
		c.drain(from+part*time.Duration(i)+jitter(part), grace)
	}
}

// Close ends every connection with "draining" at once, waits for all of them
// and stops the Manager.
func (m *Manager) Close() {
	m.closed.Do(func() {
		m.mu.Lock()
		m.draining = true
		m.mu.Unlock()
		for _, c := range m.snapshot(nil) {
			c.end(fault.Draining)
		}
		m.wg.Wait()
		m.cancel()
		m.bg.Wait()
	})
}

// Connections is how many connections are open.
func (m *Manager) Connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// Status lists what is attached to this node, for the inspector.
func (m *Manager) Status() []Viewer {
	var out []Viewer
	for _, c := range m.snapshot(nil) {
		out = append(out, c.viewers()...)
	}
	return out
}

// jitter is a random time up to d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
