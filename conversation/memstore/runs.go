package memstore

import (
	"context"
	"slices"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
)

// Claimable implements conversation.Store.
func (s *Store) Claimable(ctx context.Context, alive []string, only conversation.ID, limit int) ([]conversation.Candidate, error) {
	return whole(ctx, s, "sql.claimable", only, func(db *DB) ([]conversation.Candidate, error) {
		type found struct {
			conversation.Candidate
			created int64
		}
		var all []found
		for _, id := range db.order {
			if only != "" && id != only {
				continue
			}
			c := db.chats[id]
			for i := range c.runs {
				r := &c.runs[i]
				if r.Ended() {
					continue
				}
				if r.State == conversation.RunPending || !slices.Contains(alive, r.Owner) {
					all = append(all, found{conversation.Candidate{ID: id, Run: r.No, State: r.State, Attempt: r.Attempt, Fence: c.fence, Owner: r.Owner}, r.created})
				}
				break // only the lowest unfinished run of a conversation
			}
		}
		slices.SortStableFunc(all, func(a, b found) int { return int(a.created - b.created) })
		var out []conversation.Candidate
		for _, f := range all[:min(limit, len(all))] {
			out = append(out, f.Candidate)
		}
		return out, nil
	})
}

// Claim implements conversation.Store.
func (s *Store) Claim(ctx context.Context, cand conversation.Candidate, node string) (conversation.Claim, error) {
	return inTx(ctx, s, "sql.claim", cand.ID, func(c *chat) (conversation.Claim, error) {
		n, r := s.db.nodes[node], c.run(cand.Run)
		if c.fence != cand.Fence || n == nil || n.State != "active" || r == nil ||
			r.State != cand.State || r.Attempt != cand.Attempt || r.Owner != cand.Owner {
			return conversation.Claim{}, conversation.ErrClaimLost
		}
		c.fence++
		r.State, r.Fence, r.Owner, r.Updated = conversation.RunRunning, c.fence, node, micros()
		r.Attempt++
		run := r.Run
		run.Base = r.Base
		return conversation.Claim{Run: run, Fence: c.fence, Before: cand.Owner, Tries: r.Attempt - r.Handoffs, Log: c.log,
			Handoff: cand.State == conversation.RunPending && r.Handoffs > 0, Facts: int64(len(c.facts)),
			Text: r.Text, TextLen: r.TextLen, Base: r.Base, Cancel: r.Cancel}, nil
	})
}

// Owned implements conversation.Store.
func (s *Store) Owned(ctx context.Context, node string) ([]conversation.OwnedRun, error) {
	return whole(ctx, s, "sql.owned", "", func(db *DB) ([]conversation.OwnedRun, error) {
		var out []conversation.OwnedRun
		for _, id := range db.order {
			c := db.chats[id]
			for i := range c.runs {
				if r := &c.runs[i]; r.State == conversation.RunRunning && r.Owner == node {
					out = append(out, conversation.OwnedRun{ID: id, Run: r.No, Fence: r.Fence, Cancel: r.Cancel})
				}
			}
		}
		return out, nil
	})
}

// nothing is the answer of what only changes something.
type nothing struct{}

// Release implements conversation.Store.
func (s *Store) Release(ctx context.Context, id conversation.ID, run, fence int64) error {
	return s.change(ctx, "sql.release", id, func(c *chat) error {
		if r := c.run(run); r != nil && r.Fence == fence && r.State == conversation.RunRunning {
			r.State, r.Owner, r.Updated = conversation.RunPending, "", micros()
			r.Handoffs++
		}
		return nil
	})
}

// AskCancel implements conversation.Store.
func (s *Store) AskCancel(ctx context.Context, id conversation.ID, run int64) error {
	return s.change(ctx, "sql.ask_cancel", id, func(c *chat) error {
		if r := c.run(run); r != nil && !r.Ended() {
			r.Cancel = true
		}
		return nil
	})
}

// change is inTx for updates that pass over what is not there.
func (s *Store) change(ctx context.Context, op string, id conversation.ID, fn func(c *chat) error) error {
	_, err := whole(ctx, s, op, id, func(db *DB) (nothing, error) {
		c := db.chats[id]
		if c == nil {
			return nothing{}, nil
		}
		c = c.clone()
		err := fn(c)
		if err == nil {
			db.chats[id] = c
		}
		return nothing{}, err
	})
	return err
}

// Checkpoint implements conversation.Store.
func (s *Store) Checkpoint(ctx context.Context, cs []conversation.Checkpoint) error {
	cs = slices.Clone(cs)
	slices.SortFunc(cs, func(a, b conversation.Checkpoint) int { return strings.Compare(string(a.ID), string(b.ID)) })
	_, err := whole(ctx, s, "sql.checkpoint", "", func(db *DB) (nothing, error) {
		for _, k := range cs {
			c := db.chats[k.ID]
			if c == nil {
				continue
			}
			r := c.run(k.Run)
			if r == nil || r.Fence != k.Fence || r.State != conversation.RunRunning {
				continue
			}
			fits := r.TextLen == k.At && (r.Base == k.Base || k.At == 0 && r.Base < k.Base)
			if !k.Whole && !fits {
				continue
			}
			c = c.clone()
			r = c.run(k.Run)
			if k.Whole {
				r.Text, r.TextLen = "", 0
			}
			r.Text, r.TextLen, r.Base = r.Text+k.Text, r.TextLen+k.Len, k.Base
			db.chats[k.ID] = c
		}
		return nothing{}, nil
	})
	return err
}

// RunState implements conversation.Store.
func (s *Store) RunState(ctx context.Context, owner conversation.LearnerID, id conversation.ID, run int64) (conversation.RunRow, error) {
	return whole(ctx, s, "sql.run_state", id, func(db *DB) (conversation.RunRow, error) {
		c := db.chats[id]
		if c == nil || owner != "" && c.header.Owner != owner || c.run(run) == nil {
			return conversation.RunRow{Run: conversation.Run{Conversation: id}}, conversation.ErrNotFound
		}
		return c.row(c.run(run)), nil
	})
}
