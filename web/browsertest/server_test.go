package browsertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// binary is built once for all tests of this package.
var binary struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func build(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("FLUENTPRO_TEST_BINARY"); p != "" {
		return p // built by whoever runs the tests
	}
	binary.once.Do(func() {
		//nolint:usetesting // shared by all tests; TestMain removes it
		if binary.dir, binary.err = os.MkdirTemp("", "browsertest"); binary.err != nil {
			return
		}
		binary.path = filepath.Join(binary.dir, "fluentpro")
		out, err := exec.Command("go", "build", "-o", binary.path, "github.com/fluentpro/fluentpro/cmd/fluentpro").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatalf("build the server: %v", binary.err)
	}
	return binary.path
}

// node is one server process and the proxy through which a page reaches it.
type node struct {
	t     *testing.T
	proxy *testenv.Proxy
	env   []string
	cmd   *exec.Cmd
	done  chan struct{}
	log   *lockedBuffer
	ready string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startNode runs the server on its embedded database and Redis, with model as
// the partner.
func startNode(t *testing.T, model *testModel, name string) *node {
	t.Helper()
	listen := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	n := &node{t: t, proxy: testenv.NewProxy(t, listen), log: &lockedBuffer{}, ready: "http://" + listen + "/readyz"}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "FLUENTPRO_") && !strings.HasPrefix(e, "OPENAI_") {
			n.env = append(n.env, e)
		}
	}
	n.env = append(n.env,
		"FLUENTPRO_LISTEN="+listen, "FLUENTPRO_OPS_LISTEN=off", "FLUENTPRO_DATA_DIR="+t.TempDir(),
		"FLUENTPRO_PUBLIC_ORIGINS=http://"+n.proxy.Addr,
		"FLUENTPRO_UPSTREAM_BASE_URL="+model.URL, "FLUENTPRO_UPSTREAM_API_KEY=test", "FLUENTPRO_UPSTREAM_MODEL="+name,
	)
	t.Cleanup(func() {
		n.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("server:\n%s", n.log)
		}
	})
	n.start()
	return n
}

func (n *node) start() {
	n.t.Helper()
	n.cmd = exec.Command(build(n.t))
	n.cmd.Env, n.cmd.Stdout, n.cmd.Stderr = n.env, n.log, n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	done := make(chan struct{})
	n.done = done
	cmd := n.cmd
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its log
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.ready, nil)
		if err != nil {
			n.t.Fatal(err)
		}
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-done:
			n.t.Fatal("the server ended at its start")
		case <-ctx.Done():
			n.t.Fatal("the server is not ready after 30 s")
		}
	}
}

// stop ends the process and waits for it.
func (n *node) stop(sig syscall.Signal) {
	n.t.Helper()
	if n.done == nil {
		return
	}
	if err := n.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.t.Error(err)
	}
	select {
	case <-n.done:
	case <-time.After(40 * time.Second):
		n.t.Error("the server does not end")
		_ = n.cmd.Process.Kill()
		<-n.done
	}
	n.done = nil
}

// base is the address that a page is opened at.
func (n *node) base() string { return "http://" + n.proxy.Addr }

// testModel is a model whose every token can be checked; scenarios and replies
// have a pace each.
type testModel struct {
	URL     string
	replies *fake.Handler
}

// startModel runs a model; scenario is the time between two tokens of a
// scenario, which few tests want to watch.
func startModel(t *testing.T, scenario time.Duration) *testModel {
	t.Helper()
	scenarios := fake.New(fake.Options{TokenDelay: scenario})
	m := &testModel{replies: fake.New(fake.Options{TokenDelay: pace})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(`"response_format"`)) {
			scenarios.ServeHTTP(w, r)
			return
		}
		m.replies.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	m.URL = srv.URL + "/v1"
	return m
}

// complete waits until the model has given a whole answer of n tokens.
func complete(t *testing.T, m *testModel, n int) {
	t.Helper()
	testenv.EventuallyTrue(t, 30*time.Second, "a whole answer of the model", func() bool {
		for _, c := range m.replies.Calls() {
			if c.End == fake.EndComplete && c.From+c.Sent == n {
				return true
			}
		}
		return false
	})
}
