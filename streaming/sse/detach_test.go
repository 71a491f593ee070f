package sse

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// detaching serves f on a detached stream, in a goroutine that outlives the
// handler as a Manager's does.
func detaching(t *testing.T, f func(s *Writer, peer *Peer)) *httptest.Server {
	t.Helper()
	var wg sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "r1")
		s, peer, ok := Detach(w, r, time.Second)
		if !ok {
			http.Error(w, "attached", http.StatusTeapot)
			return
		}
		wg.Go(func() { f(s, peer) })
	}))
	t.Cleanup(func() { srv.Close(); wg.Wait() })
	return srv
}

func TestDetachedStreamThatEndsCleanly(t *testing.T) {
	t.Parallel()
	srv := detaching(t, func(s *Writer, _ *Peer) {
		s.Comment("begin")
		for range 2 {
			s.Event("1.a.2", []byte(`{"x":1}`))
			if n, err := s.Flush(); err != nil || n == 0 {
				t.Errorf("flush: %d, %v", n, err)
			}
		}
		s.Comment("never flushed")
		s.Close(true)
	})
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for k, want := range map[string]string{
		"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "X-Request-Id": "r1",
	} {
		if got := res.Header.Get(k); got != want {
			t.Errorf("%s: got %q, want %q", k, got, want)
		}
	}
	if _, err := http.ParseTime(res.Header.Get("Date")); err != nil || !res.Close {
		t.Errorf("date: %v, to be closed: %v", err, res.Close)
	}
	body, err := io.ReadAll(res.Body)
	if want := ": begin\n\n" + strings.Repeat("id: 1.a.2\ndata: {\"x\":1}\n\n", 2); err != nil || string(body) != want {
		t.Errorf("got %q, %v", body, err)
	}
}

// A stream that breaks off must not look like one that has ended.
func TestDetachedStreamThatBreaks(t *testing.T) {
	t.Parallel()
	srv := detaching(t, func(s *Writer, _ *Peer) {
		s.Comment("begin")
		if _, err := s.Flush(); err != nil {
			t.Error(err)
		}
		s.Close(false)
	})
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != ": begin\n\n" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestPeerThatGoesOrTalks(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(c *net.TCPConn) error{
		"closes":      func(c *net.TCPConn) error { return c.Close() },
		"half closes": func(c *net.TCPConn) error { return c.CloseWrite() },
		"pipelines for ever": func(c *net.TCPConn) error {
			for {
				if _, err := c.Write(make([]byte, 4<<10)); err != nil {
					return nil //nolint:nilerr // it was told to go
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gone := make(chan struct{})
			srv := detaching(t, func(s *Writer, peer *Peer) {
				defer close(gone)
				s.Comment("begin")
				if _, err := s.Flush(); err != nil {
					t.Error(err)
				}
				peer.Wait()
				s.Close(false)
			})
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
			if err := act(conn.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			select {
			case <-gone:
			case <-time.After(30 * time.Second):
				t.Fatal("the peer is still waited for")
			}
		})
	}
}

// Where a connection carries more than this stream it stays in its handler.
func TestNothingIsDetachedFrom(t *testing.T) {
	t.Parallel()
	t.Run("HTTP/1.0", func(t *testing.T) {
		t.Parallel()
		srv := detaching(t, func(*Writer, *Peer) { t.Error("detached") })
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.0\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if raw, err := io.ReadAll(conn); err != nil || !strings.Contains(string(raw), "attached") {
			t.Errorf("%q, %v", raw, err)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, _, ok := Detach(w, r, time.Second); ok {
				t.Error("detached")
				return
			}
			s := Start(w, time.Second)
			s.Comment("in its handler")
			if _, err := s.Flush(); err != nil {
				t.Error(err)
			}
		}))
		srv.EnableHTTP2 = true
		srv.StartTLS()
		defer srv.Close()
		res, err := srv.Client().Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, err := io.ReadAll(res.Body); err != nil || res.ProtoMajor != 2 || string(body) != ": in its handler\n\n" {
			t.Errorf("%s %q, %v", res.Proto, body, err)
		}
	})
	t.Run("a recorder", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if _, _, ok := Detach(httptest.NewRecorder(), r, time.Second); ok {
			t.Error("detached")
		}
	})
}
