package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// maxDepth bounds the nesting of a JSON body.
const maxDepth = 16

// strictBody reads the body of an unsafe method within its limits of size and
// time and lets only JSON pass that every reader understands alike. What comes
// behind reads it from memory.
func (s *Server) strictBody(c *gin.Context) {
	r := c.Request
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Body == nil {
		return
	}
	body, err := s.readBody(c.Writer, r, s.deps.MaxBody)
	if err == nil && len(body) > 0 {
		if err = checkMedia(r.Header); err == nil {
			err = checkJSON(body, maxDepth)
		}
	}
	if err != nil {
		c.Abort()
		s.refuse(c, err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
}

func (s *Server) readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	tooLarge := fault.Newf(fault.TooLarge, "The body may have at most %d bytes.", most)
	if r.ContentLength > most {
		w.Header().Set("Connection", "close") // nobody reads the rest
		return nil, tooLarge
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(s.deps.BodyTimeout)) // not supported by test recorders
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	_ = rc.SetReadDeadline(time.Time{})
	var tooMany *http.MaxBytesError
	switch {
	case errors.As(err, &tooMany):
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, fault.Wrap(err, fault.BadRequest, "The body did not arrive whole.")
	}
	return body, nil
}

// checkMedia wants exactly one Content-Type, JSON in UTF-8, not compressed.
func checkMedia(h http.Header) error {
	bad := fault.New(fault.UnsupportedMedia, "Send one Content-Type, application/json in UTF-8, without Content-Encoding.")
	if len(h.Values("Content-Type")) != 1 {
		return bad
	}
	mt, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mt != "application/json" {
		return bad
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return bad
	}
	if ce := h.Get("Content-Encoding"); ce != "" && !strings.EqualFold(ce, "identity") {
		return bad
	}
	return nil
}

func badJSON(detail string) error { return fault.New(fault.BadRequest, detail) }

// checkJSON accepts one JSON object in valid UTF-8 without NUL, half
// surrogates, duplicate or merely case-different keys, at most depth deep.
// encoding/json accepts most of these silently.
func checkJSON(body []byte, depth int) error {
	if !utf8.Valid(body) {
		return badJSON("The body is not valid UTF-8.")
	}
	if !json.Valid(body) {
		return badJSON("The body is not one JSON value.")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); trimmed[0] != '{' {
		return badJSON("The body must be a JSON object.")
	}
	sc := scanner{body: body, depth: depth}
	return sc.run()
}

// scanner walks text that is known to be valid JSON.
type scanner struct {
	body       []byte
	pos, depth int
	// keys holds the keys of each open object, nil for an array.
	keys []map[string]bool
}

func (s *scanner) run() error {
	wantKey := false
	for s.pos < len(s.body) {
		switch c := s.body[s.pos]; c {
		case '{', '[':
			if len(s.keys) == s.depth {
				return badJSON("The body is nested too deeply.")
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
		return badJSON("The body is not one JSON value.")
	}
	k = strings.ToLower(strings.ToUpper(k)) // folds what encoding/json folds, ſ and K too
	m := s.keys[len(s.keys)-1]
	if m[k] {
		return badJSON("The body has the same key twice.")
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
				return nil, badJSON("The body holds a NUL character.")
			case u >= 0xDC00 && u < 0xE000:
				return nil, badJSON("The body holds half a character.")
			case u >= 0xD800 && u < 0xDC00:
				if s.body[s.pos] != '\\' || s.body[s.pos+1] != 'u' {
					return nil, badJSON("The body holds half a character.")
				}
				if low := s.hex(s.pos + 2); low < 0xDC00 || low >= 0xE000 {
					return nil, badJSON("The body holds half a character.")
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
