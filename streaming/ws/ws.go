// Package ws adapts coder/websocket to what a realtime server needs and that
// library leaves open: small buffers per idle connection, a deadline for every
// message and every write, a guard against floods of empty fragments, UTF-8
// that is checked, and a Close that never makes its caller wait for the peer.
//
// One goroutine reads; any goroutine may write or close. The owner of a Conn
// calls CloseNow when it is done, which waits for a close handshake in flight.
package ws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// Subprotocol is the one protocol spoken here.
const Subprotocol = "conv.v1.json"

// Close codes of RFC 6455 that this package gives by itself.
const (
	codeProtocol    = 1002
	codeUnsupported = 1003
	codeBadUTF8     = 1007
	codePolicy      = 1008
	codeTooBig      = 1009
)

const (
	// writeBuffer holds a frame header and a short event; larger frames are
	// written past the buffer.
	writeBuffer = 512
	// readBuffer holds a frame header and a pong; what is longer is read past it.
	readBuffer = 128
	// rawHeadroom is what frame headers and control frames may add to one
	// message before it counts as a flood.
	rawHeadroom = 8 << 10
	// controlCost is what a ping or pong counts beside its bytes: a ping of six
	// bytes makes us write an answer.
	controlCost = 512
	// drain is what a peer may still send while a close handshake runs.
	drain     = 256 << 10
	maxReason = 123
)

// Reasons why Read ends; the connection is closed or closing then.
var (
	// ErrTooLarge: a message was longer than Options.ReadLimit (1009).
	ErrTooLarge = errors.New("message too large")
	// ErrBinary: a binary message came (1003).
	ErrBinary = errors.New("binary message")
	// ErrUTF8: a text message was not UTF-8 (1007).
	ErrUTF8 = errors.New("message is not utf-8")
	// ErrFlood: far more bytes than one message may need came without
	// completing one: empty fragments or pings (1008).
	ErrFlood = errors.New("fragment or ping flood")
	// ErrProtocol: the peer broke RFC 6455 (1002).
	ErrProtocol = errors.New("websocket protocol error")
	// ErrSlowMessage: a message was begun and not finished in time (1008).
	ErrSlowMessage = errors.New("message took too long")
)

// Options of Accept; zero values mean what the brackets say.
type Options struct {
	// ReadLimit bounds a message in bytes [64 KiB].
	ReadLimit int64
	// MessageTimeout bounds a message from its first frame to its last [10 s].
	MessageTimeout time.Duration
	// WriteTimeout bounds one Write [10 s].
	WriteTimeout time.Duration
	// CloseTimeout bounds the close handshake [1 s].
	CloseTimeout time.Duration
	// SendBuffer is the kernel's send buffer in bytes [64 KiB]: what a viewer
	// that stopped reading can make us hold before a write blocks.
	SendBuffer int
}

func (o Options) withDefaults() Options {
	if o.ReadLimit <= 0 {
		o.ReadLimit = 64 << 10
	}
	if o.MessageTimeout <= 0 {
		o.MessageTimeout = 10 * time.Second
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = time.Second
	}
	if o.SendBuffer <= 0 {
		o.SendBuffer = 64 << 10
	}
	return o
}

// Conn is one accepted WebSocket.
type Conn struct {
	ws  *websocket.Conn
	nc  *guard
	br  *bufio.Reader // the library's, between it and nc
	opt Options

	// mu guards closing and done.
	mu      sync.Mutex
	closing bool
	// done is closed when a close handshake that Close began has ended.
	done chan struct{}
}

// Accept upgrades r, whose Origin the caller has checked. On an error the
// answer has been written. The caller returns from its handler soon after, so
// that net/http's buffers are freed, and calls CloseNow at the end.
func Accept(w http.ResponseWriter, r *http.Request, o Options) (*Conn, error) {
	o = o.withDefaults()
	// The callbacks keep the meter alive, and nothing of the request.
	used := &meter{limit: o.ReadLimit + rawHeadroom}
	hw := &hijackWriter{ResponseWriter: w, sendBuffer: o.SendBuffer, used: used}
	c, err := websocket.Accept(hw, r, &websocket.AcceptOptions{
		Subprotocols:    []string{Subprotocol},
		CompressionMode: websocket.CompressionDisabled,
		// The library allows a missing Origin, http:// pages of the same host
		// and any Host; the caller's own check is stricter.
		InsecureSkipVerify: true,
		OnPingReceived:     func(context.Context, []byte) bool { return used.control() },
		OnPongReceived:     func(context.Context, []byte) { used.control() },
	})
	if err != nil {
		return nil, fmt.Errorf("accept websocket: %w", err)
	}
	c.SetReadLimit(o.ReadLimit)
	return &Conn{ws: c, nc: hw.conn, br: hw.br, opt: o}, nil
}

// Subprotocol is what was agreed on, "" when the client did not offer ours.
func (c *Conn) Subprotocol() string { return c.ws.Subprotocol() }

// Await returns when Read has something to do: bytes of a message, an end or an
// error. It needs a far shallower stack than Read, so a goroutine that waits
// here for hours, and has another one Read, holds 2 KiB less. For the reader
// alone; it may be left out.
func (c *Conn) Await() {
	c.mu.Lock()
	// Once a close handshake has begun, the buffer is also its own.
	there := c.closing || c.br.Buffered() > 0
	c.mu.Unlock()
	if !there {
		c.nc.await()
	}
}

