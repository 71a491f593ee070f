package sessions

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
)

// buffers are for frames on their way out; an idle connection has none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// keepBuffer is the largest buffer that goes back into the pool.
const keepBuffer = 64 << 10

// queue adds a control frame. A client that lets too many wait does not read.
func (c *wsConn) queue(frame []byte) {
	c.mu.Lock()
	full := len(c.control) >= c.m.lim.ControlQueue
	if !full && !c.closed && c.ending == nil {
		c.control = append(c.control, frame)
		c.kick()
	}
	c.mu.Unlock()
	if full {
		c.end(fault.SlowViewer)
	}
}

// kick starts the writer if there is something for it; c.mu is held.
func (c *wsConn) kick() {
	if c.writing || c.closed || len(c.control) == 0 && len(c.ready) == 0 && c.ending == nil {
		return
	}
	c.writing = true
	c.writers.Add(1)
	go c.write()
}

// enqueue marks a feed as having something; c.mu is held.
func (c *wsConn) enqueue(s *sub) {
	if s.queued || s.gone || c.closed || !s.retryAt.IsZero() {
		return
	}
	s.queued = true
	c.ready = append(c.ready, s)
	c.kick()
}

// wake is what a feed calls, from any goroutine.
func (s *sub) wake() {
	s.c.mu.Lock()
	s.c.enqueue(s)
	s.c.mu.Unlock()
}

// write is the writer goroutine: it exists while there is something to write.
// Control frames go first, so that sub_ok precedes the first event; feeds take
// turns, one batch each.
func (c *wsConn) write() {
	defer c.writers.Done()
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return
		case len(c.control) > 0:
			frames := c.control
			c.control = nil
			c.mu.Unlock()
			for _, f := range frames {
				if !c.send(f) {
					return
				}
			}
		case c.ending != nil:
			e := c.ending
			c.mu.Unlock()
			c.sock.Close(e.code, e.reason)
			return
		case len(c.ready) > 0:
			s := c.ready[0]
			c.ready[0] = nil
			if c.ready = c.ready[1:]; len(c.ready) == 0 {
				c.ready = nil
			}
			s.queued, s.pulling = false, true
			c.mu.Unlock()
			if !c.deliver(s) {
				return
			}
		default:
			c.writing = false
			c.mu.Unlock()
			return
		}
	}
}

// send writes one frame. After a failure the connection is closing and
// writing stays set, so that no other writer starts.
func (c *wsConn) send(frame []byte) bool {
	err := c.sock.Write(frame)
	if err == nil {
		c.lastSent.Store(time.Now().UnixNano())
		return true
	}
	code := fault.Internal
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		code = fault.SlowViewer
	}
	c.end(code)
	return false
}

// deliver pulls one batch from a feed and writes it.
func (c *wsConn) deliver(s *sub) bool {
	batch, err := s.feed.Pull(c.ctx, c.m.lim.BatchEvents, c.m.lim.BatchBytes)
	cursor, lag := s.feed.Cursor(), s.feed.Lag()

	c.mu.Lock()
	s.pulling = false
	orphan := s.orphan
	switch {
	case err != nil:
		s.fails++
		s.retryAt = time.Now().Add(min(time.Duration(s.fails)*time.Second, 5*time.Second))
	default:
		s.fails = 0
		if batch.More {
			c.enqueue(s)
		}
	}
	first := s.fails == 1
	c.mu.Unlock()

	if orphan {
		s.feed.Close()
		return true
	}
	if err != nil {
		return c.feedFailed(s, err, first)
	}
	if !c.writeBatch(s.conv, batch) {
		return false
	}
	s.att.delivered(cursor, lag)
	return true
}

// feedFailed tells the client once; what passes is tried again, what does not
// ends the subscription.
func (c *wsConn) feedFailed(s *sub, err error, first bool) bool {
	if c.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return true
	}
	e, spec := wireOf(err)
	lasting := spec.Status < 500
	if lasting {
		c.drop(s)
	} else if e.RetryMS == 0 {
		e.RetryMS = 1000
	}
	if !first && !lasting {
		return true
	}
	c.m.log.Warn("feed failed", "conversation_id", string(s.conv), "err", err)
	return c.send(errFrame(e, "", string(s.conv)))
}

// drop ends a subscription; whoever has the feed closes it.
func (c *wsConn) drop(s *sub) {
	c.mu.Lock()
	if s.gone {
		c.mu.Unlock()
		return
	}
	s.gone = true
	if c.subs[s.conv] == s {
		delete(c.subs, s.conv)
	}
	s.orphan = s.pulling
	mine := !s.pulling
	c.mu.Unlock()
	if mine {
		s.feed.Close()
	}
	s.att.detach()
}

// writeBatch turns a batch into frames: runs of events share one, and their
// bytes are the ones that all viewers share.
func (c *wsConn) writeBatch(id conversation.ID, batch streaming.Batch) bool {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keepBuffer {
			buffers.Put(buf)
		}
	}()
	items := batch.Items
	for len(items) > 0 {
		n := eventRun(items, c.m.lim.BatchEvents, c.m.lim.BatchBytes)
		b := (*buf)[:0]
		if n == 0 {
			b = itemFrame(b, id, items[0])
			n = 1
		} else {
			b = append(b, `{"t":"ev","c":"`...)
			b = append(b, id...)
			b = append(b, `","e":[`...)
			for i, it := range items[:n] {
				if i > 0 {
					b = append(b, ',')
				}
				b = append(b, it.JSON...)
			}
			b = append(b, `]}`...)
			c.m.cfg.Metrics.Delivered(TransportWS, n, len(b))
		}
		*buf = b
		if !c.send(b) {
			return false
		}
		items = items[n:]
	}
	return true
}

// eventRun counts the events at the head of items that fit one frame.
func eventRun(items []streaming.Item, most, bytes int) int {
	n := 0
	for n < len(items) && n < most && items[n].Kind == streaming.ItemEvent {
		if bytes -= len(items[n].JSON); bytes < 0 && n > 0 {
			break
		}
		n++
	}
	return n
}
