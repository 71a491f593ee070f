package sse

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Writer is one stream. It collects blocks until Flush; it is for one
// goroutine at a time.
type Writer struct {
	to  sink
	buf *[]byte
}

// sink is what a Writer writes to.
type sink interface {
	// send sends p, in a bounded time.
	send(p []byte) error
	// close ends the stream; clean says that nothing is missing.
	close(clean bool)
}

// buffers are for blocks on their way out; an idle stream has none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// keepBuffer is the largest buffer that goes back into the pool.
const keepBuffer = 64 << 10

// Start writes the status and the headers of a stream into w's buffer; they
// leave with the first Flush. The stream lives in the handler, and ends with
// it. timeout bounds each flush; 0 means 10 s.
func Start(w http.ResponseWriter, timeout time.Duration) *Writer {
	setHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
	return &Writer{to: &attached{w: w, rc: http.NewResponseController(w), timeout: orDefault(timeout)}}
}

func orDefault(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return 10 * time.Second
	}
	return timeout
}

func setHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	// nginx would otherwise hold events back.
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
}

// add returns the buffer to append to.
func (s *Writer) add() *[]byte {
	if s.buf == nil {
		s.buf = buffers.Get().(*[]byte)
	}
	return s.buf
}

// Retry queues a reconnection time.
func (s *Writer) Retry(d time.Duration) { b := s.add(); *b = AppendRetry(*b, d) }

// Comment queues a comment.
func (s *Writer) Comment(text string) { b := s.add(); *b = AppendComment(*b, text) }

// ID queues an id-only block.
func (s *Writer) ID(id string) { b := s.add(); *b = AppendID(*b, id) }

// Event queues an unnamed message; the pieces of data are joined.
func (s *Writer) Event(id string, data ...[]byte) {
	b := s.add()
	*b = AppendEvent(*b, "", id, data...)
}

// Heartbeat queues the named event hb with the server's time.
func (s *Writer) Heartbeat(now time.Time) {
	data := fmt.Appendf(nil, `{"ts":%d}`, now.UnixMilli())
	b := s.add()
	*b = AppendEvent(*b, "hb", "", data)
}

// Flush sends what is queued and returns the number of bytes.
func (s *Writer) Flush() (int, error) {
	if s.buf == nil || len(*s.buf) == 0 {
		return 0, nil
	}
	n := len(*s.buf)
	if err := s.to.send(*s.buf); err != nil {
		return 0, err
	}
	if cap(*s.buf) <= keepBuffer {
		*s.buf = (*s.buf)[:0]
		buffers.Put(s.buf)
	}
	s.buf = nil
	return n, nil
}

// Close ends the stream: cleanly, so that the client knows that nothing is
// missing, or not, which any goroutine may do. What is queued is dropped. A
// stream in a handler ends, cleanly, when the handler returns.
func (s *Writer) Close(clean bool) { s.to.close(clean) }

// attached writes in a handler.
type attached struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
}

// send clears the deadline afterwards: on HTTP/2 one that passes while nothing
// is written would still reset the stream.
func (a *attached) send(p []byte) error {
	if err := a.rc.SetWriteDeadline(time.Now().Add(a.timeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := a.w.Write(p); err != nil {
		return fmt.Errorf("write stream: %w", err)
	}
	if err := a.rc.Flush(); err != nil {
		return fmt.Errorf("flush stream: %w", err)
	}
	if err := a.rc.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear write deadline: %w", err)
	}
	return nil
}

func (a *attached) close(bool) {}
