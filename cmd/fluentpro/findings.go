package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/finding"
)

// checkTimeout bounds the look at the settings of Redis and SQL.
const checkTimeout = 10 * time.Second

// findings looks at the settings of Redis and SQL.
func (a *App) findings(ctx context.Context) ([]finding.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out, err := a.db.CheckSettings(ctx)
	if err != nil {
		return nil, fmt.Errorf("check the settings of the database: %w", err)
	}
	if a.cfg.EmbeddedRedis() {
		return out, nil
	}
	more, err := redislog.CheckSettings(ctx, a.redis.calls)
	return append(out, more...), err
}

// checkSettings warns of settings that endanger data, and refuses to start on
// them in the staging and production profiles unless they are allowed by name.
func (a *App) checkSettings(ctx context.Context) error {
	all, err := a.findings(ctx)
	if err != nil {
		if a.cfg.Strict() {
			return err
		}
		a.log.Warn("settings of Redis and SQL could not be checked", "err", err)
		return nil
	}
	var refused []string
	for _, f := range all {
		if f.Grave && a.cfg.Strict() && !slices.Contains(a.cfg.AllowRisks, f.Name) {
			refused = append(refused, "  "+f.String()+"; or accept it: FLUENTPRO_ALLOW_RISKS="+strings.Join(append(slices.Clone(a.cfg.AllowRisks), f.Name), ","))
			continue
		}
		a.log.Warn("a setting endangers data or availability", "finding", f.Name, "setting", f.Setting, "value", f.Value, "at", f.At, "why", f.Why, "fix", f.Fix, "grave", f.Grave)
	}
	if len(refused) > 0 {
		return fmt.Errorf("the %s profile does not run on these settings:\n%s", a.cfg.Profile, strings.Join(refused, "\n"))
	}
	return nil
}

// Findings implements server.Findings for operators, looking anew.
func (a *App) Findings(ctx context.Context) (any, error) {
	all, err := a.findings(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"findings": append([]finding.Finding{}, all...)}, nil
}
