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
	fin, _, err := c.generate(ctx, p, emit)
	return fin, err
}

// generate is Generate with the record of the call.
func (c *Client) generate(ctx context.Context, p conversation.Prompt, emit func(string) error) (conversation.Finish, CallRecord, error) {
	g := &generation{c: c, p: p, emit: emit, start: time.Now(), maxTokens: p.MaxTokens}
	g.rec = CallRecord{
		At: g.start, Upstream: c.cfg.Name, Purpose: p.Purpose, Version: p.Version, Correlation: p.Correlation,
		Conversation: string(p.Conversation), ModelAsked: c.model(p.Purpose), KeptBytes: len(p.Kept),
	}
	c.budget.call()
	fin, err := g.run(ctx)
	g.record(ctx, &fin, err)
	return fin, g.rec, err
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
	whole     strings.Builder // a structured answer, to judge the server by
	promptEst int
	outputEst int
}

// maxLessons bounds the requests that teach us in one call.
const maxLessons = 4

// run sends requests until one has spoken or failed for good.
func (g *generation) run(ctx context.Context) (conversation.Finish, error) {
	model := g.rec.ModelAsked
	know, switched := g.c.known(model)
	lessons, starved := 0, false
	for {
		if ctx.Err() != nil {
			return conversation.Finish{}, context.Cause(ctx)
		}
		q, err := g.c.build(g.p, know, g.maxTokens, starved)
		if err != nil {
			return conversation.Finish{}, err
		}
		g.rec.Strategy, g.rec.PromptBytes, g.rec.TrimmedTurns, g.promptEst = q.strategy, q.bytes, q.trimmed, q.tokens
		fin, err := g.once(ctx, q, know)
		if err == nil && len(g.p.Schema) > 0 && q.strategy != ContinueInstruct {
			g.judgeServer(model, know, fin)
		}
		switch {
		case err == nil, g.rec.OutputBytes > 0, g.emitErr != nil, ctx.Err() != nil:
			return fin, err
		}
		if e := complaint(err); e != nil && lessons < maxLessons {
			if tooLarge(strings.ToLower(e.Detail)) && g.maxTokens > 2*minCap {
				g.maxTokens /= 2
				lessons++
				continue
			}
			if l, ok := learn(know, e, q.has, switched); ok {
				l.apply(&know)
				switched = switched || l.key == learnCap
				lessons++
				if l.keep {
					g.c.remember(model, l, "it refused the request")
				}
				continue
			}
		}
		if kindOf(err, "no_object") && lessons < maxLessons && know.Structured != SchemaPrompt {
			l := lesson{key: learnStructured, value: beneath(know.Structured), keep: true}
			l.apply(&know)
			lessons++
			g.c.remember(model, l, "it answers in words where an object was asked for")
			continue
		}
		if kindOf(err, "reasoning_starved") {
			// The model spent its whole allowance on thinking: once more with
			// less of that and twice as much room.
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

// judgeServer looks at a complete structured answer. One that is no object, or
// lacks fields that the schema requires, says that the server takes the schema
// and does nothing with it: the next attempt has to ask another way.
func (g *generation) judgeServer(model string, know Profile, fin conversation.Finish) {
	if fin.Reason != "stop" {
		return
	}
	object, fields := fits(g.p.Kept+g.whole.String(), g.p.Schema)
	next := ""
	switch {
	case object && fields, know.Structured == SchemaPrompt:
	case know.Structured != SchemaObject || !object:
		next = beneath(know.Structured)
	}
	if next != "" {
		g.c.remember(model, lesson{key: learnStructured, value: next, keep: true}, "its answer does not fit the schema")
	}
}

var (
	errStarved = upstream.Fault(fault.UpstreamTruncated, &upstream.Error{Kind: "reasoning_starved", RetryAfter: -1})
	errEmpty   = upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "empty_answer", RetryAfter: -1, Transient: true})
	errNoRoom  = upstream.Fault(fault.UpstreamRejected, &upstream.Error{Kind: "context_too_small", RetryAfter: -1})
	errWords   = upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "no_object", RetryAfter: -1})
	errRefusal = upstream.Fault(fault.UpstreamFiltered, &upstream.Error{Kind: "refusal", RetryAfter: -1})
)

// kindOf tells failures of one code apart, which errors.Is does not.
func kindOf(err error, kind string) bool {
	var e *upstream.Error
	return errors.As(err, &e) && e.Kind == kind
}

// beneath is the rung for a server that takes a form and ignores it: an object
// with the schema in words, then words alone.
func beneath(rung string) string {
	if rung == SchemaObject {
		return SchemaPrompt
	}
	return SchemaObject
}

