package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
	"github.com/fluentpro/fluentpro/internal/upstream/usage"
)

// Names of the upstreams in records, logs and metrics.
const (
	primaryName  = "primary"
	fallbackName = "fallback"
)

// profileOf is what the configuration lays over a preset.
func profileOf(u *configs.Upstream) openai.Profile {
	w := configs.Preset
	return openai.Profile{
		CapField: w(u.CapField), Temperature: w(u.Temperature), StreamUsage: w(u.StreamUsage), Structured: w(u.Structured), SystemRole: w(u.SystemRole),
		Reasoning: w(u.Reasoning), ReasoningOff: u.ReasoningOff, ThinkTags: w(u.ThinkTags), MaxContext: u.MaxContext,
		KeepaliveComments: w(u.KeepaliveComments), Continue: w(u.Continue),
		Timeouts: upstream.Timeouts{Connect: u.Timeout.Connect, FirstContent: u.Timeout.FirstContent, Idle: u.Timeout.Idle, Total: u.Timeout.Total},
	}
}

// clientConfig is the first upstream of the configuration; scripted is the
// address of the partner inside this process where that one speaks.
func clientConfig(u *configs.Upstream, scripted string) (openai.Config, error) {
	c := openai.Config{Name: primaryName, BaseURL: u.BaseURL, APIKey: u.APIKey.Reveal(), Model: u.Model, Preset: configs.Preset(u.Preset), Profile: profileOf(u)}
	if scripted != "" {
		return openai.Config{Name: primaryName, BaseURL: scripted, Model: u.Model, Scripted: true, Preset: "generic"}, nil
	}
	var err error
	if c.Headers, err = u.HeaderMap(); err != nil {
		return c, fmt.Errorf("FLUENTPRO_UPSTREAM_HEADERS %w", err)
	}
	if c.Models, err = u.ModelMap(); err != nil {
		return c, fmt.Errorf("FLUENTPRO_UPSTREAM_MODELS %w", err)
	}
	prices, err := u.PriceList()
	if err != nil {
		return c, fmt.Errorf("FLUENTPRO_UPSTREAM_PRICES %w", err)
	}
	c.Prices = map[string]openai.Price{}
	for model, p := range prices {
		c.Prices[model] = openai.Price(p)
	}
	return c, nil
}

// fallbackConfig is the second upstream; it has the first one's prices and
// none of its other habits.
func fallbackConfig(u *configs.Upstream, first openai.Config) openai.Config {
	f := u.Fallback
	return openai.Config{Name: fallbackName, BaseURL: f.BaseURL, APIKey: f.APIKey.Reveal(), Model: f.Model, Preset: configs.Preset(f.Preset),
		Prices: first.Prices, SettingPrefix: openai.NoSetting}
}

// newModel makes the clients of the upstreams, or of the scripted partner,
// over the same wire, and the router in front of them.
func (a *App) newModel() (*openai.Router, error) {
	u := &a.cfg.Upstream
	scripted := ""
	if a.model != nil {
		scripted = a.model.URL
	}
	first, err := clientConfig(u, scripted)
	if err != nil {
		return nil, err
	}
	metrics := newCallMetrics(a.reg, a.log)
	onCall := func(r openai.CallRecord) {
		metrics(r)
		a.calls.add(r)
	}
	first.Logger, first.OnCall = a.log, onCall
	rc := openai.RouterConfig{FallbackPurposes: u.Fallback.Purposes, BreakerFailures: u.Breaker.Failures, BreakerOpen: u.Breaker.Open,
		Hedge: u.Hedge, Concurrency: u.Concurrency, Queue: u.Queue, Logger: a.log, Registerer: a.reg, Ledger: usage.New(a.db), Limits: limitsOf(u.Budget)}
	if rc.Primary, err = openai.New(first); err != nil {
		return nil, err
	}
	a.embedder = rc.Primary
	if u.Fallback.BaseURL != "" {
		second := fallbackConfig(u, first)
		second.Logger, second.OnCall = a.log, onCall
		if rc.Fallback, err = openai.New(second); err != nil {
			return nil, fmt.Errorf("fallback: %w", err)
		}
	}
	if len(u.Moderate) > 0 {
		rc.Moderate = moderation{rc.Primary, u.ModerationModel, u.Moderate}.check
	}
	return openai.NewRouter(rc), nil
}

func limitsOf(b configs.Budget) usage.Limits {
	return usage.Limits{
		Learner: usage.Amount{Tokens: int64(b.LearnerTokens), Micros: int64(b.LearnerMoney * 1e6)},
		Total:   usage.Amount{Tokens: int64(b.TotalTokens), Micros: int64(b.TotalMoney * 1e6)},
	}
}

// moderator is the upstream's judge of texts.
type moderator interface {
	Moderate(ctx context.Context, model, text string) (flagged bool, categories []string, err error)
}

// moderation keeps a text that the upstream's own judge objects to from being
// stored as a scenario or a complete reply.
type moderation struct {
	judge    moderator
	model    string
	purposes []string
}

func (m moderation) check(ctx context.Context, purpose, text string) error {
	if !slices.Contains(m.purposes, purpose) {
		return nil
	}
	flagged, _, err := m.judge.Moderate(ctx, m.model, text)
	if err != nil {
		return err
	}
	if flagged {
		return fault.New(fault.UpstreamFiltered, "The text was refused by moderation.")
	}
	return nil
}
