package memstore

import (
	"context"
	"slices"

	"github.com/fluentpro/fluentpro/conversation"
)

// Load implements conversation.Store.
func (s *Store) Load(ctx context.Context, id conversation.ID) (conversation.Record, error) {
	return whole(ctx, s, "sql.load", id, func(db *DB) (conversation.Record, error) {
		c := db.chats[id]
		if c == nil {
			return conversation.Record{}, conversation.ErrNotFound
		}
		return c.record(), nil
	})
}

// List implements conversation.Store.
func (s *Store) List(ctx context.Context, owner conversation.LearnerID, kind conversation.Kind, before string, limit int) ([]conversation.Header, error) {
	return whole(ctx, s, "sql.list", "", func(db *DB) ([]conversation.Header, error) {
		ids := slices.Clone(db.order)
		slices.Sort(ids)
		slices.Reverse(ids)
		var out []conversation.Header
		for _, id := range ids {
			if h := db.chats[id].header; h.Owner == owner && h.Kind == kind && (before == "" || string(id) < before) && len(out) < limit {
				out = append(out, h)
			}
		}
		return out, nil
	})
}

// Facts implements conversation.Store.
func (s *Store) Facts(ctx context.Context, id conversation.ID, after int64, limit int) ([]conversation.Fact, error) {
	return whole(ctx, s, "sql.facts", id, func(db *DB) ([]conversation.Fact, error) {
		c := db.chats[id]
		if c == nil || after >= int64(len(c.facts)) {
			return nil, nil
		}
		rest := c.facts[max(0, after):]
		out := slices.Clone(rest[:min(limit, len(rest))])
		for i := range out {
			if ev := (conversation.Event{Type: out[i].Type}); ev.EndsRun() {
				out[i].Fence = c.run(out[i].Run).Fence
			}
		}
		return out, nil
	})
}

// FactCounts implements conversation.Store.
func (s *Store) FactCounts(ctx context.Context, ids []conversation.ID) (map[conversation.ID]int64, error) {
	return whole(ctx, s, "sql.fact_counts", "", func(db *DB) (map[conversation.ID]int64, error) {
		out := make(map[conversation.ID]int64, len(ids))
		for _, id := range ids {
			if c := db.chats[id]; c != nil {
				out[id] = int64(len(c.facts))
			}
		}
		return out, nil
	})
}

// NameLog implements conversation.Store.
func (s *Store) NameLog(ctx context.Context, id conversation.ID, seen, fence int64) (int64, conversation.Seed, error) {
	seed, err := inTx(ctx, s, "sql.name_log", id, func(c *chat) (conversation.Seed, error) {
		if c.log.Counter != seen || c.fence != fence {
			return conversation.Seed{}, conversation.ErrLogRenamed
		}
		c.log, c.logFence = conversation.Epoch{Counter: seen + 1}, fence
		rec := c.record()
		seed := conversation.Seed{Fence: c.fence, Facts: rec.Facts, Header: rec.Header, Turns: rec.Turns, Head: rec.Head, Result: rec.Result, Failure: rec.Failure}
		if rec.Running != nil {
			seed.Running = rec.Running.No
		}
		return seed, nil
	})
	if err != nil {
		return 0, conversation.Seed{}, err
	}
	return seen + 1, seed, nil
}

// RecordNonce implements conversation.Store.
func (s *Store) RecordNonce(ctx context.Context, id conversation.ID, ep conversation.Epoch, fence int64) error {
	_, err := whole(ctx, s, "sql.record_nonce", id, func(db *DB) (nothing, error) {
		c := db.chats[id]
		if c == nil || c.log.Counter != ep.Counter || c.logFence != fence || c.fence != fence || c.log.Nonce != "" && c.log.Nonce != ep.Nonce {
			return nothing{}, conversation.ErrLogRenamed
		}
		c = c.clone()
		c.log.Nonce = ep.Nonce
		db.chats[id] = c
		return nothing{}, nil
	})
	return err
}

// Incarnation implements conversation.Store.
func (s *Store) Incarnation(ctx context.Context, identity string) (int64, error) {
	return whole(ctx, s, "sql.incarnation", "", func(db *DB) (int64, error) {
		if _, ok := db.incarnations[identity]; !ok {
			db.incarnations[identity] = int64(len(db.incarnations)) + 1
		}
		return db.incarnations[identity], nil
	})
}
