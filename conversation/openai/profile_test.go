package openai

import (
	"net/http"
	"strings"
	"testing"

	goopenai "github.com/sashabaranov/go-openai"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

func TestEveryPresetIsWhole(t *testing.T) {
	t.Parallel()
	for _, p := range Presets() {
		if err := p.check(); err != nil {
			t.Errorf("%s: %v", p.Preset, err)
		}
		if _, err := New(Config{BaseURL: "http://127.0.0.1:1/v1", Model: "m", Preset: p.Preset}); err != nil && p.Preset != "azure" {
			t.Errorf("%s: %v", p.Preset, err)
		}
		for _, l := range p.Lines() {
			if l.Key == "" || l.Value == "" && l.Key != "reasoning_off" {
				t.Errorf("%s: line %+v", p.Preset, l)
			}
		}
	}
	if len(PresetNames()) != 10 {
		t.Fatalf("%v", PresetNames())
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ base, model, want string }{
		{"https://api.openai.com/v1", "gpt-4.1-mini", "openai"},
		{"https://api.openai.com/v1", "gpt-5-mini", "openai-reasoning"},
		{"https://api.openai.com/v1", "gpt-5-chat-latest", "openai"},
		{"https://eu.api.openai.com/v1", "o3", "openai-reasoning"},
		{"https://acme.openai.azure.com?api-version=2024-10-21", "chat", "azure"},
		{"https://acme.openai.azure.com/openai/v1", "chat", "azure-v1"},
		{"https://acme.services.ai.azure.com/openai/v1/", "chat", "azure-v1"},
		{"https://openrouter.ai/api/v1", "openai/gpt-5", "openrouter"},
		{"http://gpu-box:11434/v1", "llama3.1:8b", "ollama"},
		{"http://127.0.0.1:8000/v1", "m", "generic"},
		{"https://api.openai.com.evil.example/v1", "m", "generic"},
		{"https://openai.azure.com.evil.example/", "m", "generic"},
		{"://", "m", "generic"},
	} {
		if got := Detect(tc.base, tc.model); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.base, tc.model, got, tc.want)
		}
	}
}

// caught answers every request itself and keeps the last.
type caught struct {
	last *http.Request
	next http.RoundTripper
}

func (c *caught) RoundTrip(r *http.Request) (*http.Response, error) {
	c.last = r
	return c.next.RoundTrip(r)
}

func TestAddressesAndKeys(t *testing.T) {
	t.Parallel()
	const chat = "/chat/completions"
	for _, tc := range []struct{ base, preset, url, header, value string }{
		{"https://x.example/v1/", "generic", "https://x.example/v1" + chat, "Authorization", "Bearer k-123"},
		{"https://x.example", "generic", "https://x.example" + chat, "Authorization", "Bearer k-123"},
		{"https://a.openai.azure.com", "", "https://a.openai.azure.com/openai/deployments/my%20gpt" + chat + "?api-version=" + apiVersion, "Api-Key", "k-123"},
		{"https://a.openai.azure.com/openai?api-version=2025-01-01", "", "https://a.openai.azure.com/openai/deployments/my%20gpt" + chat + "?api-version=2025-01-01", "Api-Key", "k-123"},
		{"https://a.openai.azure.com/openai/deployments/four?api-version=v", "", "https://a.openai.azure.com/openai/deployments/four" + chat + "?api-version=v", "Api-Key", "k-123"},
		{"https://proxy.example/az", "azure", "https://proxy.example/az/openai/deployments/my%20gpt" + chat + "?api-version=" + apiVersion, "Api-Key", "k-123"},
		{"https://a.openai.azure.com/openai/v1", "", "https://a.openai.azure.com/openai/v1" + chat, "Api-Key", "k-123"},
		{"https://a.openai.azure.com/openai/v1?api-version=preview", "", "https://a.openai.azure.com/openai/v1" + chat + "?api-version=preview", "Api-Key", "k-123"},
	} {
		net := &caught{next: looped{3}}
		c, err := New(Config{BaseURL: tc.base, Preset: tc.preset, APIKey: "k-123", Model: "my gpt", Headers: map[string]string{"x-team": "blue"}, Transport: net})
		if err != nil {
			t.Errorf("%s: %v", tc.base, err)
			continue
		}
		_, err = c.Generate(t.Context(), conversation.Prompt{Messages: []conversation.Message{{Role: "user", Content: "x"}}}, func(string) error { return nil })
		if err != nil || net.last.URL.String() != tc.url || net.last.Header.Get(tc.header) != tc.value || net.last.Header.Get("X-Team") != "blue" || net.last.Host != "" && net.last.Host != net.last.URL.Host {
			t.Errorf("%s: %v, went to %s with %v", tc.base, err, net.last.URL, net.last.Header)
		}
		if tc.header != "Authorization" && net.last.Header.Get("Authorization") != "" {
			t.Errorf("%s: the key went out twice", tc.base)
		}
	}
	for _, base := range []string{"https://a.openai.azure.com/openai/nonsense", "https://x/v1?key=1", "https://u:p@x/v1"} {
		if _, err := New(Config{BaseURL: base, Model: "m"}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestThinkBlocksAreTakenOut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"Hello", "Hello"},
		{"<think>hm, well</think>\n\nHello <think>there</think>", "Hello <think>there</think>"},
		{"\n <thinking>a < b</thinking> Hi", "Hi"},
		{"<thin ice>", "<thin ice>"},
		{"  spaced", "  spaced"},
		{"<think>never ends", ""},
		{"<think></think>", ""},
		{"<", "<"},
		{"<think>" + strings.Repeat("long ", 1000) + "</think>End", "End"},
	} {
		for size := 1; size <= len(tc.in); size += 1 + size/3 {
			var f think
			var b strings.Builder
			for i := 0; i < len(tc.in); i += size {
				b.WriteString(f.add(tc.in[i:min(i+size, len(tc.in))]))
			}
			b.WriteString(f.flush())
			if b.String() != tc.want {
				t.Errorf("%q in pieces of %d: %q, want %q", tc.in, size, b.String(), tc.want)
			}
		}
	}
}

