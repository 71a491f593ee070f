package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

// The verdicts of one step of a probe.
const (
	// ProbeOK: as the best servers do.
	ProbeOK = "ok"
	// ProbeAdapted: another way, which the profile takes care of.
	ProbeAdapted = "adapted"
	// ProbeMissing: a guarantee that this server cannot give.
	ProbeMissing = "missing"
	// ProbeFailed: the server could not be asked.
	ProbeFailed = "failed"
	// ProbeSkipped: not asked, because of an earlier failure.
	ProbeSkipped = "skipped"
)

// ProbeStep is one question and what came of it.
type ProbeStep struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	TookMS  int64  `json:"took_ms"`
}

// ProbeReport is what a probe found out.
type ProbeReport struct {
	Model   string      `json:"model"`
	Preset  string      `json:"preset"`
	Steps   []ProbeStep `json:"steps"`
	Profile Profile     `json:"-"`
	// Code is the failure of a server that could not be asked, "" otherwise.
	Code fault.Code `json:"code,omitempty"`
}

// Missing counts the guarantees that the server cannot give.
func (r ProbeReport) Missing() int {
	n := 0
	for _, s := range r.Steps {
		if s.Verdict == ProbeMissing {
			n++
		}
	}
	return n
}

// ProbeOptions bound a probe.
type ProbeOptions struct {
	// MaxContext is how far the growing prompt grows, in tokens; 16,384 when 0.
	MaxContext int
	// CancelWithin is how soon a cancelled answer must be over; 2 s when 0.
	CancelWithin time.Duration
	// OnStep is told of each step; nil for none.
	OnStep func(ProbeStep)
}

// prober is one probe under way.
type prober struct {
	c     *Client
	o     ProbeOptions
	model string
	r     ProbeReport
	p     Profile
	down  bool
	// quick is how long the plain call took to its first word.
	quick time.Duration
}

// Probe asks the server ten tiny things and says what profile fits it.
func (c *Client) Probe(ctx context.Context, o ProbeOptions) ProbeReport {
	if o.MaxContext <= 0 {
		o.MaxContext = 16 << 10
	}
	if o.CancelWithin <= 0 {
		o.CancelWithin = 2 * time.Second
	}
	b := &prober{c: c, o: o, model: c.cfg.Model, p: c.profile}
	b.r = ProbeReport{Model: c.cfg.Model, Preset: c.profile.Preset}
	for _, s := range []struct {
		name string
		do   func(ctx context.Context) (verdict, detail string)
	}{
		{"reach", b.reach}, {"model", b.listed}, {"usage", b.usage}, {"cap", b.cap}, {"temperature", b.temperature},
		{"schema", b.schema}, {"json", b.json}, {"reasoning", b.reasoning}, {"context", b.context}, {"cancel", b.cancel},
	} {
		step := ProbeStep{Name: s.name, Verdict: ProbeSkipped, Detail: "not asked"}
		if !b.down && ctx.Err() == nil {
			begun := time.Now()
			step.Verdict, step.Detail = s.do(ctx)
			step.TookMS = time.Since(begun).Milliseconds()
		}
		b.r.Steps = append(b.r.Steps, step)
		if o.OnStep != nil {
			o.OnStep(step)
		}
	}
	b.r.Profile = b.p
	return b.r
}

func user(text string) []map[string]string {
	return []map[string]string{{"role": "user", "content": text}}
}

// fields are a request with the cap as the profile has it by now.
func (b *prober) fields(limit int, text string) map[string]any {
	f := map[string]any{"messages": user(text)}
	switch b.p.CapField {
	case CapTokens:
		f[fieldTokens] = limit
	case CapCompletion:
		f[fieldCompletion] = limit
	case CapBoth:
		f[fieldTokens], f[fieldCompletion] = limit, limit
	}
	return f
}

const (
	colour = "Name a colour. Answer with one word."
	room   = 512 // tokens for an answer, thoughts included
)

// reach asks for one word. A refused cap is learned at once, because all
// other steps need one.
func (b *prober) reach(ctx context.Context) (string, string) {
	var err error
	var a answer
	for i := range 3 {
		a, err = b.c.ask(ctx, b.model, b.fields(room, colour), nil)
		if e := complaint(err); e != nil {
			if l, ok := learn(b.p, e, request{cap: map[string]string{CapTokens: fieldTokens, CapCompletion: fieldCompletion}[b.p.CapField]}, i > 0); ok && l.key == learnCap {
				l.apply(&b.p)
				continue
			}
		}
		break
	}
	if err != nil {
		b.down = true
		b.r.Code = fault.CodeOf(err)
		return ProbeFailed, failure(err)
	}
	b.quick = a.first
	return ProbeOK, fmt.Sprintf("answers; first word after %d ms; finish reason %s", a.first.Milliseconds(), a.finish)
}

