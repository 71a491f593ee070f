package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
	"github.com/fluentpro/fluentpro/streaming/sse"
)

// Runs tells what SQL has of a run; foreign ones read as missing.
type Runs interface {
	RunState(ctx context.Context, learner conversation.LearnerID, id conversation.ID, run int64) (conversation.RunRow, error)
}

// ReplyRequest asks for one reply as a stream in another protocol.
type ReplyRequest struct {
	Conversation string
	// Begin does what the reply answers, once the connection has its place, and
	// names the run and how many replies come before it. Without Begin the open
	// reply is meant, or one that ended within ReplayEnded.
	Begin func(ctx context.Context, who conversation.LearnerID) (run, position int64, err error)
	// ReplayEnded is how long an ended reply is told to one who comes back.
	ReplayEnded time.Duration
	Encoder     streaming.ReplyEncoder
	// Header adds to the headers of the stream; it may be nil.
	Header func(http.Header)
	// Refuse answers what cannot begin.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Transport names the protocol in counts and in the inspector.
	Transport string
}

// ServeReply streams one reply until it ends. A stream that ends before the
// reply does is aborted, which the client sees as an error: a clean end would
// look like a whole answer. Without anything to tell it answers 204.
func (m *Manager) ServeReply(w http.ResponseWriter, r *http.Request, q ReplyRequest) {
	ident, err := m.authenticate(r)
	if err == nil {
		err = m.enter(ident.learner())
	}
	if err != nil {
		q.Refuse(w, r, err)
		return
	}
	defer m.leave(ident.learner())
	conn := m.connection(ident, q.Transport)
	if err := m.present(r.Context(), conn); err != nil {
		q.Refuse(w, r, err)
		return
	}
	defer m.absent(conn)
	e := &replyStream{m: m, q: q, who: ident.learner()}
	if err := e.open(r); err != nil {
		if r.Context().Err() == nil {
			q.Refuse(w, r, attachError(err))
		}
		return
	}
	defer e.feed.Close()
	if e.reply == nil {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s := newStream(ident)
	s.whole, s.conn = true, conn
	s.att = m.rep.attach(conn.viewer(e.id, e.feed.Opening().Cursor))
	defer s.att.detach()
	if m.join(s) {
		s.end(fault.Draining)
	}
	defer m.part(s)
	m.cfg.Metrics.Opened(q.Transport)
	defer m.cfg.Metrics.Closed(q.Transport, 0)
	if q.Header != nil {
		q.Header(w.Header())
	}
	e.s, e.out = s, sse.Start(w, m.tim.Write)
	if err := e.run(r.Context()); err != nil {
		m.log.Debug("reply stream is cut", "transport", q.Transport, "conversation_id", string(e.id), "err", err)
		panic(http.ErrAbortHandler)
	}
}

// replyStream is one such stream in its handler.
type replyStream struct {
	m     *Manager
	q     ReplyRequest
	who   conversation.LearnerID
	id    conversation.ID
	run0  int64
	feed  streaming.Feed
	s     *stream
	out   *sse.Writer
	reply *streaming.Reply
	// first is what came with the snapshot that opened the stream.
	first    streaming.Batch
	position int64
}

// open does the command, attaches, and finds the reply; without one to tell
// reply stays nil.
func (e *replyStream) open(r *http.Request) error {
	id, err := conversation.ParseID(e.q.Conversation)
	if err != nil {
		return err
	}
	e.id = id
	ctx, cancel := context.WithTimeout(r.Context(), e.m.tim.Command)
	defer cancel()
	if e.q.Begin != nil {
		if e.run0, e.position, err = e.q.Begin(ctx, e.who); err != nil {
			return err
		}
	}
	if e.feed, err = e.m.cfg.Source.Attach(ctx, id, e.who, ""); err != nil {
		return err
	}
	e.m.cfg.Metrics.Attached(e.q.Transport, e.feed.Opening().Mode, e.feed.Opening().Reason)
	if err := e.choose(ctx); err != nil {
		e.feed.Close()
		return err
	}
	return nil
}

// choose reads the snapshot and settles which run is told.
func (e *replyStream) choose(ctx context.Context) error {
	b, err := e.feed.Pull(ctx, e.m.lim.BatchEvents, e.m.lim.BatchBytes)
	if err != nil {
		return err
	}
	e.first = b
	if e.run0 == 0 {
		st, err := snapshotIn(b)
		if err != nil {
			return err
		}
		if e.run0, err = e.pick(ctx, st); err != nil {
			return err
		}
	}
	if e.run0 != 0 {
		e.reply = streaming.NewReply(e.run0, e.q.Encoder)
	}
	return nil
}

// snapshotIn finds the state that a feed without a cursor begins with.
func snapshotIn(b streaming.Batch) (*conversation.State, error) {
	for _, it := range b.Items {
		switch it.Kind {
		case streaming.ItemSnapshot:
			var st conversation.State
			if err := json.Unmarshal(it.JSON, &st); err != nil {
				return nil, err
			}
			return &st, nil
		case streaming.ItemError:
			return nil, fault.New(fault.Code(it.Reason), "")
		}
	}
	return nil, fault.New(fault.StorageUnavailable, "The conversation cannot be read right now.")
}

// unanswered is how many messages without a reply are looked at.
const unanswered = 16

// pick finds the run that somebody who comes back means: the open one, else
// the first that waits, else the last that ended a moment ago. 0 is none.
func (e *replyStream) pick(ctx context.Context, st *conversation.State) (int64, error) {
	if st.Header.Kind != conversation.KindChat {
		return 0, conversation.ErrNotFound
	}
	if st.Open != nil {
		return st.Open.Run, nil
	}
	answered, at := int64(0), int64(0)
	for _, t := range st.Turns {
		if t.Author == conversation.Partner && t.Run > answered && t.Run > 0 {
			answered, at = t.Run, t.At
		}
	}
	since := time.Now().Add(-e.q.ReplayEnded).UnixMilli()
	ended := int64(0)
	if at > since && hasLearnerTurn(st, answered) {
		ended = answered
	}
	var open []int64
	for _, t := range st.Turns {
		if t.Author == conversation.Learner && t.Run > answered {
			open = append(open, t.Run)
		}
	}
	if h := st.Head.Run; h > answered && !slices.Contains(open, h) {
		open = append(open, h) // a reply that is written anew has no message of its own
	}
	// Few can wait; what lies further back has failed long ago.
	for _, run := range open[max(0, len(open)-unanswered):] {
		row, err := e.m.cfg.Runs.RunState(ctx, e.who, e.id, run)
		switch {
		case err != nil:
			return 0, err
		case !row.Ended():
			return run, nil
		case row.Updated/1000 > since && (row.State == conversation.RunFailed || row.Text != ""):
			ended = run
		}
	}
	return ended, nil
}

// hasLearnerTurn reports a run that answers somebody; an opening does not.
func hasLearnerTurn(st *conversation.State, run int64) bool {
	for _, t := range st.Turns {
		if t.Run == run && (t.Author == conversation.Learner || t.Parent > 0) {
			return true
		}
	}
	return false
}

var errReplyOpen = errors.New("the reply has not ended")

// run streams; an error means that the reply was not told to its end.
func (e *replyStream) run(ctx context.Context) error {
	e.out.Comment("fluentpro")
	e.add("", e.q.Encoder.Open())
	if err := e.take(ctx, e.first); err != nil {
		return err
	}
	if e.position > 0 && !e.reply.Begun() {
		e.add("", e.reply.Status("queued", ""))
	}
	wake := make(chan struct{}, 1)
	again := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	e.feed.Notify(again)
	tim := e.m.tim
	hb := time.NewTicker(tim.Heartbeat)
	defer hb.Stop()
	life := time.NewTimer(tim.StreamLife)
	defer life.Stop()
	expiry := expiryTimer(e.s.ident)
	defer expiry.Stop()
	var leave <-chan time.Time
	for {
		if n, err := e.out.Flush(); err != nil {
			return err
		} else if n > 0 {
			e.m.cfg.Metrics.Delivered(e.q.Transport, 0, n)
		}
		if e.reply.Over() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case code := <-e.s.stop:
			return fault.New(code, "")
		case after := <-e.s.drainIn:
			t := time.NewTimer(after)
			defer t.Stop()
			leave = t.C
		case <-leave:
			return errReplyOpen
		case <-life.C:
			return errReplyOpen
		case <-expiry.C:
			return errExpired
		case <-hb.C:
			e.out.Comment("hb")
		case <-wake:
			b, err := e.feed.Pull(ctx, e.m.lim.BatchEvents, e.m.lim.BatchBytes)
			if err != nil {
				return err
			}
			if err := e.take(ctx, b); err != nil {
				return err
			}
			if b.More {
				again()
			}
		}
	}
}

