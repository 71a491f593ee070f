package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// stream is the body that go-openai reads: frames in, canonical frames out.
// One goroutine reads and closes it.
type stream struct {
	call    *Call
	src     io.ReadCloser
	ctx     context.Context // ends with the cause of a clock or of the caller
	parent  context.Context
	clocks  *clocks
	secrets []string
	maxLine int
	maxBody int

	in     []byte // raw bytes, in[r:w] unread
	r, w   int
	total  int
	skipLF bool // the last line ended with CR; an LF belongs to it
	begun  bool

	data  []byte // data lines of the event being read
	lines int
	event []byte

	text joiner
	out  []byte
	pos  int
	err  error // what Read returns once out is empty
	eof  bool  // src said io.EOF
	told bool  // the model name was passed on
}

// Read implements io.Reader; its errors are *fault.Error, or the cause of the
// caller's context, or io.EOF for a complete answer only.
func (s *stream) Read(p []byte) (int, error) {
	for s.pos == len(s.out) {
		if s.err != nil {
			return 0, s.err
		}
		s.out, s.pos = s.out[:0], 0
		s.fill()
	}
	n := copy(p, s.out[s.pos:])
	s.pos += n
	return n, nil
}

// Close ends the request. After a complete answer it waits a moment for the
// end of the body, so that the connection can be used again.
func (s *stream) Close() error {
	if s.err == nil {
		s.call.End = EndCancelled
		s.err = context.Canceled
	}
	if errors.Is(s.err, io.EOF) && !s.eof && s.parent.Err() == nil {
		s.clocks.arm(clockTail, 20*time.Millisecond)
		_, _ = io.CopyN(io.Discard, s.src, 4<<10)
	}
	err := s.src.Close()
	s.clocks.stop()
	return err
}

// fill reads once and handles every whole line that is there.
func (s *stream) fill() {
	if s.w == len(s.in) {
		s.grow()
	}
	s.clocks.resume()
	n, err := s.src.Read(s.in[s.w:])
	s.clocks.pause()
	s.w += n
	s.total += n
	if s.total > s.maxBody {
		s.fail(broken(fault.UpstreamInvalid, "body_too_large", false), EndInvalid)
		return
	}
	s.split()
	if s.err != nil || err == nil {
		return
	}
	if err == io.EOF {
		s.eof = true
		s.end()
		return
	}
	s.lost(err)
}

// grow makes room at the end of the buffer: by moving, else by doubling.
func (s *stream) grow() {
	if s.r > 0 {
		s.w = copy(s.in, s.in[s.r:s.w])
		s.r = 0
		if s.w < len(s.in) {
			return
		}
	}
	next := make([]byte, max(4<<10, 2*len(s.in)))
	copy(next, s.in[:s.w])
	s.in = next
}

// split cuts lines at LF, CR and CRLF, as the standard has it.
func (s *stream) split() {
	for s.err == nil {
		if s.skipLF && s.r < s.w {
			s.skipLF = false
			if s.in[s.r] == '\n' {
				s.r++
			}
		}
		rest := s.in[s.r:s.w]
		n := bytes.IndexByte(rest, '\n')
		if cr := bytes.IndexByte(rest[:max(n, 0)], '\r'); n >= 0 && cr >= 0 {
			n = cr
		} else if n < 0 {
			n = bytes.IndexByte(rest, '\r')
		}
		if n < 0 {
			if len(rest) > s.maxLine {
				s.fail(broken(fault.UpstreamInvalid, "line_too_long", false), EndInvalid)
			}
			if s.r == s.w {
				s.r, s.w = 0, 0
			}
			return
		}
		if n > s.maxLine {
			s.fail(broken(fault.UpstreamInvalid, "line_too_long", false), EndInvalid)
			return
		}
		s.skipLF = rest[n] == '\r'
		s.r += n + 1
		s.line(rest[:n])
	}
}

func (s *stream) line(l []byte) {
	if !s.begun {
		s.begun = true
		l = bytes.TrimPrefix(l, []byte("\xef\xbb\xbf"))
	}
	if len(l) == 0 {
		s.dispatch()
		return
	}
	if l[0] == ':' {
		s.call.Comments++
		s.clocks.comment()
		return
	}
	if c := l[0]; c == '{' || c == '<' {
		// No field at all: a JSON error or an HTML page under a wrong label.
		s.dispatch()
		if s.err == nil {
			s.data = append(s.data[:0], l...)
			s.lines = 1
			s.dispatch()
		}
		return
	}
	name, value, _ := bytes.Cut(l, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		s.addData(value)
	case "event":
		s.event = append(s.event[:0], value...)
	}
}

