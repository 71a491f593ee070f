package sessions

import (
	"context"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

var errTooMany = &fault.Error{Code: fault.TooManyConnections, Message: "Too many open connections; close some.", RetryAfterMS: 10000}

// present enters a connection where all nodes see it, if the learner has room
// for it. A Store that does not answer costs nobody a connection: then this
// node's own count alone is the limit.
func (m *Manager) present(ctx context.Context, c Connection) error {
	if m.cfg.Store == nil || m.rep.failing.Load() {
		return nil
	}
	if m.tryEnter(ctx, c) {
		return nil
	}
	m.rep.flushExits(ctx) // places that were left a moment ago
	if m.tryEnter(ctx, c) {
		return nil
	}
	return errTooMany
}

// tryEnter reports whether there was a place, or nobody to ask for one.
func (m *Manager) tryEnter(ctx context.Context, c Connection) bool {
	ok, err := m.cfg.Store.Enter(ctx, c, m.lim.ConnectionsPerUser)
	m.rep.note(err)
	return ok || err != nil
}

// absent takes it back.
func (m *Manager) absent(c Connection) { m.rep.exit(c) }

// beat keeps this node's lease. A lease that was not there means that what the
// node had entered may be missing, so everything is entered again.
func (m *Manager) beat() {
	t := time.NewTicker(m.tim.Beat)
	defer t.Stop()
	for {
		fresh, err := m.cfg.Store.Beat(m.ctx, m.cfg.Node)
		if m.ctx.Err() == nil {
			m.rep.note(err)
		}
		if err == nil && fresh {
			m.rep.renewAll()
		}
		select {
		case <-t.C:
		case <-m.ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), farewell)
			defer cancel()
			if err := m.cfg.Store.Leave(ctx, m.cfg.Node); err != nil {
				m.log.Debug("lease was not given back; it lapses", "err", err)
			}
			return
		}
	}
}

// Open lists the connections of this node, oldest first, for operators.
func (m *Manager) Open() []Connection {
	var out []Connection
	for _, c := range m.snapshot(nil) {
		if conn := c.self(); conn.ID != "" {
			out = append(out, conn)
		}
	}
	return out
}

// Of is everything about a learner on all nodes: sessions, with HashID in the
// place of their ids, and open connections.
func (m *Manager) Of(ctx context.Context, learner conversation.LearnerID) ([]Session, []Connection, error) {
	if m.cfg.Store == nil {
		var mine []Connection
		for _, c := range m.Open() {
			if c.User == learner {
				mine = append(mine, c)
			}
		}
		return nil, mine, nil
	}
	visits, err := m.cfg.Store.List(ctx, learner)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.StorageUnavailable, "The session store does not answer.")
	}
	conns, err := m.cfg.Store.Connections(ctx, learner)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.StorageUnavailable, "The session store does not answer.")
	}
	return visits, conns, nil
}
