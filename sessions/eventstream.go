package sessions

import (
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
	"github.com/fluentpro/fluentpro/streaming/sse"
)

// eventStream is one event stream. Like a WebSocket it has a goroutine that
// waits for the client to go, and a second one only while there is something
// to write; its clocks are looked at by the Manager's sweep.
type eventStream struct {
	m     *Manager
	ident Identity
	conn  Connection
	att   *attachment
	feed  streaming.Feed
	out   *sse.Writer // for the writer, which there is one of at a time
	life  time.Time   // when the stream is to be opened anew

	// writers counts the writer goroutine.
	writers sync.WaitGroup
	// over is closed when nothing more will be written.
	over chan struct{}

	mu      sync.Mutex // guards what follows; never held across I/O
	woken   bool       // the feed may have something
	beat    time.Time  // when the next heartbeat is due
	beating bool
	notices []Notice
	leaveAt time.Time
	ending  bool
	code    fault.Code // why, "" for a plain end
	writing bool
	closed  bool
}

// mostNotices may wait for a slow reader; one more is lost to it.
const mostNotices = 4

// openStream starts a stream whose place was entered; it gives it back.
func (m *Manager) openStream(w http.ResponseWriter, r *http.Request, ident Identity, conn Connection, conv conversation.ID, feed streaming.Feed, first *streaming.Batch) {
	now := time.Now()
	e := &eventStream{
		m: m, ident: ident, conn: conn, feed: feed, over: make(chan struct{}),
		att:  m.rep.attach(conn.viewer(conv, feed.Opening().Cursor)),
		life: now.Add(time.Duration(float64(m.tim.StreamLife) * (0.8 + 0.4*rand.Float64()))),
		beat: now.Add(m.tim.Heartbeat),
	}
	m.cfg.Metrics.Opened(TransportSSE)
	var peer *sse.Peer
	var detached bool
	if e.out, peer, detached = sse.Detach(w, r, m.tim.Write); !detached {
		e.out = sse.Start(w, m.tim.Write)
	}
	e.start(first)
	if m.join(e) {
		e.end(fault.Draining)
	}
	if detached {
		go func() {
			peer.Wait()
			e.teardown()
		}()
		return
	}
	select {
	case <-r.Context().Done():
	case <-e.over:
	}
	e.teardown()
}

// start lets the writer begin with what every stream begins with.
func (e *eventStream) start(first *streaming.Batch) {
	e.writing = true
	e.writers.Add(1)
	go func() {
		defer e.writers.Done()
		defer e.recovered()
		if e.preamble(first) {
			e.feed.Notify(e.wake)
			e.write()
		}
	}()
}

// recovered keeps a panic in the writer from taking other viewers along.
func (e *eventStream) recovered() {
	if p := recover(); p != nil {
		e.m.log.Error("event stream panicked", "panic", p, "stack", string(debug.Stack()))
		e.finish(false)
	}
}

func (e *eventStream) preamble(first *streaming.Batch) (ok bool) {
	// A browser comes again after exactly that time: told the same, all viewers
	// of a killed node would come at once.
	e.out.Retry(e.m.tim.Retry/2 + jitter(e.m.tim.Retry))
	e.out.Comment("fluentpro")
	if o := e.feed.Opening(); o.Mode == "replay" {
		e.out.ID(o.Cursor)
	}
	ended := false
	if first != nil {
		ended = e.add(*first)
		e.woken = first.More
	}
	if !e.flush() {
		return false
	}
	if ended {
		e.finish(true)
	}
	return !ended
}

// wake is what the feed calls, from any goroutine.
func (e *eventStream) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.woken = true
	e.kick()
}

// kick starts the writer if there is something for it; e.mu is held.
func (e *eventStream) kick() {
	if e.writing || e.closed {
		return
	}
	e.writing = true
	e.writers.Add(1)
	go func() {
		defer e.writers.Done()
		defer e.recovered()
		e.write()
	}()
}