// take tells what a batch holds of the reply.
func (e *replyStream) take(ctx context.Context, b streaming.Batch) error {
	for _, it := range b.Items {
		var out [][]byte
		var err error
		switch it.Kind {
		case streaming.ItemEvent:
			out, err = e.reply.Event(it.JSON)
		case streaming.ItemSnapshot:
			out, err = e.snapshot(ctx, it.JSON)
		case streaming.ItemError:
			out = e.reply.Status("delayed", it.Reason)
		}
		e.add(it.Cursor, out)
		if err != nil {
			return err
		}
	}
	if len(b.Items) > 0 {
		e.s.att.delivered(e.feed.Cursor(), e.feed.Lag())
		e.m.cfg.Metrics.Delivered(e.q.Transport, countEvents(b.Items), 0)
	}
	return nil
}

// snapshot takes a state; what it does not tell of the run, SQL knows.
func (e *replyStream) snapshot(ctx context.Context, raw []byte) ([][]byte, error) {
	var st conversation.State
	if err := json.Unmarshal(raw, &st); err != nil {
		return nil, err
	}
	out, known, err := e.reply.Snapshot(&st)
	if known || err != nil {
		return out, err
	}
	row, err := e.m.cfg.Runs.RunState(ctx, e.who, e.id, e.run0)
	if err != nil || !row.Ended() {
		return nil, err
	}
	end := streaming.RunEnd{State: row.State, MessageID: row.MessageID, Text: row.Text, Finish: row.Finish}
	if row.State == conversation.RunFailed {
		end.Code, end.Message = row.Finish, fault.SpecOf(fault.Code(row.Finish)).Title
	}
	return e.reply.Ended(end)
}

// add queues messages; the last one carries the cursor, so that whoever has it
// has them all.
func (e *replyStream) add(cursor string, msgs [][]byte) {
	for i, msg := range msgs {
		id := ""
		if i == len(msgs)-1 {
			id = cursor
		}
		e.out.Event(id, msg)
	}
}
