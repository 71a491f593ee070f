package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// wsClient is a WebSocket client with nothing in it: it masks with zero, which
// the protocol allows, and reads a frame into a buffer that is used again.
type wsClient struct {
	nc  net.Conn
	br  *bufio.Reader
	buf []byte

	got atomic.Int64 // payload bytes read

	mu sync.Mutex // one writer at a time
}

var errFrame = errors.New("not a frame that is expected here")

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
	// maxServerFrame bounds what a server may make us hold.
	maxServerFrame = 4 << 20
)

// dialWS opens url (http://host/path) and says hello at the HTTP level.
func dialWS(ctx context.Context, url, token string, readBuffer int) (*wsClient, error) {
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	d := net.Dialer{Timeout: 10 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	c := &wsClient{nc: nc, br: bufio.NewReaderSize(nc, readBuffer)}
	if err := c.upgrade(host, "/"+path, token); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("open websocket: %w", err)
	}
	return c, nil
}

func (c *wsClient) upgrade(host, path, token string) error {
	_ = c.nc.SetDeadline(time.Now().Add(20 * time.Second))
	head := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: conv.v1.json\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := io.WriteString(c.nc, head+"\r\n"); err != nil {
		return err
	}
	tp := textproto.NewReader(c.br)
	status, err := tp.ReadLine()
	if err != nil {
		return err
	}
	if _, err := tp.ReadMIMEHeader(); err != nil {
		return err
	}
	if f := strings.Fields(status); len(f) < 2 || f[1] != "101" {
		return fmt.Errorf("the server answers %q", status)
	}
	return c.nc.SetDeadline(time.Time{})
}

// text sends one text message of less than 64 KiB.
func (c *wsClient) text(msg string) error { return c.write(opText, msg) }

func (c *wsClient) write(op byte, msg string) error {
	b := make([]byte, 0, len(msg)+8)
	b = append(b, 0x80|op)
	if len(msg) < 126 {
		b = append(b, 0x80|byte(len(msg)))
	} else {
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(len(msg)))
	}
	b = append(b, 0, 0, 0, 0)
	b = append(b, msg...)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.nc.Write(b)
	return err
}

// read returns the next text message; its bytes are good until the next call.
func (c *wsClient) read() ([]byte, error) {
	for {
		var h [2]byte
		if _, err := io.ReadFull(c.br, h[:]); err != nil {
			return nil, err
		}
		n := int(h[1] & 0x7f)
		switch n {
		case 126:
			var l [2]byte
			if _, err := io.ReadFull(c.br, l[:]); err != nil {
				return nil, err
			}
			n = int(binary.BigEndian.Uint16(l[:]))
		case 127:
			var l [8]byte
			if _, err := io.ReadFull(c.br, l[:]); err != nil {
				return nil, err
			}
			n = int(min(binary.BigEndian.Uint64(l[:]), maxServerFrame+1))
		}
		if n > maxServerFrame || h[0]&0x80 == 0 || h[1]&0x80 != 0 {
			return nil, errFrame
		}
		// A frame that is whole in the reader's buffer is not copied.
		var msg []byte
		if n <= c.br.Size() {
			b, err := c.br.Peek(n)
			if err != nil {
				return nil, err
			}
			msg = b
			_, _ = c.br.Discard(n) // the bytes stay until the next read
		} else {
			if cap(c.buf) < n {
				c.buf = make([]byte, n)
			}
			msg = c.buf[:n]
			if _, err := io.ReadFull(c.br, msg); err != nil {
				return nil, err
			}
		}
		c.got.Add(int64(n))
		switch h[0] & 0x0f {
		case opText:
			return msg, nil
		case opPing:
			if err := c.write(opPong, string(msg)); err != nil {
				return nil, err
			}
		case opClose:
			code := 0
			if len(msg) >= 2 {
				code = int(binary.BigEndian.Uint16(msg))
			}
			return nil, fmt.Errorf("closed by the server with %d: %w", code, io.EOF)
		}
	}
}

func (c *wsClient) close() { _ = c.nc.Close() }

// dialSSE opens an event stream and returns once its header is there.
func dialSSE(ctx context.Context, base, conversation, token string) (net.Conn, error) {
	host := strings.TrimPrefix(base, "http://")
	d := net.Dialer{Timeout: 10 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(nc, "GET /api/v2/conversations/"+conversation+"/events HTTP/1.1\r\nHost: "+host+
		"\r\nAccept: text/event-stream\r\nX-Conv-Client: bench\r\nAuthorization: Bearer "+token+"\r\n\r\n")
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	var status [12]byte
	if _, err = io.ReadFull(nc, status[:]); err == nil && string(status[9:]) != "200" {
		err = fmt.Errorf("the server answers %q, not %d", status, http.StatusOK)
	}
	if err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("open event stream: %w", err)
	}
	return nc, nc.SetDeadline(time.Time{})
}
