package sessions

import (
	"context"
	"encoding/json"
	"math/rand/v2"
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

// native reports a browser's own EventSource, which gives up for good on any
// status but 200.
func native(r *http.Request) bool {
	a := r.Header.Values("Accept")
	return len(a) == 1 && a[0] == "text/event-stream" && r.Header.Get(clientHeader) == ""
}

// ServeSSE streams a conversation until it ends, the client goes, the token
// lapses, the stream's life is over or the Manager drains.
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
	defer m.leave(ident.learner())
	feed, err := m.attachHTTP(r.Context(), ident, conversationID, cursor, TransportSSE)
	if err != nil {
		m.refuseStream(w, r, err)
		return
	}
	defer feed.Close()
	var first *streaming.Batch
	if feed.Opening().Mode == "replay" {
		// Whether there is anything left decides the status.
		b, err := feed.Pull(r.Context(), m.lim.BatchEvents, m.lim.BatchBytes)
		if err != nil {
			m.refuseStream(w, r, attachError(err))
			return
		}
		if b.Ended && countEvents(b.Items) == 0 {
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		first = &b
	}
	s := newStream(ident)
	s.att = m.rep.attach(m.httpViewer(ident, conversation.ID(conversationID), TransportSSE, feed.Opening().Cursor))
	defer s.att.detach()
	if m.join(s) {
		s.end(fault.Draining)
	}
	defer m.part(s)
	m.cfg.Metrics.Opened(TransportSSE)
	defer m.cfg.Metrics.Closed(TransportSSE, 0)

	st := &eventStream{m: m, s: s, feed: feed, out: sse.Start(w, m.tim.Write)}
	st.run(r.Context(), first)
}

func (m *Manager) httpViewer(id Identity, c conversation.ID, transport, cursor string) Viewer {
	return Viewer{
		Conversation: conversation.ID(strings.ToLower(string(c))), Conn: randomID(8), Node: m.cfg.Node, User: id.learner(), Transport: transport, Cursor: cursor,
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

// eventStream is one stream in its handler.
type eventStream struct {
	m    *Manager
	s    *stream
	feed streaming.Feed
	out  *sse.Writer
}

func (e *eventStream) run(ctx context.Context, first *streaming.Batch) {
	tim := e.m.tim
	e.out.Retry(tim.Retry)
	e.out.Comment("fluentpro")
	if o := e.feed.Opening(); o.Mode == "replay" {
		e.out.ID(o.Cursor)
	}
	ended := false
	if first != nil {
		ended = e.add(*first)
	}
	if !e.flush() || ended {
		return
	}
	wake := make(chan struct{}, 1)
	e.feed.Notify(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	if first != nil && first.More {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	hb := time.NewTicker(tim.Heartbeat)
	defer hb.Stop()
	life := time.NewTimer(time.Duration(float64(tim.StreamLife) * (0.8 + 0.4*rand.Float64())))
	defer life.Stop()
	expiry := expiryTimer(e.s.ident)
	defer expiry.Stop()
	var leave <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case code := <-e.s.stop:
			e.farewell(code)
			return
		case after := <-e.s.drainIn:
			t := time.NewTimer(after)
			defer t.Stop()
			leave = t.C
		case <-leave:
			e.farewell(fault.Draining)
			return
		case <-life.C:
			return
		case <-expiry.C:
			e.farewell(fault.TokenExpired)
			return
		case now := <-hb.C:
			e.out.Heartbeat(now)
			if !e.flush() {
				return
			}
		case <-wake:
			again, ok := e.pull(ctx)
			if !ok {
				return
			}
			if again {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		}
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

// pull delivers one batch; ok is false when the stream is over.
func (e *eventStream) pull(ctx context.Context) (again, ok bool) {
	b, err := e.feed.Pull(ctx, e.m.lim.BatchEvents, e.m.lim.BatchBytes)
	if err != nil {
		if ctx.Err() == nil {
			e.m.log.Warn("feed failed", "conversation_id", string(e.s.att.view().Conversation), "err", err)
			w, _ := wireOf(attachError(err))
			e.out.Event("", errorMessage(w))
			e.flush()
		}
		return false, false
	}
	ended := e.add(b)
	if !e.flush() || ended {
		return false, false
	}
	return b.More, true
}

// add queues a batch and reports that the conversation has ended.
func (e *eventStream) add(b streaming.Batch) (ended bool) {
	for _, it := range b.Items {
		switch it.Kind {
		case streaming.ItemEvent:
			e.out.Event(it.Cursor, it.JSON)
		case streaming.ItemSnapshot:
			head := appendField([]byte(`{"v":1,"type":"snapshot"`), "cur", it.Cursor)
			e.out.Event(it.Cursor, append(head, `,"state":`...), it.JSON, []byte("}"))
		case streaming.ItemReset:
			head := appendField([]byte(`{"v":1,"type":"reset"`), "reason", it.Reason)
			e.out.Event("", append(appendField(head, "cur", it.Cursor), '}'))
		case streaming.ItemCaughtUp:
			e.out.Event("", append(appendField([]byte(`{"v":1,"type":"caught_up"`), "cur", it.Cursor), '}'))
		case streaming.ItemError:
			e.out.Event("", errorMessage(itemError(it)))
		}
	}
	if len(b.Items) > 0 {
		e.s.att.delivered(e.feed.Cursor(), e.feed.Lag())
		e.m.cfg.Metrics.Delivered(TransportSSE, countEvents(b.Items), 0)
	}
	return b.Ended && !b.More
}

// flush sends what is queued; a viewer that does not take it is gone.
func (e *eventStream) flush() bool {
	n, err := e.out.Flush()
	if err != nil {
		e.m.log.Debug("event stream ended", "err", err)
		return false
	}
	if n > 0 {
		e.m.cfg.Metrics.Delivered(TransportSSE, 0, n)
	}
	return true
}

// farewell says why the stream ends and when to come again.
func (e *eventStream) farewell(code fault.Code) {
	retry := e.m.tim.Retry
	if code == fault.Draining {
		// The balancer knows of us by now; a little spread is enough.
		retry = jitter(retry) + 100*time.Millisecond
		e.out.Retry(retry)
		e.out.Event("", []byte(`{"v":1,"type":"goaway","reason":"draining","after_ms":`+itoa(retry.Milliseconds())+`}`))
	} else {
		w, _ := wireOf(fault.New(code, ""))
		w.RetryMS = retry.Milliseconds()
		e.out.Event("", errorMessage(w))
	}
	e.flush()
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
