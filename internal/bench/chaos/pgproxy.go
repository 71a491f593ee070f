package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// pgProxy stands between a node and Postgres and understands just enough of
// the wire protocol (version 3) to see a transaction that accepts a message
// commit. On order it cuts the connection at that very moment.
type pgProxy struct {
	addr, target string
	ln           net.Listener
	wg           sync.WaitGroup
	// decide is asked at each COMMIT of an accepting transaction.
	decide func() commitCut

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
}

// commitCut says what happens to a COMMIT.
type commitCut int

const (
	passCommit commitCut = iota
	// cutBefore: the COMMIT does not reach the server.
	cutBefore
	// cutSent: it reaches the server, the connection ends at once.
	cutSent
	// cutAnswered: the server has answered, the answer is lost.
	cutAnswered
)

func newPGProxy(target string, decide func() commitCut) (*pgProxy, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pgProxy{addr: ln.Addr().String(), target: target, ln: ln, decide: decide, conns: map[net.Conn]struct{}{}}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	return p, nil
}

func (p *pgProxy) close() {
	_ = p.ln.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *pgProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *pgProxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := connect(p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !p.keep(client) || !p.keep(server) {
		return
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	var back sync.WaitGroup
	hold := make(chan struct{}, 1) // full: answers are read and thrown away
	answered := make(chan struct{}, 1)
	back.Go(func() {
		buf := make([]byte, 16<<10)
		for {
			n, err := server.Read(buf)
			if n > 0 && len(hold) > 0 {
				select {
				case answered <- struct{}{}:
				default:
				}
			} else if n > 0 {
				if _, werr := client.Write(buf[:n]); werr != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		_ = client.Close()
		_ = server.Close()
	})
	_ = p.forward(client, server, hold, answered) // every error ends the connection, which both sides see
	_ = client.Close()
	_ = server.Close()
	back.Wait()
}

// maxMessage bounds one message of the wire protocol.
const maxMessage = 64 << 20

// forward passes whole messages from the node to the server.
func (p *pgProxy) forward(client io.Reader, server io.Writer, hold chan<- struct{}, answered <-chan struct{}) error {
	if err := startup(client, server); err != nil {
		return err
	}
	accepting := false
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(client, head); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[1:])
		if size < 4 || size > maxMessage {
			return errors.New("not a message of Postgres")
		}
		msg := make([]byte, 5+size-4)
		copy(msg, head)
		if _, err := io.ReadFull(client, msg[5:]); err != nil {
			return err
		}
		how := passCommit
		if head[0] == 'Q' || head[0] == 'P' {
			sql := bytes.ToLower(bytes.TrimLeft(msg[5:], "\x00 "))
			switch {
			case bytes.HasPrefix(sql, []byte("begin")):
				accepting = false
			case bytes.Contains(sql, []byte("insert into runs")): // a message asks for a run; a finished reply does not
				accepting = true
			case bytes.HasPrefix(sql, []byte("commit")) && accepting:
				accepting = false
				how = p.decide()
			}
		}
		switch how {
		case cutBefore:
			return nil
		case cutAnswered:
			hold <- struct{}{}
		case passCommit, cutSent:
		}
		if _, err := server.Write(msg); err != nil || how == cutSent {
			return err
		}
		if how == cutAnswered {
			select {
			case <-answered:
			case <-time.After(2 * time.Second):
			}
			return nil
		}
	}
}

// startup passes what comes before the first typed message: requests for
// encryption, which the server answers with one byte, and the startup message.
func startup(client io.Reader, server io.Writer) error {
	const sslRequest, gssRequest = 80877103, 80877104
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(client, head); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head)
		if size < 8 || size > 1<<20 {
			return errors.New("not a startup message of Postgres")
		}
		rest := make([]byte, size-8)
		if _, err := io.ReadFull(client, rest); err != nil {
			return err
		}
		if _, err := server.Write(slices.Concat(head, rest)); err != nil {
			return err
		}
		if code := binary.BigEndian.Uint32(head[4:]); code != sslRequest && code != gssRequest {
			return nil
		}
	}
}
