package openai

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

// maxOverlap is how far back a repetition of kept text is looked for, in
// characters.
const maxOverlap = 200

// joint puts the text of a model that was asked in words to go on behind the
// kept text: it holds the beginning back until it is clear how much of it the
// viewers have already, and cuts that.
type joint struct {
	kept    string
	tail    string // the last maxOverlap characters of kept
	schema  bool   // kept is JSON: spaces matter less, a second object is an error
	held    strings.Builder
	settled bool
}

func newJoint(kept string, schema bool) *joint {
	return &joint{kept: kept, tail: lastRunes(kept, maxOverlap), schema: schema}
}

// add takes the next piece and returns what can be shown. It fails when the
// model has begun the whole answer anew and said something else.
func (j *joint) add(piece string) (string, error) {
	if j.settled {
		return piece, nil
	}
	j.held.WriteString(piece)
	return j.settle(false)
}

// flush returns what is still held when the answer is complete.
func (j *joint) flush() (string, error) {
	if j.settled {
		return "", nil
	}
	return j.settle(true)
}

func (j *joint) settle(last bool) (string, error) {
	b := j.held.String()
	if b == "" {
		return "", nil
	}
	if len(b) <= len(j.kept) && !last && strings.HasPrefix(j.kept, b) {
		return "", nil // may be the whole answer from its beginning
	}
	if !last {
		for i := range j.tail {
			if len(j.tail)-i > len(b) && strings.HasPrefix(j.tail[i:], b) {
				return "", nil // a longer overlap may still come
			}
		}
	}
	j.settled = true
	if len(j.kept) >= minRestart {
		if strings.HasPrefix(b, j.kept) {
			return b[len(j.kept):], nil
		}
		if strings.HasPrefix(b, firstRunes(j.kept, minRestart)) {
			return "", upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "began_anew", RetryAfter: -1})
		}
	}
	if n := j.overlap(b); n > 0 {
		return b[n:], nil
	}
	return j.space(b) + b, nil
}

// minRestart is how much of the beginning must come again to count as one.
const minRestart = 24

// overlap returns the length of the longest repetition of kept text at the
// start of b. Short ones count only from the beginning of a word: "nee" + "ed"
// share a letter by chance, "the dea" + "deadline" do not.
func (j *joint) overlap(b string) int {
	for i := range j.tail {
		s := j.tail[i:]
		if !strings.HasPrefix(b, s) {
			continue
		}
		n := utf8.RuneCountInString(s)
		if n >= 8 || (n >= 3 && j.wordStart(i)) {
			return len(s)
		}
	}
	return 0
}

// wordStart says whether a word of kept begins at tail[i:].
func (j *joint) wordStart(i int) bool {
	at := len(j.kept) - len(j.tail) + i
	here, _ := utf8.DecodeRuneInString(j.kept[at:])
	if at == 0 || !wordRune(here) {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(j.kept[:at])
	return !wordRune(before)
}

// space returns the space that a model leaves out at the start of a message
// although its text goes on in mid-sentence.
func (j *joint) space(b string) string {
	if j.schema {
		return ""
	}
	l, _ := utf8.DecodeLastRuneInString(j.kept)
	f, _ := utf8.DecodeRuneInString(b)
	if (wordRune(l) || strings.ContainsRune(".,;:!?", l)) && wordRune(f) && spaced(l) && spaced(f) {
		return " "
	}
	return ""
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '\'' }

// spaced is false for scripts that put no spaces between words.
func spaced(r rune) bool {
	return !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer)
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
