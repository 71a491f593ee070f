package openai

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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
		r := newRig(t, Config{BaseURL: url, Model: tc.model, Models: map[string]string{"scenario": "big"}, Profile: Profile{Continue: ContinuePrefix, VLLMPrefix: true}})
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

func TestLessonsExpireAndNameTheirLine(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(_ int, m map[string]json.RawMessage, w http.ResponseWriter) {
		if m["temperature"] != nil {
			refuse(w, "Unsupported value: 'temperature'")
			return
		}
		stream(w, "ok")
	})
	var log lockedBuffer
	r := newRig(t, Config{BaseURL: url, Model: "m", LearnFor: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	temp := float32(0.5)
	say := func() {
		t.Helper()
		if text, _, err := r.say(t, t.Context(), conversation.Prompt{Temperature: &temp}); err != nil || text != "ok" {
			t.Fatalf("%q %v", text, err)
		}
	}
	say()
	say()
	if n := len(seen()); n != 3 {
		t.Fatalf("%d requests, want one detour", n)
	}
	if s := log.String(); strings.Count(s, "line=") != 1 || !strings.Contains(s, "FLUENTPRO_UPSTREAM_TEMPERATURE=omit") {
		t.Fatalf("the warning does not name the line once: %s", s)
	}
	if got := r.Learned()["m"]; len(got) != 1 || got[0] != (Line{"temperature", "omit"}) {
		t.Fatalf("learned %v", got)
	}
	r.Client.mu.Lock()
	l := r.Client.lessons["m"][learnTemp]
	l.until = time.Now().Add(-time.Second)
	r.Client.lessons["m"][learnTemp] = l
	r.Client.mu.Unlock()
	say()
	if n := len(seen()); n != 5 {
		t.Fatalf("%d requests: an expired lesson is tried again", n)
	}
}

func TestAServerThatIgnoresTheSchemaIsAskedInWordsNextTime(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{"type":"object","required":["title"]}`)
	url, seen := upstreamFunc(t, func(n int, m map[string]json.RawMessage, w http.ResponseWriter) {
		switch {
		case strings.Contains(string(m["response_format"]), "json_schema"):
			stream(w, "Sure! The title is", " Small talk")
		case strings.Contains(string(m["response_format"]), "json_object"):
			stream(w, "Still words")
		default:
			stream(w, "```json\n{\"title\":", "\"Small talk\"}\n```")
		}
	})
	r := newRig(t, Config{BaseURL: url, Model: "m"})
	for range 2 {
		if text, _, err := r.say(t, t.Context(), conversation.Prompt{Schema: schema}); err != nil || text != `{"title":"Small talk"}` {
			t.Fatalf("%q %v", text, err)
		}
	}
	if len(seen()) != 4 || r.Learned()["m"][0].Value != SchemaPrompt {
		t.Fatalf("%d requests, learned %v", len(seen()), r.Learned())
	}
}

func TestAnObjectThatDoesNotFitPutsTheSchemaIntoWords(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(n int, m map[string]json.RawMessage, w http.ResponseWriter) {
		if strings.Contains(string(m["response_format"]), "json_schema") {
			stream(w, `{"heading":1}`)
			return
		}
		stream(w, `{"title":1}`)
	})
	r := newRig(t, Config{BaseURL: url, Model: "m"})
	var texts []string
	for range 3 { // the first one is the runner's to refuse and repeat
		text, _, err := r.say(t, t.Context(), conversation.Prompt{Schema: json.RawMessage(`{"type":"object","required":["title"]}`)})
		texts = append(texts, text)
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(texts, " ") != `{"heading":1} {"title":1} {"title":1}` || len(seen()) != 3 || !strings.Contains(string(seen()[1]["messages"]), "required") {
		t.Fatalf("%q, %d requests", texts, len(seen()))
	}
}

func TestAContextThatIsTooSmallIsLearnedAndTrimmed(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(_ int, m map[string]json.RawMessage, w http.ResponseWriter) {
		if len(m["messages"]) > 2500 {
			refuse(w, "This model's maximum context length is 600 tokens. However, you requested 900 tokens. Please reduce max_tokens.")
			return
		}
		stream(w, "ok")
	})
	r := newRig(t, Config{BaseURL: url, Model: "m"})
	p := conversation.Prompt{MaxTokens: 100, Messages: []conversation.Message{{Role: "system", Content: "the card"}}}
	for i := range 9 {
		p.Messages = append(p.Messages, conversation.Message{Role: []string{"user", "assistant"}[i%2], Content: strconv.Itoa(i) + strings.Repeat(" word", 80)})
	}
	if text, _, err := r.say(t, t.Context(), p); err != nil || text != "ok" {
		t.Fatalf("%q %v", text, err)
	}
	last := string(seen()[1]["messages"])
	if len(seen()) != 2 || !strings.Contains(last, "the card") || !strings.Contains(last, `"8 word`) || strings.Contains(last, `"0 word`) || r.record().TrimmedTurns != 5 {
		t.Fatalf("%d requests, trimmed %d: %.300s", len(seen()), r.record().TrimmedTurns, last)
	}
	p.Messages[0].Content = strings.Repeat("card ", 600)
	if _, _, err := r.say(t, t.Context(), p); fault.CodeOf(err) != fault.UpstreamRejected || len(seen()) != 2 {
		t.Fatalf("a card that does not fit: %v after %d requests", err, len(seen()))
	}
}

func TestUsageIsCountedByUsWhenTheServerTellsNone(t *testing.T) {
	t.Parallel()
	url, _ := upstreamFunc(t, func(_ int, _ map[string]json.RawMessage, w http.ResponseWriter) { stream(w, "eight ch") })
	r := newRig(t, Config{BaseURL: url, Model: "m", Prices: map[string]Price{"m": {Prompt: 1, Output: 10}}})
	_, fin, err := r.say(t, t.Context(), conversation.Prompt{Messages: []conversation.Message{{Role: "user", Content: "four"}}})
	if rec := r.record(); err != nil || !fin.Estimated || fin.PromptTokens != 5 || fin.OutputTokens != 2 || !rec.Estimated || rec.Micros != 25 {
		t.Fatalf("%+v %+v %v", fin, rec, err)
	}
}

func TestReasoningIsReducedWhenItAteTheCap(t *testing.T) {
	t.Parallel()
	url, seen := upstreamFunc(t, func(n int, _ map[string]json.RawMessage, w http.ResponseWriter) {
		if n == 1 {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"<think>hm"},"finish_reason":"length"}]}`+"\n\n")
			return
		}
		stream(w, "<think>ok</think>", "\n\nYes")
	})
	r := newRig(t, Config{BaseURL: url, Model: "m", Preset: "vllm"})
	text, _, err := r.say(t, t.Context(), conversation.Prompt{MaxTokens: 100})
	if s := seen(); err != nil || text != "Yes" || len(s) != 2 || s[0]["chat_template_kwargs"] != nil || string(s[1]["chat_template_kwargs"]) != `{"enable_thinking":false}` || string(s[1]["max_tokens"]) != "200" {
		t.Fatalf("%q %v %v", text, err, seen())
	}
	if rec := r.record(); rec.ReasoningBytes == 0 || rec.OutputBytes != 3 {
		t.Fatalf("%+v", rec)
	}
}

// lockedBuffer is a log that a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve runs a handler for the test.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
