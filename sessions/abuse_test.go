package sessions_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

// meter counts what a server reads, and the connections that it has.
type meter struct {
	net.Listener
	read, open atomic.Int64
}

func (m *meter) Accept() (net.Conn, error) {
	nc, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m.open.Add(1)
	return &metered{TCPConn: nc.(*net.TCPConn), m: m}, nil
}

type metered struct {
	*net.TCPConn
	m    *meter
	once sync.Once
}

func (c *metered) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.m.read.Add(int64(n))
	return n, err
}

func (c *metered) Close() error {
	c.once.Do(func() { c.m.open.Add(-1) })
	return c.TCPConn.Close()
}

// codes notes with which codes connections ended.
type codes struct {
	sessions.Metrics
	mu  sync.Mutex
	got []int
}

func (c *codes) Opened(string)                             {}
func (c *codes) Attached(string, string, string)           {}
func (c *codes) Delivered(string, int, int)                {}
func (c *codes) Command(string, fault.Code, time.Duration) {}
func (c *codes) Closed(_ string, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, code)
}

func (c *codes) all() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// abused is a rig behind a meter.
func abused(t *testing.T, change func(*sessions.Config)) (*rig, *meter, *codes) {
	t.Helper()
	ended := &codes{}
	r := newRig(t, func(c *sessions.Config) {
		c.Metrics, c.Limits.ConnectionsPerUser = ended, 1000
		change(c)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{Listener: l}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(r.m.ServeWS))
	_ = srv.Listener.Close()
	srv.Listener = m
	srv.Start()
	t.Cleanup(func() { r.m.Close(); srv.Close() })
	return r, m, ended
}

// rawSocket is a WebSocket of ann over bare TCP.
func rawSocket(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: conv.v1.json\r\nAuthorization: Bearer ann\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(nc)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", res, err)
	}
	return nc, br
}

// clientFrame has a mask of zeros.
func clientFrame(first byte, payload string) []byte {
	b := []byte{first}
	if len(payload) < 126 {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// closing reads until the close frame and counts the frames before it.
func closing(br *bufio.Reader) (code, frames int, err error) {
	for ; ; frames++ {
		var head [2]byte
		if _, err = io.ReadFull(br, head[:]); err != nil {
			return 0, frames, err
		}
		n := int64(head[1])
		switch n {
		case 126:
			var l [2]byte
			_, err = io.ReadFull(br, l[:])
			n = int64(binary.BigEndian.Uint16(l[:]))
		case 127:
			return 0, frames, fmt.Errorf("a frame of the server is too large")
		}
		body := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(br, body)
		}
		if err != nil {
			return 0, frames, err
		}
		if head[0] == 0x88 && n >= 2 {
			return int(binary.BigEndian.Uint16(body)), frames, nil
		}
	}
}

// TestAbuse: what no good client sends, over bare TCP, ends in the right close
// code. Measured at the server's end of the connection: it reads no more than
// bound bytes of however much is sent, and answers with few frames.
func TestAbuse(t *testing.T) {
	t.Parallel()
	const (
		// small is for what is refused at its first frame.
		small = 16 << 10
		// large is a longest message and its headers, twice, and what is read away
		// while the close handshake runs.
		large = 2*(64<<10+8<<10) + 256<<10 + 32<<10
	)
	hello := string(clientFrame(0x81, `{"t":"hello"}`))
	text := func(s string) string { return string(clientFrame(0x81, s)) }
	for _, tc := range []struct {
		name, once, again string
		code              int
		bound             int64
		change            func(*sessions.Config)
	}{
		{"empty fragments without end", string(clientFrame(0x01, "a")), string(clientFrame(0x00, "")), 1008, large, nil},
		{"fragments of a byte without end", string(clientFrame(0x01, "a")), string(clientFrame(0x00, "a")), 1008, large, nil},
		{"large fragments without end", string(clientFrame(0x01, "a")), string(clientFrame(0x00, strings.Repeat("a", 4000))), 1009, large, nil},
		{"a frame that claims a terabyte", "\x81\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", strings.Repeat("a", 4000), 1009, large, nil},
		{"a length with its highest bit set", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "", 1002, small, nil},
		{"not utf-8", hello + text("{\"t\":\"\xff\xfe\"}"), "", 1007, small, nil},
		{"not utf-8 in fragments", string(clientFrame(0x01, "\xf0\x9f")) + string(clientFrame(0x80, "\x98")), "", 1007, small, nil},
		{"binary", string(clientFrame(0x82, "x")), "", 1003, small, nil},
		{"control frame too long", string(clientFrame(0x89, strings.Repeat("p", 126))), "", 1002, small, nil},
		{"control frame in fragments", string(clientFrame(0x09, "p")), "", 1002, small, nil},
		{"not masked", "\x81\x02{}", "", 1002, small, nil},
		{"reserved bit", string(clientFrame(0xc1, "{}")), "", 1002, small, nil},
		{"reserved opcode", string(clientFrame(0x83, "{}")), "", 1002, small, nil},
		{"continuation of nothing", string(clientFrame(0x80, "x")), "", 1002, small, nil},
		{"message inside a message", string(clientFrame(0x01, "x")) + text("y"), "", 1002, small, nil},
		{"close frame of one byte", string(clientFrame(0x88, "\x03")), "", 1002, small, nil},
		{"flood of pings", hello, string(clientFrame(0x89, "")), 1008, large, nil},
		{"flood of pongs", hello, string(clientFrame(0x8a, strings.Repeat("x", 100))), 1008, large, nil},
		{"flood of frames", hello, text(`{"t":"pong","n":1}`), 4429, large, nil},
		{"flood of commands in vain", hello, text(`{"t":"cmd","op":"send"}`), 4500, large, nil},
		{"nonsense", hello, text(`nonsense`), 4500, large, nil},
		{"nonsense before hello", "", text(`{"t":"sub"}`), 4500, large, nil},
		{"silence before hello", "", "", 4010, small, func(c *sessions.Config) { c.Times.Hello = 100 * time.Millisecond }},
		{"a message that is never finished", string(clientFrame(0x01, "x")), "", 1008, small, func(c *sessions.Config) { c.Times.Message = 100 * time.Millisecond }},
		{"half-open", hello, "", 4009, small, func(c *sessions.Config) { c.Times.Ping, c.Times.Pong = 50*time.Millisecond, 100*time.Millisecond }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, m, ended := abused(t, func(c *sessions.Config) {
				if tc.change != nil {
					tc.change(c)
				}
			})
			nc, br := rawSocket(t, m.Addr().String())
			before := m.read.Load()
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				block := []byte(strings.Repeat(tc.again, max(1, (8<<10)/max(1, len(tc.again)))))
				_, err := io.WriteString(nc, tc.once)
				for sent := 0; err == nil && len(tc.again) > 0 && sent < 64<<20; sent += len(block) {
					select {
					case <-stop:
						return
					default:
						_, err = nc.Write(block)
					}
				}
			})
			code, frames, err := closing(br)
			close(stop)
			_ = nc.Close()
			wg.Wait()
			known := func(c sessions.CloseCode) bool { return c.Code == tc.code }
			if !slices.ContainsFunc(sessions.CloseCodes, known) && !slices.ContainsFunc(fault.Codes, func(s fault.Spec) bool { return s.Close == tc.code }) {
				t.Errorf("code %d is in no table", tc.code)
			}
			if code == 0 && tc.again != "" {
				// Who sends on and on is hung up on in the end; the reset may overtake
				// the close frame. What the server meant is in its metrics.
				t.Logf("the close frame was lost to %v", err)
			} else if code != tc.code {
				t.Errorf("closed with %d (%v) after %d frames, want %d", code, err, frames, tc.code)
			}
			r.eventually("the connection is gone", func() bool { return r.m.Connections() == 0 && m.open.Load() == 0 })
			if got := m.read.Load() - before; got > tc.bound {
				t.Errorf("the server read %d bytes, want at most %d", got, tc.bound)
			}
			if frames > 400 {
				t.Errorf("the server answered with %d frames", frames)
			}
			if got := ended.all(); len(got) != 1 || got[0] != tc.code {
				t.Errorf("counted as %v", got)
			}
		})
	}
}

