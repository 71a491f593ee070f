package practice

import (
	"fmt"
	"strings"

	"github.com/fluentpro/fluentpro/domains/practice/prompts"
)

// Interview is what an interviewer says next. The question is decided by the
// learner's profile; the model only puts it into words.
type Interview struct {
	// Next is the question in plain English, or the farewell when there are no
	// Options.
	Next    string   `json:"say_next"`
	Options []string `json:"options,omitempty"`
}

// InterviewPrompt asks for the interviewer's next line.
func InterviewPrompt(in Interview, turns []Line) (Prompt, error) {
	data, err := delimited("question", in)
	if err != nil {
		return Prompt{}, fmt.Errorf("interview prompt: %w", err)
	}
	msgs := []Message{{"system", strings.TrimSpace(prompts.Interview) + "\n" + data}}
	for _, l := range window(turns) {
		role := "user"
		if l.Author == "partner" {
			role = "assistant"
		}
		msgs = append(msgs, Message{role, l.Text})
	}
	mild := float32(0.5)
	return Prompt{Messages: msgs, MaxTokens: 300, Temperature: &mild, Version: prompts.InterviewVersion}, nil
}
