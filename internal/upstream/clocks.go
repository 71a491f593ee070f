package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// clock names what is being waited for.
type clock int

const (
	clockFirst clock = iota
	clockIdle
	clockTail
)

// errTail is the cause when nothing came behind a finish reason: no failure.
var errTail = errors.New("upstream: nothing after the finish reason")

// clocks ends a request whose upstream is too slow. The content clock runs
// only while bytes are awaited: a consumer that takes its time (a slow store)
// must not look like a stalled model.
type clocks struct {
	t            Timeouts
	commentsLive bool
	cancel       context.CancelCauseFunc
	total        *time.Timer

	mu      sync.Mutex
	waiting clock
	timer   *time.Timer
	left    time.Duration
	since   time.Time
}

func newClocks(t Timeouts, commentsLive bool, cancel context.CancelCauseFunc) *clocks {
	c := &clocks{t: t, commentsLive: commentsLive, cancel: cancel, left: t.FirstContent, since: time.Now()}
	c.total = time.AfterFunc(t.Total, func() { cancel(broken(fault.UpstreamTimeout, "total", false)) })
	c.timer = time.AfterFunc(t.FirstContent, c.fire)
	return c
}

func (c *clocks) fire() {
	c.mu.Lock()
	w := c.waiting
	c.mu.Unlock()
	switch w {
	case clockFirst:
		c.cancel(broken(fault.UpstreamTimeout, "first_content", false))
	case clockIdle:
		c.cancel(broken(fault.UpstreamTimeout, "stalled", false))
	case clockTail:
		c.cancel(errTail)
	}
}

// resume lets the content clock run while a read blocks.
func (c *clocks) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
	c.timer.Reset(max(c.left, 0))
}

// pause stops it; what was waited counts unless content has come since.
func (c *clocks) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	c.left -= time.Since(c.since)
}

// content notes that the model said or thought something.
func (c *clocks) content() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting != clockTail {
		c.waiting, c.left = clockIdle, c.t.Idle
	}
}

// comment notes a life sign that is no content.
func (c *clocks) comment() {
	if !c.commentsLive {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.waiting {
	case clockFirst:
		c.left = c.t.FirstContent
	case clockIdle:
		c.left = c.t.Idle
	}
}

// finish notes the finish reason: from here on nothing more is owed.
func (c *clocks) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.left = clockTail, c.t.Tail
}

// arm sets the content clock running at once.
func (c *clocks) arm(w clock, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.left = w, d
	c.timer.Reset(d)
}

// stop ends all clocks and releases the request's context.
func (c *clocks) stop() {
	c.total.Stop()
	c.timer.Stop()
	c.cancel(nil)
}
