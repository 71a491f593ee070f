package openai

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

// Generate implements conversation.Model.
func (c *Client) Generate(ctx context.Context, p conversation.Prompt, emit func(string) error) (conversation.Finish, error) {
	g := &generation{c: c, p: p, emit: emit, start: time.Now(), maxTokens: p.MaxTokens}
	g.rec = CallRecord{
		Purpose: p.Purpose, Version: p.Version, Correlation: p.Correlation,
		ModelAsked: c.model(p.Purpose), KeptBytes: len(p.Kept),
	}
	c.budget.call()
	fin, err := g.run(ctx)
	g.record(ctx, fin, err)
	return fin, err
}

// generation is one Generate: at most a few requests, one of which speaks.
type generation struct {
	c         *Client
	p         conversation.Prompt
	emit      func(string) error
	start     time.Time
	maxTokens int
	rec       CallRecord
	emitErr   error
}

// run sends requests until one has spoken or failed for good.
func (g *generation) run(ctx context.Context) (conversation.Finish, error) {
	known := g.c.known()
	lessons, starved := 0, false
	for {
		if ctx.Err() != nil {
			return conversation.Finish{}, context.Cause(ctx)
		}
		q := g.c.build(g.p, known, g.maxTokens)
		g.rec.Strategy, g.rec.PromptBytes = q.strategy, q.bytes
		fin, err := g.once(ctx, q)
		switch {
		case err == nil, g.rec.OutputBytes > 0, g.emitErr != nil, ctx.Err() != nil:
			return fin, err
		}
		if e := complaint(err); e != nil && lessons < 4 {
			if next, keep, ok := known.learn(e, q.has); ok {
				known = next
				lessons++
				if keep {
					g.c.remember(next)
				}
				continue
			}
		}
		if starvedOf(err) {
			// The model spent its whole allowance on thinking: once more with
			// twice as much.
			if g.maxTokens > 0 && !starved {
				starved = true
				g.maxTokens *= 2
				g.rec.Retries++
				continue
			}
			return fin, err
		}
		advice, ok := transient(err)
		if !ok || g.rec.Retries >= g.c.cfg.MaxRetries || !g.c.budget.take() {
			return fin, err
		}
		waited, werr := g.c.wait(ctx, g.rec.Retries, advice)
		if werr != nil {
			return fin, werr
		}
		if !waited {
			return fin, err
		}
		g.rec.Retries++
	}
}

var (
	errStarved = upstream.Fault(fault.UpstreamTruncated, &upstream.Error{Kind: "reasoning_starved", RetryAfter: -1})
	errEmpty   = upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "empty_answer", RetryAfter: -1, Transient: true})
	errRefusal = upstream.Fault(fault.UpstreamFiltered, &upstream.Error{Kind: "refusal", RetryAfter: -1})
)

// starvedOf tells errStarved from others of its code, which errors.Is does not.
func starvedOf(err error) bool {
	var e *upstream.Error
	return errors.As(err, &e) && e.Kind == "reasoning_starved"
}

// once sends one request and relays its text.
func (g *generation) once(ctx context.Context, q plan) (conversation.Finish, error) {
	call := &upstream.Call{Correlation: g.p.Correlation, Set: q.set}
	defer func() {
		g.rec.Status, g.rec.End = call.Status, string(call.End)
		g.rec.ReasoningBytes += call.ReasoningBytes
		if call.RequestID != "" {
			g.rec.RequestID = call.RequestID
		}
		if call.Model != "" {
			g.rec.ModelServed = call.Model
		}
		if call.Scripted {
			g.c.learnScripted()
		}
	}()
	// The request ends with this function, whatever go-openai keeps.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := g.c.api.CreateChatCompletionStream(upstream.WithCall(ctx, call), q.body)
	if err != nil {
		return conversation.Finish{}, asFault(ctx, err)
	}
	defer stream.Close()

	say := func(text string) error { return g.say(text) }
	var j *joint
	if q.strategy == ContinueInstruct {
		j = newJoint(g.p.Kept, len(g.p.Schema) > 0)
		say = func(text string) error {
			text, err := j.add(text)
			if err != nil {
				return err
			}
			return g.say(text)
		}
	}
	fin := conversation.Finish{}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fin, asFault(ctx, err)
		}
		if r.Usage != nil {
			fin.PromptTokens, fin.OutputTokens = r.Usage.PromptTokens, r.Usage.CompletionTokens
		}
		for _, ch := range r.Choices {
			if ch.Index != 0 {
				continue
			}
			if err := say(ch.Delta.Content); err != nil {
				return fin, err
			}
		}
	}
	if j != nil {
		rest, err := j.flush()
		if err != nil {
			return fin, err
		}
		if err := g.say(rest); err != nil {
			return fin, err
		}
	}
	fin.Model, fin.RequestID = call.Model, call.RequestID
	if err := g.judge(&fin, call); err != nil {
		return fin, err
	}
	return fin, nil
}

