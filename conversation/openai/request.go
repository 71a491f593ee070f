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
	bytes    int
}

// strategyFor picks how to go on after kept text.
func (c *Client) strategyFor(p conversation.Prompt, l learned) string {
	switch {
	case p.Kept == "":
		return ""
	case c.cfg.Continue != ContinueAuto:
		return c.cfg.Continue
	case l.scripted:
		return ContinuePrefix
	}
	return ContinueInstruct
}

// build makes the request for p under what is known of the server. Model name,
// cap and temperature go in beside go-openai's own fields: the library refuses
// some of them by the beginning of a model's name, and is wrong both ways.
func (c *Client) build(p conversation.Prompt, l learned, maxTokens int) plan {
	q := plan{set: map[string]json.RawMessage{}, strategy: c.strategyFor(p, l)}
	q.body.Model = "chat"
	q.set["model"] = quoted(c.model(p.Purpose))
	// A reply that is to be continued in words cannot be forced into a schema:
	// the grammar would begin a new object.
	schema := len(p.Schema) > 0 && q.strategy != ContinueInstruct
	hint := ""
	if schema {
		q.has.schema = l.structured != schemaPrompt
		switch l.structured {
		case schemaStrict:
			name := p.SchemaName
			if name == "" {
				name = "answer"
			}
			q.body.ResponseFormat = &goopenai.ChatCompletionResponseFormat{
				Type:       goopenai.ChatCompletionResponseFormatTypeJSONSchema,
				JSONSchema: &goopenai.ChatCompletionResponseFormatJSONSchema{Name: name, Schema: p.Schema, Strict: true},
			}
		case schemaObject:
			q.body.ResponseFormat = &goopenai.ChatCompletionResponseFormat{Type: goopenai.ChatCompletionResponseFormatTypeJSONObject}
			hint = "Answer with one JSON object and nothing else, no code fence. It must fit this JSON schema:\n" + string(p.Schema)
		default:
			hint = "Answer with one JSON object and nothing else, no code fence. It must fit this JSON schema:\n" + string(p.Schema)
		}
	}
	for i, m := range p.Messages {
		content := strings.ToValidUTF8(m.Content, "\uFFFD")
		if hint != "" && m.Role == "system" && (i+1 == len(p.Messages) || p.Messages[i+1].Role != "system") {
			content += "\n\n" + hint
			hint = ""
		}
		q.add(m.Role, content)
	}
	if hint != "" {
		q.add("system", hint)
	}
	switch q.strategy {
	case ContinuePrefix:
		q.add("assistant", p.Kept)
		if c.cfg.VLLMPrefix && !l.noVLLM {
			q.has.vllm = true
			q.set["continue_final_message"] = rawJSON("true")
			q.set["add_generation_prompt"] = rawJSON("false")
		}
	case ContinueInstruct:
		q.add("assistant", p.Kept)
		q.add("system", instruction+string(quoted(lastRunes(p.Kept, quoteTail))))
	}
	if maxTokens > 0 && l.cap != capNone {
		q.has.cap = l.cap
		q.set[l.cap] = number(maxTokens)
	}
	if p.Temperature != nil && !l.noTemperature {
		if b, err := json.Marshal(*p.Temperature); err == nil {
			q.has.temperature = true
			q.set["temperature"] = b
		}
	}
	if !l.noUsage {
		q.has.usage = true
		q.body.StreamOptions = &goopenai.StreamOptions{IncludeUsage: true}
	}
	return q
}

func (q *plan) add(role, content string) {
	q.bytes += len(content)
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
