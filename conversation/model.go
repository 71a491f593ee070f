package conversation

import (
	"context"
	"encoding/json"
)

// Message is one line of a prompt; Role is system, user or assistant.
type Message struct {
	Role    string
	Content string
}

// Prompt is one model call.
type Prompt struct {
	// Purpose names why ("partner", "scenario") and Version which text of the
	// prompt, for the record of the call.
	Purpose, Version string
	Messages         []Message
	// Kept is text of the answer that viewers already have: the model goes on
	// right after it, and emit gets only what follows.
	Kept string
	// MaxTokens caps the answer; 0 leaves it to the upstream.
	MaxTokens int
	// Temperature is nil for the upstream's own.
	Temperature *float32
	// Schema, when set, asks for a JSON object that fits it; SchemaName names it.
	Schema     json.RawMessage
	SchemaName string
	// Correlation travels to the upstream as X-Request-Id.
	Correlation string
	// Conversation and Learner say whose call it is, for budgets, fairness, and
	// so that a talk stays with one upstream. They never leave this process.
	Conversation ID
	Learner      LearnerID
}

// Finish says how a complete answer ended.
type Finish struct {
	// Reason is stop, length or content_filter; never empty on success.
	Reason string
	// Model is what the upstream says it served.
	Model string
	// PromptTokens and OutputTokens are the upstream's own count, or the
	// model's estimate when Estimated.
	PromptTokens, OutputTokens int
	Estimated                  bool
	RequestID                  string
}

// Model turns a prompt into text. Generate calls emit, from one goroutine,
// with valid UTF-8 pieces in order, and returns only when the answer is
// complete (a finish reason was seen) or failed. An error of emit ends the
// call and is returned. Failures are fault errors with an upstream_* code;
// ctx ending closes the upstream request at once.
type Model interface {
	Generate(ctx context.Context, p Prompt, emit func(text string) error) (Finish, error)
}

// Script knows what to say and what a finished text means; practice
// implements it, cmd wires it. One value serves every purpose.
type Script interface {
	// Prompt builds the call for a run from the state in the log: no I/O is
	// expected, everything needed is in Header.Meta and Turns.
	Prompt(ctx context.Context, st State, run Run) (Prompt, error)
	// Shown returns how many bytes of a run's unfinished text viewers may see;
	// the rest is held back in the writer's memory and never reaches the log.
	// It never returns less for a longer text, and always cuts between
	// characters.
	Shown(run Run, text []byte) int
	// Finish checks a complete text, with what was held back, inside the transaction that completes the
	// run. It may store things of its own (the context carries the
	// transaction) and may return facts to log after the completion. An error
	// with code upstream_invalid has the text written anew by another attempt.
	Finish(ctx context.Context, st State, run Run, text string) ([]NewFact, error)
}

// Repairer is a Script that can ask once more: Repair turns the prompt of a
// run into one that shows the answer that could not be used and why.
type Repairer interface {
	Repair(p Prompt, text string, why error) Prompt
}

// Run is one piece of work for the model: the attempts that produce one reply
// or one scenario.
type Run struct {
	Conversation ID
	// No counts runs of a conversation from 1.
	No int64
	// Purpose is "partner" or "scenario"; it is also the event prefix.
	Purpose string
	// Parent is the turn number this run answers, 0 for none.
	Parent    int64
	MessageID string
	Attempt   int64
	Base      int64
	// Correlation is the id of the request that caused the run.
	Correlation string
}

// NewFact is an event to be stored and logged: Type is its wire type.
type NewFact struct {
	Type string
	Data json.RawMessage
}