// say hands text to the caller.
func (g *generation) say(text string) error {
	if text == "" {
		return nil
	}
	if g.rec.OutputBytes == 0 {
		g.rec.FirstToken = time.Since(g.start)
	}
	g.rec.OutputBytes += len(text)
	if err := g.emit(text); err != nil {
		g.emitErr = err
		return err
	}
	return nil
}

// judge turns the upstream's finish reason into ours, or into a failure.
func (g *generation) judge(fin *conversation.Finish, call *upstream.Call) error {
	silent := g.rec.OutputBytes == 0
	switch strings.ToLower(call.Finish) {
	case "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete":
		fin.Reason = "stop"
	case "length", "max_tokens", "model_length":
		fin.Reason = "length"
	case "content_filter", "safety", "prohibited_content", "recitation", "refusal":
		if silent {
			return upstream.Fault(fault.UpstreamFiltered, &upstream.Error{Kind: "content_filter", RetryAfter: -1, RequestID: call.RequestID})
		}
		fin.Reason = "content_filter"
		return nil
	default:
		// Whatever it means, nobody said that the answer is whole.
		return upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "unknown_finish", RetryAfter: -1, RequestID: call.RequestID, Transient: true})
	}
	switch {
	case !silent:
		return nil
	case call.Refused:
		return errRefusal
	case g.p.Kept != "":
		return nil // nothing was left to say
	case fin.Reason == "length":
		return errStarved
	}
	return errEmpty
}

// asFault passes the transport's errors on and gives the rest, which can only
// be go-openai failing to read a frame, a code.
func asFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	return upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "unreadable", RetryAfter: -1})
}

// known returns what the server has turned out to be like so far.
func (c *Client) known() learned {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.learned
}

// remember keeps a lesson and says once how to save others the detour.
func (c *Client) remember(next learned) {
	c.mu.Lock()
	changed := c.learned != next
	next.scripted = next.scripted || c.learned.scripted
	c.learned = next
	c.mu.Unlock()
	if changed {
		c.cfg.Logger.Warn("upstream refused a request field; leaving it out from now on",
			"cap_field", next.cap, "no_temperature", next.noTemperature, "no_stream_usage", next.noUsage,
			"structured_step", next.structured, "no_continue_final_message", next.noVLLM)
	}
}

func (c *Client) learnScripted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learned.scripted = true
}

// record reports the finished call.
func (g *generation) record(ctx context.Context, fin conversation.Finish, err error) {
	if g.c.cfg.OnCall == nil {
		return
	}
	r := &g.rec
	r.Total = time.Since(g.start)
	r.PromptTokens, r.OutputTokens = fin.PromptTokens, fin.OutputTokens
	if r.OutputTokens == 0 {
		r.Estimated = true
		r.PromptTokens, r.OutputTokens = (r.PromptBytes+3)/4, (r.OutputBytes+r.ReasoningBytes+3)/4
	}
	switch {
	case err == nil:
		r.Finish = fin.Reason
	case ctx.Err() != nil:
		r.Code = "cancelled"
	case g.emitErr != nil:
		r.Code = "emit"
	default:
		r.Code = string(fault.CodeOf(err))
	}
	g.c.cfg.OnCall(*r)
}
