package openai

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/upstream"
)

// The spellings of the output cap.
const (
	CapTokens     = "tokens"     // max_tokens
	CapCompletion = "completion" // max_completion_tokens
	CapBoth       = "both"
	CapNone       = "none"
)

// The rungs of structured output, from the best down.
const (
	SchemaStrict = "schema_strict"
	SchemaPlain  = "schema"
	SchemaObject = "json_object"
	SchemaPrompt = "prompt"
)

// Words of a Profile that several fields share.
const (
	Send      = "send"
	Omit      = "omit"
	Off       = "off"
	Default   = "default"
	Strip     = "strip"
	Keep      = "keep"
	Life      = "life"
	Ignore    = "ignore"
	Bearer    = "bearer"
	APIKey    = "api-key"
	PathV1    = "v1"
	PathAzure = "azure" // /openai/deployments/<model>/…?api-version=
)

// Profile says what one server and model accept. An empty field of a Profile
// that is laid over another (With) leaves that one's.
type Profile struct {
	// Preset is the name of the preset it began as.
	Preset string
	// Auth is bearer or api-key, the header that carries the key.
	Auth string
	// Path is v1, or azure for the deployment paths of classic Azure OpenAI.
	Path string
	// CapField is completion, tokens, both or none.
	CapField string
	// Temperature is send or omit.
	Temperature string
	// StreamUsage is send or omit: whether token usage is asked for.
	StreamUsage string
	// Structured is the rung of structured output to begin on.
	Structured string
	// SystemRole is system or developer.
	SystemRole string
	// Reasoning is default, or off to send ReasoningOff with every call.
	Reasoning string
	// ReasoningOff is the field that reduces thinking, name=JSON. By default
	// only a call whose whole cap went into thinking is repeated with it.
	ReasoningOff string
	// ThinkTags is keep, or strip for a <think> block before the answer.
	ThinkTags string
	// MaxContext is the tokens of a prompt and its answer together; 0 is unknown.
	MaxContext int
	// KeepaliveComments is ignore, or life where comments prove that work goes on.
	KeepaliveComments string
	// Continue is auto, prefix or instruct.
	Continue string
	// VLLMPrefix adds vLLM's continue_final_message to a prefix continuation.
	VLLMPrefix bool
	// Timeouts of one request; zeros take upstream's defaults.
	Timeouts upstream.Timeouts
}

// generic is what is safe to assume of a server nobody has described.
var generic = Profile{
	Preset: "generic", Auth: Bearer, Path: PathV1, CapField: CapTokens, Temperature: Send, StreamUsage: Send, Structured: SchemaStrict,
	SystemRole: "system", Reasoning: Default, ThinkTags: Strip, KeepaliveComments: Ignore, Continue: ContinueAuto,
}

// slowStart waits for a model to be loaded into memory.
var slowStart = upstream.Timeouts{FirstContent: 120 * time.Second, Total: 180 * time.Second}

// thinkingOff is how chat templates of open models are told not to think.
const thinkingOff = `chat_template_kwargs={"enable_thinking":false}`

// presets are the servers we know, over generic.
var presets = []Profile{
	generic.With(Profile{Preset: "openai", CapField: CapCompletion, ThinkTags: Keep}),
	generic.With(Profile{Preset: "openai-reasoning", CapField: CapCompletion, Temperature: Omit, SystemRole: "developer", ThinkTags: Keep, ReasoningOff: `reasoning_effort="low"`}),
	generic.With(Profile{Preset: "azure", Auth: APIKey, Path: PathAzure, CapField: CapTokens, ThinkTags: Keep}),
	generic.With(Profile{Preset: "azure-v1", Auth: APIKey, CapField: CapCompletion, ThinkTags: Keep}),
	generic.With(Profile{Preset: "ollama", ReasoningOff: `reasoning_effort="none"`, MaxContext: 4096, Timeouts: slowStart}),
	generic.With(Profile{Preset: "vllm", ReasoningOff: thinkingOff, Continue: ContinuePrefix, VLLMPrefix: true}),
	generic.With(Profile{Preset: "llamacpp", Structured: SchemaPlain, ReasoningOff: thinkingOff, KeepaliveComments: Life, Timeouts: slowStart}),
	generic.With(Profile{Preset: "litellm", ReasoningOff: `reasoning_effort="low"`}),
	generic.With(Profile{Preset: "openrouter", ReasoningOff: `reasoning={"effort":"low"}`, KeepaliveComments: Life}),
	generic,
}

// Presets lists the profiles that can be named, generic last.
func Presets() []Profile { return slices.Clone(presets) }

// PresetNames lists their names.
func PresetNames() []string {
	out := make([]string, len(presets))
	for i, p := range presets {
		out[i] = p.Preset
	}
	return out
}

// Preset finds one by name.
func Preset(name string) (Profile, bool) {
	i := slices.IndexFunc(presets, func(p Profile) bool { return p.Preset == name })
	if i < 0 {
		return Profile{}, false
	}
	return presets[i], true
}

// Detect names the preset for an address and model where the host leaves no
// doubt, and generic elsewhere: a port alone says nothing, but for Ollama's,
// which nobody else uses.
func Detect(base, model string) string {
	u, err := url.Parse(base)
	if err != nil {
		return "generic"
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case host == "api.openai.com" || strings.HasSuffix(host, ".api.openai.com"):
		if reasons(model) {
			return "openai-reasoning"
		}
		return "openai"
	case strings.HasSuffix(host, ".openai.azure.com"), strings.HasSuffix(host, ".services.ai.azure.com"), strings.HasSuffix(host, ".cognitiveservices.azure.com"):
		if strings.Contains(u.Path, "/openai/v1") {
			return "azure-v1"
		}
		return "azure"
	case host == "openrouter.ai":
		return "openrouter"
	case u.Port() == "11434":
		return "ollama"
	}
	return "generic"
}

