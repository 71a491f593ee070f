package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/buildinfo"
	"github.com/fluentpro/fluentpro/server"
	"github.com/fluentpro/fluentpro/sessions"
)

// incarnationMode finds how this Redis tells one life from the next.
func (a *App) incarnationMode(ctx context.Context) (string, error) {
	switch a.cfg.Redis.Incarnation {
	case "replid":
		return "r", nil
	case "marker":
		return "m", nil
	}
	if a.cfg.EmbeddedRedis() {
		return "m", nil
	}
	var err error
	for range 20 {
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		var mode string
		mode, err = redislog.DetectMode(c, a.redis.calls)
		cancel()
		if err == nil {
			return mode, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	return "", fmt.Errorf("redis (FLUENTPRO_REDIS_URL) does not answer: %w", err)
}

// drainFlag turns readiness off.
type drainFlag struct{ on atomic.Bool }

func (d *drainFlag) set() { d.on.Store(true) }

var errDraining = errors.New("draining")

// checks are what readiness asks. Redis away is degraded, not down, and so is
// an SQL that is read and takes no writes: if every
// node failed its readiness at once, a partial outage would become a total one.
func (a *App) checks() []server.Check {
	return []server.Check{
		{Name: "draining", Required: true, Probe: func(context.Context) error {
			if a.drain.on.Load() {
				return errDraining
			}
			return nil
		}},
		{Name: "sql", Required: true, Probe: a.db.Ping},
		{Name: "sql-writes", Probe: func(context.Context) error { return a.db.Refusing() }},
		{Name: "redis", Probe: a.sentry.Check},
		{Name: "upstream", Probe: a.client.Check},
	}
}

// wireTimes keep connections alive, and spread viewers over the drain; alone there is no other node to
// go to, so they are simply let go.
func (a *App) wireTimes() sessions.Times {
	t := sessions.Times{Ping: a.cfg.Wire.Ping, Heartbeat: a.cfg.Wire.Heartbeat, DrainSpread: a.cfg.Drain / 2, DrainGrace: 3 * time.Second}
	if a.solo() {
		t.DrainSpread, t.DrainGrace = time.Millisecond, 200*time.Millisecond
	}
	return t
}

// info is what the page may tell about this server.
func (a *App) info() server.Info {
	i := server.Info{Version: buildinfo.Read().Version, Profile: a.cfg.Profile, Embedded: []string{}, Notes: []string{}}
	if a.cfg.EmbeddedDatabase() {
		i.Embedded = append(i.Embedded, configs.PartDatabase)
	}
	if a.cfg.EmbeddedRedis() {
		i.Embedded = append(i.Embedded, configs.PartRedis)
	}
	if a.cfg.EmbeddedUpstream() {
		i.Embedded = append(i.Embedded, configs.PartUpstream)
		i.Notes = append(i.Notes, "Your partner plays from a script: no AI model is connected to this server.")
	}
	return i
}
