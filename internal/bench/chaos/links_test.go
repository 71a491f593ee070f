package chaos

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon is far above what anything here takes.
const soon = 30 * time.Second

// server answers each connection with serve.
func server(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(soon))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestTheProxyCutsAtTheByteItWasTold(t *testing.T) {
	t.Parallel()
	addr := server(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = io.WriteString(c, strings.Repeat("x", 10_000))
	})
	ask := func(addr string) io.Reader {
		c := dial(t, addr)
		_, _ = c.Write([]byte{'?'})
		return c
	}
	p, err := newProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	cuts := make(chan struct{}, 2)
	p.set(func() { p.budget, p.onCut = func() int64 { return 1234 }, func() { cuts <- struct{}{} } })
	got, err := io.ReadAll(ask(p.addr))
	if len(got) > 1234 || err == nil {
		t.Errorf("%d bytes and %v, want at most 1234 and a reset", len(got), err)
	}
	<-cuts
	p.set(func() { p.budget = nil })
	if got, err = io.ReadAll(ask(p.addr)); len(got) != 10_000 || err != nil {
		t.Errorf("%d bytes, %v without a budget", len(got), err)
	}
}

func TestTheProxyHoldsBackReplicasAlone(t *testing.T) {
	t.Parallel()
	addr := server(t, func(c net.Conn) {
		buf := make([]byte, 64)
		n, _ := c.Read(buf)
		_, _ = c.Write(buf[:n])
	})
	p, err := newProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.holdRepl(true)
	node, replica := dial(t, p.addr), dial(t, p.addr)
	_, _ = io.WriteString(node, "PING")
	if got, err := io.ReadAll(node); string(got) != "PING" || err != nil {
		t.Errorf("a node reads %q, %v", got, err)
	}
	_, _ = io.WriteString(replica, "PSYNC ? -1")
	_ = replica.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := replica.Read(make([]byte, 64)); n > 0 || err == nil {
		t.Errorf("a replica got %d bytes while it was held", n)
	}
	_ = replica.SetReadDeadline(time.Now().Add(soon))
	p.holdRepl(false)
	if got, err := io.ReadAll(replica); string(got) != "PSYNC ? -1" || err != nil {
		t.Errorf("a replica reads %q, %v", got, err)
	}
}

func message(kind byte, text string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(text)+5))
	return append(append(b, text...), 0)
}

// postgres is as much of one as the proxy must understand: it notes each
// message and answers it with one byte.
func postgres(t *testing.T, got chan<- string) string {
	return server(t, func(c net.Conn) {
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		_, _ = c.Write([]byte{'R'})
		for {
			h := make([]byte, 5)
			if _, err := io.ReadFull(c, h); err != nil {
				got <- "end"
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(h[1:])-4)
			if _, err := io.ReadFull(c, body); err != nil {
				got <- "end"
				return
			}
			got <- strings.Trim(string(body), "\x00")
			_, _ = c.Write([]byte{'C'})
		}
	})
}

func TestCommitsOfMessagesAreCut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		how      commitCut
		insert   string
		reaches  bool // the COMMIT reaches the server
		answered bool // its answer reaches the node
	}{
		{"passed", passCommit, "insert into runs values", true, true},
		{"cut before", cutBefore, "INSERT INTO runs values", false, false},
		{"cut when sent", cutSent, "INSERT INTO runs values", true, false},
		{"cut when answered", cutAnswered, "INSERT INTO runs values", true, false},
		{"another transaction", cutSent, "UPDATE nodes SET", true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 8)
			p, err := newPGProxy(postgres(t, got), func() commitCut { return tc.how })
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			c := dial(t, p.addr)
			start := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), 196608)
			one := make([]byte, 1)
			step := func(b []byte) bool {
				_, _ = c.Write(b)
				_, err := io.ReadFull(c, one)
				return err == nil
			}
			for _, b := range [][]byte{start, message('Q', "begin"), message('Q', tc.insert)} {
				if !step(b) {
					t.Fatal("cut too early")
				}
			}
			<-got
			<-got
			if answered := step(message('Q', "commit")); answered != tc.answered {
				t.Errorf("answered %v, want %v", answered, tc.answered)
			}
			if reached := <-got == "commit"; reached != tc.reaches {
				t.Errorf("reached %v, want %v", reached, tc.reaches)
			}
			_ = c.Close()
		})
	}
}

func TestWaitsForRedisAreSeenInADump(t *testing.T) {
	t.Parallel()
	const call = "goroutine 7 [select]:\ngithub.com/redis/go-redis/v9.(*baseClient).process(0xc0001, 0xc0002)\n\t/x.go:1\n" +
		"github.com/fluentpro/fluentpro/conversation/redislog.(*Log).Active(0xc0003)\n\t/y.go:2"
	dump := strings.Join([]string{
		"goroutine 1 [running]:\nmain.main()\n\t/m.go:1",
		call,
		"goroutine 9 [IO wait]:\ngithub.com/redis/go-redis/v9.(*PubSub).ReceiveTimeout(0xc1)\n\t/p.go:3",
	}, "\n\n")
	got := waiting(dump)
	if len(got) != 1 {
		t.Fatalf("%v", got)
	}
	for key, where := range got {
		if where != "conversation/redislog.(*Log).Active" {
			t.Errorf("where is %q", where)
		}
		later := waiting(strings.Replace(dump, "[select]", "[select, 1 minutes]", 1))
		if later[key] == "" {
			t.Error("the same wait is not known again")
		}
		if other := waiting(strings.Replace(dump, "0xc0002", "0xc0009", 1)); other[key] != "" {
			t.Error("another call counts as the same wait")
		}
	}
}

func TestScenariosAreWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range scenarios {
		if seen[s.name] || s.short == "" || s.unit == "" || s.count < 1 || s.brief < 1 || s.rules == nil || s.fleet == nil || s.play == nil {
			t.Errorf("%q is not whole", s.name)
		}
		seen[s.name] = true
		r := s.rules(3)
		if r.MinFaults < 1 || r.Fault == "" {
			t.Errorf("%s could pass without a fault", s.name)
		}
	}
	if len(List()) != len(scenarios) || find("kill") == nil || find("no") != nil {
		t.Error("scenarios are not found by name")
	}
}
