package testenv

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes TCP connections on to a target and fails them on demand.
type Proxy struct {
	// Addr is where to connect instead of the target.
	Addr string

	target string
	ln     net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	pairs   map[*pair]struct{}
	stalled bool
	refuse  bool
	closed  bool
	left    int64         // bytes to the client until the cut, while cut is set
	cut     chan struct{} // nil when no cut is ordered
	down    int64
	seen    int
}

type pair struct{ client, server net.Conn }

// drop ends both sides with a reset, as a lost machine or a firewall does.
func (p *pair) drop() {
	for _, c := range []net.Conn{p.client, p.server} {
		if c == nil { // the target was never reached
			continue
		}
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		_ = c.Close()
	}
}

// NewProxy starts a proxy in front of target (host:port).
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("proxy: %v", err)
	}
	p := &Proxy{Addr: ln.Addr().String(), target: target, ln: ln, pairs: map[*pair]struct{}{}}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.cond.Broadcast()
		p.mu.Unlock()
		_ = ln.Close()
		p.DropAll()
		p.wg.Wait()
	})
	return p
}

func (p *Proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	pr := &pair{client: client}
	p.mu.Lock()
	target, refuse := p.target, p.refuse || p.closed
	p.mu.Unlock()
	if refuse {
		pr.drop()
		return
	}
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		pr.drop()
		return
	}
	pr.server = server
	p.mu.Lock()
	if p.closed || p.refuse {
		p.mu.Unlock()
		pr.drop()
		return
	}
	p.pairs[pr] = struct{}{}
	p.seen++
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.copy(pr.server, pr.client, false) })
	both.Go(func() { p.copy(pr.client, pr.server, true) })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, pr)
	p.mu.Unlock()
	_ = client.Close()
	_ = server.Close()
}

// copy passes bytes on until either side ends; a half-closed connection stays
// open the other way, as TCP has it.
func (p *Proxy) copy(dst, src net.Conn, down bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			pass, cut := p.admit(n, down)
			if _, werr := dst.Write(buf[:pass]); werr != nil {
				_ = src.Close()
				return
			}
			if cut {
				p.DropAll()
				return
			}
		}
		if err != nil {
			if tc, ok := dst.(*net.TCPConn); ok && !errors.Is(err, net.ErrClosed) {
				_ = tc.CloseWrite()
			}
			return
		}
	}
}

// admit waits while the proxy is stalled and says how many of n bytes may
// pass, and whether the connection is cut after them.
func (p *Proxy) admit(n int, down bool) (pass int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled && !p.closed {
		p.cond.Wait()
	}
	if !down {
		return n, false
	}
	if p.cut != nil {
		if int64(n) >= p.left {
			n, cut = int(p.left), true
			close(p.cut)
			p.cut = nil
		} else {
			p.left -= int64(n)
		}
	}
	p.down += int64(n)
	return n, cut
}

// CutAfter drops all connections as soon as n more bytes have gone to
// clients; the channel closes when that happens. Later connections pass.
func (p *Proxy) CutAfter(n int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.cut = n, make(chan struct{})
	return p.cut
}

// DropAll resets every open connection now.
func (p *Proxy) DropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pr := range p.pairs {
		pr.drop()
	}
}

// Stall holds all bytes back in both directions; connections stay open and
// new ones are taken. Resume passes on what was held.
func (p *Proxy) Stall() { p.set(func() { p.stalled = true }) }

// Resume ends a Stall.
func (p *Proxy) Resume() { p.set(func() { p.stalled = false }) }

// Refuse resets new connections at once while on is true; open ones stay.
func (p *Proxy) Refuse(on bool) { p.set(func() { p.refuse = on }) }

// Target sends later connections to another address.
func (p *Proxy) Target(addr string) { p.set(func() { p.target = addr }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.cond.Broadcast()
}

// Open is the number of connections open now, Seen of all so far, Down of
// bytes that went to clients.
func (p *Proxy) Open() int { p.mu.Lock(); defer p.mu.Unlock(); return len(p.pairs) }

// Seen counts all connections that reached the target.
func (p *Proxy) Seen() int { p.mu.Lock(); defer p.mu.Unlock(); return p.seen }

// Down counts the bytes that went to clients.
func (p *Proxy) Down() int64 { p.mu.Lock(); defer p.mu.Unlock(); return p.down }
