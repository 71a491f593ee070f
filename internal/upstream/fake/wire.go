package fake

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// maxRequest caps a request body.
const maxRequest = 8 << 20

// message is one line of the talk; its content may come as a list of parts.
type message struct {
	Role    string
	Content string
}

// UnmarshalJSON takes content as a string, null, or a list of parts.
func (m *message) UnmarshalJSON(b []byte) error {
	var raw struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	m.Role = raw.Role
	if len(raw.Content) == 0 || string(raw.Content) == "null" {
		return nil
	}
	if raw.Content[0] != '[' {
		return json.Unmarshal(raw.Content, &m.Content)
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(raw.Content, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		m.Content += p.Text
	}
	return nil
}

// chatRequest is what the server reads of a request.
type chatRequest struct {
	Model         string    `json:"model"`
	Messages      []message `json:"messages"`
	Stream        bool      `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           int `json:"max_tokens"`
	MaxCompletionTokens int `json:"max_completion_tokens"`
	ResponseFormat      struct {
		Type       string `json:"type"`
		JSONSchema struct {
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	// fields are the names of the top level, for faults that refuse one.
	fields map[string]json.RawMessage
}

// limit is the cap of the request, 0 for none.
func (q *chatRequest) limit() int {
	if q.MaxCompletionTokens > 0 {
		return q.MaxCompletionTokens
	}
	return max(q.MaxTokens, 0)
}

// split takes a trailing partial answer off the messages. A note from the
// system behind it only asks for what we do anyway.
func (q *chatRequest) split() (history []message, partial string) {
	m := q.Messages
	end := len(m)
	for end > 0 && m[end-1].Role == "system" {
		end--
	}
	if end > 0 && m[end-1].Role == "assistant" {
		return m[:end-1], m[end-1].Content
	}
	return m, ""
}

// lastUser is the text of the last user message.
func lastUser(m []message) string {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i].Role == "user" {
			return m[i].Content
		}
	}
	return ""
}

func readRequest(w http.ResponseWriter, r *http.Request) (*chatRequest, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeError(w, http.StatusRequestEntityTooLarge, "invalid_request_error", "request_too_large", "", "The request body is too large.")
		return nil, false
	}
	var q chatRequest
	if json.Unmarshal(b, &q) != nil || json.Unmarshal(b, &q.fields) != nil {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "invalid_json", "", "We could not parse the JSON body of your request.")
		return nil, false
	}
	if len(q.Messages) == 0 {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "missing_required_parameter", "messages", "Missing required parameter: 'messages'.")
		return nil, false
	}
	for _, m := range q.Messages {
		switch m.Role {
		case "system", "developer", "user", "assistant", "tool":
		default:
			writeError(w, http.StatusBadRequest, "invalid_request_error", "invalid_value", "messages", "Invalid value for 'messages[].role'.")
			return nil, false
		}
	}
	return &q, true
}

// writeError answers in OpenAI's error shape.
func writeError(w http.ResponseWriter, status int, typ, code, param, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(errorJSON(typ, code, param, text))
}

func errorJSON(typ, code, param, text string) []byte {
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	b, err := json.Marshal(map[string]any{"error": map[string]any{
		"message": text, "type": typ, "param": null(param), "code": null(code),
	}})
	if err != nil {
		return []byte(`{"error":{"message":"internal"}}`)
	}
	return b
}

func (h *Handler) models(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	list := []model{}
	for _, id := range [...]string{"scripted", "obedient", "checkable", "checkable-200"} {
		list = append(list, model{id, "model", 1780000000, "fluentpro"})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": list})
}

// modelName is a model's name, taken apart.
type modelName struct {
	base  string
	count int // N of checkable-N, 0 if none
	fault string
	once  bool
	// quirks are habits of the obedient model.
	quirks []string
}

// parseModel reads a model name; an unknown one reads as def.
func parseModel(name, def string) modelName {
	var m modelName
	for _, part := range strings.Split(name, "+") {
		switch {
		case strings.HasPrefix(part, "fault-"):
			m.fault, m.once = strings.CutSuffix(part, "-once")
		case part == "checkable":
			m.base = part
		case strings.HasPrefix(part, "checkable-"):
			m.base, m.count = "checkable", min(atoi(part[len("checkable-"):], 0), 1_000_000)
		case strings.HasPrefix(part, "stamped-"):
			m.base, m.count = "stamped", min(atoi(part[len("stamped-"):], 50), 1_000_000)
		case part == "scripted", part == "obedient":
			m.base = part
		case strings.HasPrefix(part, "quirk-"):
			m.quirks = append(m.quirks, part[len("quirk-"):])
		}
	}
	if m.base == "" && m.fault == "" && name != def {
		return parseModel(def, def)
	}
	if m.base == "" {
		m.base = "scripted"
	}
	return m
}

// atoi reads a whole number, else def.
func atoi(s string, def int) int {
	n := 0
	if s == "" || len(s) > 9 {
		return def
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return def
		}
		n = n*10 + int(c-'0')
	}
	return n
}
