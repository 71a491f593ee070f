package upstream

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// errorFrom reads any of the error shapes in use into e: the value may be the
// `error` object, an object that holds one, a flat object, a validation list
// under `detail`, a string, or no JSON at all.
func errorFrom(raw []byte, e *Error, secrets []string) *fault.Error {
	readError(bytes.TrimSpace(raw), e, secrets, 0)
	return Fault(classify(e), e)
}

func readError(raw []byte, e *Error, secrets []string, depth int) {
	if len(raw) == 0 || depth > 3 {
		return
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			e.Detail = mask(s, secrets)
		}
	case '[':
		// A list of validation complaints, or a one-element wrapper.
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return
		}
		first := bytes.TrimSpace(list[0])
		if len(first) > 0 && first[0] == '{' && !bytes.Contains(first, []byte(`"loc"`)) {
			readError(first, e, secrets, depth+1)
			return
		}
		e.Type = "validation"
		e.Detail = mask(string(raw), secrets)
		var item struct {
			Loc []any `json:"loc"`
		}
		if json.Unmarshal(first, &item) == nil && len(item.Loc) > 0 {
			if s, ok := item.Loc[len(item.Loc)-1].(string); ok {
				e.Param = word(s)
			}
		}
	case '{':
		readErrorObject(raw, e, secrets, depth)
	default:
		if raw[0] == '<' {
			e.Kind = "html"
			return
		}
		e.Detail = mask(string(raw), secrets)
	}
}

func readErrorObject(raw []byte, e *Error, secrets []string, depth int) {
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil {
		e.Detail = mask(string(raw), secrets)
		return
	}
	if inner, ok := o["error"]; ok && present(inner) {
		readError(bytes.TrimSpace(inner), e, secrets, depth+1)
		// Some servers put the code beside the error, not in it.
		if e.Code == "" && e.Status < 400 {
			setCode(o["code"], e)
		}
		return
	}
	if m, ok := o["message"]; ok {
		var s string
		if json.Unmarshal(m, &s) != nil {
			s = string(m)
		}
		e.Detail = mask(s, secrets)
	} else if d, ok := o["detail"]; ok {
		readError(bytes.TrimSpace(d), e, secrets, depth+1)
	} else {
		e.Detail = mask(string(raw), secrets)
	}
	setCode(o["code"], e)
	setCode(o["status"], e)
	if s, ok := text(o["type"]); ok {
		e.Type = word(s)
	}
	if s, ok := text(o["param"]); ok {
		e.Param = word(s)
	}
	if in, ok := o["innererror"]; ok && bytes.Contains(in, []byte("ontent_filter")) || bytes.Contains(o["innererror"], []byte("ResponsibleAI")) {
		e.Code = "content_filter"
	}
}

// setCode takes a code that is a word, a number, or a number in a string.
func setCode(raw json.RawMessage, e *Error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	s, ok := text(raw)
	if !ok {
		s = string(raw)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
		if n >= 100 && n < 600 && (e.Status < 400) {
			e.Status = n
		}
		return
	}
	if e.Code == "" {
		e.Code = word(s)
	}
}

func text(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// present tells an error value from the empty forms that mean "no error".
func present(v []byte) bool {
	switch string(bytes.TrimSpace(v)) {
	case "", "null", `""`, "false":
		return false
	}
	return true
}
