package sse

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// sendBuffer bounds the kernel's send buffer: what a viewer that stopped
// reading can make us hold before a write blocks.
const sendBuffer = 64 << 10

// maxPipelined bounds what a client may send behind its request.
const maxPipelined = 16 << 10

// Detach begins a stream as Start does and takes the connection out of
// net/http, whose goroutine, buffers and request then go: an idle stream keeps
// a fraction of the memory. ok is false where that cannot be (HTTP/2, HTTP/1.0,
// a writer that is no connection); nothing has been written then. The caller
// returns from the handler, waits for the client with Wait in a goroutine of
// its own, and calls Close on the Writer at the end.
//
// The body is chunked (RFC 9112 section 7.1), so that an end that is not clean
// shows; the connection serves no further request.
func Detach(w http.ResponseWriter, r *http.Request, timeout time.Duration) (s *Writer, peer *Peer, ok bool) {
	if r.ProtoMajor != 1 || r.ProtoMinor != 1 {
		return nil, nil, false
	}
	head := w.Header().Clone()
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, false
	}
	if tc, isTCP := conn.(*net.TCPConn); isTCP {
		_ = tc.SetWriteBuffer(sendBuffer) // the default is only larger
	}
	setHeaders(head)
	head.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	head.Set("Transfer-Encoding", "chunked")
	head.Set("Connection", "close")
	b := bytes.NewBufferString("HTTP/1.1 200 OK\r\n")
	_ = head.Write(b) // a buffer takes everything
	b.WriteString("\r\n")
	d := &detached{conn: conn, timeout: orDefault(timeout), head: b.Bytes()}
	return &Writer{to: d}, &Peer{conn: conn, sent: rw.Reader.Buffered()}, true
}

// detached writes chunks to a connection.
type detached struct {
	conn    net.Conn
	timeout time.Duration
	head    []byte // until it has been sent
}

func (d *detached) send(p []byte) error {
	b := buffers.Get().(*[]byte)
	out := append((*b)[:0], d.head...)
	out = strconv.AppendInt(out, int64(len(p)), 16)
	out = append(out, "\r\n"...)
	out = append(out, p...)
	out = append(out, "\r\n"...)
	err := d.conn.SetWriteDeadline(time.Now().Add(d.timeout))
	if err == nil {
		_, err = d.conn.Write(out)
	}
	if cap(out) <= keepBuffer {
		*b = out[:0]
		buffers.Put(b)
	}
	if err != nil {
		return fmt.Errorf("write stream: %w", err)
	}
	d.head = nil
	return nil
}

func (d *detached) close(clean bool) {
	if clean && d.head == nil {
		if err := d.conn.SetWriteDeadline(time.Now().Add(time.Second)); err == nil {
			_, _ = io.WriteString(d.conn, "0\r\n\r\n") // a client that is gone needs no end
		}
	}
	_ = d.conn.Close()
}

// Peer is the client's side of a detached stream.
type Peer struct {
	conn net.Conn
	sent int
}

// Wait returns when the client has gone, the connection was closed, or the
// client sends more than it should: nothing is to follow its request.
func (p *Peer) Wait() {
	var b [1]byte
	for p.sent <= maxPipelined {
		n, err := p.conn.Read(b[:])
		p.sent += n
		if err != nil {
			return
		}
	}
}
