package streaming

import (
	"context"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// suspect notes a room whose bell may have lost something. After a lost
// connection that is told of every room, one by one.
func (h *Hub) suspect(id conversation.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[id]
	if r == nil {
		return
	}
	h.doubted[id] = r
	h.wakeLocked()
}

// wakeLocked has the doubted compared, if there are any.
func (h *Hub) wakeLocked() {
	if len(h.doubted) == 0 {
		return
	}
	select {
	case h.doubt <- struct{}{}:
	default:
	}
}

// compareLoop compares what gathered with the logs, many rooms in one trip,
// and only those that lack something look.
func (h *Hub) compareLoop() {
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.doubt:
		}
		h.mu.Lock()
		all := h.doubted
		h.doubted = map[conversation.ID]*room{}
		h.mu.Unlock()
		at := make(map[conversation.ID]conversation.Cursor, min(len(all), compared))
		for id, r := range all {
			c, whole := r.stands()
			if !whole {
				r.look()
				continue
			}
			at[id] = c
			if len(at) == compared {
				h.compare(at, all)
				clear(at)
			}
		}
		h.compare(at, all)
	}
}

func (h *Hub) compare(at map[conversation.ID]conversation.Cursor, rooms map[conversation.ID]*room) {
	if len(at) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, 2*time.Second)
	defer cancel()
	behind, err := h.log.Behind(ctx, at)
	if err != nil {
		// Redis is away again: with the next poll.
		h.mu.Lock()
		defer h.mu.Unlock()
		for id := range at {
			h.doubted[id] = rooms[id]
		}
		return
	}
	for _, id := range behind {
		rooms[id].look()
	}
}

// read reads a log when it is this look's turn.
func (h *Hub) read(ctx context.Context, id conversation.ID, ep conversation.Epoch, after int64) (conversation.Page, error) {
	select {
	case h.reading <- struct{}{}:
	case <-ctx.Done():
		return conversation.Page{}, conversation.ErrLogDown
	}
	defer func() { <-h.reading }()
	return h.log.Read(ctx, id, ep, after, 500)
}
