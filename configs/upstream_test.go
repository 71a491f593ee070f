package configs

import (
	"strings"
	"testing"
)

// otherUpstream are rows of TestEveryKeyHasAVariable.
var otherUpstream = map[string]string{
	"upstream.models": "scenario=big", "upstream.headers": "X-A: 1", "upstream.preset": "vllm", "upstream.cap_field": "both", "upstream.temperature": "omit",
	"upstream.stream_usage": "omit", "upstream.structured": "prompt", "upstream.system_role": "developer", "upstream.reasoning": "off",
	"upstream.reasoning_off": "a=1", "upstream.think_tags": "strip", "upstream.max_context": "8192", "upstream.keepalive_comments": "life",
	"upstream.timeout.connect": "1s", "upstream.timeout.first_content": "2s", "upstream.timeout.idle": "3s", "upstream.timeout.total": "4s",
	"upstream.fallback.base_url": "http://h:2/v1", "upstream.fallback.api_key": "k2", "upstream.fallback.model": "m2", "upstream.fallback.preset": "ollama",
	"upstream.fallback.purposes": "partner", "upstream.breaker.failures": "9", "upstream.breaker.open": "1m0s", "upstream.concurrency": "7", "upstream.queue": "8",
	"upstream.budget.learner_tokens": "100", "upstream.budget.total_tokens": "1000", "upstream.budget.learner_money": "0.5", "upstream.budget.total_money": "5",
	"upstream.prices": "m=1/2", "upstream.embedding_model": "e", "upstream.moderation_model": "o", "upstream.moderate": "scenario",
}

// neededBy are settings that others cannot do without.
var neededBy = map[string][]string{
	"upstream.fallback.base_url":    {"FLUENTPRO_UPSTREAM_BASE_URL=http://h:1/v1", "FLUENTPRO_UPSTREAM_FALLBACK_MODEL=m"},
	"upstream.budget.learner_money": {"FLUENTPRO_UPSTREAM_PRICES=m=1/2"},
	"upstream.budget.total_money":   {"FLUENTPRO_UPSTREAM_PRICES=m=1/2"},
	"upstream.moderate":             {"FLUENTPRO_UPSTREAM_MODERATION_MODEL=o"},
	"roles.azure.endpoint":          {"FLUENTPRO_ROLES_AZURE_KEY=k"},
	"auth.issuer":                   {someAudience, "FLUENTPRO_AUTH_PASSWORDS=off"},
	"auth.audience":                 {someIssuer, "FLUENTPRO_AUTH_PASSWORDS=off"},
	"auth.passwords":                {someIssuer, someAudience},
	"auth.roles_claim":              {someIssuer, someAudience, "FLUENTPRO_AUTH_PASSWORDS=off"},
	"auth.auth0.client_id":          {someIssuer, someAudience, "FLUENTPRO_AUTH_PASSWORDS=off"},
}

func TestUpstreamSettingsAreChecked(t *testing.T) {
	t.Parallel()
	const base = "FLUENTPRO_UPSTREAM_BASE_URL=http://127.0.0.1:1/v1"
	for _, tc := range []struct{ env, want string }{
		{"PRESET=gpt", "none of auto"},
		{"PRICES=m", "is not model=prompt/answer"},
		{"PRICES=m=1/x", "is not model=prompt/answer"},
		{"MODELS=big", "is not purpose=model"},
		{"HEADERS=X-A", "line 1 that is not Name: value"},
		{"BUDGET_TOTAL_MONEY=5", "without prices nothing costs anything"},
		{"BUDGET_LEARNER_TOKENS=-1", "not between"},
		{"BREAKER_FAILURES=0", "not between"},
		{"BREAKER_OPEN=1ms", "not between"},
		{"TIMEOUT_IDLE=2h", "not between"},
		{"CONCURRENCY=0", "not between"},
		{"MODERATE=everything", "none of scenario, partner"},
		{"MODERATE=scenario", "is needed for"},
		{"BASE_URL=http://h/v1?key=1", "query (but api-version)"},
		{"FALLBACK_BASE_URL=http://u:hunter2@h/v1", "must not carry a user"},
		{"FALLBACK_BASE_URL=http://h/v1", "is needed for"},
	} {
		got := problems(t, Input{Env: []string{base, "FLUENTPRO_UPSTREAM_" + tc.env}})
		if !strings.Contains(got, tc.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", tc.env, got)
		}
	}
	if got := problems(t, Input{Env: []string{"FLUENTPRO_UPSTREAM_FALLBACK_BASE_URL=http://h/v1", "FLUENTPRO_UPSTREAM_FALLBACK_MODEL=m"}}); !strings.Contains(got, "nothing to stand in for") {
		t.Error(got)
	}
}

func TestUpstreamListsAreRead(t *testing.T) {
	t.Parallel()
	c := load(t, "FLUENTPRO_UPSTREAM_BASE_URL=https://a.openai.azure.com?api-version=2024-10-21", "FLUENTPRO_UPSTREAM_MODEL=gpt", "FLUENTPRO_UPSTREAM_PRICES=a=b=0.4/1.6, x = 1 / 2",
		"FLUENTPRO_UPSTREAM_MODELS=scenario=big", "FLUENTPRO_UPSTREAM_HEADERS=X-Team: blue; X-Url: http://x/y\nX-B: c")
	prices, err := c.Upstream.PriceList()
	if err != nil || prices["a=b"] != (Price{0.4, 1.6}) || prices["x"] != (Price{1, 2}) {
		t.Errorf("%v %v", prices, err)
	}
	if m, err := c.Upstream.ModelMap(); err != nil || m["scenario"] != "big" {
		t.Errorf("%v %v", m, err)
	}
	h, err := c.Upstream.HeaderMap()
	if err != nil || h["X-Team"] != "blue" || h["X-Url"] != "http://x/y" || h["X-B"] != "c" {
		t.Errorf("%v %v", h, err)
	}
	if Preset(c.Upstream.CapField) != "" || Preset("both") != "both" {
		t.Error("auto is not the preset's")
	}
}
