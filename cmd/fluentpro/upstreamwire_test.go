package main

import (
	"context"
	"errors"
	"testing"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/internal/fault"
)

type judge struct {
	flagged bool
	err     error
	asked   int
}

func (j *judge) Moderate(context.Context, string, string) (bool, []string, error) {
	j.asked++
	return j.flagged, nil, j.err
}

func TestModerationRefusesWhatIsFlagged(t *testing.T) {
	t.Parallel()
	down := fault.New(fault.UpstreamUnavailable, "down")
	for _, tc := range []struct {
		name, purpose string
		judge         judge
		code          fault.Code
		asked         int
	}{
		{"clean", "scenario", judge{}, "", 1},
		{"flagged", "scenario", judge{flagged: true}, fault.UpstreamFiltered, 1},
		{"another purpose", "partner", judge{flagged: true}, "", 0},
		{"judge away", "scenario", judge{err: down}, fault.UpstreamUnavailable, 1},
	} {
		j := tc.judge
		err := moderation{&j, "m", []string{"scenario"}}.check(t.Context(), tc.purpose, "text")
		if fault.CodeOf(err) != tc.code || j.asked != tc.asked || tc.judge.err != nil && !errors.Is(err, tc.judge.err) {
			t.Errorf("%s: %v after %d questions", tc.name, err, j.asked)
		}
	}
}

func TestClientConfigCarriesEverySetting(t *testing.T) {
	t.Parallel()
	cfg, err := configs.Load(configs.Input{Env: []string{"HOME=" + t.TempDir(), "FLUENTPRO_UPSTREAM_BASE_URL=https://a.openai.azure.com", "FLUENTPRO_UPSTREAM_MODEL=gpt",
		"FLUENTPRO_UPSTREAM_PRESET=azure", "FLUENTPRO_UPSTREAM_CAP_FIELD=both", "FLUENTPRO_UPSTREAM_MAX_CONTEXT=9000", "FLUENTPRO_UPSTREAM_TIMEOUT_IDLE=7s",
		"FLUENTPRO_UPSTREAM_HEADERS=X-A: b", "FLUENTPRO_UPSTREAM_MODELS=scenario=big", "FLUENTPRO_UPSTREAM_PRICES=gpt=1/2",
		"FLUENTPRO_UPSTREAM_BUDGET_TOTAL_MONEY=2.5", "FLUENTPRO_UPSTREAM_BUDGET_LEARNER_TOKENS=100"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientConfig(&cfg.Upstream, "")
	if err != nil || c.Headers["X-A"] != "b" || c.Models["scenario"] != "big" || c.Prices["gpt"] != (openai.Price{Prompt: 1, Output: 2}) {
		t.Fatalf("%+v %v", c, err)
	}
	client, err := openai.New(c)
	if err != nil {
		t.Fatal(err)
	}
	p := client.Profile()
	if p.Preset != "azure" || p.Path != openai.PathAzure || p.CapField != openai.CapBoth || p.MaxContext != 9000 || p.Timeouts.Idle.Seconds() != 7 || p.Temperature != openai.Send {
		t.Errorf("%+v", p)
	}
	if l := limitsOf(cfg.Upstream.Budget); l.Total.Micros != 2_500_000 || l.Learner.Tokens != 100 || l.Learner.Micros != 0 {
		t.Errorf("%+v", l)
	}
	if c, err := clientConfig(&cfg.Upstream, "http://127.0.0.1:1/v1"); err != nil || !c.Scripted || c.APIKey != "" || c.Headers != nil {
		t.Errorf("the scripted partner gets settings of another upstream: %+v %v", c, err)
	}
}
