package sse

import (
	"fmt"
	"net/http"
	"time"
)

// Writer is one stream. It collects blocks until Flush; it is for one
// goroutine.
type Writer struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	buf     []byte
}

// keepBuffer is the capacity that a Writer keeps between flushes.
const keepBuffer = 4 << 10

// Start writes the status and the headers of a stream into w's buffer; they
// leave with the first Flush. timeout bounds each flush; 0 means 10 s.
func Start(w http.ResponseWriter, timeout time.Duration) *Writer {
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	// nginx would otherwise hold events back.
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	w.WriteHeader(http.StatusOK)
	return &Writer{w: w, rc: http.NewResponseController(w), timeout: timeout}
}

// Retry queues a reconnection time.
func (s *Writer) Retry(d time.Duration) { s.buf = AppendRetry(s.buf, d) }

// Comment queues a comment.
func (s *Writer) Comment(text string) { s.buf = AppendComment(s.buf, text) }

// ID queues an id-only block.
func (s *Writer) ID(id string) { s.buf = AppendID(s.buf, id) }

// Event queues an unnamed message; the pieces of data are joined.
func (s *Writer) Event(id string, data ...[]byte) { s.buf = AppendEvent(s.buf, "", id, data...) }

// Heartbeat queues the named event hb with the server's time.
func (s *Writer) Heartbeat(now time.Time) {
	data := fmt.Appendf(nil, `{"ts":%d}`, now.UnixMilli())
	s.buf = AppendEvent(s.buf, "hb", "", data)
}

// Flush sends what is queued and returns the number of bytes. The deadline is
// cleared afterwards: on HTTP/2 one that passes while nothing is written would
// still reset the stream.
func (s *Writer) Flush() (int, error) {
	if len(s.buf) == 0 {
		return 0, nil
	}
	n := len(s.buf)
	if err := s.rc.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := s.w.Write(s.buf); err != nil {
		return 0, fmt.Errorf("write stream: %w", err)
	}
	if err := s.rc.Flush(); err != nil {
		return 0, fmt.Errorf("flush stream: %w", err)
	}
	if err := s.rc.SetWriteDeadline(time.Time{}); err != nil {
		return 0, fmt.Errorf("clear write deadline: %w", err)
	}
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	} else {
		s.buf = s.buf[:0]
	}
	return n, nil
}
