package upstream

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// joiner turns JSON strings of consecutive deltas into valid UTF-8. Servers
// that stream raw tokens cut characters in two, as bytes or as halves of a
// surrogate pair; what is cut waits here for its other half.
type joiner struct {
	tail [utf8.UTFMax]byte
	n    int
	high rune
	buf  []byte
}

// clean reports whether a JSON string can go through as it is.
func (j *joiner) clean(raw []byte) bool {
	if j.n != 0 || j.high != 0 {
		return false
	}
	ascii := true
	for _, c := range raw {
		if c == '\\' || c < 0x20 {
			return false
		}
		if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	return ascii || utf8.Valid(raw)
}

// join appends the text of the JSON string raw (with its quotes) to what
// waits, and returns what is whole. The result holds until the next call.
func (j *joiner) join(raw []byte) []byte {
	b := append(j.buf[:0], j.tail[:j.n]...)
	j.n = 0
	s := raw[1 : len(raw)-1]
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			b = j.loneHigh(b)
			b = append(b, c)
			i++
			continue
		}
		if i+1 >= len(s) {
			break
		}
		if s[i+1] == 'u' && i+6 <= len(s) {
			v, err := strconv.ParseUint(string(s[i+2:i+6]), 16, 32)
			i += 6
			if err != nil {
				v = utf8.RuneError
			}
			b = j.unit(b, rune(v))
			continue
		}
		b = j.loneHigh(b)
		b = append(b, unescape(s[i+1]))
		i += 2
	}
	j.buf = b
	return j.hold(b)
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return c
}

// unit adds one \uXXXX, pairing surrogates across calls.
func (j *joiner) unit(b []byte, r rune) []byte {
	if j.high != 0 {
		if whole := utf16.DecodeRune(j.high, r); whole != utf8.RuneError {
			j.high = 0
			return utf8.AppendRune(b, whole)
		}
		b = j.loneHigh(b)
	}
	if r >= 0xD800 && r < 0xDC00 {
		j.high = r
		return b
	}
	return utf8.AppendRune(b, r) // a lone low half becomes U+FFFD
}

func (j *joiner) loneHigh(b []byte) []byte {
	if j.high == 0 {
		return b
	}
	j.high = 0
	return utf8.AppendRune(b, utf8.RuneError)
}

// hold keeps an unfinished character at the end of b back, replaces broken
// bytes before it, and drops NUL, which PostgreSQL cannot store.
func (j *joiner) hold(b []byte) []byte {
	for k := 1; k < utf8.UTFMax && k <= len(b); k++ {
		if c := b[len(b)-k]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-k:]) {
				j.n = copy(j.tail[:], b[len(b)-k:])
				b = b[:len(b)-k]
			}
			break
		}
	}
	good := utf8.Valid(b)
	for _, c := range b {
		good = good && c != 0
	}
	if good {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r != 0 {
			out = utf8.AppendRune(out, r)
		}
		b = b[n:]
	}
	return out
}

// appendString appends b, valid UTF-8, as a JSON string.
func appendString(out, b []byte) []byte {
	out = append(out, '"')
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c < 0x20:
			const hex = "0123456789abcdef"
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// parts joins the text of a content that is a list of parts.
func parts(raw []byte) (string, bool) {
	var list []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return "", false
	}
	var s string
	for _, p := range list {
		s += p.Text
	}
	return s, true
}
