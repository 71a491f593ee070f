package resilience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Verdict says what an error means for the next try.
type Verdict struct {
	// Transient: the same call may succeed later.
	Transient bool
	// Unsent: the other side surely did not get it.
	Unsent bool
	// Busy: the other side is well and asks for patience; no breaker counts it.
	Busy bool
	// RetryAfter is what the other side asked for, negative for nothing.
	RetryAfter time.Duration
}

var permanent = Verdict{RetryAfter: -1}

// Default judges the errors of the standard library: what never connected,
// broke off or timed out is transient, a mail server's 4xx too; so is a
// *Status by its code. Everything else is permanent.
func Default(err error) Verdict {
	var s *Status
	if errors.As(err, &s) {
		return s.verdict()
	}
	var smtp *textproto.Error
	if errors.As(err, &smtp) {
		// RFC 5321: 4xx was refused for now, so nothing was taken over.
		return Verdict{Transient: smtp.Code >= 400 && smtp.Code < 500, Unsent: true, Busy: smtp.Code == 450 || smtp.Code == 452, RetryAfter: -1}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return Verdict{Transient: true, Unsent: op.Op == "dial", RetryAfter: -1}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return permanent
	case errors.As(err, &timeout) && timeout.Timeout(),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Verdict{Transient: true, RetryAfter: -1}
	}
	return permanent
}

// Status is an HTTP answer that is no success. It holds no word of the body:
// others' texts quote what they were sent.
type Status struct {
	Code int
	// RetryAfter is the header's advice, negative for none.
	RetryAfter time.Duration
}

// NewStatus is the answer as an error.
func NewStatus(resp *http.Response) *Status {
	return &Status{Code: resp.StatusCode, RetryAfter: RetryAfter(resp.Header, time.Now())}
}

// Error implements error.
func (s *Status) Error() string { return fmt.Sprintf("HTTP status %d", s.Code) }

func (s *Status) verdict() Verdict {
	v := Verdict{RetryAfter: s.RetryAfter}
	switch s.Code {
	case http.StatusTooManyRequests, http.StatusTooEarly:
		v.Transient, v.Unsent, v.Busy = true, true, true
	case http.StatusServiceUnavailable:
		// With Retry-After it says by contract that nothing was done.
		v.Transient, v.Unsent = true, s.RetryAfter >= 0
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		v.Transient = true
	default:
		v.Transient = s.Code > 505 // 501 and 505 say what the server will never do
	}
	return v
}

// longestAdvice keeps a slip of the other side from stopping us for a year.
const longestAdvice = 24 * time.Hour

// RetryAfter reads Retry-After in its three spellings (retry-after-ms,
// seconds, a date) as a wait between 0 and a day; -1 without usable advice.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	read := func(name string, unit time.Duration) (time.Duration, bool) {
		f, err := strconv.ParseFloat(strings.TrimSpace(h.Get(name)), 64)
		if err != nil || f != f {
			return 0, false
		}
		return time.Duration(min(max(f, 0), float64(longestAdvice/unit)) * float64(unit)), true
	}
	if d, ok := read("Retry-After-Ms", time.Millisecond); ok {
		return d
	}
	if d, ok := read("Retry-After", time.Second); ok {
		return d
	}
	if at, err := http.ParseTime(strings.TrimSpace(h.Get("Retry-After"))); err == nil {
		return min(max(at.Sub(now), 0), longestAdvice)
	}
	return -1
}
