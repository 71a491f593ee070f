package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/practice"
)

// script lets practice say what the core asks: which prompt a run needs and
// what a finished text means. The two rooms do not know each other.
type script struct {
	practice   *practice.Service
	onboarding *onboarding.Service
}

// Prompt implements conversation.Script.
func (s script) Prompt(ctx context.Context, st conversation.State, run conversation.Run) (conversation.Prompt, error) {
	var p practice.Prompt
	var err error
	if run.Purpose == "scenario" {
		p, err = practice.ScenarioPrompt(st.Header.Meta)
	} else {
		turns := st.Window(run)
		lines := make([]practice.Line, len(turns))
		for i, t := range turns {
			lines[i] = practice.Line{Author: string(t.Author), Text: t.Text}
		}
		if isInterview(st.Header.Meta) {
			p, err = s.interviewPrompt(ctx, string(st.Header.Owner), lines)
		} else {
			p, err = practice.PartnerPrompt(st.Header.Meta, lines)
		}
	}
	if err != nil {
		return conversation.Prompt{}, fmt.Errorf("prompt of %s: %w", run.Purpose, err)
	}
	out := conversation.Prompt{Purpose: run.Purpose, Version: p.Version, MaxTokens: p.MaxTokens, Temperature: p.Temperature,
		Schema: p.Schema, SchemaName: p.SchemaName, Messages: make([]conversation.Message, len(p.Messages))}
	for i, m := range p.Messages {
		out.Messages[i] = conversation.Message{Role: m.Role, Content: m.Content}
	}
	return out, nil
}

// Repair implements conversation.Repairer.
func (s script) Repair(p conversation.Prompt, text string, why error) conversation.Prompt {
	for _, m := range practice.RepairMessages(text, why) {
		p.Messages = append(p.Messages, conversation.Message{Role: m.Role, Content: m.Content})
	}
	return p
}

// Shown implements conversation.Script: the partner card of a scenario is not
// for the learner.
func (s script) Shown(run conversation.Run, text []byte) int {
	if run.Purpose == "scenario" {
		return practice.ShownScenario(text)
	}
	return len(text)
}

// Finish implements conversation.Script: a written scenario is checked and
// stored in the transaction that completes its run.
func (s script) Finish(ctx context.Context, st conversation.State, run conversation.Run, text string) ([]conversation.NewFact, error) {
	if run.Purpose != "scenario" {
		return nil, nil
	}
	view, err := s.practice.FinishScenario(ctx, string(st.Header.Owner), string(st.Header.ID), st.Header.Meta, text)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(map[string]json.RawMessage{"scenario": view})
	if err != nil {
		return nil, err
	}
	return []conversation.NewFact{{Type: conversation.TypeScenarioReady, Data: data}}, nil
}
