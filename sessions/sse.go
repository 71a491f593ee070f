package sessions

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
	"github.com/fluentpro/fluentpro/streaming/sse"
)

// clientHeader marks a client that reads status codes.
const clientHeader = "X-Conv-Client"

// refusedRetry is how soon a browser that was refused for now comes again.
const refusedRetry = 5 * time.Second

// stream is an HTTP viewer (an event stream or a long poll) in the register.
type stream struct {
	ident Identity
	att   *attachment
	conn  Connection
	// stop takes one reason to end; drainIn one time to end in.
	stop    chan fault.Code
	drainIn chan time.Duration
	// whole marks a stream that cannot be resumed by a cursor: draining leaves
	// it for as long as there is time.
	whole bool

	// mu guards last, the last look at the attachment's freshness.
	mu   sync.Mutex
	last time.Time
}

func newStream(id Identity) *stream {
	return &stream{ident: id, stop: make(chan fault.Code, 1), drainIn: make(chan time.Duration, 1)}
}

// end implements member.
func (s *stream) end(code fault.Code) {
	select {
	case s.stop <- code:
	default: // it is ending already
	}
}

// drain implements member.
func (s *stream) drain(after, _ time.Duration) {
	select {
	case s.drainIn <- after:
	default:
	}
}

// tick implements member; the handler has timers of its own.
func (s *stream) tick(now time.Time) {
	s.mu.Lock()
	due := now.Sub(s.last) >= time.Minute
	if due {
		s.last = now
	}
	s.mu.Unlock()
	if due {
		s.att.refresh(now, s.att.rep.tim.Refresh)
	}
}

func (s *stream) who() Identity     { return s.ident }
func (s *stream) viewers() []Viewer { return []Viewer{s.att.view()} }
func (s *stream) self() Connection  { return s.conn }
func (s *stream) renew()            { s.att.update(func(*Viewer) {}) }

// tell implements member; these answers have no place for a notice.
func (s *stream) tell(Notice) {}

// native reports a browser's own EventSource, which gives up for good on any
// status but 200.
func native(r *http.Request) bool {
	a := r.Header.Values("Accept")
	return len(a) == 1 && a[0] == "text/event-stream" && r.Header.Get(clientHeader) == ""
}

// ServeSSE streams a conversation until it ends, the client goes, the token
// lapses, the stream's life is over or the Manager drains. On HTTP/1.1 it
// returns at once and the stream lives in goroutines of the Manager.
func (m *Manager) ServeSSE(w http.ResponseWriter, r *http.Request, conversationID string) {
	cursor := r.Header.Get("Last-Event-ID")
	if cursor == "" {
		cursor = r.URL.Query().Get("cursor")
	}
	ident, err := m.authenticate(r)
	if err == nil {
		err = m.enter(ident.learner())
	}
	if err != nil {
		m.refuseStream(w, r, err)
		return
	}
	conn := m.connection(ident, TransportSSE)
	var feed streaming.Feed
	var first *streaming.Batch
	if err = m.present(r.Context(), conn); err == nil {
		if feed, first, err = m.begin(r, ident, conversationID, cursor); err != nil {
			m.absent(conn)
		}
	}
	switch {
	case err != nil:
		m.refuseStream(w, r, err)
	case first != nil && first.Ended && countEvents(first.Items) == 0:
		feed.Close()
		m.absent(conn)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	default:
		m.openStream(w, r, ident, conn, conversation.ID(conversationID), feed, first) // it leaves by itself
		return
	}
	m.leave(ident.learner())
}

// begin attaches a stream and, where its cursor is served by replay, takes the
// first batch: whether there is anything left decides the status.
func (m *Manager) begin(r *http.Request, ident Identity, conversationID, cursor string) (streaming.Feed, *streaming.Batch, error) {
	feed, err := m.attachHTTP(r.Context(), ident, conversationID, cursor, TransportSSE)
	if err != nil || feed.Opening().Mode != "replay" {
		return feed, nil, err
	}
	b, err := feed.Pull(r.Context(), m.lim.BatchEvents, m.lim.BatchBytes)
	if err != nil {
		feed.Close()
		return nil, nil, attachError(err)
	}
	return feed, &b, nil
}

// connection is a new HTTP viewer's.
func (m *Manager) connection(id Identity, transport string) Connection {
	return Connection{ID: randomID(8), Node: m.cfg.Node, User: id.learner(), Transport: transport, Since: time.Now().UnixMilli()}
}

func (c Connection) viewer(id conversation.ID, cursor string) Viewer {
	return Viewer{
		Conversation: conversation.ID(strings.ToLower(string(id))), Conn: c.ID, Node: c.Node, User: c.User, Transport: c.Transport, Cursor: cursor,
	}
}

// attachHTTP opens a feed for an HTTP viewer.
func (m *Manager) attachHTTP(ctx context.Context, ident Identity, id, cursor, transport string) (streaming.Feed, error) {
	conv, err := conversation.ParseID(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.tim.Attach)
	defer cancel()
	feed, err := m.cfg.Source.Attach(ctx, conv, ident.learner(), cursor)
	if err != nil {
		return nil, attachError(err)
	}
	o := feed.Opening()
	m.cfg.Metrics.Attached(transport, o.Mode, o.Reason)
	return feed, nil
}

// refuseStream answers a stream that cannot begin. A native EventSource gets
// its passing troubles inside a stream that ends, so that it comes again.
func (m *Manager) refuseStream(w http.ResponseWriter, r *http.Request, err error) {
	e, spec := wireOf(err)
	if !native(r) || !e.Retryable {
		m.cfg.Problem(w, r, err)
		return
	}
	retry := time.Duration(e.RetryMS) * time.Millisecond
	if retry <= 0 {
		retry = refusedRetry
	}
	retry += jitter(retry / 2)
	e.RetryMS = retry.Milliseconds()
	out := sse.Start(w, m.tim.Write)
	out.Retry(retry)
	out.Event("", errorMessage(e))
	if _, err := out.Flush(); err != nil {
		m.log.Debug("refused stream was gone already", "code", string(spec.Code), "err", err)
	}
}

// expiryTimer fires when the token ends; without an end it never does.
func expiryTimer(id Identity) *time.Timer {
	if id.ExpiresAt.IsZero() {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTimer(time.Until(id.ExpiresAt))
}

// errorMessage is the control message error.
func errorMessage(e wireError) []byte {
	raw, err := json.Marshal(struct {
		V         int        `json:"v"`
		Type      string     `json:"type"`
		Code      fault.Code `json:"code"`
		Message   string     `json:"message"`
		Retryable bool       `json:"retryable"`
		RetryMS   int64      `json:"retry_ms"`
	}{1, "error", e.Code, e.Message, e.Retryable, e.RetryMS})
	if err != nil { // strings and numbers always marshal
		return []byte(`{"v":1,"type":"error","code":"internal"}`)
	}
	return raw
}

func countEvents(items []streaming.Item) int {
	n := 0
	for _, it := range items {
		if it.Kind == streaming.ItemEvent {
			n++
		}
	}
	return n
}
