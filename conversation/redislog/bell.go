package redislog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

// pingTime bounds what the bell's connection is asked for.
const pingTime = 400 * time.Millisecond

// Bell listens to the events that scripts publish: one connection per node
// for all conversations. What it delivers is a copy of what is in the log,
// and may be lost at any time; OnSuspect tells when that may have happened.
type Bell struct {
	log *slog.Logger
	ps  *redis.PubSub

	// cmd is held while a channel's subscription is changed, so that the end of
	// one listener cannot undo the beginning of the next.
	cmd      sync.Mutex
	mu       sync.Mutex // guards what follows
	rooms    map[string]*listener
	suspects func(conversation.ID)
}

type listener struct {
	id    conversation.ID
	fn    func(conversation.Epoch, conversation.Event)
	ready chan struct{} // closed when Redis confirmed the subscription
	once  sync.Once
}

// NewBell returns a Bell; Run must be running for anything to arrive.
func NewBell(rdb redis.UniversalClient, log *slog.Logger) *Bell {
	// Subscribing to nothing opens no connection yet.
	return &Bell{log: log, ps: rdb.Subscribe(context.Background()), rooms: map[string]*listener{}, suspects: func(conversation.ID) {}}
}

// OnSuspect sets what is called when messages of a conversation may have been
// lost, and later ones are not. It must not block.
func (b *Bell) OnSuspect(fn func(conversation.ID)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspects = fn
}

// Listen begins to deliver a conversation's events to fn, which must not
// block. It returns when Redis confirmed, so that a read after it misses
// nothing; an error says that it could not be confirmed in time, and fn may
// still be called until stop.
func (b *Bell) Listen(ctx context.Context, id conversation.ID, fn func(conversation.Epoch, conversation.Event)) (stop func(), err error) {
	ch := Channel(id)
	l := &listener{id: id, fn: fn, ready: make(chan struct{})}
	stop = func() {
		b.cmd.Lock()
		defer b.cmd.Unlock()
		b.mu.Lock()
		if b.rooms[ch] != l {
			b.mu.Unlock()
			return
		}
		delete(b.rooms, ch)
		b.mu.Unlock()
		c, cancel := context.WithTimeout(context.Background(), pingTime)
		defer cancel()
		_ = b.ps.Unsubscribe(c, ch) // a lost connection unsubscribes by itself
	}
	b.cmd.Lock()
	b.mu.Lock()
	b.rooms[ch] = l
	b.mu.Unlock()
	err = b.ps.Subscribe(ctx, ch)
	b.cmd.Unlock()
	if err != nil {
		return stop, down(err)
	}
	select {
	case <-l.ready:
		return stop, nil
	case <-ctx.Done():
		return stop, down(context.Cause(ctx))
	}
}

// Run delivers until ctx ends. go-redis reconnects and subscribes again by
// itself; what passed in between is gone, so each conversation is told of as
// its subscription is confirmed again.
func (b *Bell) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = b.ps.Close() })
	defer stop()
	for {
		msg, err := b.ps.ReceiveTimeout(ctx, 30*time.Second)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if !b.recovered(ctx, err) {
				return nil
			}
			continue
		}
		switch m := msg.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				b.confirm(m.Channel)
			}
		case *redis.Message:
			b.deliver(m)
		}
	}
}

// recovered meets a failed receive: a mere silence pings, so that a dead
// connection shows; after anything else go-redis connects again.
func (b *Bell) recovered(ctx context.Context, err error) bool {
	if errors.Is(err, redis.ErrClosed) {
		return false
	}
	var te interface{ Timeout() bool }
	if errors.As(err, &te) && te.Timeout() {
		c, cancel := context.WithTimeout(ctx, pingTime)
		defer cancel()
		if b.ps.Ping(c) == nil {
			return true
		}
	}
	b.log.Debug("bell lost its connection", "err", err)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(50 * time.Millisecond):
	}
	return true
}

func (b *Bell) confirm(ch string) {
	b.mu.Lock()
	l, suspect := b.rooms[ch], b.suspects
	b.mu.Unlock()
	if l == nil {
		return
	}
	first := false
	l.once.Do(func() { first = true; close(l.ready) })
	if !first {
		// Confirmed again: the connection was lost in between. Only this channel
		// is told of, because go-redis has each confirmed one by one.
		suspect(l.id)
	}
}

// listens reports a channel whose subscription Redis has confirmed.
func (b *Bell) listens(ch string) bool {
	b.mu.Lock()
	l := b.rooms[ch]
	b.mu.Unlock()
	if l == nil {
		return false
	}
	select {
	case <-l.ready:
		return true
	default:
		return false
	}
}

func (b *Bell) deliver(m *redis.Message) {
	b.mu.Lock()
	l := b.rooms[m.Channel]
	b.mu.Unlock()
	if l == nil {
		return
	}
	ep, ev, err := decodeBell(l.id, m.Payload)
	if err != nil {
		b.log.Error("bell message refused", "conversation_id", l.id, "err", err)
		return
	}
	l.fn(ep, ev)
}
