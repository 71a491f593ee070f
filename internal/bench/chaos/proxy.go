package chaos

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
)

// proxy passes TCP connections on and fails them on demand.
type proxy struct {
	addr, target string
	ln           net.Listener
	wg           sync.WaitGroup

	mu sync.Mutex // guards what follows
	// budget, if set, says after how many bytes to the client a new connection
	// is cut, 0 for never; onCut is told of each cut.
	budget    func() int64
	onCut     func()
	cond      *sync.Cond
	pairs     map[*pair]struct{}
	closed    bool
	stalled   bool // nothing passes, connections stay
	stallRepl bool // nothing passes to Redis replicas
}

type pair struct {
	client, server net.Conn
	repl           bool // guarded by the proxy's mu
	left           int64
}

// drop ends both sides with a reset, as a lost machine does.
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

func newProxy(target string) (*proxy, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: ln.Addr().String(), target: target, ln: ln, pairs: map[*pair]struct{}{}}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) close() {
	p.set(func() { p.closed = true })
	_ = p.ln.Close()
	p.dropAll()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *proxy) serve(client net.Conn) {
	pr := &pair{client: client}
	server, err := connect(p.target)
	if err != nil {
		pr.drop()
		return
	}
	pr.server = server
	p.mu.Lock()
	if p.budget != nil {
		pr.left = p.budget()
	}
	if p.closed {
		p.mu.Unlock()
		pr.drop()
		return
	}
	p.pairs[pr] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.up(pr) })
	both.Go(func() { p.down(pr) })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, pr)
	p.mu.Unlock()
	_ = client.Close()
	_ = server.Close()
}

func (p *proxy) up(pr *pair) {
	buf := make([]byte, 16<<10)
	for {
		n, err := pr.client.Read(buf)
		if n > 0 {
			p.mu.Lock()
			if bytes.Contains(buf[:n], []byte("PSYNC")) {
				pr.repl = true
			}
			for p.stalled && !p.closed {
				p.cond.Wait()
			}
			p.mu.Unlock()
			if _, werr := pr.server.Write(buf[:n]); werr != nil {
				_ = pr.client.Close()
				return
			}
		}
		if err != nil {
			halfClose(pr.server, err)
			return
		}
	}
}

func (p *proxy) down(pr *pair) {
	buf := make([]byte, 16<<10)
	for {
		n, err := pr.server.Read(buf)
		if n > 0 {
			cut := pr.left > 0 && int64(n) >= pr.left
			if cut {
				n = int(pr.left)
			}
			pr.left -= min(pr.left, int64(n))
			p.mu.Lock()
			for (p.stalled || p.stallRepl && pr.repl) && !p.closed {
				p.cond.Wait()
			}
			onCut := p.onCut
			p.mu.Unlock()
			_, werr := pr.client.Write(buf[:n])
			if cut {
				onCut()
				pr.drop()
				return
			}
			if werr != nil {
				_ = pr.server.Close()
				return
			}
		}
		if err != nil {
			halfClose(pr.client, err)
			return
		}
	}
}

// halfClose passes an end on as TCP has it.
func halfClose(c net.Conn, err error) {
	if tc, ok := c.(*net.TCPConn); ok && !errors.Is(err, net.ErrClosed) {
		_ = tc.CloseWrite()
	}
}

func (p *proxy) dropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pr := range p.pairs {
		pr.drop()
	}
}

func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.cond.Broadcast()
}

func (p *proxy) stall(on bool)    { p.set(func() { p.stalled = on }) }
func (p *proxy) holdRepl(on bool) { p.set(func() { p.stallRepl = on }) }
