package fake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// answer is the full answer to a request, cut at its cap.
func answer(name modelName, q *chatRequest, history []message) (full string, capped bool) {
	if name.base == "obedient" {
		return obedient(name, q, history)
	}
	switch {
	case q.ResponseFormat.Type == "json_schema" && q.ResponseFormat.JSONSchema.Name == "scenario":
		full = scenarioText(history)
	case q.ResponseFormat.Type == "json_schema":
		full = instance(q.ResponseFormat.JSONSchema.Schema)
	case q.ResponseFormat.Type == "json_object":
		full = jsonFor(history)
	case name.base == "checkable":
		n := name.count
		if n == 0 {
			n = q.limit()
		}
		if n == 0 {
			n = 50
		}
		return Checkable(tagOf(history), min(n, 1_000_000)), false
	case name.base == "stamped":
		return Checkable(noStamp, name.count), false
	default:
		full = partnerLine(history)
	}
	if limit := q.limit(); limit > 0 {
		at := 0
		for n := 0; n < limit && at < len(full); n++ {
			at += tokenLen(full[at:])
		}
		return full[:at], at < len(full)
	}
	return full, false
}

// Checkable is the text of a checkable answer: n tokens "<tag>.<index> ",
// indexes from 0.
func Checkable(tag string, n int) string {
	var b strings.Builder
	b.Grow(n * (len(tag) + 5))
	for i := range n {
		b.WriteString(tag)
		b.WriteByte('.')
		b.WriteString(strconv.Itoa(i))
		b.WriteByte(' ')
	}
	return b.String()
}

// noStamp stands where a stamped token gets its time: microseconds since 1970
// in so many digits.
const noStamp = "0000000000000000"

// stampToken puts the time at into a token of a stamped answer.
func stampToken(token string, at time.Time) string {
	rest, ok := strings.CutPrefix(token, noStamp)
	if !ok {
		return token
	}
	return fmt.Sprintf("%0*d", len(noStamp), at.UnixMicro()) + rest
}

// ownTag lets a test choose its tag however a prompt wraps the message.
var ownTag = regexp.MustCompile(`\[tag ([A-Za-z0-9_-]{1,32})\]`)

// Tag is the tag of a user message: what it names as [tag …], else a hash.
func Tag(text string) string {
	if m := ownTag.FindAllStringSubmatch(text, -1); m != nil {
		return m[len(m)-1][1]
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

func tagOf(history []message) string { return Tag(lastUser(history)) }

// hashMessages is the seed of everything that looks like chance.
func hashMessages(history []message) uint64 {
	h := fnv.New64a()
	for _, m := range history {
		_, _ = h.Write([]byte(m.Role))
		_, _ = h.Write([]byte{0})
		_, _ = h.Write([]byte(m.Content))
		_, _ = h.Write([]byte{0})
	}
	return mix(h.Sum64())
}

// mix spreads the bits of a seed.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// pick chooses one of list by the seed.
func pick[T any](seed uint64, list []T) T { return list[seed%uint64(len(list))] }

// tokenLen is the length of the next token of s: white space with the word
// behind it, at most some letters long, or a run of signs. It never cuts a
// character. A checkable token is "<tag>.<index> ".
func tokenLen(s string) int {
	if n := checkableToken(s); n > 0 {
		return n
	}
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] == '\n') {
		i++
	}
	word := false
	for n := 0; i < len(s); n++ {
		r, w := utf8.DecodeRuneInString(s[i:])
		isWord := unicode.IsLetter(r) || unicode.IsDigit(r) || r == '\''
		if n == 0 {
			word = isWord
		} else if isWord != word || r == ' ' || r == '\n' || (word && n >= 10) || (!word && n >= 3) {
			break
		}
		i += w
	}
	return max(i, min(1, len(s)))
}

// checkableToken is the length of a "<tag>.<index> " at the start of s, which
// may be what is left of one, 0 if there is none.
func checkableToken(s string) int {
	dot := false
	for i := 0; i < len(s) && i < 48; i++ {
		switch c := s[i]; {
		case c == ' ':
			if dot && i > 1 && s[i-1] >= '0' && s[i-1] <= '9' {
				return i + 1
			}
			return 0
		case c == '.':
			if dot {
				return 0
			}
			dot = true
		case c >= '0' && c <= '9', !dot && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-'):
		default:
			return 0
		}
	}
	return 0
}

func countTokens(s string) int {
	n := 0
	for s != "" {
		s = s[tokenLen(s):]
		n++
	}
	return n
}

// fresh goes on behind a partial answer that is none of ours.
func fresh(partial string) string {
	trimmed := strings.TrimSpace(partial)
	seed := hashMessages([]message{{Role: "assistant", Content: partial}})
	switch {
	case strings.HasPrefix(trimmed, "{"):
		return closeJSON(partial)
	case trimmed == "" || strings.ContainsRune(".!?", rune(trimmed[len(trimmed)-1])):
		sep := " "
		if trimmed == "" || trimmed != partial {
			sep = ""
		}
		return sep + pick(seed, []string{
			"What do you think about that?", "Does that sound right to you?", "How does that look from your side?",
		})
	}
	return pick(seed, []string{", and then we can decide together.", ", if that works for you.", ", so let us take it step by step."})
}