// failure says why in words that hold nothing of the upstream's.
func failure(err error) string {
	var e *upstream.Error
	if !errors.As(err, &e) {
		return fault.Of(err).Message
	}
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return "the key is refused (" + e.Error() + ")"
	case e.Status == http.StatusNotFound:
		return "no such path or model; does the address end in /v1? (" + e.Error() + ")"
	}
	return e.Error()
}

func (b *prober) listed(ctx context.Context) (string, string) {
	known, found, size := b.c.listed(ctx, b.model)
	switch {
	case !known:
		return ProbeAdapted, "the server lists no models"
	case !found:
		return ProbeAdapted, "the model answers but is not in the server's list: an alias or a deployment"
	case size > 0:
		b.p.MaxContext = size
		return ProbeOK, fmt.Sprintf("listed, with a context of %d tokens", size)
	}
	return ProbeOK, "listed"
}

func (b *prober) usage(ctx context.Context) (string, string) {
	f := b.fields(room, colour)
	f["stream_options"] = map[string]bool{"include_usage": true}
	a, err := b.c.ask(ctx, b.model, f, nil)
	switch {
	case err != nil:
		b.p.StreamUsage = Omit
		return ProbeAdapted, "refuses stream_options; tokens are counted here (" + failure(err) + ")"
	case !a.usage:
		return ProbeAdapted, "takes stream_options and tells no usage; tokens are counted here"
	}
	b.p.StreamUsage = Send
	return ProbeOK, "told in the stream"
}

// capTokens is the cap that the model is made to run into.
const capTokens = 24

func (b *prober) cap(ctx context.Context) (string, string) {
	order := []string{CapTokens, CapCompletion}
	if b.p.CapField == CapCompletion {
		order = []string{CapCompletion, CapTokens}
	}
	var why []string
	for i, field := range order {
		b.p.CapField = field
		limit := capTokens
		a, err := b.c.ask(ctx, b.model, b.fields(limit, "Count from 1 to 300 in digits, with spaces between. Write nothing else."), nil)
		n := max(a.outputTokens, Count(a.text))
		switch {
		case err != nil:
			why = append(why, field+" is refused")
			continue
		case n > 3*limit:
			why = append(why, fmt.Sprintf("%s is dropped without a word (%d tokens for %d)", field, n, limit))
			continue
		case i > 0:
			return ProbeAdapted, strings.Join(why, ", ") + "; " + field + " is obeyed"
		}
		return ProbeOK, field + " is obeyed"
	}
	b.p.CapField = CapNone
	return ProbeMissing, strings.Join(why, ", ") + ": answers have no bound"
}

func (b *prober) temperature(ctx context.Context) (string, string) {
	f := b.fields(room, colour)
	f["temperature"] = 0.3
	if _, err := b.c.ask(ctx, b.model, f, nil); err != nil {
		b.p.Temperature = Omit
		return ProbeAdapted, "refused; none is sent"
	}
	b.p.Temperature = Send
	return ProbeOK, "accepted"
}

// odd is a schema that no model would follow by chance.
const (
	oddSchema = `{"type":"object","properties":{"zq7":{"type":"string","enum":["plover-41"]}},"required":["zq7"],"additionalProperties":false}`
	oddAnswer = `{"zq7":"plover-41"}`
)

