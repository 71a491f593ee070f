package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxLine bounds a line of an event stream: a snapshot of a long conversation.
const maxLine = 16 << 20

// Stream reads one event stream into v until it ends: nil for a clean end,
// ErrEnded for 204, ErrResume when something was missed.
func Stream(ctx context.Context, o *Options, v *View) error {
	return stream(ctx, o, v, o.getAt)
}

// stream is Stream by a way to ask that may be a browser's.
func stream(ctx context.Context, o *Options, v *View, get func(context.Context, string, string, http.Header) (*http.Response, error)) error {
	h := http.Header{"Accept": {"text/event-stream"}}
	if cur := v.Cursor(); cur != "" {
		h.Set("Last-Event-ID", cur)
	}
	v.attached()
	res, err := get(ctx, o.base(), "/api/v2/conversations/"+url.PathEscape(v.Conversation)+"/events", h)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	switch {
	case res.StatusCode == http.StatusNoContent:
		_ = res.Body.Close()
		return ErrEnded
	case res.StatusCode != http.StatusOK:
		return problemOf(res)
	}
	defer func() { _ = res.Body.Close() }()
	return readStream(res.Body, v)
}

// block is one block of an event stream.
type block struct {
	event, id string
	data      string
	hasID     bool
}

// readStream parses as the HTML standard says, for LF lines, which are the
// only ones our server writes.
func readStream(r io.Reader, v *View) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4<<10), maxLine)
	var b block
	for sc.Scan() {
		line := sc.Text()
		if line == "" {
			if err := v.block(b); err != nil {
				return err
			}
			b = block{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			b.event = value
		case "id":
			b.id, b.hasID = value, true
		case "data":
			if b.data != "" {
				b.data += "\n"
			}
			b.data += value
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	return nil
}

// block takes one dispatched message of an event stream.
func (v *View) block(b block) error {
	if b.data == "" || b.event != "" {
		return nil // an id-only block or a heartbeat
	}
	var head struct {
		Seq int64 `json:"seq"`
		control
	}
	if err := json.Unmarshal([]byte(b.data), &head); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if head.Seq == 0 {
		return v.control(head.control)
	}
	var e Event
	if err := json.Unmarshal([]byte(b.data), &e); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	if b.id != e.Cur {
		v.Look(func(f *Fold) { f.breach("bad_event", &e, "id %q, cursor %q", b.id, e.Cur) })
	}
	if v.events([]Event{e}) {
		return ErrResume
	}
	return nil
}

// Poll asks the JSON log once, holding for at most wait. Without a cursor, or
// with one that is gone, it reads the conversation's snapshot.
func Poll(ctx context.Context, o *Options, v *View, wait time.Duration) error {
	cur := v.Cursor()
	if cur == "" {
		return Snapshot(ctx, o, v)
	}
	v.asks()
	q := url.Values{"after": {cur}}
	if wait > 0 {
		q.Set("wait", strconv.Itoa(int(wait/time.Second)))
	}
	node := o.base()
	res, err := o.getAt(ctx, node, "/api/v2/conversations/"+url.PathEscape(v.Conversation)+"/log?"+q.Encode(), nil)
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		err := problemOf(res)
		if CodeOf(err) == "cursor_gone" {
			return v.readAnew(ctx, o, node)
		}
		return err
	}
	defer func() { _ = res.Body.Close() }()
	var page struct {
		Events []Event `json:"events"`
		Cur    string  `json:"cur"`
		More   bool    `json:"more"`
	}
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if v.events(page.Events) {
		return ErrResume
	}
	if got := v.Cursor(); got != page.Cur {
		v.Look(func(f *Fold) {
			f.breach("gap", &Event{Cur: page.Cur}, "the page ends at %s, its events at %s", page.Cur, got)
		})
	}
	if !page.More {
		v.change(func() {
			v.caughtUp = true
			v.tell(Taken{Kind: "caught_up", Cur: page.Cur})
		})
	}
	return nil
}

// Snapshot reads GET /conversations/{id} into v.
func Snapshot(ctx context.Context, o *Options, v *View) error {
	v.asks()
	s, err := v.read(ctx, o, o.base())
	if err != nil {
		return err
	}
	return v.control(s)
}

// readAnew follows a 410: the snapshot comes from the node that said so, and
// the reset counts when there is one. Without it the cursor stays good for a
// node that can still serve it.
func (v *View) readAnew(ctx context.Context, o *Options, node string) error {
	s, err := v.read(ctx, o, node)
	if err != nil {
		return err
	}
	v.change(func() {
		v.tell(Taken{Kind: "reset", Reason: "cursor_gone"})
		v.fold.Reset("cursor_gone")
	})
	return v.control(s)
}

func (v *View) read(ctx context.Context, o *Options, node string) (control, error) {
	var s control
	res, err := o.getAt(ctx, node, "/api/v2/conversations/"+url.PathEscape(v.Conversation), nil)
	if err != nil {
		return s, fmt.Errorf("read conversation: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return s, problemOf(res)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("read conversation: %w", err)
	}
	if s.Cur == "" {
		// The live log is away: the server told what SQL has, which has no
		// place in the log, so it cannot be gone on from.
		return s, &Problem{Status: http.StatusServiceUnavailable, Code: "storage_unavailable", Detail: "the snapshot has no cursor", Retryable: true}
	}
	s.Type = "snapshot"
	return s, nil
}

// Transport names a way to follow a conversation.
type Transport string

// The transports. OverEventSource is OverSSE as a browser's own EventSource
// asks for it: signed in by the cookie and with no header of its own, so that
// the server takes it for one.
const (
	OverWS          Transport = "ws"
	OverSSE         Transport = "sse"
	OverPoll        Transport = "poll"
	OverEventSource Transport = "eventsource"
)

// pollHold is how long a poll asks the server to hold.
const pollHold = 2 * time.Second

// Attach reads v over one connection, from v's cursor, until the connection or
// ctx ends. It returns nil or an error after a clean end, as the transport's
// own function does, and the cause of ctx when that has ended. Nothing is read
// any more once it has returned.
func Attach(ctx context.Context, o *Options, over Transport, v *View) error {
	var err error
	switch over {
	case OverWS:
		_, err = followWS(ctx, o, "", v)
	case OverSSE:
		err = Stream(ctx, o, v)
	case OverEventSource:
		err = stream(ctx, o, v, o.getAsBrowser)
	case OverPoll:
		v.attached()
		for hold := time.Duration(0); err == nil && ctx.Err() == nil; hold = pollHold {
			err = Poll(ctx, o, v, hold)
		}
	default:
		return fmt.Errorf("there is no transport %q", over)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Follow keeps v up to date until ctx ends or the conversation has: it
// reconnects with back-off, to the next base each time, from v's cursor. It
// returns an error for what reconnecting cannot mend (4500–4999, 403, 404).
func Follow(ctx context.Context, o *Options, over Transport, v *View) error {
	session := ""
	for fails := 0; ; fails++ {
		begun := time.Now()
		var err error
		switch over {
		case OverWS:
			session, err = followWS(ctx, o, session, v)
		case OverSSE:
			err = Stream(ctx, o, v)
		case OverEventSource:
			err = stream(ctx, o, v, o.getAsBrowser)
		default:
			if err = Poll(ctx, o, v, pollHold); err == nil {
				if fails = -1; ctx.Err() == nil {
					continue
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrEnded):
			return nil
		case final(err):
			return err
		}
		if time.Since(begun) > 2*time.Second || err == nil {
			fails = 0
		}
		if err := o.backoff(ctx, fails); err != nil {
			return err
		}
	}
}

func followWS(ctx context.Context, o *Options, session string, v *View) (string, error) {
	c, err := DialWS(ctx, o, session, v)
	if err != nil {
		return session, err
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
		c.Drop()
	}
	return c.Welcome.Session, c.Err()
}

// final reports what reconnecting cannot mend.
func final(err error) bool {
	if code := CloseCode(err); code == 1000 || code >= 4500 {
		return true
	}
	var p *Problem
	return errors.As(err, &p) && (p.Status == http.StatusForbidden || p.Status == http.StatusNotFound)
}
