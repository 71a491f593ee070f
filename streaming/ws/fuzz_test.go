package ws

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// pipeWriter is a ResponseWriter that is hijacked onto one end of a pipe.
type pipeWriter struct {
	*httptest.ResponseRecorder
	nc net.Conn
}

func (p *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return p.nc, bufio.NewReadWriter(bufio.NewReader(p.nc), bufio.NewWriter(p.nc)), nil
}

// masked is a client's frame with a mask of zeros, so that seeds stay legible.
func masked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// FuzzWire sends whatever bytes behind a good handshake. Nothing panics or
// hangs, what is read is UTF-8 within the limit, and what goes out is frames
// that a client can read, with a close code that means something.
func FuzzWire(f *testing.F) {
	for _, s := range [][]byte{
		masked(0x81, `{"t":"ping","n":1}`), masked(0x01, "a"), slices.Concat(masked(0x01, "a"), masked(0x00, ""), masked(0x80, "b")),
		masked(0x89, "ping"), masked(0x8a, ""), masked(0x88, "\x03\xe8bye"), masked(0x88, "\x00"), masked(0x82, "binary"), masked(0x81, "\xff"),
		masked(0xc1, "rsv"), masked(0x83, "opcode"), masked(0x80, "nothing to continue"), masked(0x09, "fragmented ping"),
		masked(0x89, string(make([]byte, 126))), {0x81, 0x05, 'p', 'l', 'a', 'i', 'n'}, {0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, slices.Concat(masked(0x01, "a"), masked(0x81, "new inside")), {0x81}, {},
		masked(0x81, string(make([]byte, 2000))),
	} {
		f.Add(s)
	}
	const limit = 1024
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": Subprotocol} {
			req.Header.Set(k, v)
		}
		var wg sync.WaitGroup
		var out []byte
		wg.Go(func() { out, _ = io.ReadAll(far) })
		wg.Go(func() {
			_, _ = far.Write(data) // the server may be gone before it is all out
			// A peer that goes away ends every wait of the server.
			time.AfterFunc(time.Millisecond, func() { _ = far.Close() })
		})
		c, err := Accept(&pipeWriter{httptest.NewRecorder(), near}, req, Options{ReadLimit: limit, MessageTimeout: time.Minute, CloseTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for {
			msg, err := c.Read()
			if err != nil {
				break
			}
			if len(msg) > limit || !utf8.Valid(msg) {
				t.Errorf("read %d bytes %q", len(msg), msg)
			}
		}
		c.CloseNow()
		_ = far.Close()
		wg.Wait()
		checkServerFrames(t, out)
	})
}

// checkServerFrames reads what a server sent; only the last frame may be cut.
func checkServerFrames(t *testing.T, b []byte) {
	t.Helper()
	for len(b) >= 2 {
		op, n := b[0], int(b[1])
		b = b[2:]
		if n&0x80 != 0 || op&0x70 != 0 || op&0x80 == 0 || n > 125 || op&0xf < 8 {
			t.Fatalf("frame %x %x: nothing was to be sent but whole control frames, unmasked", op, n)
		}
		if len(b) < n {
			return
		}
		if op&0xf == 8 && n > 0 {
			switch code := binary.BigEndian.Uint16(b); code {
			case 1000, 1001, 1002, 1003, 1007, 1008, 1009:
			default:
				// The code of the peer comes back to it.
				if code < 1000 || code >= 5000 {
					t.Fatalf("close code %d", code)
				}
			}
			if !utf8.Valid(b[2:n]) {
				t.Fatalf("close reason %q", b[2:n])
			}
		}
		b = b[n:]
	}
}