// reasons says whether a model's name is one of OpenAI's reasoning families.
// Their chat variants take a temperature.
func reasons(model string) bool {
	name := strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	if strings.Contains(name, "chat") {
		return false
	}
	for _, p := range [...]string{"o1", "o3", "o4", "gpt-5", "gpt-6"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// With is p with what o says laid over it.
func (p Profile) With(o Profile) Profile {
	for _, f := range [...]struct {
		to   *string
		from string
	}{
		{&p.Preset, o.Preset}, {&p.Auth, o.Auth}, {&p.Path, o.Path}, {&p.CapField, o.CapField}, {&p.Temperature, o.Temperature},
		{&p.StreamUsage, o.StreamUsage}, {&p.Structured, o.Structured}, {&p.SystemRole, o.SystemRole}, {&p.Reasoning, o.Reasoning},
		{&p.ReasoningOff, o.ReasoningOff}, {&p.ThinkTags, o.ThinkTags}, {&p.KeepaliveComments, o.KeepaliveComments}, {&p.Continue, o.Continue},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	if o.MaxContext > 0 {
		p.MaxContext = o.MaxContext
	}
	p.VLLMPrefix = p.VLLMPrefix || o.VLLMPrefix
	for _, f := range [...]struct {
		to   *time.Duration
		from time.Duration
	}{
		{&p.Timeouts.Connect, o.Timeouts.Connect}, {&p.Timeouts.FirstContent, o.Timeouts.FirstContent}, {&p.Timeouts.Idle, o.Timeouts.Idle},
		{&p.Timeouts.Total, o.Timeouts.Total}, {&p.Timeouts.Tail, o.Timeouts.Tail},
	} {
		if f.from > 0 {
			*f.to = f.from
		}
	}
	return p
}

// Line is one setting of a profile as the configuration spells it.
type Line struct{ Key, Value string }

// Lines are the settings of p by their keys below "upstream.".
func (p Profile) Lines() []Line {
	l := []Line{
		{"preset", p.Preset}, {"cap_field", p.CapField}, {"temperature", p.Temperature}, {"stream_usage", p.StreamUsage},
		{"structured", p.Structured}, {"system_role", p.SystemRole}, {"reasoning", p.Reasoning}, {"reasoning_off", p.ReasoningOff},
		{"think_tags", p.ThinkTags}, {"max_context", strconv.Itoa(p.MaxContext)}, {"keepalive_comments", p.KeepaliveComments},
		{"continue", p.Continue},
	}
	for _, t := range [...]struct {
		key string
		d   time.Duration
	}{
		{"timeout.connect", p.Timeouts.Connect}, {"timeout.first_content", p.Timeouts.FirstContent}, {"timeout.idle", p.Timeouts.Idle}, {"timeout.total", p.Timeouts.Total},
	} {
		if t.d > 0 {
			l = append(l, Line{t.key, t.d.String()})
		}
	}
	return l
}

// check refuses words that no field knows.
func (p Profile) check() error {
	for _, f := range [...]struct {
		name, value string
		allow       []string
	}{
		{"auth", p.Auth, []string{Bearer, APIKey}},
		{"path", p.Path, []string{PathV1, PathAzure}},
		{"cap_field", p.CapField, []string{CapTokens, CapCompletion, CapBoth, CapNone}},
		{"temperature", p.Temperature, []string{Send, Omit}},
		{"stream_usage", p.StreamUsage, []string{Send, Omit}},
		{"structured", p.Structured, []string{SchemaStrict, SchemaPlain, SchemaObject, SchemaPrompt}},
		{"system_role", p.SystemRole, []string{"system", "developer"}},
		{"reasoning", p.Reasoning, []string{Default, Off}},
		{"think_tags", p.ThinkTags, []string{Keep, Strip}},
		{"keepalive_comments", p.KeepaliveComments, []string{Ignore, Life}},
		{"continue", p.Continue, []string{ContinueAuto, ContinuePrefix, ContinueInstruct}},
	} {
		if !slices.Contains(f.allow, f.value) {
			return fmt.Errorf("upstream %s %q is none of %s", f.name, f.value, strings.Join(f.allow, ", "))
		}
	}
	if p.ReasoningOff != "" {
		if _, _, err := field(p.ReasoningOff); err != nil {
			return err
		}
	}
	if p.Reasoning == Off && p.ReasoningOff == "" {
		return fmt.Errorf("upstream reasoning is off, but the preset %s knows no field for it; name one in reasoning_off", p.Preset)
	}
	if p.MaxContext < 0 {
		return fmt.Errorf("upstream max_context %d is negative", p.MaxContext)
	}
	return nil
}

// field reads name=JSON; a value that is no JSON is a string.
func field(text string) (string, rawJSON, error) {
	name, value, ok := strings.Cut(text, "=")
	if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \"{}") {
		return "", nil, fmt.Errorf("upstream reasoning_off must be a field and its value, like %s", thinkingOff)
	}
	value = strings.TrimSpace(value)
	if validJSON(value) {
		return name, rawJSON(value), nil
	}
	return name, quoted(value), nil
}
