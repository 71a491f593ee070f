package configs

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Upstream is the model. The words of a profile (preset to timeout) are
// "auto" or empty where the preset decides.
type Upstream struct {
	BaseURL  string `yaml:"base_url" doc:"OpenAI-compatible endpoint, /v1 included (or OPENAI_BASE_URL); scripted: the partner inside this process"`
	APIKey   Secret `yaml:"api_key" doc:"key for it (or OPENAI_API_KEY); a key without base_url means api.openai.com"`
	Model    string `yaml:"model" doc:"model to ask for"`
	Continue string `yaml:"continue" oneof:"auto|instruct|prefix" doc:"how a cut reply is gone on with: by an instruction, or by a prefix where the upstream writes on from an assistant message; auto leaves it to the preset"`
	Script   Script `yaml:"script"`

	Models  []string `yaml:"models" doc:"models by purpose, purpose=model: scenario=gpt-4.1"`
	Headers Secret   `yaml:"headers" doc:"more headers for every request, Name: value, one a line or with ; between them"`
	Preset  string   `yaml:"preset" oneof:"auto|openai|openai-reasoning|azure|azure-v1|ollama|vllm|llamacpp|litellm|openrouter|generic" doc:"what kind of server it is; auto tells by the host where that is safe"`

	CapField          string          `yaml:"cap_field" oneof:"auto|completion|tokens|both|none" doc:"how the cap of an answer is spelled: max_completion_tokens, max_tokens, both, or not at all"`
	Temperature       string          `yaml:"temperature" oneof:"auto|send|omit" doc:"whether a temperature is sent"`
	StreamUsage       string          `yaml:"stream_usage" oneof:"auto|send|omit" doc:"whether token usage is asked for"`
	Structured        string          `yaml:"structured" oneof:"auto|schema_strict|schema|json_object|prompt" doc:"the best form of structured output it knows"`
	SystemRole        string          `yaml:"system_role" oneof:"auto|system|developer" doc:"role of the system message"`
	Reasoning         string          `yaml:"reasoning" oneof:"auto|default|off" doc:"off sends reasoning_off with every call, else only after an answer was starved by thinking"`
	ReasoningOff      string          `yaml:"reasoning_off" doc:"the field that reduces thinking, name=JSON: reasoning_effort=low"`
	ThinkTags         string          `yaml:"think_tags" oneof:"auto|keep|strip" doc:"whether a <think> block before the answer is taken out"`
	MaxContext        int             `yaml:"max_context" doc:"tokens of prompt and answer together, 0 leaves it to the preset; older turns are left out to fit"`
	KeepaliveComments string          `yaml:"keepalive_comments" oneof:"auto|ignore|life" doc:"whether comments in the stream count as signs of life"`
	Timeout           UpstreamTimeout `yaml:"timeout"`

	Fallback    Fallback      `yaml:"fallback"`
	Breaker     Breaker       `yaml:"breaker"`
	Hedge       time.Duration `yaml:"hedge" doc:"silence after which a second call is made beside the first, the faster is the answer; 0 makes none, it costs up to double"`
	Concurrency int           `yaml:"concurrency" doc:"most calls under way at once; others wait, learners in turns"`
	Queue       int           `yaml:"queue" doc:"most calls that wait"`
	Budget      Budget        `yaml:"budget"`
	Prices      []string      `yaml:"prices" doc:"money for a million tokens, model=prompt/answer: gpt-4.1-mini=0.40/1.60"`

	EmbeddingModel  string   `yaml:"embedding_model" doc:"model for embeddings, where the upstream has them"`
	ModerationModel string   `yaml:"moderation_model" doc:"model that moderates, like omni-moderation-latest"`
	Moderate        []string `yaml:"moderate" doc:"purposes whose finished text is moderated: scenario, partner"`
}

// UpstreamTimeout are the clocks of one request; 0 leaves one to the preset.
type UpstreamTimeout struct {
	Connect      time.Duration `yaml:"connect" doc:"longest wait for a connection, 0: the preset's (5s)"`
	FirstContent time.Duration `yaml:"first_content" doc:"longest wait for the first word, 0: the preset's (20s, local ones 2m)"`
	Idle         time.Duration `yaml:"idle" doc:"longest wait between words, 0: the preset's (15s)"`
	Total        time.Duration `yaml:"total" doc:"longest answer, 0: the preset's (90s)"`
}

