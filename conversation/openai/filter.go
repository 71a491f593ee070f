package openai

import (
	"encoding/json"
	"strings"
)

// think takes a leading <think> block out of the text, for servers that do not
// parse the reasoning of their models. Only what stands before the first word
// of the answer counts: later it may be the partner's own words.
type think struct {
	held   strings.Builder
	inside bool
	open   string
	over   bool // the block has ended, the answer has not begun
	done   bool
	// bytes counts what was taken out.
	bytes int
}

var thinkTags = [...]string{"<think>", "<thinking>", "<thought>", "<reasoning>"}

// add takes the next piece and returns what is answer.
func (t *think) add(piece string) string {
	switch {
	case t.done:
		return piece
	case t.over:
		return t.space(piece)
	}
	t.held.WriteString(piece)
	b := t.held.String()
	if !t.inside {
		lead := strings.TrimLeft(b, " \r\n\t")
		for _, tag := range thinkTags {
			if strings.HasPrefix(lead, tag) {
				t.inside, t.open = true, tag
			} else if strings.HasPrefix(tag, lead) {
				return "" // may become one
			}
		}
		if !t.inside {
			t.done = true
			return b
		}
	}
	end := "</" + t.open[1:]
	at := strings.Index(b, end)
	if at < 0 {
		// Only the end may still be part of the closing tag.
		if cut := len(b) - len(end); cut > len(t.open) {
			t.bytes += cut
			t.held.Reset()
			t.held.WriteString(b[cut:])
		}
		return ""
	}
	t.bytes += at + len(end)
	t.inside, t.over = false, true
	t.held.Reset()
	return t.space(b[at+len(end):])
}

// space drops the white space between the block and the answer.
func (t *think) space(piece string) string {
	rest := strings.TrimLeft(piece, " \r\n\t")
	t.done = rest != ""
	return rest
}

// flush returns what was held back when the answer is complete.
func (t *think) flush() string {
	if t.done || t.inside || t.over {
		return ""
	}
	t.done = true
	return t.held.String()
}

// fence lets one JSON object through: not the fence and the words that models
// without structured output put around it.
type fence struct {
	depth    int
	begun    bool
	ended    bool
	inString bool
	escaped  bool
}

// add takes the next piece and returns the part of it that is in the object.
func (f *fence) add(piece string) string {
	if f.ended {
		return ""
	}
	from := 0
	if !f.begun {
		if from = strings.IndexByte(piece, '{'); from < 0 {
			return ""
		}
		f.begun = true
	}
	for i := from; i < len(piece); i++ {
		c := piece[i]
		switch {
		case f.escaped:
			f.escaped = false
		case f.inString:
			f.escaped, f.inString = c == '\\', c != '"'
		case c == '"':
			f.inString = true
		case c == '{' || c == '[':
			f.depth++
		case c == '}' || c == ']':
			if f.depth--; f.depth <= 0 {
				f.ended = true
				return piece[from : i+1]
			}
		}
	}
	return piece[from:]
}

// fits says whether text is one JSON object with the fields that schema
// requires at its top. It judges the server, not the answer: whoever asked
// checks that thoroughly.
func fits(text string, schema []byte) (object, fields bool) {
	var v map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &v) != nil {
		return false, false
	}
	var s struct {
		Required []string `json:"required"`
	}
	_ = json.Unmarshal(schema, &s) // a schema that cannot be read asks for nothing
	for _, k := range s.Required {
		if _, ok := v[k]; !ok {
			return true, false
		}
	}
	return true, true
}

func validJSON(s string) bool { return json.Valid([]byte(s)) }
