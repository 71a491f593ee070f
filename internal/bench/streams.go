package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// gauge collects delays while it is open. The streams of one path share it.
type gauge struct {
	open   atomic.Bool
	tokens atomic.Int64 // all that arrived, open or not
}

// streamed is one learner's stream on one path.
type streamed interface {
	// start asks for the next answer; its end is told to done.
	start() error
	// done gives one value per answer.
	done() <-chan error
	// seen is what arrived; only read between answers.
	seen() *reading
	close()
}

// reading is what one stream has measured.
type reading struct {
	stamps stamps
	delays []time.Duration
}

func newReading(g *gauge) *reading {
	r := &reading{delays: make([]time.Duration, 0, 4096)}
	r.stamps.record = func(d time.Duration) {
		g.tokens.Add(1)
		if g.open.Load() {
			r.delays = append(r.delays, d)
		}
	}
	return r
}

func nowMicro() int64 { return time.Now().UnixMicro() }

// socket reads tokens from a WebSocket: of the server under test, when conv is
// set, or of the bare relay, whose frames are the text itself.
type socket struct {
	*reading
	ws     *wsClient
	conv   string
	prefix string
	says   string // what it asks with
	sent   int
	ended  chan error
	wg     sync.WaitGroup
}

func openSocket(ctx context.Context, base string, g *gauge, l *learner, conv string) (*socket, error) {
	s := &socket{reading: newReading(g), conv: conv, says: "Please go on.", ended: make(chan error, 4), prefix: fmt.Sprintf("b%d-", time.Now().UnixNano())}
	path, token := "/ws", ""
	if conv != "" {
		path, token = "/api/v2/ws", l.token
	}
	var err error
	if s.ws, err = dialWS(ctx, base+path, token, 4<<10); err != nil {
		return nil, err
	}
	if conv != "" {
		if err := s.greet(); err != nil {
			s.ws.close()
			return nil, err
		}
	}
	s.wg.Go(s.loop)
	return s, nil
}

var caughtUpMark = []byte(`"t":"caught_up"`)

// greet subscribes and waits until everything that was there has come.
func (s *socket) greet() error { return subscribe(s.ws, s.conv) }

// greet says hello and reads the welcome.
func (c *wsClient) greet() error {
	err := c.text(`{"t":"hello","client":"bench/1"}`)
	if err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	msg, err := c.read()
	if err == nil && !bytes.HasPrefix(msg, []byte(`{"t":"welcome"`)) {
		err = fmt.Errorf("the server answers %.300s", msg)
	}
	if err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	return nil
}

func subscribe(ws *wsClient, conv string) error {
	err := errors.Join(ws.text(`{"t":"hello","client":"bench/1"}`), ws.text(`{"t":"sub","id":"s","c":"`+conv+`"}`))
	for err == nil {
		var msg []byte
		if msg, err = ws.read(); err == nil && bytes.Contains(msg, caughtUpMark) {
			return nil
		} else if err == nil && bytes.HasPrefix(msg, []byte(`{"t":"err"`)) {
			err = fmt.Errorf("the server answers %.300s", msg)
		}
	}
	return fmt.Errorf("subscribe: %w", err)
}

func (s *socket) start() error {
	s.stamps.reset()
	s.sent++
	if s.conv == "" {
		return s.ws.text("go")
	}
	key := fmt.Sprintf("%s%d", s.prefix, s.sent)
	return s.ws.text(`{"t":"cmd","id":"` + key + `","op":"send","c":"` + s.conv + `","key":"` + key + `","args":{"text":"` + s.says + `"}}`)
}

func (s *socket) done() <-chan error { return s.ended }
func (s *socket) seen() *reading     { return s.reading }

func (s *socket) close() {
	s.ws.close()
	s.wg.Wait()
}

// loop reads until the connection ends.
func (s *socket) loop() {
	for {
		msg, err := s.ws.read()
		if err != nil {
			s.tell(err)
			return
		}
		switch {
		case s.conv == "" && len(msg) == 0: // the relay's end of an answer
			s.tell(nil)
		case s.conv == "":
			s.stamps.feed(msg, nowMicro())
		default:
			s.stamps.feedFrame(msg, nowMicro())
			switch {
			case bytes.Contains(msg, endMark):
				s.tell(nil)
			case bytes.Contains(msg, failMark):
				s.tell(errors.New("the reply failed"))
			case bytes.HasPrefix(msg, pingMark):
				if err := s.ws.text(strings.Replace(string(msg), "ping", "pong", 1)); err != nil {
					s.tell(err)
					return
				}
			case bytes.HasPrefix(msg, []byte(`{"t":"res"`)) && bytes.Contains(msg, []byte(`"ok":false`)):
				s.tell(fmt.Errorf("the server answers %.300s", msg))
			}
		}
	}
}

// tell never blocks: nobody waits for more than the first failure.
func (s *socket) tell(err error) {
	select {
	case s.ended <- err:
	default:
	}
}

// direct reads the stand-in itself, one HTTP request per answer, without
// decoding JSON: the least that any client of it can do.
type direct struct {
	*reading
	host, model string
	ended       chan error
	wg          sync.WaitGroup

	mu sync.Mutex // guards nc
	nc net.Conn
}

func openDirect(base, model string, g *gauge) *direct {
	return &direct{reading: newReading(g), host: strings.TrimSuffix(strings.TrimPrefix(base, "http://"), "/v1"), model: model, ended: make(chan error, 4)}
}

// askBody is what relay and direct client ask for.
func askBody(model string) string {
	return `{"model":"` + model + `","stream":true,"messages":[{"role":"user","content":"Please go on."}]}`
}

func (d *direct) start() error {
	d.stamps.reset()
	nc, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "tcp", d.host)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.nc = nc
	d.mu.Unlock()
	body := askBody(d.model)
	_, err = fmt.Fprintf(nc, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		d.host, len(body), body)
	if err != nil {
		_ = nc.Close()
		return err
	}
	d.wg.Go(func() { d.ended <- d.read(nc) })
	return nil
}

var (
	contentMark = []byte(`"content":"`)
	doneMark    = []byte("data: [DONE]")
)

func (d *direct) read(nc net.Conn) error {
	defer func() { _ = nc.Close() }()
	br := bufio.NewReaderSize(nc, 4<<10)
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			if err == io.EOF {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		if bytes.HasPrefix(line, doneMark) {
			return nil
		}
		if i := bytes.Index(line, contentMark); i >= 0 {
			text := line[i+len(contentMark):]
			if j := bytes.IndexByte(text, '"'); j > 0 {
				d.stamps.feed(text[:j], nowMicro())
			}
		}
	}
}

func (d *direct) done() <-chan error { return d.ended }
func (d *direct) seen() *reading     { return d.reading }

func (d *direct) close() {
	d.mu.Lock()
	if d.nc != nil {
		_ = d.nc.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}
