package bench

import (
	"context"
	"strconv"
	"time"
)

// stage is a node with real Redis and Postgres, a stand-in and learners.
type stage struct {
	redis    *redisServer
	pg       *postgres
	model    *child
	node     *child
	learners []learner
}

// setting says what a stage holds.
type setting struct {
	// learners have conversations each.
	learners, conversations int
	// tokens of an answer, rate a second.
	tokens int
	rate   float64
}

func (o *Options) stage(ctx context.Context, want setting) (*stage, error) {
	s := &stage{}
	if err := s.open(ctx, o, want); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) open(ctx context.Context, o *Options, want setting) (err error) {
	if s.redis, err = o.redis(ctx); err != nil {
		return err
	}
	if s.pg, err = o.postgres(ctx); err != nil {
		return err
	}
	if s.learners, err = o.seed(ctx, s.redis.url, want.learners, want.conversations); err != nil {
		return err
	}
	model := "stamped-" + strconv.Itoa(want.tokens)
	if s.model, err = o.standIn(ctx, model, 50*time.Millisecond, want.rate); err != nil {
		return err
	}
	s.node, err = o.serve(ctx, "node", o.Binary, s.redis.url, s.model.base, model)
	return err
}

func (s *stage) close() {
	s.node.stop()
	s.model.stop()
	if s.pg != nil {
		s.pg.close()
	}
	if s.redis != nil {
		s.redis.stop()
	}
}

func (s *stage) conditions() *Conditions {
	return &Conditions{Redis: s.redis.version, Postgres: s.pg.version}
}