func TestFencesAreTakenOff(t *testing.T) {
	t.Parallel()
	const object = `{"a":"}\"{","b":[{"c":"]"}]}`
	for _, tc := range []struct{ kept, in, want string }{
		{"", object, object},
		{"", "Here you are:\n```json\n" + object + "\n```\nEnjoy {this}!", object},
		{"", object + object, object},
		{"", "no object", ""},
		{object[:7], object[7:] + "\n```", object[7:]},
		{object[:14], object[14:] + " {", object[14:]},
	} {
		for size := 1; size <= len(tc.in); size++ {
			var f fence
			f.add(tc.kept)
			var b strings.Builder
			for i := 0; i < len(tc.in); i += size {
				b.WriteString(f.add(tc.in[i:min(i+size, len(tc.in))]))
			}
			if b.String() != tc.want {
				t.Errorf("%q in pieces of %d: %q, want %q", tc.in, size, b.String(), tc.want)
			}
		}
	}
}

func msgs(contents ...string) (out []goopenai.ChatCompletionMessage) {
	for _, c := range contents {
		role, text, _ := strings.Cut(c, ":")
		out = append(out, goopenai.ChatCompletionMessage{Role: role, Content: text})
	}
	return out
}

func TestTrimKeepsTheCardAndTheLastTurn(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 80) // 100 tokens
	all := msgs("system:"+long, "assistant:"+long, "user:"+long, "assistant:"+long, "user:"+long)
	for _, tc := range []struct {
		max, cap         int
		left, room, drop int
		ok               bool
	}{
		{0, 100, 5, 100, 0, true},
		{1000, 100, 5, 100, 0, true},
		{560, 100, 4, 100, 1, true},
		{450, 100, 3, 100, 2, true},
		{330, 100, 2, 100, 3, true},
		{300, 100, 2, 77, 3, true}, // 285 without the margin, 208 are needed
		{280, 100, 5, 100, 0, false},
	} {
		kept, room, dropped, ok := trim(all, tc.max, tc.cap)
		if len(kept) != tc.left || room != tc.room || dropped != tc.drop || ok != tc.ok {
			t.Errorf("%d tokens: %d left, room %d, %d dropped, %v", tc.max, len(kept), room, dropped, ok)
		}
		if ok && (kept[0].Role != "system" || kept[len(kept)-1].Content != all[4].Content) {
			t.Errorf("%d tokens: the card or the last turn is gone", tc.max)
		}
	}
	// What stands behind the last turn (a kept half, its note) stays too.
	kept, _, _, ok := trim(msgs("system:"+long, "user:"+long, "assistant:"+long, "user:x", "assistant:half", "system:go on"), 300, 64)
	if !ok || len(kept) != 4 || kept[1].Content != "x" || kept[3].Content != "go on" {
		t.Errorf("%v %+v", ok, kept)
	}
}

