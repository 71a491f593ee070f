package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Welcome is the server's answer to hello.
type Welcome struct {
	Session    string `json:"session"`
	Node       string `json:"node"`
	Resumed    bool   `json:"resumed"`
	ServerTime int64  `json:"server_time"`
}

// Accepted is the answer to Send.
type Accepted struct {
	MessageID string `json:"message_id"`
	Turn      int64  `json:"turn"`
	Run       int64  `json:"run"`
	Position  int64  `json:"position"`
	Duplicate bool   `json:"duplicate"`
}

// Stopped is the answer to Cancel.
type Stopped struct {
	Run     int64  `json:"run"`
	State   string `json:"state"`
	At      int64  `json:"at"`
	TextLen int64  `json:"text_len"`
}

// WS is one WebSocket connection.
type WS struct {
	// Welcome is set once Dial has returned.
	Welcome Welcome

	conn   *websocket.Conn
	nextID atomic.Int64
	done   chan struct{}

	// mu guards what follows.
	mu    sync.Mutex
	err   error
	views map[string]*View
	calls map[string]chan answer
	// attached are conversations that sub_ok was told of; again are timers of
	// attaches that failed for now.
	attached map[string]bool
	again    map[string]*time.Timer
	// goaway is the server's wish, nil before.
	goaway *control
}

type answer struct {
	data json.RawMessage
	err  error
}

// frame is any frame of the server.
type frame struct {
	T    string          `json:"t"`
	ID   string          `json:"id"`
	C    string          `json:"c"`
	Cur  string          `json:"cur"`
	Mode string          `json:"mode"`
	E    []Event         `json:"e"`
	OK   bool            `json:"ok"`
	Data json.RawMessage `json:"data"`
	Err  *Problem        `json:"err"`
	N    int64           `json:"n"`
	control
}

// CloseCode is the close code in err, -1 when the connection just broke.
func CloseCode(err error) int { return int(websocket.CloseStatus(err)) }

// DialWS connects, says hello and waits for welcome. A session of an earlier
// Welcome brings its subscriptions back; views says where their events go, and
// each view that has a cursor is resumed from it. Close the WS at the end.
func DialWS(ctx context.Context, o *Options, session string, views ...*View) (*WS, error) {
	h := http.Header{}
	if t := o.token(); t != "" {
		h.Set("Authorization", "Bearer "+t)
	}
	//nolint:bodyclose // problemOf closes it, and without an error the library owns it
	conn, res, err := websocket.Dial(ctx, o.base()+"/api/v2/ws", &websocket.DialOptions{
		HTTPClient: o.client(), HTTPHeader: h, Subprotocols: []string{"conv.v1.json"},
	})
	if err != nil {
		if res != nil && res.StatusCode >= 400 {
			return nil, problemOf(res)
		}
		return nil, fmt.Errorf("dial: %w", err)
	}
	conn.SetReadLimit(16 << 20)
	c := &WS{conn: conn, done: make(chan struct{}), views: map[string]*View{}, calls: map[string]chan answer{},
		attached: map[string]bool{}, again: map[string]*time.Timer{}}
	type entry struct {
		C   string `json:"c"`
		Cur string `json:"cur,omitempty"`
	}
	hello := struct {
		T       string  `json:"t"`
		Client  string  `json:"client"`
		Session string  `json:"session,omitempty"`
		Resume  []entry `json:"resume,omitempty"`
	}{"hello", o.name(), session, nil}
	for _, v := range views {
		v.attached()
		c.views[v.Conversation] = v
		hello.Resume = append(hello.Resume, entry{v.Conversation, v.Cursor()})
	}
	if err := c.greet(ctx, hello); err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	go c.read()
	return c, nil
}

func (c *WS) greet(ctx context.Context, hello any) error {
	if err := c.write(ctx, hello); err != nil {
		return err
	}
	_, raw, err := c.conn.Read(ctx)
	if err != nil {
		return fmt.Errorf("wait for welcome: %w", err)
	}
	var t struct {
		T string `json:"t"`
		Welcome
		Problem
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("read welcome: %w", err)
	}
	if t.T != "welcome" {
		return fmt.Errorf("got %s for hello: %w", t.T, &t.Problem)
	}
	c.Welcome = t.Welcome
	return nil
}

func (c *WS) write(ctx context.Context, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.conn.Write(ctx, websocket.MessageText, raw)
}

// read is the goroutine that Close waits for.
func (c *WS) read() {
	err := c.readAll()
	_ = c.conn.CloseNow()
	c.mu.Lock()
	c.err = err
	calls := c.calls
	c.calls = nil
	for _, t := range c.again {
		t.Stop()
	}
	c.again = nil
	c.mu.Unlock()
	for _, ch := range calls {
		ch <- answer{err: fmt.Errorf("connection ended before the answer: %w", err)}
	}
	close(c.done)
}

func (c *WS) readAll() error {
	for {
		typ, raw, err := c.conn.Read(context.Background())
		if err != nil {
			return err
		}
		var f frame
		if err := json.Unmarshal(raw, &f); err != nil || typ != websocket.MessageText {
			return fmt.Errorf("frame cannot be read: %w", err)
		}
		if err := c.handle(&f); err != nil {
			return err
		}
	}
}

