package ws

import (
	"net"
	"sync"
	"sync/atomic"
)

// guard meters what comes in: the WebSocket library counts only the payload of
// a message, so a peer could keep a reader busy for ever with fragments of
// length zero (6 bytes each) or with pings.
type guard struct {
	net.Conn
	used *meter

	// mu is held while a read waits: the reader and a close handshake may want
	// to read at once, and the bytes have an order.
	mu sync.Mutex
	// early is what has been read already, by net/http or by await; under mu.
	early []byte
	first [1]byte // where await reads to
}

// await returns once there is something to read, or nothing ever will be.
func (g *guard) await() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.early) > 0 {
		return
	}
	n, _ := g.Conn.Read(g.first[:]) // an error comes again with the next read
	if n > 0 {
		g.early = g.first[:]
	}
}

// Read implements net.Conn.
func (g *guard) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.used.over() {
		return 0, ErrFlood
	}
	var n int
	var err error
	if len(g.early) > 0 {
		n = copy(p, g.early)
		if g.early = g.early[n:]; len(g.early) == 0 {
			g.early = nil
		}
	} else {
		n, err = g.Conn.Read(p)
	}
	g.used.add(n)
	return n, err
}

// meter counts raw bytes since the last whole message, and once a close has
// begun all that comes. Atomic because the close handshake reads in another
// goroutine.
type meter struct {
	n       atomic.Int64
	limit   int64
	closing atomic.Bool
}

func (m *meter) add(n int)  { m.n.Add(int64(n)) }
func (m *meter) over() bool { return m.n.Load() > m.limit }

func (m *meter) refill() {
	if !m.closing.Load() {
		m.n.Store(0)
	}
}

// drain allows for what the peer has sent before it reads our close frame: to
// hang up on that would reset the connection, and the frame with it.
func (m *meter) drain() {
	m.closing.Store(true)
	m.add(-drain)
}

// control counts a ping or pong and reports whether to answer it.
func (m *meter) control() bool {
	if m.closing.Load() {
		return false
	}
	m.add(controlCost)
	return !m.over()
}
