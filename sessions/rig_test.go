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
	"github.com/fluentpro/fluentpro/streaming"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 10 * time.Second

// source is a scripted streaming.Source: logs in memory.
type source struct {
	mu   sync.Mutex
	logs map[conversation.ID]*talk
	// down makes Attach and Pull fail as a lost store does.
	down bool
}

// talk is one conversation's log and its fold.
type talk struct {
	src   *source
	id    conversation.ID
	owner conversation.LearnerID
	epoch conversation.Epoch
	// From here on guarded by src.mu. low is the oldest seq that is served.
	events  []conversation.Event
	low     int64
	state   conversation.State
	feeds   map[*feed]bool
	attachs []string
}

func (s *source) talk(owner string) *talk {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &talk{src: s, id: conversation.NewID(), owner: conversation.LearnerID(owner), epoch: conversation.Epoch{Counter: 1, Nonce: "abc"}, feeds: map[*feed]bool{}}
	t.state.Header = conversation.Header{ID: t.id, Kind: conversation.KindChat, Title: "t", State: "active"}
	s.logs[t.id] = t
	t.add(conversation.Event{Type: "conversation.created", Data: json.RawMessage(`{"kind":"chat","title":"t"}`)})
	return t
}

// add needs src.mu; it returns the feeds to wake.
func (t *talk) add(e conversation.Event) {
	e.Seq, e.TS = int64(len(t.events)+1), 1
	t.events = append(t.events, e)
}

func (t *talk) append(es ...conversation.Event) {
	t.src.mu.Lock()
	for _, e := range es {
		t.add(e)
	}
	var wake []func()
	for f := range t.feeds {
		if f.wake != nil {
			wake = append(wake, f.wake)
		}
	}
	t.src.mu.Unlock()
	for _, w := range wake {
		w()
	}
}

// begin starts run 1.
func (t *talk) begin() {
	turn := conversation.Turn{N: 1, ID: "m1", Author: conversation.Learner, Text: "hi", ClientID: "k", Run: 1, At: 1}
	raw, _ := json.Marshal(turn)
	t.src.mu.Lock()
	t.state.Turns = append(t.state.Turns, turn)
	t.state.Open = &conversation.OpenReply{Run: 1, MessageID: "m2", Attempt: 1, Base: 1}
	t.src.mu.Unlock()
	t.append(conversation.Event{Type: "message.accepted", Data: raw},
		conversation.Event{Type: "partner.started", Run: 1, Attempt: 1, Base: 1, Data: json.RawMessage(`{"message_id":"m2","parent":1}`)})
}

func (t *talk) delta(text string) {
	t.src.mu.Lock()
	at := conversation.UTF16Len(t.state.Open.Text)
	t.state.Open.Text += text
	t.src.mu.Unlock()
	t.append(conversation.Event{Type: "partner.delta", Run: 1, Attempt: 1, Base: 1, At: at, Len: conversation.UTF16Len(text), Text: text})
}

// finish completes run 1 and, if end is set, the conversation.
func (t *talk) finish(end bool) {
	t.src.mu.Lock()
	text := t.state.Open.Text
	t.state.Open = nil
	t.state.Turns = append(t.state.Turns, conversation.Turn{N: 2, ID: "m2", Author: conversation.Partner, Text: text, Run: 1, Finish: "stop"})
	if end {
		t.state.Header.State = "ended"
	}
	t.src.mu.Unlock()
	raw, _ := json.Marshal(map[string]any{"message_id": "m2", "text": text, "finish": "stop", "n": 2})
	es := []conversation.Event{{Type: "partner.completed", Run: 1, Attempt: 1, Base: 1, Data: raw}}
	if end {
		es = append(es, conversation.Event{Type: "conversation.ended", Data: json.RawMessage(`{"reason":"done"}`)})
	}
	t.append(es...)
}

func (t *talk) cursor(seq int64) string {
	return conversation.Cursor{Epoch: t.epoch, Seq: seq}.String()
}

