package streaming

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Log reads a conversation's log.
type Log interface {
	Read(ctx context.Context, id conversation.ID, ep conversation.Epoch, after int64, max int) (conversation.Page, error)
	// Behind returns, in one trip, the conversations whose log does not end
	// just there.
	Behind(ctx context.Context, at map[conversation.ID]conversation.Cursor) ([]conversation.ID, error)
}

// Keeper gives the live state from the right log and repairs missing facts.
type Keeper interface {
	Active(ctx context.Context, id conversation.ID) (conversation.Active, error)
	// ActiveFrom never leads a viewer from a log that counts back to an older one.
	ActiveFrom(ctx context.Context, id conversation.ID, counter int64) (conversation.Active, error)
	CatchUp(ctx context.Context, id conversation.ID, atLeast int64) error
	// Renew leaves a log that has lost its end, so that no number gets a
	// second content.
	Renew(ctx context.Context, id conversation.ID, ep conversation.Epoch) error
}

// Bell delivers copies of events as they are appended, and may lose any.
type Bell interface {
	Listen(ctx context.Context, id conversation.ID, fn func(conversation.Epoch, conversation.Event)) (stop func(), err error)
	// OnSuspect's fn is told of each conversation of which something may have
	// been lost; it does not block.
	OnSuspect(fn func(id conversation.ID))
}

// Counts tells the newest fact number per conversation, from SQL.
type Counts interface {
	FactCounts(ctx context.Context, ids []conversation.ID) (map[conversation.ID]int64, error)
}

// Config bounds a Hub; zero values mean the defaults in brackets.
type Config struct {
	// RingEvents and RingBytes bound the newest events kept per watched
	// conversation [512, 256 KiB]. A viewer that falls behind gets a snapshot.
	RingEvents, RingBytes int
	// Replay is the most events replayed at attach; more get a snapshot [2000].
	Replay int64
	// Linger keeps a room without viewers, for quick reconnects [10s].
	Linger time.Duration
	// Poll is how often a room with an open reply reads the log in case the
	// bell lost something [1s]; quiet rooms do so 30 times less often, rooms
	// that could not read it five times more often.
	Poll time.Duration
	// Relay is how often facts in SQL are compared with the log [2s].
	Relay time.Duration
}

func (c *Config) defaults() {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&c.RingEvents, 512)
	set(&c.RingBytes, 256<<10)
	if c.Replay <= 0 {
		c.Replay = 2000
	}
	for p, v := range map[*time.Duration]time.Duration{&c.Linger: 10 * time.Second, &c.Poll: time.Second, &c.Relay: 2 * time.Second} {
		if *p <= 0 {
			*p = v
		}
	}
}

// Hub implements Source: one Room per watched conversation of this node.
type Hub struct {
	cfg    Config
	log    Log
	keeper Keeper
	bell   Bell
	counts Counts
	lg     *slog.Logger

	wg     sync.WaitGroup
	ctx    context.Context // ends with Run; rooms' background reads hang on it
	cancel context.CancelFunc

	doubt   chan struct{} // capacity 1: "there is something in doubted"
	reading chan struct{} // capacity: how many looks read at once

	mu      sync.Mutex // guards what follows
	rooms   map[conversation.ID]*room
	doubted map[conversation.ID]*room
}

const (
	// looks is how many rooms read their log at once. After Redis was away all
	// want to, and the writers' calls must not wait behind them.
	looks = 8
	// compared is how many rooms are compared with their logs in one trip.
	compared = 128
)

