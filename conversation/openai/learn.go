package openai

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

// What can be learned of a server, by the key of the setting that would say
// the same.
const (
	learnCap        = "cap_field"
	learnTemp       = "temperature"
	learnUsage      = "stream_usage"
	learnStructured = "structured"
	learnRole       = "system_role"
	learnReasoning  = "reasoning"
	learnContext    = "max_context"
	learnContinue   = "continue"
)

// lesson is one thing that a server taught us; keep says whether it holds for
// later calls: a complaint about one schema says nothing about others.
type lesson struct {
	key, value string
	keep       bool
	until      time.Time
}

// apply changes what is sent.
func (l lesson) apply(p *Profile) {
	switch l.key {
	case learnCap:
		p.CapField = l.value
	case learnTemp:
		p.Temperature = l.value
	case learnUsage:
		p.StreamUsage = l.value
	case learnStructured:
		p.Structured = l.value
	case learnRole:
		p.SystemRole = l.value
	case learnReasoning:
		p.Reasoning, p.ReasoningOff = Default, ""
	case learnContext:
		p.MaxContext, _ = strconv.Atoi(l.value) // made by us from a number
	case learnContinue:
		p.Continue, p.VLLMPrefix = l.value, false
	}
}

// complaint returns the upstream's refusal of the request itself, nil for
// every other failure.
func complaint(err error) *upstream.Error {
	var e *upstream.Error
	if !errors.As(err, &e) || fault.CodeOf(err) != fault.UpstreamRejected {
		return nil
	}
	if e.Status != http.StatusBadRequest && e.Status != http.StatusUnprocessableEntity && !tooLong(e) {
		return nil
	}
	return e
}

// request says which optional fields a request carried.
type request struct {
	schema, vllm, temperature, usage, reasoning bool
	cap                                         string // the name of the field, "" for none
	role                                        bool
}

var rungs = []string{SchemaStrict, SchemaPlain, SchemaObject, SchemaPrompt}

// below is the next rung of structured output, "" under the last.
func below(rung string) string {
	i := slices.Index(rungs, rung)
	if i < 0 || i+1 == len(rungs) {
		return ""
	}
	return rungs[i+1]
}

const (
	fieldTokens     = "max_tokens"
	fieldCompletion = "max_completion_tokens"
)

// learn reads a refusal; ok is false when nothing of ours was named. switched
// says that the cap was spelled another way before.
func learn(p Profile, e *upstream.Error, q request, switched bool) (l lesson, ok bool) {
	l.keep = true
	detail := strings.ToLower(e.Detail)
	set := func(key, value string) (lesson, bool) {
		l.key, l.value = key, value
		return l, true
	}
	switch {
	case tooLong(e):
		if n := contextOf(detail); n > minCap && (p.MaxContext == 0 || n < p.MaxContext) {
			return set(learnContext, strconv.Itoa(n))
		}
	case q.schema && p.Structured == SchemaStrict && e.Names("strict"):
		return set(learnStructured, SchemaPlain)
	case q.schema && (e.Names("response_format") || e.Names("json_schema") || e.Names("json_object")):
		next := below(p.Structured)
		if next == "" {
			return l, false
		}
		if p.Structured == SchemaStrict && !strings.Contains(detail, "strict") {
			next = SchemaObject // not the strictness: the whole form is unknown
		}
		l.keep = !strings.Contains(detail, "invalid schema")
		return set(learnStructured, next)
	case q.vllm && (e.Names("continue_final_message") || e.Names("add_generation_prompt")):
		return set(learnContinue, ContinueInstruct)
	case q.reasoning && p.ReasoningOff != "" && e.Names(reasoningName(p)):
		return set(learnReasoning, Default)
	case q.cap != "" && e.Names(q.cap) && !tooLarge(detail), q.cap == CapBoth && (e.Names(fieldTokens) || e.Names(fieldCompletion)):
		switch {
		case q.cap == CapBoth && e.Param == fieldCompletion:
			return set(learnCap, CapTokens)
		case switched:
			return set(learnCap, CapNone)
		case q.cap == fieldCompletion:
			return set(learnCap, CapTokens)
		}
		return set(learnCap, CapCompletion)
	case q.temperature && e.Names("temperature"):
		return set(learnTemp, Omit)
	case q.usage && (e.Names("stream_options") || e.Names("include_usage")):
		return set(learnUsage, Omit)
	case q.role && p.SystemRole == "developer" && strings.Contains(detail, "developer"):
		return set(learnRole, "system")
	}
	return l, false
}

