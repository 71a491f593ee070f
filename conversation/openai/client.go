// Package openai is the conversation.Model that speaks to any server with
// OpenAI's chat completion API, over go-openai and the normalising transport
// of internal/upstream.
//
// A call is tried again only before its first text, because a viewer may have
// what came later; from then on a failure is the runner's to handle, who takes
// the text as Prompt.Kept into the next attempt. What a server turns out not
// to accept (a field for the cap, a temperature, a schema) is learned once per
// Client and left out from then on.
package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goopenai "github.com/sashabaranov/go-openai"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

// The strategies for going on after text that viewers already have.
const (
	// ContinueAuto is prefix for our stand-in and instruct for all others.
	ContinueAuto = "auto"
	// ContinuePrefix ends the messages with the kept text in the assistant's
	// name and has the server write on from it.
	ContinuePrefix = "prefix"
	// ContinueInstruct asks for it in words and cuts what is said twice.
	ContinueInstruct = "instruct"
)

// Config says which server to call and how.
type Config struct {
	// Name tells upstreams apart in records and logs ("primary").
	Name string
	// BaseURL ends where "/chat/completions" is to be added, usually in /v1.
	// Classic Azure takes the resource and ?api-version=.
	BaseURL string
	// APIKey is sent as the profile's Auth says; empty sends none.
	APIKey string
	// Model is the name to ask for.
	Model string
	// Models names another model for a purpose ("scenario").
	Models map[string]string
	// Preset names the profile to begin with; empty detects it by the host.
	Preset string
	// Profile lies over the preset; its Preset is not read.
	Profile Profile
	// Scripted says that the server is our stand-in before it has answered.
	Scripted bool
	// Headers are added to every request.
	Headers map[string]string
	// LearnFor is how long a lesson from a refusal is kept; 1 h.
	LearnFor time.Duration
	// SettingPrefix begins the line of configuration that a lesson names;
	// NoSetting where there is no such line.
	SettingPrefix string
	// Prices by model, for the cost in records.
	Prices map[string]Price
	// MaxRetries before the first text; 2 when 0, none when negative.
	MaxRetries int
	// RetryBase is the unit of the growing, jittered wait; 250 ms.
	RetryBase time.Duration
	// MaxRetryWait is the longest wait that a server may ask for in a
	// Retry-After; beyond it the failure is returned at once. 5 s.
	MaxRetryWait time.Duration
	// Transport makes the connections; nil for one of our own.
	Transport http.RoundTripper
	// OnCall is told of every finished call; it must not block.
	OnCall func(CallRecord)
	// Logger gets a line for what was learned; nil for none.
	Logger *slog.Logger
}

// NoSetting is the SettingPrefix of an upstream whose profile cannot be set.
const NoSetting = "-"

// Price is what a million tokens cost.
type Price struct{ Prompt, Output float64 }

// micros is the cost of one call in millionths.
func (p Price) micros(prompt, output int) int64 {
	return int64(float64(prompt)*p.Prompt + float64(output)*p.Output)
}

// CallRecord is what is known of one Generate, without a word of its text.
type CallRecord struct {
	// At is when the call began, Upstream which one was called.
	At                            time.Time
	Upstream                      string
	Purpose, Version, Correlation string
	Conversation                  string
	// ModelAsked and ModelServed differ behind aliases and fallbacks.
	ModelAsked, ModelServed string
	// Strategy is "", prefix or instruct.
	Strategy string
	// PromptBytes, KeptBytes, OutputBytes and ReasoningBytes are sizes of text.
	PromptBytes, KeptBytes, OutputBytes, ReasoningBytes int
	// TrimmedTurns were left out because the context is too small for them.
	TrimmedTurns int
	// PromptTokens and OutputTokens are the upstream's count, or our own when
	// Estimated.
	PromptTokens, OutputTokens int
	Estimated                  bool
	// Micros is the cost in millionths of the unit of the prices.
	Micros int64
	// FirstToken and Total are times from the start of Generate; FirstToken is
	// 0 when there was no text.
	FirstToken, Total time.Duration
	// Finish is stop, length or content_filter, empty on failure.
	Finish string
	// Code is the fault code of a failure, "cancelled", "emit", or "".
	Code string
	// End is how the last stream ended, in upstream's words.
	End       string
	Retries   int
	RequestID string
	Status    int
}

