package fake

import (
	"encoding/json"
	"strings"
)

// objects finds the JSON objects in a text: prompts carry their data that way,
// between words.
func objects(text string) []map[string]any {
	var out []map[string]any
	for tries := 0; tries < 64; tries++ {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			return out
		}
		text = text[i:]
		d := json.NewDecoder(strings.NewReader(text))
		var o map[string]any
		if d.Decode(&o) == nil {
			out = append(out, o)
			text = text[d.InputOffset():]
		} else {
			text = text[1:]
		}
	}
	return out
}

// data is what the prompt's JSON says, wherever in it.
type data struct{ roots []map[string]any }

func dataOf(m []message, roles string) data {
	var d data
	for _, x := range m {
		if strings.Contains(roles, x.Role) {
			d.roots = append(d.roots, objects(x.Content)...)
		}
	}
	return d
}

// any finds the first value under one of keys, nearer to the top first.
func (d data) any(keys ...string) any {
	level := make([]any, 0, len(d.roots))
	for _, r := range d.roots {
		level = append(level, r)
	}
	for depth := 0; depth < 6 && len(level) > 0; depth++ {
		for _, k := range keys {
			for _, v := range level {
				if o, ok := v.(map[string]any); ok && o[k] != nil {
					return o[k]
				}
			}
		}
		var next []any
		for _, v := range level {
			switch v := v.(type) {
			case map[string]any:
				for _, k := range sortedKeys(v) {
					next = append(next, v[k])
				}
			case []any:
				next = append(next, v...)
			}
		}
		level = next
	}
	return nil
}

// str is any as text: a string, or the most telling field of an object.
func (d data) str(keys ...string) string { return label(d.any(keys...)) }

func label(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case map[string]any:
		for _, k := range [...]string{"title", "name", "label", "text", "custom", "other", "slug", "id", "description",
			"industry", "role", "partner", "situation", "level"} {
			if s, ok := v[k].(string); ok && s != "" {
				return strings.TrimSpace(s)
			}
		}
	case []any:
		if len(v) > 0 {
			return label(v[0])
		}
	}
	return ""
}

// texts lists the texts of an array of strings or objects.
func texts(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, x := range list {
		if s := label(x); s != "" {
			out = append(out, s)
		}
		if o, ok := x.(map[string]any); ok {
			if s, ok := o["text"].(string); ok && len(out) > 0 {
				out[len(out)-1] = strings.TrimSpace(s)
			}
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	// Insertion sort: the maps are small and the order must not be chance.
	for i := 1; i < len(keys); i++ {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys
}

// words turns a slug into words.
func words(s string) string {
	s = strings.TrimPrefix(s, "custom:")
	return strings.TrimSpace(strings.NewReplacer("_", " ", "-", " ").Replace(s))
}

// jsonFor answers a request for any JSON object whose schema, if there is one,
// stands in the prompt.
func jsonFor(history []message) string {
	d := dataOf(history, "system developer user")
	for _, r := range d.roots {
		props, ok := r["properties"].(map[string]any)
		if !ok {
			continue
		}
		if props["objectives"] != nil && props["partner"] != nil && props["opening"] != nil {
			return scenarioText(history)
		}
		b, err := json.Marshal(r)
		if err == nil {
			return instance(b)
		}
	}
	b, err := json.Marshal(map[string]string{"answer": partnerLine(history)})
	if err != nil {
		return "{}"
	}
	return string(b)
}

// instance is a small value that fits a JSON schema.
func instance(schema json.RawMessage) string {
	var s map[string]any
	if json.Unmarshal(schema, &s) != nil {
		return "{}"
	}
	b, err := json.Marshal(instanceOf(s, "value", 0))
	if err != nil {
		return "{}"
	}
	return string(b)
}

func instanceOf(s map[string]any, name string, depth int) any {
	if depth > 12 {
		return nil
	}
	if e, ok := s["enum"].([]any); ok && len(e) > 0 {
		return e[0]
	}
	if c, ok := s["const"]; ok {
		return c
	}
	for _, k := range [...]string{"anyOf", "oneOf", "allOf"} {
		if l, ok := s[k].([]any); ok && len(l) > 0 {
			if o, ok := l[0].(map[string]any); ok {
				return instanceOf(o, name, depth+1)
			}
		}
	}
	typ, _ := s["type"].(string)
	if l, ok := s["type"].([]any); ok && len(l) > 0 {
		typ, _ = l[0].(string)
	}
	switch typ {
	case "object", "":
		o := map[string]any{}
		props, _ := s["properties"].(map[string]any)
		for k, p := range props {
			if p, ok := p.(map[string]any); ok {
				o[k] = instanceOf(p, k, depth+1)
			}
		}
		return o
	case "array":
		n := 1
		if m, ok := s["minItems"].(float64); ok && m > 1 && m < 100 {
			n = int(m)
		}
		item, _ := s["items"].(map[string]any)
		list := make([]any, 0, n)
		for range n {
			list = append(list, instanceOf(item, name, depth+1))
		}
		return list
	case "integer", "number":
		if m, ok := s["minimum"].(float64); ok {
			return m
		}
		return 1
	case "boolean":
		return true
	case "null":
		return nil
	}
	return "A short " + words(name) + " for practice."
}

// closeJSON ends a JSON text that was cut anywhere, so that it can be parsed.
func closeJSON(partial string) string {
	var stack []byte
	inString, escaped := false, false
	for i := 0; i < len(partial); i++ {
		c := partial[i]
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			stack = append(stack, '}')
		case c == '[':
			stack = append(stack, ']')
		case (c == '}' || c == ']') && len(stack) > 0:
			stack = stack[:len(stack)-1]
		}
	}
	var b strings.Builder
	if escaped {
		b.WriteByte('n')
	}
	if inString {
		b.WriteByte('"')
	}
	tail := strings.TrimRight(partial+b.String(), " \n\t")
	switch {
	case strings.HasSuffix(tail, ":"):
		b.WriteString("null")
	case strings.HasSuffix(tail, ","):
		if len(stack) > 0 && stack[len(stack)-1] == '}' {
			b.WriteString(`"note":null`)
		} else {
			b.WriteString("null")
		}
	case inString && len(stack) > 0 && stack[len(stack)-1] == '}' && keyOpen(tail):
		b.WriteString(":null")
	}
	for i := len(stack) - 1; i >= 0; i-- {
		b.WriteByte(stack[i])
	}
	return b.String()
}

// keyOpen says whether the string that ends s is a key: what stands before it
// opens an object or follows a comma.
func keyOpen(s string) bool {
	i := len(s) - 1
	for i > 0 {
		i--
		if s[i] == '"' && (i == 0 || s[i-1] != '\\') {
			break
		}
	}
	before := strings.TrimRight(s[:i], " \n\t")
	return strings.HasSuffix(before, "{") || strings.HasSuffix(before, ",")
}
