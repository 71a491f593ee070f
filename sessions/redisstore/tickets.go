package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/sessions"
)

// PutTicket implements sessions.Tickets.
func (s *Store) PutTicket(ctx context.Context, hash string, t sessions.Ticket, life time.Duration) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	raw, err := json.Marshal(t)
	if err != nil {
		return wrap("store ticket", err)
	}
	return wrap("store ticket", s.rdb.Set(ctx, keyTicket(hash), raw, life).Err())
}

// TakeTicket implements sessions.Tickets.
func (s *Store) TakeTicket(ctx context.Context, hash string) (sessions.Ticket, bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	raw, err := s.rdb.GetDel(ctx, keyTicket(hash)).Bytes()
	if errors.Is(err, redis.Nil) {
		return sessions.Ticket{}, false, nil
	}
	if err != nil {
		return sessions.Ticket{}, false, wrap("take ticket", err)
	}
	var t sessions.Ticket
	if err := json.Unmarshal(raw, &t); err != nil {
		return sessions.Ticket{}, false, wrap("take ticket", err)
	}
	return t, true, nil
}
