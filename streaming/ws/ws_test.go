package ws

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server runs serve for each accepted connection, after the handler returned.
func server(t *testing.T, o Options, serve func(*Conn)) *httptest.Server {
	t.Helper()
	running := make(chan struct{}, 64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if err != nil {
			return
		}
		running <- struct{}{}
		go func() {
			defer func() { <-running }()
			defer c.CloseNow()
			serve(c)
		}()
	}))
	t.Cleanup(func() {
		srv.Close()
		deadline := time.After(5 * time.Second)
		for range cap(running) { // full only when every serve has ended
			select {
			case running <- struct{}{}:
			case <-deadline:
				t.Error("a connection is still served")
				return
			}
		}
	})
	return srv
}

func dial(t *testing.T, srv *httptest.Server, protocols ...string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, srv.URL, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// echo answers each message with itself and reports why reading ended.
func echo(ended chan<- error) func(*Conn) {
	return func(c *Conn) {
		for {
			msg, err := c.Read()
			if err != nil {
				ended <- err
				return
			}
			if err := c.Write(msg); err != nil {
				ended <- err
				return
			}
		}
	}
}

func TestEchoAndLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		typ  websocket.MessageType
		msg  []byte
		code websocket.StatusCode
		err  error
	}{
		{"short", websocket.MessageText, []byte(`{"t":"ping"}`), 0, nil},
		{"empty", websocket.MessageText, []byte{}, 0, nil},
		{"as large as allowed", websocket.MessageText, []byte(strings.Repeat("ä", 32<<10)), 0, nil},
		{"one byte more", websocket.MessageText, []byte(strings.Repeat("a", 64<<10+1)), websocket.StatusMessageTooBig, ErrTooLarge},
		{"binary", websocket.MessageBinary, []byte("x"), websocket.StatusUnsupportedData, ErrBinary},
		{"not utf-8", websocket.MessageText, []byte{0xff, 'a'}, websocket.StatusInvalidFramePayloadData, ErrUTF8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			c := dial(t, server(t, Options{}, echo(ended)), Subprotocol)
			if c.Subprotocol() != Subprotocol {
				t.Fatalf("subprotocol %q", c.Subprotocol())
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := c.Write(ctx, tc.typ, tc.msg); err != nil && tc.code == 0 {
				t.Fatal(err)
			}
			_, got, err := c.Read(ctx)
			if tc.code == 0 {
				if err != nil || string(got) != string(tc.msg) {
					t.Fatalf("echo of %d bytes: got %d bytes, %v", len(tc.msg), len(got), err)
				}
				return
			}
			if websocket.CloseStatus(err) != tc.code {
				t.Fatalf("got %v, want close %d", err, tc.code)
			}
			if err := <-ended; !errors.Is(err, tc.err) {
				t.Fatalf("server's error: got %v, want %v", err, tc.err)
			}
		})
	}
}

func TestPeerCloseCode(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	c := dial(t, server(t, Options{}, echo(ended)), Subprotocol)
	if err := c.Close(4000, "bye"); err != nil {
		t.Fatal(err)
	}
	if got := CloseCode(<-ended); got != 4000 {
		t.Fatalf("got %d, want 4000", got)
	}
}

func TestNoSubprotocol(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	dial(t, server(t, Options{}, func(c *Conn) { got <- c.Subprotocol() }), "other.v9")
	if s := <-got; s != "" {
		t.Fatalf("agreed on %q, which was not offered", s)
	}
}

// raw opens a socket by hand, so that a test can send what no library would.
// early is sent in the same packet as the handshake.
func raw(t *testing.T, srv *httptest.Server, early []byte) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	req := "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: " + Subprotocol + "\r\n\r\n"
	if _, err := nc.Write(append([]byte(req), early...)); err != nil {
		t.Fatal(err)
	}
	if err := nc.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return nc
}

func frame(first byte, payload string) []byte {
	b := []byte{first}
	if len(payload) < 126 {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = append(b, 0x80|126, byte(len(payload)>>8), byte(len(payload)))
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:])
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func upgraded(t *testing.T, nc net.Conn) *bufio.Reader {
	t.Helper()
	br := bufio.NewReader(nc)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", res.StatusCode)
	}
	return br
}

func readFrame(br *bufio.Reader) (op byte, payload string, err error) {
	var h [2]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return 0, "", err
	}
	n := int(h[1] & 0x7f)
	if n == 126 {
		var l [2]byte
		if _, err := io.ReadFull(br, l[:]); err != nil {
			return 0, "", err
		}
		n = int(binary.BigEndian.Uint16(l[:]))
	}
	p := make([]byte, n)
	_, err = io.ReadFull(br, p)
	return h[0] & 0x0f, string(p), err
}

