package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisClients are three clients of one Redis: calls, subscriptions and those
// who wait for events must not wait for each other.
type redisClients struct {
	calls, bell, events redis.UniversalClient
	embedded            *miniredis.Miniredis
}

// quietRedis sends the library's own log lines, which name hosts, to debug.
type quietRedis struct{ log *slog.Logger }

func (q quietRedis) Printf(ctx context.Context, format string, args ...any) {
	if q.log.Enabled(ctx, slog.LevelDebug) {
		q.log.DebugContext(ctx, "redis client", "line", fmt.Sprintf(format, args...))
	}
}

// openRedis connects to url, or starts the embedded Redis when it is empty. A
// URL with addr parameters is a Cluster, one with master_name a Sentinel set.
func openRedis(url string) (*redisClients, error) {
	c := &redisClients{}
	if url == "" {
		m := miniredis.NewMiniRedis()
		if err := m.StartAddr("127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("start the embedded Redis: %w", err)
		}
		// Keys expire by the wall's clock, as in a real Redis.
		m.ClockTTL(true)
		c.embedded, url = m, "redis://"+m.Addr()
	}
	var err error
	if c.calls, err = newRedis(url); err == nil {
		c.bell, err = newRedis(url)
	}
	if err == nil {
		c.events, err = newRedis(url)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the clients and the embedded Redis.
func (c *redisClients) Close() {
	for _, r := range []redis.UniversalClient{c.calls, c.bell, c.events} {
		if r != nil {
			_ = r.Close()
		}
	}
	if c.embedded != nil {
		c.embedded.Close()
	}
}

var errRedisURL = errors.New("the Redis URL cannot be used")

// newRedis sets what the core relies on: deadlines of contexts count, and no
// library retries, because only the caller knows whether a repeat makes sense.
func newRedis(url string) (redis.UniversalClient, error) {
	const (
		dial = time.Second
		io   = 500 * time.Millisecond
		pool = 16
	)
	off := func() *maintnotifications.Config {
		return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	}
	switch {
	case strings.Contains(url, "master_name="):
		o, err := redis.ParseFailoverURL(url)
		if err != nil {
			return nil, errRedisURL
		}
		o.ContextTimeoutEnabled, o.MaxRetries, o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize, o.DialerRetries = true, -1, dial, io, io, pool, 1
		o.Dialer = redisDialer(dial, o.TLSConfig)
		return redis.NewFailoverClient(o), nil
	case strings.Contains(url, "addr="):
		o, err := redis.ParseClusterURL(url)
		if err != nil {
			return nil, errRedisURL
		}
		o.ContextTimeoutEnabled, o.MaxRetries, o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize, o.DialerRetries = true, -1, dial, io, io, pool, 1
		o.Dialer = redisDialer(dial, o.TLSConfig)
		o.MaintNotificationsConfig = off()
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errRedisURL // the library's text quotes the password
	}
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize, o.DialerRetries = true, -1, dial, io, io, pool, 1
	o.Dialer = redisDialer(dial, o.TLSConfig)
	o.MaintNotificationsConfig = off()
	return redis.NewClient(o), nil
}
