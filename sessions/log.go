package sessions

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

var errCursorGone = fault.New(fault.CursorGone, "The cursor cannot be served; read the conversation for a new one.")

// ServeLog answers with the events after a cursor, as JSON; with wait it holds
// until there are some. It never answers with a snapshot: a cursor that cannot
// be served is gone.
func (m *Manager) ServeLog(w http.ResponseWriter, r *http.Request, conversationID string) {
	ident, err := m.authenticate(r)
	if err == nil {
		err = m.enter(ident.learner())
	}
	if err != nil {
		m.cfg.Problem(w, r, err)
		return
	}
	defer m.leave(ident.learner())
	page, err := m.readLog(r, ident, conversationID)
	if err != nil {
		m.cfg.Problem(w, r, err)
		return
	}
	if r.Context().Err() != nil {
		return
	}
	body := page.encode()
	rc := http.NewResponseController(w)
	// Not every writer has deadlines; the server's own then holds.
	_ = rc.SetWriteDeadline(time.Now().Add(m.tim.Write))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, err = w.Write(body)
	m.cfg.Metrics.Delivered(TransportPoll, len(page.events), len(body))
	if err == nil {
		err = rc.SetWriteDeadline(time.Time{})
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		m.log.Debug("log answer was not taken", "err", err)
	}
}

// logQuery is what a request of the log asks for.
type logQuery struct {
	after string
	limit int
	wait  time.Duration
}

func (m *Manager) parseLogQuery(r *http.Request) (logQuery, error) {
	q := r.URL.Query()
	out := logQuery{after: q.Get("after"), limit: min(200, m.lim.LogEvents)}
	var fields []fault.Field
	number := func(name string, low, high int) int {
		n, err := strconv.Atoi(q.Get(name))
		if err != nil || n < low || n > high {
			fields = append(fields, fault.Field{
				Name: name, Code: "bad_format", Message: "must be a number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high),
			})
		}
		return n
	}
	if q.Has("limit") {
		out.limit = number("limit", 1, m.lim.LogEvents)
	}
	if q.Has("wait") {
		out.wait = time.Duration(number("wait", 0, int(m.tim.LogWait/time.Second))) * time.Second
	}
	if len(fields) > 0 {
		return out, &fault.Error{Code: fault.Invalid, Message: "Some values are not allowed; see errors.", Fields: fields}
	}
	return out, nil
}

// logPage is one answer.
type logPage struct {
	events [][]byte
	bytes  int
	cursor string
	more   bool
}

func (p *logPage) encode() []byte {
	b := make([]byte, 0, p.bytes+len(p.events)+128)
	b = append(b, `{"events":[`...)
	for i, e := range p.events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	b = append(b, ']')
	b = appendField(b, "cur", p.cursor)
	b = append(b, `,"more":`...)
	b = strconv.AppendBool(b, p.more)
	return append(b, '}')
}

func (m *Manager) readLog(r *http.Request, ident Identity, conversationID string) (*logPage, error) {
	q, err := m.parseLogQuery(r)
	if err != nil {
		return nil, err
	}
	feed, err := m.attachHTTP(r.Context(), ident, conversationID, q.after, TransportPoll)
	if err != nil {
		return nil, err
	}
	defer feed.Close()
	o := feed.Opening()
	if o.Mode != "replay" {
		return nil, errCursorGone
	}
	p := &logPage{cursor: o.Cursor}
	if err := m.fillPage(r.Context(), p, feed, q.limit); err != nil {
		return nil, err
	}
	if len(p.events) > 0 || q.wait == 0 {
		return p, nil
	}
	s := newStream(ident)
	conn := m.connection(ident, TransportPoll)
	s.att = m.rep.attach(conn.viewer(conversation.ID(conversationID), o.Cursor))
	defer s.att.detach()
	if m.join(s) {
		return p, nil
	}
	defer m.part(s)
	m.cfg.Metrics.Opened(TransportPoll)
	defer m.cfg.Metrics.Closed(TransportPoll, 0)
	return p, m.awaitPage(r.Context(), p, feed, s, q)
}

// awaitPage holds until there is an event or a reason to answer without one.
func (m *Manager) awaitPage(ctx context.Context, p *logPage, feed streaming.Feed, s *stream, q logQuery) error {
	wake := make(chan struct{}, 1)
	feed.Notify(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	t := time.NewTimer(q.wait)
	defer t.Stop()
	expiry := expiryTimer(s.ident)
	defer expiry.Stop()
	var leave <-chan time.Time
	for len(p.events) == 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			return nil
		case after := <-s.drainIn:
			// Answered all at once, every poller would ask another node in the
			// same moment.
			away := time.NewTimer(after)
			defer away.Stop()
			leave = away.C
		case <-leave: // an empty answer is an invitation to ask again, elsewhere
			return nil
		case <-expiry.C:
			return errExpired
		case code := <-s.stop:
			if code == fault.Draining {
				return nil
			}
			return fault.New(code, "")
		case <-wake:
			if err := m.fillPage(ctx, p, feed, q.limit); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillPage takes what is ready, up to the limits. What comes after a reset
// belongs to the next request, which will be told that its cursor is gone.
func (m *Manager) fillPage(ctx context.Context, p *logPage, feed streaming.Feed, limit int) error {
	for len(p.events) < limit && p.bytes < m.lim.LogBytes {
		b, err := feed.Pull(ctx, limit-len(p.events), m.lim.LogBytes-p.bytes)
		if err != nil {
			if len(p.events) > 0 {
				p.more = true
				return nil
			}
			return attachError(err)
		}
		for _, it := range b.Items {
			switch it.Kind {
			case streaming.ItemEvent:
				p.events = append(p.events, it.JSON)
				p.bytes += len(it.JSON)
				p.cursor = it.Cursor
			case streaming.ItemReset, streaming.ItemSnapshot:
				if len(p.events) == 0 {
					return errCursorGone
				}
				p.more = true
				return nil
			case streaming.ItemError:
				if len(p.events) == 0 {
					return fault.New(fault.Code(it.Reason), "")
				}
				p.more = true
				return nil
			}
		}
		p.more = b.More
		if !b.More {
			return nil
		}
	}
	return nil
}
