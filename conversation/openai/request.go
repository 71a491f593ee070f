package openai

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	goopenai "github.com/sashabaranov/go-openai"

	"github.com/fluentpro/fluentpro/conversation"
)

// instruction asks in words for what a prefix would do. The kept tail is
// quoted because a model finds its place better by it than by counting.
const instruction = `Your last message above was cut off in transit and is not finished. ` +
	`Go on exactly after its last characters: write only what comes next, in the same voice and language. ` +
	`Do not repeat any of it, do not begin again, do not comment on the interruption. It ends with: `

// quoteTail is how much of the kept text the instruction repeats.
const quoteTail = 60

// plan is one request as it is going to be sent.
type plan struct {
	body     goopenai.ChatCompletionRequest
	set      map[string]json.RawMessage
	has      request
	strategy string
	// bytes and tokens are the size of the prompt, trimmed how many turns it
	// had to leave out.
	bytes, tokens, trimmed int
}

// strategyFor picks how to go on after kept text.
func (c *Client) strategyFor(p conversation.Prompt, know Profile) string {
	switch {
	case p.Kept == "":
		return ""
	case know.Continue == ContinueInstruct:
		return ContinueInstruct
	case know.Continue == ContinuePrefix:
		// A grammar would begin a new object behind the kept half of one.
		if know.VLLMPrefix && len(p.Schema) > 0 {
			return ContinueInstruct
		}
		return ContinuePrefix
	case c.scripted.Load():
		return ContinuePrefix
	}
	return ContinueInstruct
}

// build makes the request for p under what is known of the server. Model name,
// cap and temperature go in beside go-openai's own fields: the library refuses
// some of them by the beginning of a model's name, and is wrong both ways.
func (c *Client) build(p conversation.Prompt, know Profile, maxTokens int, thinkLess bool) (plan, error) {
	q := plan{set: map[string]json.RawMessage{}, strategy: c.strategyFor(p, know)}
	q.body.Model = "chat"
	q.set["model"] = quoted(c.model(p.Purpose))
	role := know.SystemRole
	q.has.role = role != "system"
	hint := q.structure(p, know)
	for i, m := range p.Messages {
		content := strings.ToValidUTF8(m.Content, "\uFFFD")
		if m.Role != "system" {
			q.add(m.Role, content)
			continue
		}
		if hint != "" && (i+1 == len(p.Messages) || p.Messages[i+1].Role != "system") {
			content += "\n\n" + hint
			hint = ""
		}
		q.add(role, content)
	}
	if hint != "" {
		q.add(role, hint)
	}
	switch q.strategy {
	case ContinuePrefix:
		q.add("assistant", p.Kept)
		if know.VLLMPrefix {
			q.has.vllm = true
			q.set["continue_final_message"] = rawJSON("true")
			q.set["add_generation_prompt"] = rawJSON("false")
		}
	case ContinueInstruct:
		q.add("assistant", p.Kept)
		q.add(role, instruction+string(quoted(lastRunes(p.Kept, quoteTail))))
	}
	if maxTokens <= 0 && know.MaxContext > 0 {
		maxTokens = know.MaxContext / 4 // room for an answer without a cap
	}
	ms, room, dropped, ok := trim(q.body.Messages, know.MaxContext, maxTokens)
	if !ok {
		return q, errNoRoom
	}
	if q.trimmed = dropped; p.MaxTokens > 0 {
		maxTokens = room
	} else {
		maxTokens = 0
	}
	q.body.Messages = ms
	for _, m := range ms {
		q.bytes += len(m.Content)
	}
	q.tokens = countMessages(ms)
	q.options(p, know, maxTokens, thinkLess)
	return q, nil
}

// structure asks for the schema on the rung that is known to work, and returns
// what has to be said in words.
func (q *plan) structure(p conversation.Prompt, know Profile) (hint string) {
	// A reply that is to be continued in words cannot be forced into a schema:
	// the grammar would begin a new object.
	if len(p.Schema) == 0 || q.strategy == ContinueInstruct {
		return ""
	}
	q.has.schema = know.Structured != SchemaPrompt
	switch know.Structured {
	case SchemaStrict, SchemaPlain:
		name := p.SchemaName
		if name == "" {
			name = "answer"
		}
		q.body.ResponseFormat = &goopenai.ChatCompletionResponseFormat{
			Type:       goopenai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &goopenai.ChatCompletionResponseFormatJSONSchema{Name: name, Schema: p.Schema, Strict: know.Structured == SchemaStrict},
		}
		return ""
	case SchemaObject:
		q.body.ResponseFormat = &goopenai.ChatCompletionResponseFormat{Type: goopenai.ChatCompletionResponseFormatTypeJSONObject}
	}
	return "Answer with one JSON object and nothing else, no code fence. It must fit this JSON schema:\n" + string(p.Schema)
}

// options adds the fields that servers differ about.
func (q *plan) options(p conversation.Prompt, know Profile, maxTokens int, thinkLess bool) {
	if maxTokens > 0 {
		switch know.CapField {
		case CapTokens:
			q.has.cap = fieldTokens
		case CapCompletion:
			q.has.cap = fieldCompletion
		case CapBoth:
			q.has.cap = CapBoth
			q.set[fieldTokens], q.set[fieldCompletion] = number(maxTokens), number(maxTokens)
		}
		if q.has.cap != "" && q.has.cap != CapBoth {
			q.set[q.has.cap] = number(maxTokens)
		}
	}
	if p.Temperature != nil && know.Temperature == Send {
		if b, err := json.Marshal(*p.Temperature); err == nil {
			q.has.temperature = true
			q.set["temperature"] = b
		}
	}
	if know.StreamUsage == Send {
		q.has.usage = true
		q.body.StreamOptions = &goopenai.StreamOptions{IncludeUsage: true}
	}
	if know.ReasoningOff != "" && (thinkLess || know.Reasoning == Off) {
		if name, value, err := field(know.ReasoningOff); err == nil { // checked by New
			q.has.reasoning = true
			q.set[name] = value
		}
	}
}

func (q *plan) add(role, content string) {
	q.body.Messages = append(q.body.Messages, goopenai.ChatCompletionMessage{Role: role, Content: content})
}

// quoted is s as JSON; a string always has one.
func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return b
}

// lastRunes returns the last n characters of s.
func lastRunes(s string, n int) string {
	i := len(s)
	for ; n > 0 && i > 0; n-- {
		_, w := utf8.DecodeLastRuneInString(s[:i])
		i -= w
	}
	return s[i:]
}