// Fallback is a second upstream.
type Fallback struct {
	BaseURL  string   `yaml:"base_url" doc:"endpoint that is asked when the first fails before its first word; none set: no fallback"`
	APIKey   Secret   `yaml:"api_key" doc:"key for it"`
	Model    string   `yaml:"model" doc:"model to ask it for"`
	Preset   string   `yaml:"preset" oneof:"auto|openai|openai-reasoning|azure|azure-v1|ollama|vllm|llamacpp|litellm|openrouter|generic" doc:"what kind of server the fallback is"`
	Purposes []string `yaml:"purposes" doc:"what it is for: partner, scenario; none set: everything"`
}

// Breaker spares an upstream that is down.
type Breaker struct {
	Failures int           `yaml:"failures" doc:"failures in a row that stop calls to an upstream"`
	Open     time.Duration `yaml:"open" doc:"how long, until one call tries it again"`
}

// Budget bounds what is spent in a day (UTC), over all nodes; 0 is no bound.
type Budget struct {
	LearnerTokens int     `yaml:"learner_tokens" doc:"tokens of one learner in a day, 0 for no bound"`
	TotalTokens   int     `yaml:"total_tokens" doc:"tokens of all in a day, 0 for no bound"`
	LearnerMoney  float64 `yaml:"learner_money" doc:"money of one learner in a day, in the unit of prices, 0 for no bound"`
	TotalMoney    float64 `yaml:"total_money" doc:"money of all in a day, 0 for no bound"`
}

// Script is the pace of the scripted partner.
type Script struct {
	FirstToken      time.Duration `yaml:"first_token" doc:"scripted partner: time to the first token"`
	TokensPerSecond float64       `yaml:"tokens_per_second" doc:"scripted partner: pace of the rest"`
}

const auto = "auto"

func upstreamDefaults() Upstream {
	return Upstream{
		Model: defaultModel, Continue: auto, Script: Script{FirstToken: 300 * time.Millisecond, TokensPerSecond: 60},
		Preset: auto, CapField: auto, Temperature: auto, StreamUsage: auto, Structured: auto, SystemRole: auto, Reasoning: auto, ThinkTags: auto,
		KeepaliveComments: auto, Fallback: Fallback{Preset: auto}, Breaker: Breaker{Failures: 5, Open: 10 * time.Second}, Concurrency: 1000, Queue: 1000,
	}
}

// Price is money for a million tokens.
type Price struct{ Prompt, Output float64 }

// PriceList is Prices, read.
func (u *Upstream) PriceList() (map[string]Price, error) {
	out := map[string]Price{}
	for _, line := range u.Prices {
		model, price, ok := cutLast(line, "=")
		in, answer, two := strings.Cut(price, "/")
		p, err := strconv.ParseFloat(strings.TrimSpace(in), 64)
		q, err2 := strconv.ParseFloat(strings.TrimSpace(answer), 64)
		if !ok || !two || err != nil || err2 != nil || !(p >= 0 && q >= 0) || math.IsInf(p+q, 0) || model == "" {
			return nil, fmt.Errorf("%q is not model=prompt/answer, like gpt-4.1-mini=0.40/1.60", line)
		}
		out[model] = Price{p, q}
	}
	return out, nil
}

// cutLast cuts at the last separator: names of models may hold one.
func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+len(sep):]), true
}

// ModelMap is Models, read.
func (u *Upstream) ModelMap() (map[string]string, error) {
	out := map[string]string{}
	for _, line := range u.Models {
		purpose, model, ok := strings.Cut(line, "=")
		purpose, model = strings.TrimSpace(purpose), strings.TrimSpace(model)
		if !ok || purpose == "" || model == "" {
			return nil, fmt.Errorf("%q is not purpose=model", line)
		}
		out[purpose] = model
	}
	return out, nil
}

// HeaderMap is Headers, read. Errors do not repeat values.
func (u *Upstream) HeaderMap() (map[string]string, error) {
	out := map[string]string{}
	for i, line := range strings.FieldsFunc(u.Headers.Reveal(), func(r rune) bool { return r == ';' || r == '\n' || r == '\r' }) {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name == "" && !ok {
			continue
		}
		if !ok || name == "" || value == "" || strings.ContainsAny(name, " \t\"()<>@,/[]?={}") {
			return nil, fmt.Errorf("has a line %d that is not Name: value", i+1)
		}
		out[name] = value
	}
	return out, nil
}

