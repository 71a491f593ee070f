package sessions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/sessions/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 10 * time.Second

// keys is an Authenticator: the token is "<learner>" or "<learner>:<name>".
type keys struct {
	mu   sync.Mutex
	ends map[string]time.Time
	down bool
}

func (k *keys) Verify(_ context.Context, token string) (sessions.Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		return sessions.Identity{}, fault.New(fault.StorageUnavailable, "down")
	}
	end, ok := k.ends[token]
	if !ok {
		return sessions.Identity{}, fault.New(fault.Unauthenticated, "unknown token")
	}
	if !end.IsZero() && time.Now().After(end) {
		return sessions.Identity{}, fault.New(fault.TokenExpired, "expired")
	}
	who, family, _ := strings.Cut(token, ":")
	return sessions.Identity{LearnerID: who, ExpiresAt: end, Family: family}, nil
}

func (k *keys) set(token string, end time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ends[token] = end
}

// commander notes what it is asked.
type commander struct {
	mu    sync.Mutex
	sends []conversation.SendInput
	err   error
	block chan struct{}
}

func (c *commander) Send(ctx context.Context, in conversation.SendInput) (conversation.Accepted, error) {
	c.mu.Lock()
	c.sends = append(c.sends, in)
	n, err, block := int64(len(c.sends)), c.err, c.block
	c.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return conversation.Accepted{}, ctx.Err()
		}
	}
	return conversation.Accepted{MessageID: "m" + in.ClientID, Turn: n, Run: n, Position: 0}, err
}

func (c *commander) Cancel(_ context.Context, who conversation.LearnerID, id conversation.ID, run int64) (conversation.Stopped, error) {
	if run == 13 {
		panic("a bug in the engine")
	}
	if run == 404 {
		return conversation.Stopped{}, conversation.ErrNotFound
	}
	return conversation.Stopped{Run: run, State: "stopped", At: 7, TextLen: 3}, nil
}

// rig is a Manager behind a real HTTP server.
type rig struct {
	t     testing.TB
	m     *sessions.Manager
	srv   *httptest.Server
	src   *source
	cmd   *commander
	keys  *keys
	store *memstore.Store
	logs  *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB, change func(*sessions.Config)) *rig {
	t.Helper()
	r := &rig{
		t: t, src: &source{logs: map[conversation.ID]*talk{}}, cmd: &commander{},
		keys: &keys{ends: map[string]time.Time{"ann": {}, "bob": {}}}, store: memstore.New(memstore.Options{}), logs: &logBuffer{},
	}
	cfg := sessions.Config{
		Auth: r.keys, Commands: r.cmd, Source: r.src, Store: r.store, Node: "n1",
		Log:   slog.New(slog.NewTextHandler(r.logs, nil)),
		Times: sessions.Times{Sweep: 5 * time.Millisecond, Report: 20 * time.Millisecond},
	}
	if change != nil {
		change(&cfg)
	}
	m, err := sessions.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.m = m
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/ws", m.ServeWS)
	mux.HandleFunc("GET /api/v2/conversations/{id}/events", func(w http.ResponseWriter, req *http.Request) { m.ServeSSE(w, req, req.PathValue("id")) })
	mux.HandleFunc("GET /api/v2/conversations/{id}/log", func(w http.ResponseWriter, req *http.Request) { m.ServeLog(w, req, req.PathValue("id")) })
	mux.HandleFunc("GET /api/v2/conversations/{id}", r.serveSnapshot)
	r.srv = httptest.NewServer(mux)
	t.Cleanup(func() {
		m.Close()
		r.srv.Close()
		r.srv.Client().CloseIdleConnections()
		for _, l := range r.src.logs {
			if n := l.watchers(); n != 0 {
				t.Errorf("%d feeds were never closed", n)
			}
		}
	})
	return r
}

func (r *rig) serveSnapshot(w http.ResponseWriter, req *http.Request) {
	r.src.mu.Lock()
	defer r.src.mu.Unlock()
	t := r.src.logs[conversation.ID(req.PathValue("id"))]
	state, err := t.state.AppendStateJSON(nil)
	if err != nil {
		r.t.Error(err)
	}
	_, _ = fmt.Fprintf(w, `{"cur":%q,"state":%s}`, t.cursor(int64(len(t.events))), state)
}

// options are for package client.
func (r *rig) options(token string) *client.Options {
	return &client.Options{Bases: []string{r.srv.URL}, HTTP: r.srv.Client(), Token: func() string { return token }}
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// socket is a WebSocket by hand, for frames that package client would not send.
type socket struct {
	t testing.TB
	c *websocket.Conn
}

type dialOption func(*websocket.DialOptions)

func header(k string, v ...string) dialOption {
	return func(o *websocket.DialOptions) {
		if k == "Host" {
			o.Host = v[0]
			return
		}
		o.HTTPHeader[http.CanonicalHeaderKey(k)] = v
	}
}

func protocols(p ...string) dialOption {
	return func(o *websocket.DialOptions) { o.Subprotocols = p }
}

func (r *rig) tryDial(opts ...dialOption) (*socket, *http.Response, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}, Subprotocols: []string{"conv.v1.json"}, HTTPClient: r.srv.Client()}
	for _, f := range opts {
		f(o)
	}
	c, res, err := websocket.Dial(ctx, r.srv.URL+"/api/v2/ws", o)
	if err != nil {
		return nil, res, err
	}
	c.SetReadLimit(4 << 20)
	r.t.Cleanup(func() { _ = c.CloseNow() })
	return &socket{r.t, c}, res, nil
}

func (r *rig) dial(opts ...dialOption) *socket {
	r.t.Helper()
	s, _, err := r.tryDial(opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func bearer(token string) dialOption { return header("Authorization", "Bearer "+token) }

// greeted is a socket of ann that has its welcome.
func (r *rig) greeted() *socket {
	r.t.Helper()
	s := r.dial(bearer("ann"))
	s.send(`{"t":"hello","client":"test/1"}`)
	s.want("welcome")
	return s
}

func (s *socket) send(frames ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, f := range frames {
		if err := s.c.Write(ctx, websocket.MessageText, []byte(f)); err != nil {
			s.t.Fatalf("send: %v", err)
		}
	}
}

type fields map[string]any

func (f fields) str(k string) string { s, _ := f[k].(string); return s }

func (s *socket) read() (fields, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, raw, err := s.c.Read(ctx)
	if err != nil {
		return nil, err
	}
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil {
		s.t.Fatalf("frame %q: %v", raw, err)
	}
	return f, nil
}

// next is the next frame that is no ping.
func (s *socket) next() fields {
	s.t.Helper()
	for {
		f, err := s.read()
		if err != nil {
			s.t.Fatalf("read: %v", err)
		}
		if f.str("t") != "ping" {
			return f
		}
	}
}

func (s *socket) want(typ string) fields {
	s.t.Helper()
	f := s.next()
	if f.str("t") != typ {
		s.t.Fatalf("got %v, want %s", f, typ)
	}
	return f
}

// closed reads until the connection ends and checks the code.
func (s *socket) closed(code int) (last fields) {
	s.t.Helper()
	for {
		f, err := s.read()
		if err != nil {
			if got := int(websocket.CloseStatus(err)); got != code {
				s.t.Fatalf("got close %d (%v), want %d", got, err, code)
			}
			return last
		}
		last = f
	}
}

// get does a GET and returns status, header and body.
func (r *rig) get(path string, h http.Header) (*http.Response, string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.srv.URL+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	res, err := r.srv.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("read body: %v", err)
	}
	return res, string(body)
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
