package fake

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// The obedient model does what it is told, as far as a probe of a server asks:
// it remembers a secret word, counts, and fits a schema. Its quirks are the
// habits of servers that a probe has to find.

var secretWord = regexp.MustCompile(`(?i)secret word is ([A-Za-z0-9-]+)`)

// obedient is the full answer of the obedient model.
func obedient(n modelName, q *chatRequest, history []message) (full string, capped bool) {
	all := ""
	for _, m := range history {
		all += m.Content + "\n"
	}
	last := ""
	if len(history) > 0 {
		last = history[len(history)-1].Content
	}
	if size, ok := n.quirk("ctx"); ok && len(all) > 4*size {
		all = all[len(all)-4*size:] // the oldest goes first, without a word
	}
	_, schemaless := n.quirk("no-schema")
	_, objectless := n.quirk("no-json")
	form := q.ResponseFormat.Type
	switch {
	case form == "json_schema" && !schemaless:
		full = instance(q.ResponseFormat.JSONSchema.Schema)
	case form == "json_object" && !objectless:
		full = `{"colour":"blue"}`
	case strings.Contains(last, "What is the secret word"):
		full = "I do not know."
		if m := secretWord.FindStringSubmatch(all); m != nil {
			full = m[1]
		}
	case strings.Contains(last, "Count from 1"):
		var b strings.Builder
		for i := range 300 {
			b.WriteString(strconv.Itoa(i+1) + " ")
		}
		full = b.String()
	default:
		full = "Blue."
	}
	if _, ok := n.quirk("think-tags"); ok && !q.thinksLess() {
		full = "<think>They want a word.</think>\n\n" + full
	}
	limit := q.limit()
	if _, ok := n.quirk("drop-completion"); ok {
		limit = max(q.MaxTokens, 0)
	}
	if limit == 0 {
		return full, false
	}
	at := 0
	for i := 0; i < limit && at < len(full); i++ {
		at += tokenLen(full[at:])
	}
	return full[:at], at < len(full)
}

// thinksLess says whether the request has one of the fields that reduce thinking.
func (q *chatRequest) thinksLess() bool {
	for _, name := range [...]string{"reasoning_effort", "reasoning", "chat_template_kwargs"} {
		if _, ok := q.fields[name]; ok {
			return true
		}
	}
	return false
}

// quirk is the number of a quirk ("quirk-ctx-500"), 0 when it has none.
func (n modelName) quirk(name string) (int, bool) {
	for _, q := range n.quirks {
		if q == name {
			return 0, true
		}
		if rest, ok := strings.CutPrefix(q, name+"-"); ok {
			if v := atoi(rest, -1); v >= 0 {
				return v, true
			}
		}
	}
	return 0, false
}

// refuseQuirk answers requests that a quirk refuses; true when it did.
func (x *exchange) refuseQuirk(n modelName) bool {
	refuse := func(param, text, code string) bool {
		x.h.log.update(x.call, func(c *Call) { c.Status = http.StatusBadRequest })
		writeError(x.w, http.StatusBadRequest, "invalid_request_error", code, param, text)
		return true
	}
	if size, ok := n.quirk("refuse"); ok && x.prompt > size {
		return refuse("messages", fmt.Sprintf("This model's maximum context length is %d tokens. However, your messages resulted in %d tokens.", size, x.prompt), "context_length_exceeded")
	}
	for _, f := range [...]string{"temperature", "max_tokens", "max_completion_tokens", "stream_options", "response_format"} {
		if _, ok := n.quirk("no-" + f); ok && x.q.fields[f] != nil {
			return refuse(f, "Unsupported parameter: '"+f+"' is not supported with this model.", "unsupported_parameter")
		}
	}
	return false
}
