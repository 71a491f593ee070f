package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

// Forget removes a learner's sessions and the list of the connections, for one
// whose account was erased and who has none any more. Tickets that nobody used
// end within a minute by themselves.
func (s *Store) Forget(ctx context.Context, user conversation.LearnerID) error {
	return wrap("forget learner", s.pipe(ctx, func(ctx context.Context, p redis.Pipeliner) error {
		p.Del(ctx, keyVisits(user))
		p.Del(ctx, keyConnections(user))
		return nil
	}))
}
