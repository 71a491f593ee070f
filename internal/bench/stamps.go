package bench

import (
	"bytes"
	"time"
)

// stampDigits is how many digits of microseconds begin a stamped token.
const stampDigits = 16

// stamps follows one stream of stamped tokens "<time>.<index> ", cut anywhere.
// It belongs to the goroutine that reads the stream.
type stamps struct {
	stamp  int64
	index  int
	digits int
	inside bool // behind the dot

	// next is the index that should come next.
	next int
	// lost counts indexes that were skipped, doubled those that came again,
	// broken bytes that fit no token.
	lost, doubled, broken int
	// record takes each token's delay at the moment its stamp is complete.
	record func(delay time.Duration)
}

// reset begins a new answer.
func (s *stamps) reset() { *s = stamps{record: s.record} }

// feed takes text that arrived at now (microseconds since 1970).
func (s *stamps) feed(text []byte, now int64) {
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9' && !s.inside:
			s.stamp = s.stamp*10 + int64(c-'0')
			s.digits++
		case c >= '0' && c <= '9':
			s.index = s.index*10 + int(c-'0')
		case c == '.' && !s.inside && s.digits == stampDigits:
			s.inside = true
			if s.record != nil {
				s.record(time.Duration(now-s.stamp) * time.Microsecond)
			}
		case c == ' ' && s.inside:
			switch {
			case s.index < s.next:
				s.doubled++
			default:
				s.lost += s.index - s.next
				s.next = s.index + 1
			}
			s.stamp, s.digits, s.index, s.inside = 0, 0, 0, false
		default:
			s.broken++
		}
	}
}

var (
	deltaMark = []byte(`.delta","run"`)
	textMark  = []byte(`"text":"`)
	endMark   = []byte(`.completed","run"`)
	failMark  = []byte(`.failed","run"`)
	pingMark  = []byte(`{"t":"ping"`)
)

// feedFrame takes the deltas of an event frame, without decoding it: stamped
// text holds nothing that JSON escapes.
func (s *stamps) feedFrame(frame []byte, now int64) {
	for {
		i := bytes.Index(frame, deltaMark)
		if i < 0 {
			return
		}
		frame = frame[i+len(deltaMark):]
		if i = bytes.Index(frame, textMark); i < 0 {
			return
		}
		frame = frame[i+len(textMark):]
		if i = bytes.IndexByte(frame, '"'); i < 0 {
			return
		}
		s.feed(frame[:i], now)
		frame = frame[i:]
	}
}