// addData joins the data lines of one event. Some servers leave out the blank
// line between events; then what is there already is a whole value by itself.
func (s *stream) addData(value []byte) {
	if s.lines > 0 {
		var c chunk
		if n, err := scanChunk(s.data, &c); string(s.data) == "[DONE]" || err == nil && len(bytes.TrimSpace(s.data[n:])) == 0 {
			s.dispatch()
			if s.err != nil {
				return
			}
		} else {
			s.data = append(s.data, '\n')
		}
	}
	s.data = append(s.data, value...)
	s.lines++
	if len(s.data) > s.maxLine {
		s.fail(broken(fault.UpstreamInvalid, "event_too_long", false), EndInvalid)
	}
}

// dispatch handles the event that has been collected, if any.
func (s *stream) dispatch() {
	isError := string(s.event) == "error"
	s.event = s.event[:0]
	data := bytes.TrimSpace(s.data)
	had := s.lines > 0
	s.data, s.lines = s.data[:0], 0
	switch {
	case isError:
		s.fail(errorFrom(data, s.newError("event"), s.secrets), EndError)
	case !had || len(data) == 0:
	case string(data) == "[DONE]":
		s.done()
	case data[0] == '<':
		s.fail(broken(fault.UpstreamInvalid, "html", true), EndInvalid)
	default:
		s.frame(data)
	}
}

func (s *stream) frame(data []byte) {
	for s.err == nil && len(data) > 0 {
		if string(data) == "[DONE]" {
			s.done()
			return
		}
		var c chunk
		n, err := scanChunk(data, &c)
		if err != nil {
			s.fail(broken(fault.UpstreamInvalid, "bad_json", true), EndInvalid)
			return
		}
		s.call.Frames++
		if c.errValue != nil {
			s.fail(errorFrom(data[:n], s.newError("frame"), s.secrets), EndError)
			return
		}
		s.emit(&c)
		data = bytes.TrimSpace(data[n:])
	}
}

// emit writes what matters of a chunk as a frame of our own.
func (s *stream) emit(c *chunk) {
	content, ok := s.contentOf(c.content)
	if !ok {
		s.fail(broken(fault.UpstreamInvalid, "content_type", false), EndInvalid)
		return
	}
	if c.model != nil && s.call.Model == "" {
		_ = json.Unmarshal(c.model, &s.call.Model)
	}
	refusal := c.refusal
	if len(refusal) <= 2 || refusal[0] != '"' {
		refusal = nil
	}
	s.call.ReasoningBytes += c.reasoning
	s.call.Refused = s.call.Refused || refusal != nil
	if content != nil || refusal != nil || c.reasoning > 0 || c.tools {
		s.clocks.content()
	}
	if content != nil {
		if s.call.FirstContent.IsZero() {
			s.call.FirstContent = time.Now()
		}
		if s.call.Finish != "" {
			// Text behind the finish is not part of the answer.
			content = nil
		}
	}
	finish := c.finish
	if len(finish) <= 2 || finish[0] != '"' || s.call.Finish != "" {
		finish = nil
	} else {
		_ = json.Unmarshal(finish, &s.call.Finish)
		s.clocks.finish()
		if s.call.Finish == "error" {
			s.fail(broken(fault.UpstreamUnavailable, "finish_error", true), EndError)
			return
		}
	}
	usage := s.usageOf(c.usage)
	if content == nil && refusal == nil && finish == nil && usage == nil {
		return
	}
	o := append(s.out, "data: {"...)
	if !s.told && s.call.Model != "" {
		s.told = true
		o = append(o, `"model":`...)
		o = appendString(o, bytes.ToValidUTF8([]byte(s.call.Model), nil))
		o = append(o, ',')
	}
	o = append(o, `"choices":[`...)
	if content != nil || refusal != nil || finish != nil {
		o = append(o, `{"index":0,"delta":{`...)
		if content != nil {
			o = append(append(o, `"content":`...), content...)
		}
		if refusal != nil {
			if content != nil {
				o = append(o, ',')
			}
			o = append(o, `"refusal":"refused"`...)
		}
		o = append(o, '}')
		if finish != nil {
			o = append(o, `,"finish_reason":`...)
			o = appendString(o, bytes.ToValidUTF8([]byte(s.call.Finish), nil))
		}
		o = append(o, '}')
	}
	o = append(o, ']')
	o = append(o, usage...)
	s.out = append(o, "}\n\n"...)
}