// TestEarlyBytes: what came with the handshake, more than our small buffer
// holds, is not lost.
func TestEarlyBytes(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	var early []byte
	want := []string{"first", strings.Repeat("b", 1500), "third"}
	for _, s := range want {
		early = append(early, frame(0x81, s)...)
	}
	br := upgraded(t, raw(t, server(t, Options{}, echo(ended)), early))
	for _, w := range want {
		op, got, err := readFrame(br)
		if err != nil || op != 1 || got != w {
			t.Fatalf("got op %d, %d bytes, %v; want %d bytes", op, len(got), err, len(w))
		}
	}
}

func TestFloods(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		begin []byte
		again []byte
	}{
		{"empty fragments", frame(0x01, "a"), frame(0x00, "")},
		{"pings", nil, frame(0x89, "")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			nc := raw(t, server(t, Options{ReadLimit: 4 << 10, CloseTimeout: 100 * time.Millisecond}, echo(ended)), tc.begin)
			upgraded(t, nc)
			drained := make(chan struct{})
			go func() { defer close(drained); _, _ = io.Copy(io.Discard, nc) }()
			defer func() { _ = nc.Close(); <-drained }()
			var burst []byte
			for range 200 {
				burst = append(burst, tc.again...)
			}
			sent := 0
			for sent < 1<<20 {
				n, err := nc.Write(burst)
				sent += n
				if err != nil {
					break
				}
				select {
				case err := <-ended:
					if !errors.Is(err, ErrFlood) {
						t.Fatalf("got %v, want a flood", err)
					}
					return
				default:
				}
			}
			if err := <-ended; !errors.Is(err, ErrFlood) {
				t.Fatalf("got %v after %d bytes, want a flood", err, sent)
			}
		})
	}
}

func TestSlowMessage(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	nc := raw(t, server(t, Options{MessageTimeout: 50 * time.Millisecond}, echo(ended)), frame(0x01, "begun"))
	br := upgraded(t, nc)
	op, payload, err := readFrame(br)
	if err != nil || op != 8 || binary.BigEndian.Uint16([]byte(payload)) != 1008 {
		t.Fatalf("got op %d %q, %v; want close 1008", op, payload, err)
	}
	if err := <-ended; !errors.Is(err, ErrSlowMessage) {
		t.Fatalf("got %v, want ErrSlowMessage", err)
	}
}

// TestFragmentsInTime: an honest client may cut a message as it likes.
func TestFragmentsInTime(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	nc := raw(t, server(t, Options{}, echo(ended)), nil)
	br := upgraded(t, nc)
	for i, f := range [][]byte{frame(0x01, "a"), frame(0x00, ""), frame(0x89, "p"), frame(0x80, "b")} {
		if _, err := nc.Write(f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	if op, got, err := readFrame(br); err != nil || op != 10 || got != "p" {
		t.Fatalf("got op %d %q, %v; want the pong", op, got, err)
	}
	if op, got, err := readFrame(br); err != nil || op != 1 || got != "ab" {
		t.Fatalf("got op %d %q, %v; want ab", op, got, err)
	}
}

// TestCloseDoesNotWait: a peer that never answers a close costs the caller
// nothing and the owner CloseTimeout.
func TestCloseDoesNotWait(t *testing.T) {
	t.Parallel()
	took := make(chan time.Duration, 2)
	srv := server(t, Options{CloseTimeout: 300 * time.Millisecond}, func(c *Conn) {
		at := time.Now()
		c.Close(4008, strings.Repeat("r", 200))
		c.Close(4009, "second is ignored")
		took <- time.Since(at)
		c.CloseNow()
		took <- time.Since(at)
		if err := c.Write([]byte("x")); err == nil {
			t.Error("write after close succeeded")
		}
	})
	br := upgraded(t, raw(t, srv, nil))
	if op, p, err := readFrame(br); err != nil || op != 8 || binary.BigEndian.Uint16([]byte(p)) != 4008 || len(p) != 125 {
		t.Fatalf("got op %d, %d bytes, %v", op, len(p), err)
	}
	if d := <-took; d > 200*time.Millisecond {
		t.Fatalf("Close took %v", d)
	}
	if d := <-took; d < 200*time.Millisecond || d > 3*time.Second {
		t.Fatalf("CloseNow waited %v, want about the close timeout", d)
	}
}

// TestStalledReader: a viewer that stops reading is found by the write
// timeout, and Close does not hang on the blocked write.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	srv := server(t, Options{WriteTimeout: 100 * time.Millisecond, SendBuffer: 8 << 10}, func(c *Conn) {
		msg := []byte(strings.Repeat("x", 32<<10))
		for range 1000 {
			if err := c.Write(msg); err != nil {
				result <- err
				return
			}
		}
		result <- fmt.Errorf("32 MiB were accepted by a peer that does not read")
	})
	upgraded(t, raw(t, srv, nil))
	var ne net.Error
	if err := <-result; !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("got %v, want a timeout", err)
	}
}

func TestRefusedHandshake(t *testing.T) {
	t.Parallel()
	srv := server(t, Options{}, func(*Conn) { t.Error("accepted") })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUpgradeRequired {
		t.Fatalf("status %d, want 426", res.StatusCode)
	}
}