// once sends one request and relays its text.
func (g *generation) once(ctx context.Context, q plan, know Profile) (conversation.Finish, error) {
	call := &upstream.Call{Correlation: g.p.Correlation, Set: q.set}
	t := &taps{thinking: know.ThinkTags == Strip}
	defer func() {
		g.rec.Status, g.rec.End = call.Status, string(call.End)
		g.rec.ReasoningBytes += call.ReasoningBytes + t.think.bytes
		g.outputEst += (call.ReasoningBytes + t.think.bytes + bytesPerToken - 1) / bytesPerToken
		if call.RequestID != "" {
			g.rec.RequestID = call.RequestID
		}
		if call.Model != "" {
			g.rec.ModelServed = call.Model
		}
		if call.Scripted {
			g.c.scripted.Store(true)
		}
	}()
	// The request ends with this function, whatever go-openai keeps.
	ctx, cancel := context.WithCancel(withModel(ctx, g.rec.ModelAsked))
	defer cancel()
	stream, err := g.c.api.CreateChatCompletionStream(upstream.WithCall(ctx, call), q.body)
	if err != nil {
		return conversation.Finish{}, asFault(ctx, err)
	}
	defer stream.Close()

	if q.strategy == ContinueInstruct {
		t.joint = newJoint(g.p.Kept, len(g.p.Schema) > 0)
	}
	if len(g.p.Schema) > 0 {
		t.fence = &fence{}
		t.fence.add(g.p.Kept)
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
			text, err := t.add(ch.Delta.Content)
			if err != nil {
				return fin, err
			}
			if err := g.say(text); err != nil {
				return fin, err
			}
		}
	}
	rest, err := t.flush()
	if err != nil {
		return fin, err
	}
	if err := g.say(rest); err != nil {
		return fin, err
	}
	fin.Model, fin.RequestID = call.Model, call.RequestID
	if err := g.judge(&fin, call); err != nil {
		return fin, err
	}
	return fin, nil
}

// taps are what the text of an answer runs through, in this order.
type taps struct {
	thinking bool
	think    think
	joint    *joint
	fence    *fence
}

func (t *taps) add(text string) (string, error) {
	if t.thinking {
		text = t.think.add(text)
	}
	return t.tail(text)
}

func (t *taps) tail(text string) (string, error) {
	if t.joint != nil && text != "" {
		var err error
		if text, err = t.joint.add(text); err != nil {
			return "", err
		}
	}
	if t.fence != nil {
		text = t.fence.add(text)
	}
	return text, nil
}

// flush returns what was held back when the answer is complete.
func (t *taps) flush() (string, error) {
	held := ""
	if t.thinking {
		held = t.think.flush()
	}
	out, err := t.tail(held)
	if err != nil || t.joint == nil {
		return out, err
	}
	rest, err := t.joint.flush()
	if err != nil {
		return "", err
	}
	if t.fence != nil {
		rest = t.fence.add(rest)
	}
	return out + rest, nil
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
	g.outputEst += Count(text)
	if len(g.p.Schema) > 0 && g.whole.Len() < maxJudged {
		g.whole.WriteString(text)
	}
	if err := g.emit(text); err != nil {
		g.emitErr = err
		return err
	}
	return nil
}

// maxJudged bounds what is kept of a structured answer.
const maxJudged = 256 << 10

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
	case len(g.p.Schema) > 0 && call.ContentBytes > 0:
		return errWords
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

// record completes the record, fills in what the upstream did not count, and
// reports.
func (g *generation) record(ctx context.Context, fin *conversation.Finish, err error) {
	r := &g.rec
	r.Total = time.Since(g.start)
	if fin.OutputTokens == 0 && fin.PromptTokens == 0 && r.Status >= 200 && r.Status < 300 {
		r.Estimated = true
		fin.PromptTokens, fin.OutputTokens, fin.Estimated = g.promptEst, g.outputEst, true
	}
	r.PromptTokens, r.OutputTokens = fin.PromptTokens, fin.OutputTokens
	r.Micros = g.c.price(r.ModelAsked, r.ModelServed).micros(r.PromptTokens, r.OutputTokens)
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
	g.c.warnServed(r.ModelAsked, r.ModelServed)
	if g.c.cfg.OnCall != nil {
		g.c.cfg.OnCall(*r)
	}
}

// warnServed says once that another model answers than was asked for. A dated
// name of the same model is what aliases are for.
func (c *Client) warnServed(asked, served string) {
	if served == "" || served == asked || c.scripted.Load() || strings.Contains(served, asked[strings.LastIndexByte(asked, '/')+1:]) {
		return
	}
	if _, told := c.served.LoadOrStore(asked, true); !told {
		c.cfg.Logger.Warn("another model answers than was asked for", "upstream", c.cfg.Name, "asked", asked, "served", served)
	}
}
