package testenv

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// RedisServer is a private redis-server process.
type RedisServer struct {
	// Addr is host:port, URL the same as redis://…/0.
	Addr, URL string

	t    testing.TB
	bin  string
	args []string
	port int

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd is reaped
}

// Redis starts a redis-server for this test: no persistence, its own port and
// directory, up in some ten milliseconds, so that parallel tests need not
// share one. args are further redis-server options ("--maxmemory", "1mb").
// Where redis-server is not installed the test is skipped, see Missing.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	r := &RedisServer{t: t, bin: Tool(t, "redis-server"), args: append([]string{
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no",
		"--dir", t.TempDir(), "--logfile", "redis.log", "--loglevel", "warning",
	}, args...)}
	t.Cleanup(r.Kill)
	var err error
	for range 5 { // another process may take a free port first
		r.port = FreePort(t)
		r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
		r.URL = "redis://" + r.Addr + "/0"
		if err = r.start(); err == nil {
			return r
		}
		r.Kill()
	}
	t.Fatalf("start redis-server: %v", err)
	return nil
}

func (r *RedisServer) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cmd := exec.Command(r.bin, append([]string{"--port", strconv.Itoa(r.port)}, r.args...)...)
	cmd.SysProcAttr = dieWithParent()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C"}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { // ends with the process, which Kill ends
		_ = cmd.Wait()
		close(exited)
	}()
	r.cmd, r.exited = cmd, exited
	return poll(10*time.Second, func() error {
		select {
		case <-exited:
			return fmt.Errorf("redis-server ended at once: %s", r.log())
		default:
		}
		// Ask for the process id: a stranger may have taken the port.
		info, err := r.Do("INFO", "server")
		if err != nil {
			return err
		}
		if !strings.Contains(info, fmt.Sprintf("process_id:%d\r", cmd.Process.Pid)) {
			return fmt.Errorf("another process answers on %s", r.Addr)
		}
		return nil
	})
}

func (r *RedisServer) log() string {
	for i, a := range r.args {
		if a == "--dir" {
			b, _ := os.ReadFile(filepath.Join(r.args[i+1], "redis.log"))
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}

// Do sends one command on a connection of its own and returns the first line
// of the answer, or the whole of a bulk answer; enough for a test to look in
// or to change a setting without a client library.
func (r *RedisServer) Do(args ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.Addr, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	rd := bufio.NewReader(conn)
	line, err := rd.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "-"):
		return "", fmt.Errorf("redis: %s", line[1:])
	case strings.HasPrefix(line, "$") && line != "$-1":
		n, err := strconv.Atoi(line[1:])
		if err != nil {
			return "", fmt.Errorf("redis: odd answer %q", line)
		}
		buf := make([]byte, n)
		for read := 0; read < n; {
			m, err := rd.Read(buf[read:])
			if err != nil {
				return "", err
			}
			read += m
		}
		return string(buf), nil
	}
	return line[1:], nil
}

// Flush loses all data (FLUSHALL).
func (r *RedisServer) Flush() {
	r.t.Helper()
	if _, err := r.Do("FLUSHALL"); err != nil {
		r.t.Fatalf("flush redis: %v", err)
	}
}

// Kill ends the server at once (SIGKILL); its data is lost.
func (r *RedisServer) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // fails only when it has ended already
	<-r.exited
	r.cmd = nil
}

// Restart kills the server if it runs and starts an empty one on its port.
func (r *RedisServer) Restart() {
	r.t.Helper()
	r.Kill()
	if err := r.start(); err != nil {
		r.t.Fatalf("restart redis-server: %v", err)
	}
}

// Pause stops the process (SIGSTOP): connections stay open and nothing
// answers, as with a hung machine. Resume lets it go on.
func (r *RedisServer) Pause() { r.t.Helper(); r.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (r *RedisServer) Resume() { r.t.Helper(); r.signal(syscall.SIGCONT) }

func (r *RedisServer) signal(s os.Signal) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		r.t.Fatalf("redis-server is not running")
	}
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatalf("signal redis-server: %v", err)
	}
}

// Miniredis starts the embedded Redis as the default setting runs it: keys
// expire by the wall's clock.
func Miniredis(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	return m
}