func TestCountCountsOtherScriptsByCharacter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "a": 1, "four": 1, "fours": 2, "你好吗": 3, "hi 你好": 3} {
		if got := Count(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestLearnReadsRefusals(t *testing.T) {
	t.Parallel()
	all := request{schema: true, vllm: true, temperature: true, usage: true, reasoning: true, role: true}
	tokens, completion, both := all, all, all
	tokens.cap, completion.cap, both.cap = fieldTokens, fieldCompletion, CapBoth
	reasoning, _ := Preset("openai-reasoning")
	vllm, _ := Preset("vllm")
	for _, tc := range []struct {
		name          string
		p             Profile
		q             request
		param, detail string
		switched      bool
		key, value    string
		keep          bool
	}{
		{"cap", generic, tokens, "max_tokens", "Unsupported parameter", false, learnCap, CapCompletion, true},
		{"cap back", generic, completion, "", "extra fields not permitted: max_completion_tokens", false, learnCap, CapTokens, true},
		{"cap neither", generic, completion, "", "unknown field max_completion_tokens", true, learnCap, CapNone, true},
		{"cap of both", generic, both, "max_completion_tokens", "unknown", false, learnCap, CapTokens, true},
		{"cap too large", generic, tokens, "max_tokens", "max_tokens is too large: 5000. This model supports at most 4096 completion tokens", false, "", "", true},
		{"temperature", generic, tokens, "temperature", "", false, learnTemp, Omit, true},
		{"usage", generic, tokens, "", "Unrecognized request argument supplied: stream_options", false, learnUsage, Omit, true},
		{"strict", generic, tokens, "response_format.json_schema.strict", "unknown parameter strict", false, learnStructured, SchemaPlain, true},
		{"schema", generic, tokens, "", "This response_format type is unavailable now", false, learnStructured, SchemaObject, true},
		{"bad schema", generic, tokens, "response_format", "Invalid schema for response_format", false, learnStructured, SchemaObject, false},
		{"object", generic.With(Profile{Structured: SchemaObject}), tokens, "response_format", "", false, learnStructured, SchemaPrompt, true},
		{"role", reasoning, tokens, "", "Invalid role: developer", false, learnRole, "system", true},
		{"reasoning", reasoning, tokens, "reasoning_effort", "Unsupported", false, learnReasoning, Default, true},
		{"vllm", vllm, tokens, "", "extra_forbidden: continue_final_message", false, learnContinue, ContinueInstruct, true},
		{"context", generic, tokens, "", "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (max_tokens 300)", false, learnContext, "4097", true},
		{"context of llama.cpp", generic, tokens, "", "the request exceeds the available context size. n_ctx: 8192", false, learnContext, "8192", true},
		{"nothing of ours", generic, tokens, "", "You may not do this", false, "", "", true},
	} {
		l, ok := learn(tc.p, &upstream.Error{Status: 400, Param: tc.param, Detail: tc.detail}, tc.q, tc.switched)
		if ok != (tc.key != "") || ok && (l.key != tc.key || l.value != tc.value || l.keep != tc.keep) {
			t.Errorf("%s: %+v %v", tc.name, l, ok)
		}
	}
}

func TestComplaintsAreOnlyAboutRequests(t *testing.T) {
	t.Parallel()
	rejected := func(status int, code string) error {
		return upstream.Fault(fault.UpstreamRejected, &upstream.Error{Status: status, Code: code})
	}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{rejected(400, ""), true},
		{rejected(422, ""), true},
		{rejected(500, "context_length_exceeded"), true},
		{rejected(401, ""), false},
		{upstream.Fault(fault.UpstreamFiltered, &upstream.Error{Status: 400}), false},
		{upstream.Fault(fault.UpstreamUnavailable, &upstream.Error{Status: 503}), false},
	} {
		if got := complaint(tc.err) != nil; got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}
