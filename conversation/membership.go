package conversation

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// MembershipConfig tunes how fast a dead node is noticed; zero values mean
// the defaults in brackets.
type MembershipConfig struct {
	// Solo is set where the database belongs to one process: nothing beats
	// then, every other node is dead by definition.
	Solo bool
	// Beat is the time between heartbeats [500ms].
	Beat time.Duration
	// Suspect is the age of a heartbeat after which the node's address is
	// asked [800ms]: a refused connection is a proof, a time-out is none.
	Suspect time.Duration
	// Stale is the age after which a node is dead without any proof [3s].
	Stale time.Duration
	// Dial asks an address; nil dials TCP.
	Dial func(ctx context.Context, addr string) error
}

func (c *MembershipConfig) defaults() {
	if c.Beat <= 0 {
		c.Beat = 500 * time.Millisecond
	}
	if c.Suspect <= 0 {
		c.Suspect = 800 * time.Millisecond
	}
	if c.Stale <= 0 {
		c.Stale = 3 * time.Second
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, addr string) error {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			return err
		}
	}
}

// Membership keeps this process known to the others and knows which of them
// live. Being wrong costs a second model call, never text: the fence decides.
type Membership struct {
	cfg   MembershipConfig
	store Nodes
	log   *slog.Logger
	// onDead is called when the others have given this node up, before it
	// registers anew.
	onDead func()
	// onLoss is called when a node that lived does so no more.
	onLoss func()

	mu    sync.Mutex // guards what follows
	self  Node
	alive []string

	// Only look and beat touch these. After a time without SQL, or one in which
	// it took no writes, nobody's heartbeat can be young: until patient a stale
	// one alone is no sign of death.
	looked, beaten, patient time.Time
	spare                   sparing
}

// Join registers self and returns its Membership. Call Run to keep it.
func Join(ctx context.Context, store Nodes, self Node, cfg MembershipConfig, log *slog.Logger) (*Membership, error) {
	cfg.defaults()
	m := &Membership{cfg: cfg, store: store, log: log, self: self, onDead: func() {}, onLoss: func() {}}
	if err := store.Register(ctx, self); err != nil {
		return nil, err
	}
	m.alive, m.beaten = []string{self.ID}, time.Now()
	return m, m.look(ctx)
}

// OnDead sets what drops this node's runs when it was declared dead.
func (m *Membership) OnDead(fn func()) { m.onDead = fn }

// OnLoss sets what is called when another node has died or left; it must not
// block. Set it before Run.
func (m *Membership) OnLoss(fn func()) { m.onLoss = fn }

// Self is this node; its ID changes when it had to register anew.
func (m *Membership) Self() Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// Alive lists the ids of living nodes, this one included, draining ones too.
func (m *Membership) Alive() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.alive)
}

// IsAlive reports whether a node id is known to live.
func (m *Membership) IsAlive(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.alive, node)
}

// Run beats and watches until ctx ends.
func (m *Membership) Run(ctx context.Context) error {
	if m.cfg.Solo {
		<-ctx.Done()
		return nil
	}
	t := time.NewTicker(m.cfg.Beat / 2)
	defer t.Stop()
	for turn := 1; ; turn++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		var err error
		if turn%2 == 0 {
			err = m.beat(ctx)
		}
		if err = errors.Join(err, m.look(ctx)); err != nil && ctx.Err() == nil && m.spare.may() {
			m.log.Warn("membership", "err", err)
		}
	}
}

func (m *Membership) beat(ctx context.Context) error {
	c, cancel := context.WithTimeout(ctx, m.cfg.Stale/2)
	defer cancel()
	err := m.store.Heartbeat(c, m.Self().ID)
	if err == nil {
		m.beaten = time.Now()
	}
	if !errors.Is(err, ErrNodeDead) {
		return err
	}
	m.log.Warn("this node was declared dead; its runs are dropped and it joins anew", "node_id", m.Self().ID)
	m.onDead()
	m.mu.Lock()
	m.self.ID = NewNodeID()
	self := m.self
	m.mu.Unlock()
	if err := m.store.Register(c, self); err != nil {
		return err
	}
	m.beaten = time.Now()
	return nil
}

// look reads who lives and buries who does not.
func (m *Membership) look(ctx context.Context) error {
	c, cancel := context.WithTimeout(ctx, m.cfg.Stale/2)
	defer cancel()
	members, err := m.store.Members(c)
	if err != nil {
		return err
	}
	now := time.Now()
	if !m.looked.IsZero() && now.Sub(m.looked) > m.cfg.Stale/2 || !m.cfg.Solo && now.Sub(m.beaten) > max(m.cfg.Stale/2, 2*m.cfg.Beat) {
		m.patient = now.Add(m.cfg.Stale)
	}
	m.looked = now
	alive := []string{m.Self().ID}
	for _, n := range members {
		if n.ID == alive[0] || n.State == "dead" {
			continue
		}
		age := time.Duration(n.AgeMicros) * time.Microsecond
		if age > m.cfg.Stale && now.After(m.patient) || age > m.cfg.Suspect && m.refuses(c, n.Addr) {
			dead, err := m.store.Bury(c, n.ID, n.HB)
			if err != nil {
				return err
			}
			if dead {
				m.log.Info("node is dead", "dead_node_id", n.ID, "heartbeat_age", age)
				continue
			}
			// It beat in between, or somebody else buried it: the next look tells.
		}
		alive = append(alive, n.ID)
	}
	m.mu.Lock()
	lost := slices.ContainsFunc(m.alive, func(id string) bool { return !slices.Contains(alive, id) })
	m.alive = alive
	m.mu.Unlock()
	if lost {
		m.onLoss()
	}
	return nil
}

// refuses reports a refused connection: after SIGKILL the kernel has closed
// the listening socket, so this is a proof within milliseconds.
func (m *Membership) refuses(ctx context.Context, addr string) bool {
	c, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	return errors.Is(m.cfg.Dial(c, addr), syscall.ECONNREFUSED)
}

// NewNodeID makes a node id, random per process start.
func NewNodeID() string { return "n-" + uuid.NewString()[:13] }

// SetDraining tells the others that this node claims nothing more.
func (m *Membership) SetDraining(ctx context.Context) error {
	return m.store.SetNodeState(ctx, m.Self().ID, "draining")
}

// Leave tells the others that this node is gone.
func (m *Membership) Leave(ctx context.Context) error {
	return m.store.SetNodeState(ctx, m.Self().ID, "dead")
}
