package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/sessions"
)

// Bus carries orders between nodes by publish and subscribe: one connection
// per node. What is published while that connection is away is lost.
type Bus struct {
	calls, subs redis.UniversalClient
	timeout     time.Duration
	log         *slog.Logger
}

var _ sessions.Bus = (*Bus)(nil)

// NewBus publishes with one client and listens with another, which may be the
// same.
func NewBus(calls, subs redis.UniversalClient, log *slog.Logger) *Bus {
	return &Bus{calls: calls, subs: subs, timeout: 300 * time.Millisecond, log: log}
}

// Publish implements sessions.Bus.
func (b *Bus) Publish(ctx context.Context, o sessions.Order) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	raw, err := json.Marshal(o)
	if err != nil {
		return wrap("publish order", err)
	}
	return wrap("publish order", b.calls.Publish(ctx, channelOrders, raw).Err())
}

// Listen implements sessions.Bus.
func (b *Bus) Listen(ctx context.Context, fn func(sessions.Order)) {
	ps := b.subs.Subscribe(ctx, channelOrders)
	stop := context.AfterFunc(ctx, func() { _ = ps.Close() })
	defer stop()
	defer func() { _ = ps.Close() }() // closing twice is no error that matters
	for ctx.Err() == nil {
		msg, err := ps.ReceiveTimeout(ctx, 30*time.Second)
		switch m := msg.(type) {
		case *redis.Message:
			var o sessions.Order
			if err := json.Unmarshal([]byte(m.Payload), &o); err != nil {
				b.log.Warn("order of another node cannot be read", "err", err)
				continue
			}
			fn(o)
		default:
			if err != nil && !b.again(ctx, ps, err) {
				return
			}
		}
	}
}

// again meets a failed receive: a mere silence pings, so that a dead
// connection shows; anything else waits a moment. go-redis connects and
// subscribes anew by itself.
func (b *Bus) again(ctx context.Context, ps *redis.PubSub, err error) bool {
	if errors.Is(err, redis.ErrClosed) {
		return false
	}
	var te interface{ Timeout() bool }
	if errors.As(err, &te) && te.Timeout() {
		c, cancel := context.WithTimeout(ctx, b.timeout)
		defer cancel()
		if ps.Ping(c) == nil {
			return true
		}
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}
