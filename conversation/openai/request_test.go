package openai

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// upstreamFunc answers requests in the test's own words and keeps them.
func upstreamFunc(t *testing.T, f func(n int, body map[string]json.RawMessage, w http.ResponseWriter)) (string, func() []map[string]json.RawMessage) {
	t.Helper()
	var mu sync.Mutex
	var all []map[string]json.RawMessage
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m map[string]json.RawMessage
		_ = json.Unmarshal(b, &m)
		mu.Lock()
		all = append(all, m)
		n := len(all)
		mu.Unlock()
		f(n, m, w)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []map[string]json.RawMessage {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// stream sends pieces as a good answer.
func stream(w http.ResponseWriter, pieces ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, p := range pieces {
		b, _ := json.Marshal(p)
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":`+string(b)+"}}]}\n\n")
	}
	_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
}

func refuse(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	b, _ := json.Marshal(text)
	_, _ = io.WriteString(w, `{"error":{"message":`+string(b)+`,"type":"invalid_request_error"}}`)
}

func TestLearnsWhatAServerRefuses(t *testing.T) {
	t.Parallel()
	temp := float32(0)
	p := conversation.Prompt{MaxTokens: 50, Temperature: &temp, Schema: json.RawMessage(`{"type":"object"}`), SchemaName: "scenario"}
	for _, tc := range []struct {
		field, message string
		after          func(m map[string]json.RawMessage) bool
	}{
		{"max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
			func(m map[string]json.RawMessage) bool { return string(m["max_completion_tokens"]) == "50" }},
		{"temperature", "Unsupported value: 'temperature' does not support 0 with this model.",
			func(m map[string]json.RawMessage) bool { return m["temperature"] == nil }},
		{"stream_options", "Unrecognized request argument supplied: stream_options",
			func(m map[string]json.RawMessage) bool { return m["stream_options"] == nil }},
		{"response_format", "This response_format type is unavailable now",
			func(m map[string]json.RawMessage) bool {
				return strings.Contains(string(m["response_format"]), "json_object") && strings.Contains(string(m["messages"]), `{\"type\":\"object\"}`)
			}},
	} {
		t.Run(tc.field, func(t *testing.T) {
			t.Parallel()
			url, seen := upstreamFunc(t, func(_ int, m map[string]json.RawMessage, w http.ResponseWriter) {
				if v, ok := m[tc.field]; ok && !strings.Contains(string(v), "json_object") {
					refuse(w, tc.message)
					return
				}
				stream(w, "{}")
			})
			r := newRig(t, Config{BaseURL: url, Model: "m"})
			for range 2 {
				if text, _, err := r.say(t, t.Context(), p); err != nil || text != "{}" {
					t.Fatalf("%q %v", text, err)
				}
			}
			if n := len(seen()); n != 3 { // refused, answered, answered
				t.Fatalf("%d requests", n)
			}
			if m := seen()[2]; !tc.after(m) {
				t.Fatalf("sends %v", m)
			}
		})
	}
}

func TestASchemaComplaintIsNotRemembered(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(n int, m map[string]json.RawMessage, w http.ResponseWriter) {
		if n == 1 {
			refuse(w, "Invalid schema for response_format 'scenario': missing required")
			return
		}
		stream(w, "{}")
	})
	r := newRig(t, Config{BaseURL: url, Model: "m"})
	p := conversation.Prompt{Schema: json.RawMessage(`{"type":"object"}`)}
	for range 2 {
		if _, _, err := r.say(t, t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if s := seen(); len(s) != 3 || !strings.Contains(string(s[2]["response_format"]), "json_schema") {
		t.Fatalf("%d requests, last with %s", len(s), s[len(s)-1]["response_format"])
	}
}

func TestRefusalWithoutAFieldOfOursIsFinal(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(_ int, _ map[string]json.RawMessage, w http.ResponseWriter) { refuse(w, "You may not do this.") })
	r := newRig(t, Config{BaseURL: url, Model: "m"})
	if _, _, err := r.say(t, t.Context(), conversation.Prompt{MaxTokens: 5}); fault.CodeOf(err) != fault.UpstreamRejected || len(seen()) != 1 {
		t.Fatalf("%v after %d", err, len(seen()))
	}
}

func TestRequestForm(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(_ int, _ map[string]json.RawMessage, w http.ResponseWriter) { stream(w, "x") })
	for _, tc := range []struct {
		model, cap string
	}{{"o3-mini", "max_completion_tokens"}, {"openai/gpt-5-mini", "max_completion_tokens"}, {"llama3.1:8b", "max_tokens"}, {"gpt-4o", "max_tokens"}} {
		r := newRig(t, Config{BaseURL: url, Model: tc.model, Models: map[string]string{"scenario": "big"}, Continue: ContinuePrefix, VLLMPrefix: true})
		temp := float32(0.5)
		if _, _, err := r.say(t, t.Context(), conversation.Prompt{MaxTokens: 9, Temperature: &temp, Kept: "So far"}); err != nil {
			t.Fatal(err)
		}
		m := seen()[len(seen())-1]
		if string(m["model"]) != strconv.Quote(tc.model) || string(m[tc.cap]) != "9" || string(m["temperature"]) != "0.5" || string(m["stream"]) != "true" ||
			string(m["continue_final_message"]) != "true" || string(m["add_generation_prompt"]) != "false" {
			t.Errorf("%s: %v", tc.model, m)
		}
		if !strings.HasSuffix(string(m["messages"]), `{"role":"assistant","content":"So far"}]`) {
			t.Errorf("messages end %s", m["messages"])
		}
		if _, _, err := r.say(t, t.Context(), conversation.Prompt{Purpose: "scenario"}); err != nil || string(seen()[len(seen())-1]["model"]) != `"big"` {
			t.Errorf("model by purpose: %v %s", err, seen()[len(seen())-1]["model"])
		}
	}
}

func TestStarvedReasoningGetsTwiceTheCapOnce(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(n int, _ map[string]json.RawMessage, w http.ResponseWriter) {
		if n == 1 {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"reasoning":"hm"}}]}`+"\n\n"+`data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`+"\n\n")
			return
		}
		stream(w, "ok")
	})
	r := newRig(t, Config{BaseURL: url, Model: "m"})
	if text, _, err := r.say(t, t.Context(), conversation.Prompt{MaxTokens: 100}); err != nil || text != "ok" || string(seen()[1]["max_tokens"]) != "200" {
		t.Fatalf("%q %v", text, err)
	}
}