func (b *prober) schema(ctx context.Context) (string, string) {
	for _, strict := range []bool{true, false} {
		f := b.fields(room, "Name a colour, as JSON.")
		f["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "odd", "strict": strict, "schema": json.RawMessage(oddSchema)}}
		a, err := b.c.ask(ctx, b.model, f, nil)
		if err != nil || !sameJSON(spoken(a.text), oddAnswer) {
			continue
		}
		if strict {
			b.p.Structured = SchemaStrict
			return ProbeOK, "a strict schema is enforced"
		}
		b.p.Structured = SchemaPlain
		return ProbeAdapted, "a schema is enforced, a strict one is not"
	}
	b.p.Structured = SchemaPrompt
	return ProbeAdapted, "no schema is enforced; it is asked for in words and checked here"
}

// spoken is a text without thoughts before it.
func spoken(text string) string {
	var t think
	return t.add(text) + t.flush()
}

func sameJSON(got, want string) bool {
	var f fence
	var a, b any
	if json.Unmarshal([]byte(f.add(got)), &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
		return false
	}
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

func (b *prober) json(ctx context.Context) (string, string) {
	f := b.fields(room, `Name a colour. Answer with a JSON object like {"colour":"…"}.`)
	f["response_format"] = map[string]string{"type": "json_object"}
	a, err := b.c.ask(ctx, b.model, f, nil)
	if text := strings.TrimSpace(spoken(a.text)); err == nil && validJSON(text) && strings.HasPrefix(text, "{") {
		if b.p.Structured == SchemaPrompt {
			b.p.Structured = SchemaObject
		}
		return ProbeOK, "gives an object"
	}
	return ProbeAdapted, "no JSON mode; objects are taken out of the text"
}

func (b *prober) reasoning(ctx context.Context) (string, string) {
	const question = "Which is longer, 3 km or 2900 m? Answer with one word."
	thoughts := func(f map[string]any) (n int, tags bool, err error) {
		a, err := b.c.ask(ctx, b.model, f, nil)
		var t think
		t.add(a.text)
		return a.call.ReasoningBytes + t.bytes, t.bytes > 0 || t.inside, err
	}
	n, tags, err := thoughts(b.fields(room, question))
	switch {
	case err != nil:
		return ProbeAdapted, "cannot be told: " + failure(err)
	case n == 0 && !tags:
		return ProbeOK, "no thoughts are shown"
	}
	where := "thoughts come in a field of their own"
	if tags {
		b.p.ThinkTags = Strip
		where = "thoughts come as tags in the text, which are taken out"
	}
	offs := []string{b.p.ReasoningOff, `reasoning_effort="none"`, `reasoning_effort="low"`, thinkingOff, `reasoning={"effort":"low"}`}
	for i, off := range offs {
		if off == "" || i > 0 && off == offs[0] {
			continue
		}
		name, value, err := field(off)
		if err != nil {
			continue
		}
		f := b.fields(room, question)
		f[name] = value
		if less, _, err := thoughts(f); err == nil && less < n/2 {
			b.p.ReasoningOff = off
			return ProbeAdapted, where + "; " + off + " reduces them"
		}
	}
	b.p.ReasoningOff = ""
	return ProbeAdapted, where + "; no field was found that reduces them: give answers room"
}

// context lets a prompt grow with a secret word at its start: a server that
// cuts silently forgets it.
func (b *prober) context(ctx context.Context) (string, string) {
	good := 0
	for size := 1 << 10; size <= b.o.MaxContext; size *= 2 {
		var text strings.Builder
		text.WriteString("The secret word is gannet-77.\n")
		for i := 0; text.Len() < (size-room/2)*bytesPerToken; i++ {
			text.WriteString("Line " + strconv.Itoa(i) + " is only here to fill the page with words.\n")
		}
		text.WriteString("What is the secret word at the very beginning? Answer with the word alone.")
		a, err := b.c.ask(ctx, b.model, b.fields(room, text.String()), nil)
		if e := complaint(err); e != nil {
			if n := contextOf(strings.ToLower(e.Detail)); n > 0 {
				b.p.MaxContext = n
				return ProbeOK, fmt.Sprintf("refuses more than %d tokens, as it should", n)
			}
			b.p.MaxContext = good
			return ProbeOK, fmt.Sprintf("refuses %d tokens; %d are sure", size, good)
		}
		switch {
		case err != nil:
			return ProbeAdapted, fmt.Sprintf("cannot be told beyond %d tokens: %s", good, failure(err))
		case !strings.Contains(strings.ToLower(spoken(a.text)), "gannet-77"):
			if good == 0 {
				return ProbeMissing, "the model does not find a word in 1,024 tokens; the context cannot be told"
			}
			b.p.MaxContext = good
			return ProbeMissing, fmt.Sprintf("forgets the beginning of %d tokens without a word; max_context %d keeps prompts below", size, good)
		}
		good = size
	}
	if b.p.MaxContext > 0 && b.p.MaxContext < good {
		b.p.MaxContext = good // more than the preset dares to assume
	}
	return ProbeOK, fmt.Sprintf("at least %d tokens", good)
}

var errProbeStop = errors.New("probe: stop here")

// cancel breaks an answer off and asks for the next word: a server that goes
// on writing keeps the next caller waiting.
func (b *prober) cancel(ctx context.Context) (string, string) {
	_, err := b.c.ask(ctx, b.model, b.fields(2000, "Count from 1 to 300 in digits, with spaces between. Write nothing else."), func() error { return errProbeStop })
	if err == nil || !errors.Is(err, errProbeStop) {
		return ProbeAdapted, "cannot be told: the answer was over at once"
	}
	begun := time.Now()
	a, err := b.c.ask(ctx, b.model, b.fields(room, colour), nil)
	took := time.Since(begun)
	switch {
	case err != nil:
		return ProbeAdapted, "cannot be told: " + failure(err)
	case a.first > b.o.CancelWithin+b.quick:
		return ProbeMissing, fmt.Sprintf("the next word took %d ms: the server goes on writing after the connection is closed", took.Milliseconds())
	}
	return ProbeOK, fmt.Sprintf("the next word came after %d ms", a.first.Milliseconds())
}