// write is the writer goroutine: it exists while there is something to write.
func (e *eventStream) write() {
	for {
		e.mu.Lock()
		switch {
		case e.closed:
			e.mu.Unlock()
			return
		case e.ending:
			code := e.code
			e.mu.Unlock()
			if code == "" || e.farewell(code) {
				e.finish(true)
			}
			return
		case e.beating:
			e.beating = false
			e.mu.Unlock()
			e.out.Heartbeat(time.Now())
			if !e.flush() {
				return
			}
		case len(e.notices) > 0:
			n := e.notices[0]
			e.notices = e.notices[1:]
			e.mu.Unlock()
			e.out.Event("", noticeMessage(n))
			if !e.flush() {
				return
			}
		case e.woken:
			e.woken = false
			e.mu.Unlock()
			if !e.pull() {
				return
			}
		default:
			e.writing = false
			e.mu.Unlock()
			return
		}
	}
}

// pull delivers one batch; false says that the stream is over.
func (e *eventStream) pull() bool {
	b, err := e.feed.Pull(e.m.ctx, e.m.lim.BatchEvents, e.m.lim.BatchBytes)
	if err != nil {
		e.m.log.Warn("feed failed", "conversation_id", string(e.att.view().Conversation), "err", err)
		w, _ := wireOf(attachError(err))
		e.out.Event("", errorMessage(w))
		if e.flush() {
			e.finish(true)
		}
		return false
	}
	ended := e.add(b)
	if !e.flush() {
		return false
	}
	if ended {
		e.finish(true)
		return false
	}
	if b.More {
		e.mu.Lock()
		e.woken = true
		e.mu.Unlock()
	}
	return true
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
		e.att.delivered(e.feed.Cursor(), e.feed.Lag())
		e.m.cfg.Metrics.Delivered(TransportSSE, countEvents(b.Items), 0)
	}
	return b.Ended && !b.More
}

// flush sends what is queued; a viewer that does not take it is gone.
func (e *eventStream) flush() bool {
	n, err := e.out.Flush()
	if err != nil {
		e.m.log.Debug("event stream ended", "err", err)
		e.finish(false)
		return false
	}
	if n > 0 {
		e.m.cfg.Metrics.Delivered(TransportSSE, 0, n)
	}
	return true
}

// farewell says why the stream ends and when to come again.
func (e *eventStream) farewell(code fault.Code) bool {
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
	return e.flush()
}

// finish ends the stream, once. clean tells the client that nothing is
// missing.
func (e *eventStream) finish(clean bool) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	e.mu.Unlock()
	e.out.Close(clean)
	close(e.over)
}

// teardown ends everything that the stream started.
func (e *eventStream) teardown() {
	e.finish(false)
	e.writers.Wait()
	e.feed.Close()
	e.att.detach()
	e.m.part(e)
	e.m.absent(e.conn)
	e.m.cfg.Metrics.Closed(TransportSSE, 0)
	e.m.leave(e.ident.learner())
}

// end implements member.
func (e *eventStream) end(code fault.Code) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop(code)
}

// stop begins the end; e.mu is held.
func (e *eventStream) stop(code fault.Code) {
	if !e.ending {
		e.ending, e.code = true, code
		e.kick()
	}
}

// drain implements member.
func (e *eventStream) drain(after, _ time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if after <= 0 {
		e.stop(fault.Draining)
		return
	}
	e.leaveAt = time.Now().Add(after)
}

// tick implements member: all clocks of the stream are looked at here.
func (e *eventStream) tick(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	switch expires := e.ident.ExpiresAt; {
	case !expires.IsZero() && !now.Before(expires):
		e.stop(fault.TokenExpired)
	case !e.leaveAt.IsZero() && !now.Before(e.leaveAt):
		e.stop(fault.Draining)
	case !now.Before(e.life):
		e.stop("")
	case !now.Before(e.beat):
		e.beat = now.Add(e.m.tim.Heartbeat)
		e.beating = true
		e.kick()
	}
	e.att.refresh(now, e.m.tim.Refresh)
}

// who and viewers implement member.
func (e *eventStream) who() Identity     { return e.ident }
func (e *eventStream) viewers() []Viewer { return []Viewer{e.att.view()} }

// self and renew implement member.
func (e *eventStream) self() Connection { return e.conn }
func (e *eventStream) renew()           { e.att.update(func(*Viewer) {}) }

// tell implements member.
func (e *eventStream) tell(n Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.notices) < mostNotices {
		e.notices = append(e.notices, n)
		e.kick()
	}
}
