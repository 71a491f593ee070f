package sessions

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// CloseLearner ends the connections of a learner with 4401 on every node, all
// of them or those of one login: for logout, a changed password, a deleted
// account. It returns how many those were here, before they are gone. Others
// hear of it at once; if they do not, they find out by Logins.
func (m *Manager) CloseLearner(learner conversation.LearnerID, family string) int {
	o := Order{From: m.cfg.Node, User: learner, Family: family, End: fault.Unauthenticated}
	n := m.obey(o)
	if m.known.recent(o) {
		return n
	}
	if err := m.publish(m.ctx, o); err != nil {
		m.log.Warn("other nodes were not told of a logout; they will look by themselves", "err", err)
	}
	return n
}

// Kick ends connections of a learner with 4510 on every node: one, those of one
// session, or all. It is no ban: who comes back with a good token is let in. It
// returns how many were ended here; an error says that other nodes were not
// told.
func (m *Manager) Kick(ctx context.Context, learner conversation.LearnerID, session, conn string) (int, error) {
	o := Order{From: m.cfg.Node, User: learner, Session: session, Conn: conn, End: fault.Kicked}
	n := m.obey(o)
	return n, m.publish(ctx, o)
}

// Notify sends a notice to all devices of a learner that are connected to any
// node by WebSocket or event stream, and returns to how many connections of
// this one. It is not kept for anybody who is away; an error says that other
// nodes were not told.
func (m *Manager) Notify(ctx context.Context, learner conversation.LearnerID, n Notice) (int, error) {
	if err := checkNotice(n); err != nil {
		return 0, err
	}
	o := Order{From: m.cfg.Node, User: learner, Notice: &n}
	count := m.obey(o)
	return count, m.publish(ctx, o)
}

// maxNotice bounds message and data of a notice together, in bytes.
const maxNotice = 4 << 10

func checkNotice(n Notice) error {
	bad := n.Code == "" || len(n.Code) > maxName || strings.Trim(n.Code, "abcdefghijklmnopqrstuvwxyz0123456789_") != ""
	if bad || len(n.Message)+len(n.Data) > maxNotice {
		return fault.New(fault.Invalid, "A notice has a code of a-z 0-9 _ and at most 4 KiB of message and data.")
	}
	return nil
}

func (m *Manager) publish(ctx context.Context, o Order) error {
	if m.cfg.Bus == nil {
		return nil
	}
	if err := m.cfg.Bus.Publish(ctx, o); err != nil {
		return fault.Wrap(err, fault.StorageUnavailable, "Done on this node; the others could not be told.")
	}
	return nil
}

// heard is an order of another node.
func (m *Manager) heard(o Order) {
	if o.From == m.cfg.Node {
		return
	}
	m.known.note(o)
	m.obey(o)
}

// orders remembers the ends of logins that another node told, for a moment:
// each node finds out by itself as well, and need not tell all others again.
type orders struct {
	mu sync.Mutex
	at map[string]time.Time
}

const (
	orderKnown = 15 * time.Second
	mostOrders = 10000
)

func (k *orders) note(o Order) {
	if o.End != fault.Unauthenticated {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == nil {
		k.at = map[string]time.Time{}
	}
	now := time.Now()
	maps.DeleteFunc(k.at, func(_ string, at time.Time) bool { return now.Sub(at) > orderKnown })
	if len(k.at) < mostOrders {
		k.at[string(o.User)+" "+o.Family] = now
	}
}

func (k *orders) recent(o Order) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.at[string(o.User)+" "+o.Family]
	return ok && time.Since(at) <= orderKnown
}

// obey carries an order out here and counts whom it met.
func (m *Manager) obey(o Order) int {
	if o.User == "" {
		return 0
	}
	n := 0
	for _, c := range m.snapshot(nil) {
		id, conn := c.who(), c.self()
		if id.learner() != o.User || o.Family != "" && id.Family != o.Family ||
			o.Session != "" && conn.Session != o.Session || o.Conn != "" && conn.ID != o.Conn {
			continue
		}
		n++
		if o.Notice != nil {
			c.tell(*o.Notice)
		}
		if o.End != "" {
			c.end(o.End)
		}
	}
	return n
}

// checkLogins ends what no order met: a connection that came in between, or an
// order that was lost.
func (m *Manager) checkLogins(all []member) {
	for _, c := range all {
		if f := c.who().Family; f != "" && m.cfg.Logins.Ended(f) {
			c.end(fault.Unauthenticated)
		}
	}
}