// Preset is the word of a setting, empty where the preset of the server decides.
func Preset(word string) string {
	if word == auto {
		return ""
	}
	return word
}

func (v *validator) upstream() {
	u := &v.c.Upstream
	v.upstreamAddress("upstream", u.BaseURL, u.APIKey, u.Model)
	v.upstreamAddress("upstream.fallback", u.Fallback.BaseURL, u.Fallback.APIKey, u.Fallback.Model)
	if u.Fallback.BaseURL != "" && u.BaseURL == "" {
		v.bad("upstream.fallback.base_url", "has nothing to stand in for: the scripted partner does not fail")
	}
	if _, err := u.PriceList(); err != nil {
		v.bad("upstream.prices", "%v", err)
	}
	if _, err := u.ModelMap(); err != nil {
		v.bad("upstream.models", "%v", err)
	}
	if _, err := u.HeaderMap(); err != nil {
		v.bad("upstream.headers", "%v", err)
	}
	for _, r := range []struct {
		key              string
		got, least, most int
	}{
		{"upstream.max_context", u.MaxContext, 0, 100_000_000}, {"upstream.breaker.failures", u.Breaker.Failures, 1, 1000},
		{"upstream.concurrency", u.Concurrency, 1, 100_000}, {"upstream.queue", u.Queue, 1, 1_000_000},
		{"upstream.budget.learner_tokens", u.Budget.LearnerTokens, 0, math.MaxInt}, {"upstream.budget.total_tokens", u.Budget.TotalTokens, 0, math.MaxInt},
	} {
		if r.got < r.least || r.got > r.most {
			v.bad(r.key, "%d is not between %d and %d", r.got, r.least, r.most)
		}
	}
	for _, b := range []struct {
		key   string
		money float64
	}{{"upstream.budget.learner_money", u.Budget.LearnerMoney}, {"upstream.budget.total_money", u.Budget.TotalMoney}} {
		switch {
		case b.money < 0 || b.money > 1e12:
			v.bad(b.key, "%v is not between 0 and 1e12", b.money)
		case b.money > 0 && len(u.Prices) == 0:
			v.bad(b.key, "needs %s: without prices nothing costs anything", v.env["upstream.prices"])
		}
	}
	if u.Hedge != 0 {
		v.between("upstream.hedge", u.Hedge, 50*time.Millisecond, 10*time.Minute)
	}
	v.between("upstream.breaker.open", u.Breaker.Open, 100*time.Millisecond, 10*time.Minute)
	for _, t := range []struct {
		key string
		d   time.Duration
	}{{"connect", u.Timeout.Connect}, {"first_content", u.Timeout.FirstContent}, {"idle", u.Timeout.Idle}, {"total", u.Timeout.Total}} {
		v.between("upstream.timeout."+t.key, t.d, 0, time.Hour)
	}
	for _, p := range u.Moderate {
		if p != "scenario" && p != "partner" {
			v.bad("upstream.moderate", "%q is none of scenario, partner", p)
		}
	}
	if len(u.Moderate) > 0 && u.ModerationModel == "" {
		v.bad("upstream.moderation_model", "is needed for %s", v.env["upstream.moderate"])
	}
}

func (v *validator) upstreamAddress(key, base string, apiKey Secret, model string) {
	c := v.c
	if base == "" {
		return
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		v.bad(key+".base_url", "must be an http or https URL, like %s", openAI)
		return
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	query := u.Query()
	query.Del("api-version") // classic Azure has it there
	switch {
	case u.User != nil:
		v.bad(key+".base_url", "must not carry a user or password; the key goes into %s", v.env[key+".api_key"])
	case len(query) > 0 || u.Fragment != "":
		v.bad(key+".base_url", "must not have a query (but api-version) or fragment")
	case ip.IsLinkLocalUnicast():
		v.bad(key+".base_url", "points to a link-local address, where cloud machines keep their credentials")
	case u.Scheme == "http" && apiKey.Reveal() != "" && !loopback(u.Hostname()) && c.Strict():
		v.warn(key+".base_url", "sends the key over plain http to another machine")
	}
	if model == "" {
		v.bad(key+".model", "is needed for %s", u.Redacted())
	} else if base != openAI && v.origin[key+".model"] == "" {
		v.warn(key+".model", "is not set; %s will be asked for %s", u.Host, model)
	}
	if strings.ContainsAny(apiKey.Reveal(), "\r\n\t ") {
		v.bad(key+".api_key", "contains white space")
	}
}