func (t *talk) top() int64 {
	t.src.mu.Lock()
	defer t.src.mu.Unlock()
	return int64(len(t.events))
}

func (t *talk) watchers() int {
	t.src.mu.Lock()
	defer t.src.mu.Unlock()
	return len(t.feeds)
}

// cursors lists what was asked for at each attach.
func (t *talk) cursors() []string {
	t.src.mu.Lock()
	defer t.src.mu.Unlock()
	return append([]string(nil), t.attachs...)
}

// feed implements streaming.Feed.
type feed struct {
	t        *talk
	open     streaming.Opening
	pos      int64
	snapshot bool
	caught   bool
	wake     func()
}

func (s *source) Attach(_ context.Context, id conversation.ID, who conversation.LearnerID, cursor string) (streaming.Feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, fmt.Errorf("connection refused by 10.0.0.7")
	}
	t := s.logs[id]
	if t == nil || t.owner != who {
		return nil, conversation.ErrNotFound
	}
	t.attachs = append(t.attachs, cursor)
	f := &feed{t: t}
	cur, ok := conversation.ParseCursor(cursor)
	switch {
	case cursor == "":
		f.snapshot, f.open.Reason = true, "no_cursor"
	case !ok:
		f.snapshot, f.open.Reason = true, "bad_cursor"
	case cur.Epoch != t.epoch:
		f.snapshot, f.open.Reason = true, "epoch_changed"
	case cur.Seq < t.low:
		f.snapshot, f.open.Reason = true, "trimmed"
	case cur.Seq > int64(len(t.events)):
		f.snapshot, f.open.Reason = true, "ahead"
	default:
		f.pos = cur.Seq
	}
	f.open.Mode, f.open.Cursor = "replay", cursor
	if f.snapshot {
		f.open.Mode, f.open.Cursor = "snapshot", t.cursor(int64(len(t.events)))
	}
	t.feeds[f] = true
	return f, nil
}

func (f *feed) Opening() streaming.Opening { return f.open }

func (f *feed) Notify(wake func()) {
	f.t.src.mu.Lock()
	f.wake = wake
	f.t.src.mu.Unlock()
	wake()
}

func (f *feed) Pull(_ context.Context, limit, maxBytes int) (streaming.Batch, error) {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	t := f.t
	var b streaming.Batch
	if t.src.down {
		return b, fault.New(fault.StorageUnavailable, "down")
	}
	if f.snapshot {
		f.snapshot, f.pos = false, int64(len(t.events))
		raw, err := t.state.AppendStateJSON(nil)
		if err != nil {
			return b, err
		}
		if f.open.Reason != "no_cursor" {
			b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemReset, Reason: f.open.Reason, Cursor: t.cursor(f.pos)})
		}
		b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemSnapshot, JSON: raw, Cursor: t.cursor(f.pos)})
	}
	size := 0
	for f.pos < int64(len(t.events)) && len(b.Items) < limit && (size == 0 || size < maxBytes) {
		e := t.events[f.pos]
		for f.pos++; f.pos < int64(len(t.events)) && e.Merge(&t.events[f.pos], 8<<10); f.pos++ {
		}
		js := e.AppendJSON(nil, t.epoch)
		size += len(js)
		b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemEvent, JSON: js, Cursor: t.cursor(e.Seq)})
	}
	b.More = f.pos < int64(len(t.events))
	if !b.More && !f.caught {
		f.caught = true
		b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemCaughtUp, Cursor: t.cursor(f.pos)})
	}
	b.Ended = !b.More && t.state.Header.State == "ended"
	return b, nil
}

func (f *feed) Cursor() string {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	return f.t.cursor(f.pos)
}

func (f *feed) Lag() int64 {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	return int64(len(f.t.events)) - f.pos
}

func (f *feed) Close() {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	if !f.t.feeds[f] {
		panic("feed closed twice")
	}
	delete(f.t.feeds, f)
}

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
		keys: &keys{ends: map[string]time.Time{"ann": {}, "bob": {}}}, store: memstore.New(0), logs: &logBuffer{},
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
