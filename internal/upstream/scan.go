package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
)

// maxDepth bounds nesting; a chunk of a chat completion needs about six.
const maxDepth = 64

var errSyntax = errors.New("not JSON")

// chunk is what matters of one frame, as slices of the frame itself.
type chunk struct {
	// errValue is the value of a top-level error key that means one.
	errValue []byte
	model    []byte
	// choice says that there was a choice with index 0.
	choice    bool
	content   []byte // a string, an array of parts, or nil
	reasoning int    // bytes of reasoning text
	refusal   []byte
	tools     bool
	finish    []byte
	usage     []byte
}

// scan walks JSON without building values: a delta is relayed thousands of
// times a second, and nearly all of its bytes are not wanted.
type scan struct {
	b []byte
	i int
}

// scanChunk reads one JSON value from the start of b and returns how many
// bytes it took. A value that is not an object leaves c empty.
func scanChunk(b []byte, c *chunk) (int, error) {
	s := scan{b: b}
	s.space()
	if s.peek() != '{' {
		if err := s.value(0); err != nil {
			return 0, err
		}
		return s.i, nil
	}
	err := s.object(0, func(key []byte) error {
		switch string(key) {
		case "error":
			v, err := s.raw(1)
			if err == nil && present(v) {
				c.errValue = v
			}
			return err
		case "model":
			return s.take(&c.model)
		case "choices":
			if s.peek() != '[' {
				return s.value(1)
			}
			return s.array(1, func() error { return s.choice(c) })
		case "usage":
			return s.take(&c.usage)
		}
		return s.value(1)
	})
	return s.i, err
}

func (s *scan) choice(c *chunk) error {
	if s.peek() != '{' {
		return s.value(2)
	}
	var one chunk
	index := []byte("0")
	err := s.object(2, func(key []byte) error {
		switch string(key) {
		case "index":
			return s.take(&index)
		case "finish_reason":
			return s.take(&one.finish)
		case "delta", "message":
			if s.peek() != '{' {
				return s.value(3)
			}
			return s.object(3, func(key []byte) error { return s.delta(key, &one) })
		case "text":
			// The old completion shape; harmless where delta is there too.
			if one.content == nil {
				return s.take(&one.content)
			}
		}
		return s.value(3)
	})
	if err != nil || c.choice || (string(index) != "0" && string(index) != "null") {
		return err
	}
	c.choice, c.content, c.refusal, c.reasoning = true, one.content, one.refusal, one.reasoning
	c.tools, c.finish = one.tools, one.finish
	return nil
}

func (s *scan) delta(key []byte, c *chunk) error {
	switch string(key) {
	case "content":
		return s.take(&c.content)
	case "refusal":
		return s.take(&c.refusal)
	case "reasoning", "reasoning_content":
		var v []byte
		if err := s.take(&v); err != nil {
			return err
		}
		if len(v) > 2 {
			c.reasoning += len(v) - 2
		}
		return nil
	case "tool_calls":
		var v []byte
		if err := s.take(&v); err != nil {
			return err
		}
		c.tools = c.tools || len(v) > 2
		return nil
	}
	return s.value(4)
}

// take reads a value into dst; null leaves dst nil.
func (s *scan) take(dst *[]byte) error {
	v, err := s.raw(4)
	if err != nil {
		return err
	}
	if string(v) == "null" {
		v = nil
	}
	*dst = v
	return nil
}

func (s *scan) raw(depth int) ([]byte, error) {
	from := s.i
	err := s.value(depth)
	return s.b[from:s.i], err
}

func (s *scan) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scan) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// object visits each key of an object with s.i at its value; visit must move
// s.i behind the value.
func (s *scan) object(depth int, visit func(key []byte) error) error {
	if depth > maxDepth {
		return errSyntax
	}
	s.i++
	s.space()
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		from := s.i
		if err := s.str(); err != nil {
			return err
		}
		key := s.b[from+1 : s.i-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			// `"\u0065rror"` is error too.
			var k string
			if json.Unmarshal(s.b[from:s.i], &k) != nil {
				return errSyntax
			}
			key = []byte(k)
		}
		s.space()
		if s.peek() != ':' {
			return errSyntax
		}
		s.i++
		s.space()
		if err := visit(key); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
			s.space()
		case '}':
			s.i++
			return nil
		default:
			return errSyntax
		}
	}
}

func (s *scan) array(depth int, visit func() error) error {
	if depth > maxDepth {
		return errSyntax
	}
	s.i++
	s.space()
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := visit(); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
			s.space()
		case ']':
			s.i++
			return nil
		default:
			return errSyntax
		}
	}
}

// str moves behind a string.
func (s *scan) str() error {
	if s.peek() != '"' {
		return errSyntax
	}
	for j := s.i + 1; j < len(s.b); j++ {
		switch s.b[j] {
		case '"':
			s.i = j + 1
			return nil
		case '\\':
			j++
		}
	}
	return errSyntax
}

// value moves behind any value.
func (s *scan) value(depth int) error {
	switch c := s.peek(); {
	case c == '"':
		return s.str()
	case c == '{':
		return s.object(depth+1, func([]byte) error { return s.value(depth + 1) })
	case c == '[':
		return s.array(depth+1, func() error { return s.value(depth + 1) })
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case c == '-' || (c >= '0' && c <= '9'):
		for s.i++; s.i < len(s.b); s.i++ {
			switch c := s.b[s.i]; {
			case c >= '0' && c <= '9', c == '.', c == 'e', c == 'E', c == '+', c == '-':
			default:
				return nil
			}
		}
		return nil
	}
	return errSyntax
}

func (s *scan) literal(word string) error {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		return errSyntax
	}
	s.i += len(word)
	return nil
}
