package main

import (
	"context"
	"flag"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// keptCalls is how many records of calls a node remembers.
const keptCalls = 512

// callRing remembers the last calls of this node, without a word of text.
type callRing struct {
	mu    sync.Mutex
	calls []openai.CallRecord
	next  int
}

func (r *callRing) add(c openai.CallRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) < keptCalls {
		r.calls = append(r.calls, c)
		return
	}
	r.calls[r.next] = c
	r.next = (r.next + 1) % keptCalls
}

// newest are the records, the last one first.
func (r *callRing) newest() []openai.CallRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]openai.CallRecord, 0, len(r.calls))
	for i := range r.calls {
		out = append(out, r.calls[(r.next+len(r.calls)-1-i)%len(r.calls)])
	}
	return out
}

// callView is a record as operators read it.
type callView struct {
	At           string  `json:"at"`
	Upstream     string  `json:"upstream"`
	Purpose      string  `json:"purpose"`
	Model        string  `json:"model"`
	Served       string  `json:"served,omitempty"`
	Result       string  `json:"result"`
	FirstTokenMS int64   `json:"first_token_ms"`
	TotalMS      int64   `json:"total_ms"`
	PromptTokens int     `json:"prompt_tokens"`
	OutputTokens int     `json:"output_tokens"`
	Estimated    bool    `json:"estimated"`
	Cost         float64 `json:"cost"`
	Retries      int     `json:"retries"`
	Trimmed      int     `json:"trimmed_turns"`
	Strategy     string  `json:"strategy,omitempty"`
	PromptBytes  int     `json:"prompt_bytes"`
	KeptBytes    int     `json:"kept_bytes"`
	OutputBytes  int     `json:"output_bytes"`
	Reasoning    int     `json:"reasoning_bytes"`
	End          string  `json:"end"`
	Status       int     `json:"status"`
	Version      string  `json:"prompt_version"`
	Conversation string  `json:"conversation,omitempty"`
	Correlation  string  `json:"correlation_id,omitempty"`
	RequestID    string  `json:"upstream_request_id,omitempty"`
}

func viewOf(r openai.CallRecord) callView {
	result := r.Code
	if result == "" {
		result = r.Finish
	}
	return callView{At: r.At.UTC().Format(time.RFC3339Nano), Upstream: r.Upstream, Purpose: r.Purpose, Model: r.ModelAsked, Served: r.ModelServed, Result: result,
		FirstTokenMS: r.FirstToken.Milliseconds(), TotalMS: r.Total.Milliseconds(), PromptTokens: r.PromptTokens, OutputTokens: r.OutputTokens,
		Estimated: r.Estimated, Cost: float64(r.Micros) / 1e6, Retries: r.Retries, Trimmed: r.TrimmedTurns, Strategy: r.Strategy, PromptBytes: r.PromptBytes,
		KeptBytes: r.KeptBytes, OutputBytes: r.OutputBytes, Reasoning: r.ReasoningBytes, End: r.End, Status: r.Status, Version: r.Version,
		Conversation: r.Conversation, Correlation: r.Correlation, RequestID: r.RequestID}
}

const defaultCalls = 50

// List implements server.Calls: the newest calls that match.
func (r *callRing) List(_ context.Context, q url.Values) (any, error) {
	limit := defaultCalls
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > keptCalls {
			return nil, fault.Newf(fault.BadRequest, "limit must be between 1 and %d", keptCalls)
		}
		limit = n
	}
	for name := range q {
		switch name {
		case "limit", "purpose", "conversation", "result", "upstream", "correlation_id":
		default:
			return nil, fault.New(fault.BadRequest, "filters are limit, purpose, conversation, result, upstream and correlation_id")
		}
	}
	out := []callView{}
	for _, rec := range r.newest() {
		v := viewOf(rec)
		match := true
		for name, have := range map[string]string{"purpose": v.Purpose, "conversation": v.Conversation, "result": v.Result, "upstream": v.Upstream, "correlation_id": v.Correlation} {
			match = match && (q.Get(name) == "" || q.Get(name) == have)
		}
		if match {
			out = append(out, v)
		}
		if len(out) == limit {
			break
		}
	}
	return map[string]any{"calls": out}, nil
}

const callsPath = "/ops/v1/calls"

func callsCommand() *command {
	return &command{
		name: "calls", short: "the last calls to the model, newest first", settings: true,
		long: "What one node remembers of its calls: sizes, times, tokens, cost and result, never a word of text.\nFilters are purpose, conversation, result, upstream and correlation_id.",
		setup: func(fs *flag.FlagSet) runner {
			o, v := opsFlags(fs), viewFlags(fs)
			limit := fs.Int("limit", 0, "at most so many")
			filter := filters{}
			fs.Var(filter, "filter", "only where `name=value`; may be repeated")
			return func(ctx context.Context, c *call) int {
				q := url.Values(filter)
				if *limit < 0 {
					return c.fail(exitUsage, "--limit must not be negative")
				} else if *limit > 0 {
					q.Set("limit", strconv.Itoa(*limit))
				}
				return showState(ctx, c, o, v, callsPath, q)
			}
		},
	}
}
