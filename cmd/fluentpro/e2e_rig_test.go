package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// The end-to-end tests drive processes of the very binary that ships: built
// once per test run, started with exec, killed with signals. Only the model is
// ours, and it speaks HTTP.

// soon is the deadline of everything that must happen by itself. It is far
// above what anything takes, so that a loaded machine does not fail a test.
const soon = 60 * time.Second

// builtBinary is the program under test, built once; removeBinary takes it
// away again.
var builtBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fluentpro-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "fluentpro")
	args := []string{"build", "-o", path}
	if underRace() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// binaryUsed is set before builtBinary is first asked.
var binaryUsed atomic.Bool

func removeBinary() {
	if !binaryUsed.Load() {
		return
	}
	if path, _ := builtBinary(); path != "" { // a failed build left its directory
		if filepath.Base(path) == "fluentpro" {
			path = filepath.Dir(path)
		}
		_ = os.RemoveAll(path)
	}
}

// underRace reports that this test was built with the race detector; the
// processes then are too.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// process is one running fluentpro.
type process struct {
	t    *testing.T
	name string
	// base and ops are its two addresses, http://host:port.
	base, ops string
	cmd       *exec.Cmd
	out       *talk
	exited    chan struct{}
}

// talk collects what a process says.
type talk struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *talk) Write(p []byte) (int, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.buf.Write(p) }

func (w *talk) String() string { w.mu.Lock(); defer w.mu.Unlock(); return w.buf.String() }

// launch starts a process without waiting for anything. Whatever happens, it
// is gone when the test ends; when the test failed, what it said is kept.
func launch(t *testing.T, name string, env ...string) *process {
	t.Helper()
	binaryUsed.Store(true)
	bin, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, cmd: exec.Command(bin, "serve"), out: &talk{}, exited: make(chan struct{})}
	home := t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GORACE=halt_on_error=0",
		"FLUENTPRO_LISTEN=127.0.0.1:0", "FLUENTPRO_DATA_DIR=" + filepath.Join(home, "data"), "FLUENTPRO_DATABASE_MAX_CONNS=8"}, env...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = p.out, p.out, home
	p.cmd.SysProcAttr = dieWithTest()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { // ends with the process, which Cleanup ends
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		said := p.out.String()
		if strings.Contains(said, "DATA RACE") {
			t.Errorf("%s reports a data race", name)
		}
		if strings.Contains(said, "panic") {
			t.Errorf("%s panicked", name)
		}
		if t.Failed() {
			_, _ = fmt.Fprintf(t.Output(), "---- %s said, at the end:\n%s\n", name, tail(said, 6000))
			_ = os.WriteFile(filepath.Join(t.ArtifactDir(), name+".log"), []byte(said), 0o600)
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

var greeting = regexp.MustCompile(`Open +(http://\S+)/\n(?: +Ops +(http://[^/\s]+)/)?`)

// start launches a process and waits until it tells its address.
func start(t *testing.T, name string, env ...string) *process {
	t.Helper()
	p := launch(t, name, env...)
	testenv.Eventually(t, soon, func() error {
		m := greeting.FindStringSubmatch(p.out.String())
		switch {
		case m != nil && strings.Contains(p.out.String(), "Stop with"):
			p.base, p.ops = m[1], m[2]
			return nil
		case p.gone():
			return nil
		}
		return errors.New(name + " has not told its address")
	})
	if p.base == "" {
		t.Fatalf("%s ended at once:\n%s", name, p.out)
	}
	return p
}

func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended already
	<-p.exited
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// wait returns the exit code.
func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("%s has not ended within %v", p.name, within)
		return -1
	}
}

func (p *process) alive() {
	p.t.Helper()
	if p.gone() {
		p.t.Fatalf("%s has ended: %v", p.name, p.cmd.ProcessState)
	}
}

// addr is host:port, for a proxy in front.
func (p *process) addr() string { return strings.TrimPrefix(p.base, "http://") }

// model is the stand-in for the upstream: its text is a pure function of the
// request, its pace is the test's.
type model struct {
	*fake.Handler
	// URL is for FLUENTPRO_UPSTREAM_BASE_URL.
	URL string
	// pace is the time between tokens in nanoseconds.
	pace atomic.Int64
}

func newModel(t *testing.T) *model {
	t.Helper()
	m := &model{Handler: fake.New(fake.Options{})}
	ctx, cancel := context.WithCancel(context.Background())
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Fake-Token-Delay", time.Duration(m.pace.Load()).String())
		m.ServeHTTP(w, r)
	}))
	s.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.Start()
	t.Cleanup(func() { cancel(); s.CloseClientConnections(); s.Close() })
	m.URL = s.URL + "/v1"
	return m
}

// slow sets the time between tokens of later calls.
func (m *model) slow(d time.Duration) { m.pace.Store(int64(d)) }

// callsFor are the calls that answered the message with this tag.
func (m *model) callsFor(tag string) []fake.Call {
	var out []fake.Call
	for _, c := range m.Calls() {
		if c.Tag == tag {
			out = append(out, c)
		}
	}
	return out
}

// tokens is how long the checkable replies of the tests are.
const tokens = 240

// checkable asks for replies of that length.
var checkable = fmt.Sprintf("checkable-%d", tokens)

// cluster is two processes on one real Postgres and one real Redis.
type cluster struct {
	t     *testing.T
	redis *testenv.RedisServer
	sql   string
	model *model
	a, b  *process
}

func newCluster(t *testing.T, env ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, sql: sqldbtest.PostgresURL(t), redis: testenv.Redis(t), model: newModel(t)}
	c.a = c.node("a", env...)
	c.b = c.node("b", env...)
	return c
}

func (c *cluster) node(name string, env ...string) *process {
	c.t.Helper()
	return start(c.t, name, append([]string{"FLUENTPRO_DATABASE_URL=" + c.sql, "FLUENTPRO_REDIS_URL=" + c.redis.URL,
		"FLUENTPRO_UPSTREAM_BASE_URL=" + c.model.URL, "FLUENTPRO_UPSTREAM_MODEL=" + checkable, "FLUENTPRO_UPSTREAM_CONTINUE=prefix"}, env...)...)
}

// other is the other node.
func (c *cluster) other(p *process) *process {
	if p == c.a {
		return c.b
	}
	return c.a
}

// webClient makes a client for one test, whose idle connections end with it.
func webClient(t *testing.T) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 8, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// drainBody reads and closes, so that the connection is used again.
func drainBody(res *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	_ = res.Body.Close()
}