// NewHub returns a Hub; Run must be running.
func NewHub(cfg Config, log Log, keeper Keeper, bell Bell, counts Counts, lg *slog.Logger) *Hub {
	cfg.defaults()
	h := &Hub{cfg: cfg, log: log, keeper: keeper, bell: bell, counts: counts, lg: lg, rooms: map[conversation.ID]*room{},
		doubted: map[conversation.ID]*room{}, doubt: make(chan struct{}, 1), reading: make(chan struct{}, looks)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	bell.OnSuspect(h.suspect)
	return h
}

// Attach implements Source.
func (h *Hub) Attach(ctx context.Context, id conversation.ID, viewer conversation.LearnerID, cursor string) (Feed, error) {
	h.mu.Lock()
	if h.ctx.Err() != nil {
		h.mu.Unlock()
		return nil, fault.New(fault.Draining, "The server is going away.")
	}
	r, ok := h.rooms[id]
	if !ok {
		r = newRoom(h, id)
		h.rooms[id] = r
		h.wg.Go(r.begin)
	}
	r.hold()
	h.mu.Unlock()
	select {
	case <-r.ready:
	case <-ctx.Done():
		r.release()
		return nil, context.Cause(ctx)
	}
	r.hear(ctx, cursor)
	f, err := r.attach(viewer, cursor)
	if err != nil {
		r.release()
		return nil, err
	}
	return f, nil
}

// Offer takes an event that this node has just put into the log, so that its
// own viewers need not wait for the bell.
func (h *Hub) Offer(id conversation.ID, ep conversation.Epoch, ev conversation.Event) {
	h.mu.Lock()
	r := h.rooms[id]
	h.mu.Unlock()
	if r != nil {
		r.take(ep, ev)
	}
}

// Watched counts the conversations with a room.
func (h *Hub) Watched() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms)
}

func (h *Hub) eachRoom(fn func(*room)) {
	h.mu.Lock()
	all := make([]*room, 0, len(h.rooms))
	for _, r := range h.rooms {
		all = append(all, r)
	}
	h.mu.Unlock()
	for _, r := range all {
		fn(r)
	}
}

// Run polls and relays until ctx ends, then closes every room.
func (h *Hub) Run(ctx context.Context) error {
	h.wg.Go(h.compareLoop)
	poll := time.NewTicker(h.cfg.Poll)
	defer poll.Stop()
	retry := time.NewTicker(h.cfg.Poll / 5)
	defer retry.Stop()
	relay := time.NewTicker(h.cfg.Relay)
	defer relay.Stop()
	turn := 0 // counts polls alone: with the relay's it would never meet some phases
	for {
		select {
		case <-ctx.Done():
			h.mu.Lock() // from here on no room begins
			h.cancel()
			h.mu.Unlock()
			h.eachRoom(func(r *room) { r.close() })
			h.wg.Wait()
			return nil
		case <-poll.C:
			turn++
			h.sweep()
			h.mu.Lock()
			h.wakeLocked()
			h.mu.Unlock()
			h.eachRoom(func(r *room) {
				if r.busy() || (turn+r.phase)%30 == 0 {
					r.look()
				}
			})
		case <-retry.C:
			h.eachRoom(func(r *room) {
				if r.fails() {
					r.look()
				}
			})
		case <-relay.C:
			h.relay(ctx)
		}
	}
}

// sweep closes rooms that nobody has watched for a while.
func (h *Hub) sweep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, r := range h.rooms {
		if r.idleFor(h.cfg.Linger) {
			delete(h.rooms, id)
			h.wg.Go(r.close)
		}
	}
}

// relay finds facts that were committed and never reached the log: a crash
// between commit and publish, or a Redis that was away.
func (h *Hub) relay(ctx context.Context) {
	known := map[conversation.ID]int64{}
	var ids []conversation.ID
	h.eachRoom(func(r *room) {
		if n, ok := r.factsKnown(); ok {
			known[r.id] = n
			ids = append(ids, r.id)
		}
	})
	for len(ids) > 0 {
		n := min(len(ids), 500)
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		counts, err := h.counts.FactCounts(c, ids[:n])
		if err != nil {
			cancel()
			return // SQL is away: nothing new can have been committed either
		}
		for id, count := range counts {
			if count > known[id] {
				h.mu.Lock()
				r := h.rooms[id]
				h.mu.Unlock()
				if r == nil {
					continue
				}
				err := h.keeper.CatchUp(c, id, count)
				if errors.Is(err, conversation.ErrLogMissing) {
					// Entries can still be read where a key beside them is lost, and so
					// nobody else would notice.
					err = h.keeper.Renew(c, id, r.log())
				}
				if err != nil && !errors.Is(err, conversation.ErrLogDown) {
					h.lg.Debug("relay", "conversation_id", id, "err", err)
				}
				r.look()
			}
		}
		cancel()
		ids = ids[n:]
	}
}