// TestAbuseMemory: 100 connections that never read while 8 MB of events pass
// each, and 100 that have begun a longest message and do not finish it. What is
// measured is the growth of the whole process's heap and stacks, this test's
// own end of the connections included, after a collection. Those that do not
// read are cut with 4008.
func TestAbuseMemory(t *testing.T) { // alone: others would be measured too
	const peers, each = 100, 256 << 10
	r, m, ended := abused(t, func(c *sessions.Config) {
		c.Times.Write, c.Times.Ping, c.Times.Message = 3*time.Second, time.Hour, time.Hour
	})
	talk := r.src.talk("ann")
	talk.begin()
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc + s.StackInuse)
	}
	empty := used()
	var idle []net.Conn
	for range peers {
		nc, _ := rawSocket(t, m.Addr().String())
		if _, err := nc.Write(slices.Concat(clientFrame(0x81, `{"t":"hello"}`), clientFrame(0x01, strings.Repeat("a", 60<<10)))); err != nil {
			t.Fatal(err)
		}
		idle = append(idle, nc)
	}
	for range peers {
		nc, _ := rawSocket(t, m.Addr().String())
		if _, err := nc.Write(slices.Concat(clientFrame(0x81, `{"t":"hello"}`), clientFrame(0x81, fmt.Sprintf(`{"t":"sub","c":%q}`, talk.id)))); err != nil {
			t.Fatal(err)
		}
		idle = append(idle, nc)
	}
	r.eventually("all are there", func() bool { return talk.watchers() == peers && m.read.Load() > peers*60<<10 })
	logged := used()
	for range 512 {
		talk.delta(strings.Repeat("word ", 3200))
	}
	grown := used() - empty
	t.Logf("%d peers: %d KiB each before the events, %d KiB with them, the log of 8 MB included", 2*peers, (logged-empty)/2/peers>>10, grown/2/peers>>10)
	if limit := int64(2*peers*each + 64<<20); grown > limit {
		t.Errorf("grew by %d MiB, want at most %d", grown>>20, limit>>20)
	}
	r.eventually("those that do not read are cut", func() bool { return talk.watchers() == 0 })
	if got := ended.all(); len(got) != peers || slices.Max(got) != 4008 || slices.Min(got) != 4008 {
		t.Errorf("counted as %v", got)
	}
	for _, nc := range idle {
		_ = nc.Close()
	}
	r.eventually("nobody is left", func() bool { return r.m.Connections() == 0 && m.open.Load() == 0 })
}
