package openai

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/fluentpro/fluentpro/internal/upstream"
)

// The two spellings of the output cap.
const (
	capTokens     = "max_tokens"
	capCompletion = "max_completion_tokens"
	capNone       = "none"
)

// How far down the ladder of structured output a server is.
const (
	schemaStrict = iota
	schemaObject
	schemaPrompt
)

// learned is what a server turned out to be like.
type learned struct {
	scripted      bool
	cap           string
	capSwitched   bool
	noTemperature bool
	noUsage       bool
	noVLLM        bool
	structured    int
}

// capFieldFor picks the spelling that does least harm: OpenAI and Azure want
// the new one, and their reasoning models refuse the old one; Ollama drops the
// new one without a word, which would leave the answer without a bound.
func capFieldFor(host, model string) string {
	host = strings.ToLower(host)
	if host == "api.openai.com" || strings.HasSuffix(host, ".openai.azure.com") || strings.HasSuffix(host, ".services.ai.azure.com") {
		return capCompletion
	}
	name := strings.ToLower(model[strings.LastIndex(model, "/")+1:])
	for _, p := range [...]string{"o1", "o3", "o4", "gpt-5", "gpt-6"} {
		if strings.HasPrefix(name, p) {
			return capCompletion
		}
	}
	return capTokens
}

// complaint returns the upstream's refusal of the request itself, nil for
// every other failure.
func complaint(err error) *upstream.Error {
	var e *upstream.Error
	if !errors.As(err, &e) {
		return nil
	}
	if e.Status != http.StatusBadRequest && e.Status != http.StatusUnprocessableEntity {
		return nil
	}
	return e
}

// learn reads a refusal and returns what to send instead; ok is false when
// nothing of ours was named. keep says whether it holds for later calls too:
// a complaint about one schema says nothing about others.
func (l learned) learn(e *upstream.Error, q request) (next learned, keep, ok bool) {
	next = l
	switch {
	case q.schema && e.Names("response_format"), q.schema && l.structured == schemaStrict && e.Names("json_schema"),
		q.schema && e.Names("json_object"):
		if l.structured == schemaPrompt {
			return l, false, false
		}
		next.structured = l.structured + 1
		bad := strings.Contains(strings.ToLower(e.Detail), "invalid schema")
		return next, !bad, true
	case q.vllm && (e.Names("continue_final_message") || e.Names("add_generation_prompt")):
		next.noVLLM = true
	case q.cap == capTokens && e.Names(capTokens), q.cap == capCompletion && e.Names(capCompletion):
		switch {
		case l.capSwitched:
			next.cap = capNone
		case l.cap == capTokens:
			next.cap, next.capSwitched = capCompletion, true
		default:
			next.cap, next.capSwitched = capTokens, true
		}
	case q.temperature && e.Names("temperature"):
		next.noTemperature = true
	case q.usage && (e.Names("stream_options") || e.Names("include_usage")):
		next.noUsage = true
	default:
		return l, false, false
	}
	return next, true, true
}

// request says which optional fields a request carried.
type request struct {
	schema, vllm, temperature, usage bool
	cap                              string
}

func number(n int) json.RawMessage {
	b, err := json.Marshal(n)
	if err != nil {
		return json.RawMessage("0")
	}
	return b
}
