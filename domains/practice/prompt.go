package practice

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fluentpro/fluentpro/domains/practice/prompts"
)

// SchemaName is the name of the structured output of a scenario.
const SchemaName = "scenario"

// Message is one line of a prompt.
type Message struct {
	Role    string
	Content string
}

// Prompt is one model call, ready to be sent by whoever owns the model.
type Prompt struct {
	Messages    []Message
	MaxTokens   int
	Temperature *float32
	Schema      json.RawMessage
	SchemaName  string
	// Version names the text of the prompt.
	Version string
}

// Line is one finished message of a conversation.
type Line struct {
	// Author is "learner" or "partner".
	Author string
	Text   string
}

// Choice is a partner or situation of the learner: an id from our lists, or
// "custom:<text>", and its words.
type Choice struct {
	ID    string `json:"id"`
	Label string `json:"label"`
}

// RequestMeta travels with a scenario request: all that the prompt and the
// finished scenario need, so that neither has to read anything.
type RequestMeta struct {
	Level          string   `json:"level"`
	NativeLanguage string   `json:"native_language,omitempty"`
	Industry       string   `json:"industry,omitempty"`
	JobRole        string   `json:"job_role,omitempty"`
	JobTitle       string   `json:"job_title,omitempty"`
	JobDescription string   `json:"job_description,omitempty"`
	Partner        Choice   `json:"partner"`
	Situation      Choice   `json:"situation"`
	Variation      int64    `json:"variation_number"`
	Avoid          []string `json:"avoid_titles"`
}

// ChatMeta travels with a conversation: the whole scenario, hidden parts too.
type ChatMeta struct {
	ScenarioID string   `json:"scenario_id"`
	Level      string   `json:"level"`
	Scenario   Scenario `json:"scenario"`
}

// ScenarioPrompt asks for a scenario; meta is a RequestMeta.
func ScenarioPrompt(meta json.RawMessage) (Prompt, error) {
	var m RequestMeta
	if err := json.Unmarshal(meta, &m); err != nil {
		return Prompt{}, fmt.Errorf("scenario prompt: %w", err)
	}
	data, err := delimited("data", m)
	if err != nil {
		return Prompt{}, fmt.Errorf("scenario prompt: %w", err)
	}
	warm := float32(0.9)
	return Prompt{
		Messages:  []Message{{"system", strings.TrimSpace(prompts.Scenario)}, {"user", data}},
		MaxTokens: 2400, Temperature: &warm,
		Schema: prompts.ScenarioSchema, SchemaName: SchemaName, Version: prompts.ScenarioVersion,
	}, nil
}

// How much of a conversation a partner call carries: the newest turns that fit.
const (
	windowTurns = 24
	windowBytes = 16 << 10
)

// PartnerPrompt asks for the partner's next line; meta is a ChatMeta. There is
// one system message, first: many chat templates take no other. Its last line
// is the level reminder, in every call.
func PartnerPrompt(meta json.RawMessage, turns []Line) (Prompt, error) {
	var m ChatMeta
	if err := json.Unmarshal(meta, &m); err != nil {
		return Prompt{}, fmt.Errorf("partner prompt: %w", err)
	}
	s := m.Scenario
	card, err := delimited("card", struct {
		Title    string      `json:"title"`
		Brief    string      `json:"brief"`
		Outcome  string      `json:"outcome"`
		Channel  string      `json:"channel"`
		Register string      `json:"register"`
		Goals    []Objective `json:"objectives"`
		Partner  Partner     `json:"partner"`
		Learner  string      `json:"learner_title"`
		Opening  Opening     `json:"opening"`
	}{s.Title, s.Brief, s.Outcome, s.Channel, s.Register, s.Objectives, s.Partner, s.Learner.Title, s.Opening})
	if err != nil {
		return Prompt{}, fmt.Errorf("partner prompt: %w", err)
	}
	msgs := []Message{{"system", strings.TrimSpace(prompts.Partner) + "\n" + card + "\n" + reminder(m.Level)}}
	for _, l := range window(turns) {
		role := "user"
		if l.Author == "partner" {
			role = "assistant"
		}
		msgs = append(msgs, Message{role, l.Text})
	}
	mild := float32(0.7)
	return Prompt{Messages: msgs, MaxTokens: LimitsOf(m.Level).tokens(), Temperature: &mild, Version: prompts.PartnerVersion}, nil
}

// window is the newest turns within the bounds, at least the last one. Empty
// turns (a reply stopped before its first word) are left out: some upstreams
// refuse them.
func window(turns []Line) []Line {
	var kept []Line
	size := 0
	for i := len(turns) - 1; i >= 0 && len(kept) < windowTurns; i-- {
		if strings.TrimSpace(turns[i].Text) == "" {
			continue
		}
		size += len(turns[i].Text)
		if size > windowBytes && len(kept) > 0 {
			break
		}
		kept = append(kept, turns[i])
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	return kept
}

// delimited is v as JSON between marks. encoding/json's HTML escaping stays
// on here: it keeps a "<" of the data from forming a mark.
func delimited(mark string, v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return "<" + mark + ">\n" + string(raw) + "\n</" + mark + ">", nil
}
