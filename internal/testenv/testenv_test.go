package testenv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 300 * time.Millisecond, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRedisLivesDiesAndComesBackEmpty(t *testing.T) {
	t.Parallel()
	r := Redis(t)
	ctx, c := t.Context(), client(t, r.Addr)
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Do("GET", "k"); err != nil || got != "v" {
		t.Fatalf("got %q, %v", got, err)
	}
	r.Flush()
	if err := c.Get(ctx, "k").Err(); !errors.Is(err, redis.Nil) {
		t.Fatalf("after flush: %v", err)
	}
	c.Set(ctx, "k", "v", 0)
	r.Kill()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Fatal("a killed server answers")
	}
	r.Restart()
	if n, err := c.DBSize(ctx).Result(); err != nil || n != 0 {
		t.Fatalf("after restart: %d keys, %v", n, err)
	}
}

func TestRedisPause(t *testing.T) {
	t.Parallel()
	r := Redis(t, "--maxmemory", "8mb")
	ctx, c := t.Context(), client(t, r.Addr)
	if got := c.ConfigGet(ctx, "maxmemory").Val()["maxmemory"]; got != "8388608" {
		t.Fatalf("options are not passed on: maxmemory %q", got)
	}
	r.Pause()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Fatal("a paused server answers")
	}
	r.Resume()
	Eventually(t, 5*time.Second, func() error { return c.Ping(ctx).Err() })
	if _, err := r.Do("NOSUCHCOMMAND"); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Fatalf("got %v", err)
	}
}

func TestTwoRedisServersAreApart(t *testing.T) {
	t.Parallel()
	a, b := Redis(t), Redis(t)
	if _, err := a.Do("SET", "k", "v"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Do("EXISTS", "k"); err != nil || got != "0" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestMiniredisKeysExpireByThemselves(t *testing.T) {
	t.Parallel()
	m := Miniredis(t)
	c := client(t, m.Addr())
	if err := c.Set(t.Context(), "k", "v", 30*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	EventuallyTrue(t, 5*time.Second, "the key expires", func() bool { return c.Exists(t.Context(), "k").Val() == 0 })
}

// server answers every line with size bytes, and counts its connections.
func server(t *testing.T, size int) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				one := make([]byte, 1)
				for {
					if _, err := io.ReadFull(c, one); err != nil {
						return
					}
					if _, err := c.Write(bytes.Repeat(one, size)); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { stop(); _ = ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func ask(c net.Conn, size int) error {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, size))
	return err
}

// reach is dial and ask for where either may fail.
func reach(addr string, size int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return ask(c, size)
}

func TestProxyCutsAtTheByte(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, server(t, 100))
	c := dial(t, p.Addr)
	if err := ask(c, 100); err != nil {
		t.Fatal(err)
	}
	cut := p.CutAfter(37)
	_, _ = c.Write([]byte("y"))
	got, err := io.ReadAll(c)
	if err == nil {
		t.Fatal("the end is clean, want a reset")
	}
	// A reset may overtake the last bytes on their way; more never arrive.
	if len(got) > 37 || p.Down() != 137 {
		t.Fatalf("%d bytes came, %d went down; want at most 37 and 137", len(got), p.Down())
	}
	<-cut
	if err := ask(dial(t, p.Addr), 100); err != nil {
		t.Fatalf("after the cut: %v", err)
	}
	if p.Seen() != 2 {
		t.Fatalf("saw %d connections, want 2", p.Seen())
	}
}

func TestProxyStallsAndResumes(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, server(t, 10))
	c := dial(t, p.Addr)
	if err := ask(c, 10); err != nil {
		t.Fatal(err)
	}
	p.Stall()
	_, _ = c.Write([]byte("z"))
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes pass a stalled proxy", n)
	}
	p.Resume()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatalf("what was held is lost: %v", err)
	}
}

func TestProxyDropsRefusesAndMoves(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, server(t, 1))
	c := dial(t, p.Addr)
	if err := ask(c, 1); err != nil {
		t.Fatal(err)
	}
	p.DropAll()
	if err := ask(c, 1); err == nil {
		t.Fatal("a dropped connection answers")
	}
	EventuallyTrue(t, 5*time.Second, "no open connection", func() bool { return p.Open() == 0 })
	p.Refuse(true)
	if err := reach(p.Addr, 1); err == nil {
		t.Fatal("a refused connection answers")
	}
	p.Refuse(false)
	p.Target(server(t, 2))
	if err := ask(dial(t, p.Addr), 2); err != nil {
		t.Fatalf("the new target: %v", err)
	}
	if dead := NewProxy(t, net.JoinHostPort("127.0.0.1", "1")); reach(dead.Addr, 1) == nil {
		t.Fatal("a proxy without target answers")
	}
}

func TestPollGivesUpWithTheReason(t *testing.T) {
	t.Parallel()
	err := poll(10*time.Millisecond, func() error { return errNotYet("still closed") })
	if err == nil || err.Error() != "still closed" {
		t.Fatalf("got %v", err)
	}
	n := 0
	if err := poll(5*time.Second, func() error {
		if n++; n < 3 {
			return errNotYet("too early")
		}
		return nil
	}); err != nil || n != 3 {
		t.Fatalf("%v after %d looks", err, n)
	}
}