func reasoningName(p Profile) string {
	name, _, _ := strings.Cut(p.ReasoningOff, "=")
	return strings.TrimSpace(name)
}

// tooLong recognises the refusal of a prompt for its length, in the words of
// several servers.
func tooLong(e *upstream.Error) bool {
	if strings.Contains(strings.ToLower(e.Code+" "+e.Type), "context") {
		return true
	}
	d := strings.ToLower(e.Detail)
	return strings.Contains(d, "context length") || strings.Contains(d, "context size") || strings.Contains(d, "context window") || strings.Contains(d, "n_ctx")
}

// tooLarge recognises that a cap is spelled well and asks for too much.
func tooLarge(detail string) bool {
	return strings.Contains(detail, "too large") || strings.Contains(detail, "at most") || strings.Contains(detail, "less than or equal")
}

var contextSize = regexp.MustCompile(`(?:context (?:length|size|window)(?: of this model)?(?: is| of|:)?(?: only)?|n_ctx["'=: ]+)\s*\(?(\d{3,8})`)

// contextOf finds the size in a complaint, 0 for none.
func contextOf(detail string) int {
	m := contextSize.FindStringSubmatch(detail)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}

// known is the profile for a model with what was learned of it and has not
// expired: a server that was mended or replaced gets another chance.
func (c *Client) known(model string) (p Profile, capSwitched bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p = c.profile
	now := time.Now()
	for key, l := range c.lessons[model] {
		if now.After(l.until) {
			delete(c.lessons[model], key)
			continue
		}
		capSwitched = capSwitched || key == learnCap
		l.apply(&p)
	}
	return p, capSwitched
}

// remember keeps a lesson and says once which line of the configuration would
// save the detour.
func (c *Client) remember(model string, l lesson, why string) {
	c.mu.Lock()
	old, had := c.lessons[model][l.key]
	l.until = time.Now().Add(c.cfg.LearnFor)
	if c.lessons[model] == nil {
		c.lessons[model] = map[string]lesson{}
	}
	c.lessons[model][l.key] = l
	c.mu.Unlock()
	if had && old.value == l.value {
		return
	}
	if c.cfg.SettingPrefix == NoSetting {
		c.cfg.Logger.Warn("the upstream taught us something", "upstream", c.cfg.Name, "model", model, "why", why, "learned", l.key+"="+l.value, "forgotten_after", c.cfg.LearnFor)
		return
	}
	c.cfg.Logger.Warn("the upstream taught us something; this line of configuration saves the detour", "upstream", c.cfg.Name, "model", model,
		"why", why, "line", c.cfg.SettingPrefix+strings.ToUpper(l.key)+"="+l.value, "forgotten_after", c.cfg.LearnFor)
}

// Learned lists what the server taught us, as lines of configuration.
func (c *Client) Learned() map[string][]Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]Line{}
	now := time.Now()
	for model, ls := range c.lessons {
		for _, l := range ls {
			if now.Before(l.until) {
				out[model] = append(out[model], Line{l.key, l.value})
			}
		}
		slices.SortFunc(out[model], func(a, b Line) int { return strings.Compare(a.Key, b.Key) })
	}
	return out
}

func number(n int) json.RawMessage { return json.RawMessage(strconv.Itoa(n)) }
