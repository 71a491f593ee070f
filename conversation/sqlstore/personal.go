package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
)

// exportPage is how many rows of an export are in memory at a time.
const exportPage = 100

// personalConversation is a conversation in an export.
type personalConversation struct {
	ID        conversation.ID   `json:"id"`
	Kind      conversation.Kind `json:"kind"`
	Title     string            `json:"title"`
	State     string            `json:"state"`
	CreatedAt int64             `json:"created_at"`
}

// personalTurn is a message in an export.
type personalTurn struct {
	Conversation conversation.ID `json:"conversation"`
	conversation.Turn
}

// ExportPersonal adds the learner's conversations, newest first, each followed
// by its messages.
func (s *Store) ExportPersonal(ctx context.Context, learner string, add func(kind string, row any) error) error {
	owner := conversation.LearnerID(learner)
	for _, kind := range []conversation.Kind{conversation.KindChat, conversation.KindScenario} {
		for before := ""; ; {
			page, err := s.List(ctx, owner, kind, before, exportPage)
			if err != nil {
				return err
			}
			for _, h := range page {
				if err := add("conversation", personalConversation{h.ID, h.Kind, h.Title, h.State, h.CreatedAt}); err != nil {
					return err
				}
				if err := s.exportTurns(ctx, owner, h.ID, add); err != nil {
					return err
				}
				before = string(h.ID)
			}
			if len(page) < exportPage {
				break
			}
		}
	}
	return nil
}

func (s *Store) exportTurns(ctx context.Context, owner conversation.LearnerID, id conversation.ID, add func(kind string, row any) error) error {
	for after := int64(0); ; {
		page, err := s.Turns(ctx, owner, id, after, exportPage)
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := add("message", personalTurn{id, t}); err != nil {
				return err
			}
			after = t.N
		}
		if len(page) < exportPage {
			return nil
		}
	}
}

// ErasePersonal takes every word and every mark of a learner out of SQL. Of
// each conversation a row stays that names nobody, marked as deleted: a node
// that still writes finds nothing to write to, and what the live log holds can
// be found by its id until it ends by itself.
func (s *Store) ErasePersonal(ctx context.Context, learner string) error {
	if learner == "" {
		return nil // "" stands for any owner elsewhere
	}
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		var ids []conversation.ID
		err := s.each(ctx, func(rows *sql.Rows) error {
			var id conversation.ID
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}, "SELECT id FROM conversations WHERE owner = ? ORDER BY id"+s.db.ForUpdate(), learner)
		if err != nil {
			return err
		}
		for _, id := range ids {
			for _, table := range []string{"facts", "turns", "runs"} {
				if _, err := s.exec(ctx, "DELETE FROM "+table+" WHERE conversation = ?", id); err != nil {
					return err
				}
			}
			if _, err := s.exec(ctx, "UPDATE conversations SET owner = '', client_id = id, title = '', meta = '{}', state = ?, deleted_at = "+
				s.db.Now()+" WHERE id = ?", conversation.StateEnded, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("erase conversations: %w", err)
	}
	return nil
}
