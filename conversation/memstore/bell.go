package memstore

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/fluentpro/fluentpro/conversation"
)

// Bell delivers copies of what is appended on the server that its Log is
// connected to, as redislog.Bell does.
type Bell struct {
	// deliver decides when (or whether) a message arrives; it calls arrive
	// then, without waiting itself.
	deliver func(id conversation.ID, arrive func())

	mu       sync.Mutex // guards what follows
	rooms    map[conversation.ID]func(conversation.Epoch, conversation.Event)
	suspects func(conversation.ID)
}

// NewBell returns the bell of a node whose log is l. A nil deliver lets every
// message arrive at once.
func NewBell(l *Log, deliver func(id conversation.ID, arrive func())) *Bell {
	if deliver == nil {
		deliver = func(_ conversation.ID, arrive func()) { arrive() }
	}
	b := &Bell{deliver: deliver, rooms: map[conversation.ID]func(conversation.Epoch, conversation.Event){}}
	l.mu.Lock()
	l.bell = b
	s := l.server
	l.mu.Unlock()
	s.ring(b)
	return b
}

// Listen begins to deliver a conversation's events to fn, which must not block.
func (b *Bell) Listen(_ context.Context, id conversation.ID, fn func(conversation.Epoch, conversation.Event)) (stop func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rooms[id] = fn
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.rooms, id)
	}, nil
}

// OnSuspect sets what is called for each conversation of which messages may
// have been lost.
func (b *Bell) OnSuspect(fn func(conversation.ID)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspects = fn
}

func (b *Bell) suspect() {
	b.mu.Lock()
	fn := b.suspects
	rooms := slices.Sorted(maps.Keys(b.rooms))
	b.mu.Unlock()
	if fn == nil {
		return
	}
	for _, id := range rooms {
		fn(id)
	}
}

func (s *Server) ring(b *Bell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bells = append(s.bells, b)
}

func (s *Server) unring(b *Bell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bells = slices.DeleteFunc(s.bells, func(o *Bell) bool { return o == b })
}

// publish rings with what a script has added, in order, outside the lock: a
// listener may ask this server again.
func (s *Server) publish(id conversation.ID, ep conversation.Epoch, added []conversation.Event) {
	if len(added) == 0 {
		return
	}
	s.mu.Lock()
	bells := slices.Clone(s.bells)
	s.mu.Unlock()
	for _, b := range bells {
		for _, ev := range added {
			b.deliver(id, func() {
				b.mu.Lock()
				fn := b.rooms[id]
				b.mu.Unlock()
				if fn != nil {
					fn(ep, ev)
				}
			})
		}
	}
}