func (c *WS) handle(f *frame) error {
	c.mu.Lock()
	v := c.views[f.C]
	c.mu.Unlock()
	switch f.T {
	case "ev":
		if v == nil {
			return fmt.Errorf("events of a conversation that was not asked for")
		}
		if v.events(f.E) {
			return ErrResume
		}
	case "reset", "snapshot", "caught_up":
		if v == nil {
			return fmt.Errorf("%s of a conversation that was not asked for", f.T)
		}
		ctl := f.control
		ctl.Type, ctl.Cur = f.T, f.Cur
		return v.control(ctl)
	case "sub_ok":
		c.mu.Lock()
		c.attached[f.C] = true
		c.mu.Unlock()
		c.settle(f.ID, answer{})
	case "res":
		a := answer{data: f.Data}
		if !f.OK {
			if f.Err == nil {
				f.Err = &Problem{Code: "bad_frame"}
			}
			a.err = f.Err
		}
		c.settle(f.ID, a)
	case "err":
		p := &Problem{Code: f.Code, Message: f.Message, Retryable: f.Retryable, RetryMS: f.RetryMS}
		if v != nil {
			ctl := f.control
			ctl.Type = "error"
			if err := v.control(ctl); err != nil {
				return err
			}
			if f.ID == "" && f.Retryable {
				c.retry(v, time.Duration(f.RetryMS)*time.Millisecond)
			}
		}
		c.settle(f.ID, answer{err: p})
	case "ping":
		return c.write(context.Background(), map[string]any{"t": "pong", "n": f.N})
	case "goaway":
		ctl := f.control
		c.mu.Lock()
		c.goaway = &ctl
		c.mu.Unlock()
	}
	return nil
}

// retry asks again for an attach that failed for now: it has left nothing
// behind on the server. One that has succeeded needs nothing.
func (c *WS) retry(v *View, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attached[v.Conversation] || c.again == nil || c.again[v.Conversation] != nil {
		return
	}
	wait = max(wait, time.Second)/2 + rand.N(max(wait, time.Second))
	c.again[v.Conversation] = time.AfterFunc(wait, func() {
		c.mu.Lock()
		want := c.again != nil && !c.attached[v.Conversation]
		delete(c.again, v.Conversation)
		c.mu.Unlock()
		if !want {
			return
		}
		v.attached()
		m := map[string]any{"t": "sub", "c": v.Conversation}
		if cur := v.Cursor(); cur != "" {
			m["cur"] = cur
		}
		_ = c.write(context.Background(), m) // a connection that broke ends the reader, which tells
	})
}

func (c *WS) settle(id string, a answer) {
	c.mu.Lock()
	ch := c.calls[id]
	delete(c.calls, id)
	c.mu.Unlock()
	if ch != nil {
		ch <- a
	}
}

// call sends a frame made with a fresh id and waits for its answer.
func (c *WS) call(ctx context.Context, make func(id string) any) (json.RawMessage, error) {
	id := strconv.FormatInt(c.nextID.Add(1), 10)
	ch := newAnswer()
	c.mu.Lock()
	if c.calls == nil {
		err := c.err
		c.mu.Unlock()
		return nil, fmt.Errorf("connection has ended: %w", err)
	}
	c.calls[id] = ch
	c.mu.Unlock()
	if err := c.write(ctx, make(id)); err != nil {
		return nil, err
	}
	select {
	case a := <-ch:
		return a.data, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// newAnswer has room for one, so that a caller who left blocks nobody.
func newAnswer() chan answer { return make(chan answer, 1) }

// Subscribe watches v's conversation from v's cursor.
func (c *WS) Subscribe(ctx context.Context, v *View) error {
	v.attached()
	c.mu.Lock()
	c.views[v.Conversation] = v
	c.mu.Unlock()
	_, err := c.call(ctx, func(id string) any {
		m := map[string]any{"t": "sub", "id": id, "c": v.Conversation}
		if cur := v.Cursor(); cur != "" {
			m["cur"] = cur
		}
		return m
	})
	return err
}

// Unsubscribe stops watching; events on their way are still applied.
func (c *WS) Unsubscribe(ctx context.Context, v *View) error {
	c.mu.Lock()
	delete(c.attached, v.Conversation)
	if t := c.again[v.Conversation]; t != nil {
		t.Stop()
		delete(c.again, v.Conversation)
	}
	c.mu.Unlock()
	return c.write(ctx, map[string]any{"t": "unsub", "c": v.Conversation})
}

// Send sends a learner's message; key makes it safe to repeat.
func (c *WS) Send(ctx context.Context, conversation, key, text, policy string) (Accepted, error) {
	args := map[string]any{"text": text}
	if policy != "" {
		args["policy"] = policy
	}
	var out Accepted
	raw, err := c.call(ctx, func(id string) any {
		return map[string]any{"t": "cmd", "id": id, "op": "send", "c": conversation, "key": key, "args": args}
	})
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}

// Cancel stops a run.
func (c *WS) Cancel(ctx context.Context, conversation string, run int64) (Stopped, error) {
	var out Stopped
	raw, err := c.call(ctx, func(id string) any {
		return map[string]any{"t": "cmd", "id": id, "op": "cancel", "c": conversation, "args": map[string]any{"run": run}}
	})
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}

// Ack confirms what v has applied.
func (c *WS) Ack(ctx context.Context, v *View) error {
	return c.write(ctx, map[string]any{"t": "ack", "c": v.Conversation, "cur": v.Cursor()})
}

// Goaway tells whether the server asked to leave, and after how many ms.
func (c *WS) Goaway() (afterMS int64, asked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goaway == nil {
		return 0, false
	}
	return c.goaway.AfterMS, true
}

// Done is closed when the connection has ended.
func (c *WS) Done() <-chan struct{} { return c.done }

// Err is why it ended; nil while it lives.
func (c *WS) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection with code 1000 and waits for its goroutine.
func (c *WS) Close() error {
	err := c.conn.Close(websocket.StatusNormalClosure, "")
	<-c.done
	if errors.Is(err, ErrResume) {
		return nil
	}
	return err
}

// Drop ends the connection as a broken cable would, without a close frame.
func (c *WS) Drop() {
	_ = c.conn.CloseNow()
	<-c.done
}
