// Package strictjson refuses JSON that two readers could understand in two
// ways.
package strictjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// Check accepts one JSON object in valid UTF-8 without NUL, half surrogates,
// duplicate or merely case-different keys, at most depth deep. encoding/json
// takes most of these silently, and each in its own way. what is the word for
// the text in messages; every error has the code bad_request.
func Check(what string, text []byte, depth int) error {
	sc := scanner{what: what, body: text, depth: depth}
	if !utf8.Valid(text) {
		return sc.bad("is not valid UTF-8")
	}
	if !json.Valid(text) {
		return sc.bad("is not one JSON value")
	}
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); trimmed[0] != '{' {
		return sc.bad("must be a JSON object")
	}
	return sc.run()
}

// scanner walks text that is known to be valid JSON.
type scanner struct {
	what       string
	body       []byte
	pos, depth int
	// keys holds the keys of each open object, nil for an array.
	keys []map[string]bool
}

func (s *scanner) bad(detail string) error {
	return fault.New(fault.BadRequest, "The "+s.what+" "+detail+".")
}

func (s *scanner) run() error {
	wantKey := false
	for s.pos < len(s.body) {
		switch c := s.body[s.pos]; c {
		case '{', '[':
			if len(s.keys) == s.depth {
				return s.bad("is nested too deeply")
			}
			var m map[string]bool
			if c == '{' {
				m = map[string]bool{}
			}
			s.keys = append(s.keys, m)
			wantKey = c == '{'
			s.pos++
		case '}', ']':
			s.keys = s.keys[:len(s.keys)-1]
			wantKey = false
			s.pos++
		case ',':
			wantKey = s.keys[len(s.keys)-1] != nil
			s.pos++
		case '"':
			raw, err := s.str()
			if err != nil {
				return err
			}
			if wantKey {
				if err := s.key(raw); err != nil {
					return err
				}
				wantKey = false
			}
		default:
			s.pos++
		}
	}
	return nil
}

func (s *scanner) key(raw []byte) error {
	var k string
	if err := json.Unmarshal(raw, &k); err != nil {
		return s.bad("is not one JSON value")
	}
	k = strings.ToLower(strings.ToUpper(k)) // folds what encoding/json folds, ſ and K too
	m := s.keys[len(s.keys)-1]
	if m[k] {
		return s.bad("has the same key twice")
	}
	m[k] = true
	return nil
}

// str passes over a string and returns it with its quotes.
func (s *scanner) str() ([]byte, error) {
	start := s.pos
	s.pos++
	for {
		switch s.body[s.pos] {
		case '"':
			s.pos++
			return s.body[start:s.pos], nil
		case '\\':
			if s.body[s.pos+1] != 'u' {
				s.pos += 2
				continue
			}
			u := s.hex(s.pos + 2)
			s.pos += 6
			switch {
			case u == 0:
				return nil, s.bad("holds a NUL character")
			case u >= 0xDC00 && u < 0xE000:
				return nil, s.bad("holds half a character")
			case u >= 0xD800 && u < 0xDC00:
				if s.body[s.pos] != '\\' || s.body[s.pos+1] != 'u' {
					return nil, s.bad("holds half a character")
				}
				if low := s.hex(s.pos + 2); low < 0xDC00 || low >= 0xE000 {
					return nil, s.bad("holds half a character")
				}
				s.pos += 6
			}
		default:
			s.pos++
		}
	}
}

func (s *scanner) hex(at int) uint64 {
	u, _ := strconv.ParseUint(string(s.body[at:at+4]), 16, 32) // known to be four hex digits
	return u
}