// contentOf returns the content as a JSON string, nil when there is none yet.
func (s *stream) contentOf(raw []byte) ([]byte, bool) {
	if raw == nil {
		return nil, true
	}
	if raw[0] == '[' {
		t, ok := parts(raw)
		if !ok || t == "" {
			return nil, ok
		}
		s.call.ContentBytes += len(t)
		return appendString(nil, s.text.hold([]byte(t))), true
	}
	if raw[0] != '"' {
		return nil, false
	}
	if len(raw) == 2 {
		return nil, true
	}
	if s.text.clean(raw) {
		s.call.ContentBytes += len(raw) - 2
		return raw, true
	}
	t := s.text.join(raw)
	if len(t) == 0 {
		return nil, true
	}
	s.call.ContentBytes += len(t)
	return appendString(nil, t), true
}

// usageOf keeps the two counts that every server spells alike.
func (s *stream) usageOf(raw []byte) []byte {
	if raw == nil || raw[0] != '{' {
		return nil
	}
	var u struct {
		Prompt     float64 `json:"prompt_tokens"`
		Completion float64 `json:"completion_tokens"`
	}
	if json.Unmarshal(raw, &u) != nil || u.Prompt < 0 || u.Completion < 0 || u.Prompt > 1e9 || u.Completion > 1e9 {
		return nil
	}
	b, err := json.Marshal(map[string]int{"prompt_tokens": int(u.Prompt), "completion_tokens": int(u.Completion)})
	if err != nil {
		return nil
	}
	return append([]byte(`,"usage":`), b...)
}

func (s *stream) newError(kind string) *Error {
	return &Error{Kind: kind, RequestID: s.call.RequestID, RetryAfter: -1}
}

// done handles the done marker.
func (s *stream) done() {
	if s.call.Finish == "" {
		s.fail(broken(fault.UpstreamTruncated, "done_without_finish", true), EndTruncated)
		return
	}
	s.complete(EndDone)
}

// end handles the end of the body.
func (s *stream) end() {
	if rest := s.in[s.r:s.w]; len(rest) > 0 {
		s.r = s.w
		s.line(rest)
	}
	if s.err == nil && (s.lines > 0 || len(s.event) > 0) {
		var c chunk
		if n, err := scanChunk(s.data, &c); string(bytes.TrimSpace(s.data)) == "[DONE]" || string(s.event) == "error" ||
			err == nil && len(bytes.TrimSpace(s.data[n:])) == 0 {
			s.dispatch()
		}
	}
	switch {
	case s.err != nil:
	case s.call.Finish != "":
		s.complete(EndFinish)
	case s.call.Frames == 0:
		s.fail(broken(fault.UpstreamInvalid, "no_events", true), EndInvalid)
	default:
		s.fail(broken(fault.UpstreamTruncated, "cut", true), EndTruncated)
	}
}

// lost handles a read that failed: a clock, the caller, or the network.
func (s *stream) lost(err error) {
	if s.parent.Err() != nil {
		s.fail(context.Cause(s.parent), EndCancelled)
		return
	}
	if cause := context.Cause(s.ctx); cause != nil {
		if s.call.Finish != "" {
			s.complete(EndFinish)
			return
		}
		s.fail(cause, EndTimeout)
		return
	}
	if s.call.Finish != "" {
		s.complete(EndFinish)
		return
	}
	_ = err // its text may name addresses; what matters is that it broke
	if errors.Is(err, io.ErrUnexpectedEOF) {
		s.fail(broken(fault.UpstreamTruncated, "cut", true), EndTruncated)
		return
	}
	s.fail(broken(fault.UpstreamTruncated, "reset", true), EndTruncated)
}

func (s *stream) complete(end End) {
	s.out = append(s.out, "data: [DONE]\n\n"...)
	s.call.End = end
	s.err = io.EOF
}

func (s *stream) fail(err error, end End) {
	if s.err == nil {
		s.call.End = end
		s.err = err
	}
}