// Client implements conversation.Model. It is safe for concurrent use.
type Client struct {
	cfg      Config
	profile  Profile
	api      *goopenai.Client
	at       *endpoint
	doer     *upstream.Doer
	budget   budget
	scripted atomic.Bool
	// served keeps the models whose stand-ins were warned about.
	served sync.Map

	mu      sync.Mutex
	lessons map[string]map[string]lesson // by model and key
}

var _ conversation.Model = (*Client)(nil)

// New checks the configuration and makes a Client. It does not connect.
func New(cfg Config) (*Client, error) {
	if cfg.Preset == "" {
		cfg.Preset = Detect(cfg.BaseURL, cfg.Model)
	}
	p, ok := Preset(cfg.Preset)
	if !ok {
		return nil, fmt.Errorf("upstream preset %q is none of %s", cfg.Preset, strings.Join(PresetNames(), ", "))
	}
	cfg.Profile.Preset = ""
	p = p.With(cfg.Profile)
	if cfg.Profile.CapField == "" && p.CapField == CapTokens && reasons(cfg.Model) && cfg.Preset != "ollama" {
		p.CapField = CapCompletion // behind whichever proxy
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	at, err := newEndpoint(cfg.BaseURL, p)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(cfg.Model) == "" {
		return nil, errors.New("upstream model must be named")
	}
	setDefaults(&cfg)
	c := &Client{cfg: cfg, profile: p, at: at, lessons: map[string]map[string]lesson{}}
	c.scripted.Store(cfg.Scripted)
	secrets := []string{cfg.APIKey}
	for k, v := range cfg.Headers {
		secrets = append(secrets, v)
		at.headers.Set(k, v)
	}
	c.doer = upstream.New(upstream.Options{
		Timeouts: p.Timeouts, CommentsAreLife: p.KeepaliveComments == Life, Secrets: secrets, Transport: cfg.Transport,
	})
	at.next = c.doer
	switch {
	case cfg.APIKey == "":
	case p.Auth == APIKey:
		at.headers.Set("Api-Key", cfg.APIKey)
	default:
		at.headers.Set("Authorization", "Bearer "+cfg.APIKey)
	}
	api := goopenai.DefaultConfig("")
	api.BaseURL = libraryBase
	api.HTTPClient = at
	c.api = goopenai.NewClientWithConfig(api)
	return c, nil
}

func setDefaults(cfg *Config) {
	if cfg.Name == "" {
		cfg.Name = "primary"
	}
	if cfg.SettingPrefix == "" {
		cfg.SettingPrefix = "FLUENTPRO_UPSTREAM_"
	}
	if cfg.LearnFor <= 0 {
		cfg.LearnFor = time.Hour
	}
	if cfg.MaxRetries == 0 {
		cfg.MaxRetries = 2
	}
	if cfg.RetryBase <= 0 {
		cfg.RetryBase = 250 * time.Millisecond
	}
	if cfg.MaxRetryWait <= 0 {
		cfg.MaxRetryWait = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
}

// Name tells upstreams apart.
func (c *Client) Name() string { return c.cfg.Name }

// Profile is what is assumed of the server, without what was learned.
func (c *Client) Profile() Profile { return c.profile }

// Close closes idle connections; calls under way end with their contexts.
func (c *Client) Close() { c.doer.CloseIdleConnections() }

// model picks the model for a purpose.
func (c *Client) model(purpose string) string {
	if m := c.cfg.Models[purpose]; m != "" {
		return m
	}
	return c.cfg.Model
}

// price is what the model of a purpose costs.
func (c *Client) price(asked, served string) Price {
	if p, ok := c.cfg.Prices[asked]; ok {
		return p
	}
	return c.cfg.Prices[served]
}

// rawJSON is a schema that go-openai passes on as it is.
type rawJSON = json.RawMessage
