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
	"net/url"
	"strings"
	"sync"
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
	// BaseURL ends where "/chat/completions" is to be added, usually in /v1.
	BaseURL string
	// APIKey is sent as a bearer token; empty sends none.
	APIKey string
	// Model is the name to ask for.
	Model string
	// Models names another model for a purpose ("scenario").
	Models map[string]string
	// Continue is ContinueAuto (also when empty), ContinuePrefix or ContinueInstruct.
	Continue string
	// VLLMPrefix adds vLLM's continue_final_message and add_generation_prompt
	// to a prefix continuation.
	VLLMPrefix bool
	// Scripted says that the server is our stand-in before it has answered.
	Scripted bool
	// CapField is max_tokens or max_completion_tokens; empty picks by host and
	// model.
	CapField string
	// Headers are added to every request ("api-key" for Azure).
	Headers map[string]string
	// CommentsAreLife: see upstream.Options.
	CommentsAreLife bool
	// Timeouts of one HTTP request; zeros take upstream's defaults.
	Timeouts upstream.Timeouts
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

// CallRecord is what is known of one Generate, without a word of its text.
type CallRecord struct {
	Purpose, Version, Correlation string
	// ModelAsked and ModelServed differ behind aliases and fallbacks.
	ModelAsked, ModelServed string
	// Strategy is "", prefix or instruct.
	Strategy string
	// PromptBytes, KeptBytes, OutputBytes and ReasoningBytes are sizes of text.
	PromptBytes, KeptBytes, OutputBytes, ReasoningBytes int
	// PromptTokens and OutputTokens are the upstream's count, or an estimate of
	// four bytes to a token when Estimated.
	PromptTokens, OutputTokens int
	Estimated                  bool
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
	cfg    Config
	api    *goopenai.Client
	doer   *upstream.Doer
	budget budget

	mu      sync.Mutex
	learned learned
}

var _ conversation.Model = (*Client)(nil)

// New checks the configuration and makes a Client. It does not connect.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.BaseURL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, errors.New("upstream base URL must be http:// or https:// with a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("upstream base URL must carry neither user, query nor fragment; use the API key or headers")
	case strings.TrimSpace(cfg.Model) == "":
		return nil, errors.New("upstream model must be named")
	}
	switch cfg.Continue {
	case "":
		cfg.Continue = ContinueAuto
	case ContinueAuto, ContinuePrefix, ContinueInstruct:
	default:
		return nil, fmt.Errorf("upstream continue strategy %q is none of auto, prefix, instruct", cfg.Continue)
	}
	switch cfg.CapField {
	case "", capTokens, capCompletion:
	default:
		return nil, fmt.Errorf("upstream cap field %q is none of max_tokens, max_completion_tokens", cfg.CapField)
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
	secrets := []string{cfg.APIKey}
	for _, v := range cfg.Headers {
		secrets = append(secrets, v)
	}
	c := &Client{cfg: cfg, learned: learned{scripted: cfg.Scripted, cap: cfg.CapField}}
	if c.learned.cap == "" {
		c.learned.cap = capFieldFor(u.Hostname(), cfg.Model)
	}
	c.doer = upstream.New(upstream.Options{
		Timeouts: cfg.Timeouts, CommentsAreLife: cfg.CommentsAreLife, Secrets: secrets, Transport: cfg.Transport,
	})
	api := goopenai.DefaultConfig(cfg.APIKey)
	api.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	api.HTTPClient = withHeaders{c.doer, cfg.Headers}
	c.api = goopenai.NewClientWithConfig(api)
	return c, nil
}

// Close closes idle connections; calls under way end with their contexts.
func (c *Client) Close() { c.doer.CloseIdleConnections() }

// model picks the model for a purpose.
func (c *Client) model(purpose string) string {
	if m := c.cfg.Models[purpose]; m != "" {
		return m
	}
	return c.cfg.Model
}

type withHeaders struct {
	next    *upstream.Doer
	headers map[string]string
}

func (w withHeaders) Do(r *http.Request) (*http.Response, error) {
	for k, v := range w.headers {
		r.Header.Set(k, v)
	}
	return w.next.Do(r)
}

// rawJSON is a schema that go-openai passes on as it is.
type rawJSON = json.RawMessage