// Read waits for the next text message, however long that takes, and returns
// it whole. It is for one goroutine at a time. Any error is final.
func (c *Conn) Read() ([]byte, error) {
	// A background context costs nothing while idle; deadlines are set on the
	// network connection itself.
	typ, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, c.readError(err)
	}
	if typ != websocket.MessageText {
		c.Close(codeUnsupported, "binary frames are not spoken here")
		return nil, ErrBinary
	}
	c.setReadDeadline(time.Now().Add(c.opt.MessageTimeout))
	msg, err := io.ReadAll(r)
	if err != nil {
		return nil, c.readError(err)
	}
	c.setReadDeadline(time.Time{})
	c.nc.used.refill()
	if !utf8.Valid(msg) {
		c.Close(codeBadUTF8, "not utf-8")
		return nil, ErrUTF8
	}
	return msg, nil
}

// readError names the failures that are the peer's doing.
func (c *Conn) readError(err error) error {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		// The library has sent 1009; this drains what is on its way, so that the
		// close frame is not lost to a reset.
		c.Close(codeTooBig, "message too large")
		return ErrTooLarge
	case errors.Is(err, ErrFlood):
		c.Close(codePolicy, "too many frames for one message")
		return ErrFlood
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() && !c.isClosing() {
		c.Close(codePolicy, "message took too long")
		return ErrSlowMessage
	}
	if ne == nil && CloseCode(err) < 0 && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) && !c.isClosing() {
		// Not the network, so the peer. The library says so for most errors and
		// just hangs up for some; Close says it in any case, and reads away what is
		// on its way.
		c.Close(codeProtocol, "protocol error")
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return err
}

// CloseCode is the code of the peer's close frame in an error of Read, -1
// when there was none.
func CloseCode(err error) int { return int(websocket.CloseStatus(err)) }

// Write sends one text message within the write timeout. After an error the
// connection is of no use.
func (c *Conn) Write(msg []byte) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return net.ErrClosed
	}
	// Under the lock, so that it cannot undo the shorter deadline of Close.
	err := c.nc.SetWriteDeadline(time.Now().Add(c.opt.WriteTimeout))
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if err := c.ws.Write(context.Background(), websocket.MessageText, msg); err != nil {
		return fmt.Errorf("write websocket: %w", err)
	}
	return nil
}

// Close starts the close handshake and returns at once; a silent peer costs
// CloseTimeout of a goroutine that CloseNow waits for. Only the first Close
// counts. A write that is blocked right now is given up.
func (c *Conn) Close(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	c.closing = true
	c.done = make(chan struct{})
	c.nc.used.drain()
	_ = c.nc.SetDeadline(time.Now().Add(c.opt.CloseTimeout)) // a broken socket ends the handshake anyhow
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	go func() {
		defer close(c.done)
		_ = c.ws.Close(websocket.StatusCode(code), reason) // the peer may be gone, which is what we want
	}()
}

// CloseNow drops the connection without a handshake, or waits for the one that
// Close began. It may be called many times.
func (c *Conn) CloseNow() {
	c.mu.Lock()
	done := c.done
	c.closing = true
	c.mu.Unlock()
	if done != nil {
		<-done
		return
	}
	_ = c.ws.CloseNow() // a second CloseNow answers ErrClosed, which is no news
}

func (c *Conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// setReadDeadline leaves the deadline of Close alone.
func (c *Conn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		_ = c.nc.SetReadDeadline(t) // a broken socket fails the read itself
	}
}

// hijackWriter hands coder/websocket a connection with small buffers. net/http
// gives 4 KiB each way, which a connection would keep for its whole life.
type hijackWriter struct {
	http.ResponseWriter
	sendBuffer int
	used       *meter
	conn       *guard
	br         *bufio.Reader
}

// Unwrap lets http.ResponseController see the writer inside.
func (h *hijackWriter) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// WriteHeaderNow passes on Gin's way of writing the status line, without which
// Gin would hijack before the 101 is out.
func (h *hijackWriter) WriteHeaderNow() {
	if g, ok := h.ResponseWriter.(interface{ WriteHeaderNow() }); ok {
		g.WriteHeaderNow()
	}
}

// Hijack implements http.Hijacker; bytes that net/http has already read stay
// in front.
func (h *hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("hijack: %w", err)
	}
	early, err := brw.Reader.Peek(brw.Reader.Buffered())
	if err != nil {
		_ = nc.Close()
		return nil, nil, fmt.Errorf("take over buffered bytes: %w", err)
	}
	setSendBuffer(nc, h.sendBuffer)
	h.conn = &guard{Conn: nc, early: append([]byte(nil), early...), used: h.used}
	h.br = bufio.NewReaderSize(h.conn, readBuffer)
	return h.conn, bufio.NewReadWriter(h.br, bufio.NewWriterSize(h.conn, writeBuffer)), nil
}

func setSendBuffer(nc net.Conn, size int) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = t.NetConn()
	}
	if b, ok := nc.(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(size) // a wish; the default still works
	}
}
