package sqlstore

import (
	"context"
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

// ErasePersonal takes every word and every mark of a learner out of SQL, as
// Erase does for one conversation; the rows that stay name nobody. Their logs
// in Redis go with the janitor's next round, within a minute.
func (s *Store) ErasePersonal(ctx context.Context, learner string) error {
	if learner == "" {
		return nil // "" stands for any owner elsewhere
	}
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		ids, err := s.ids(ctx, "SELECT id FROM conversations WHERE owner = ? ORDER BY id"+s.db.ForUpdate(), learner)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := s.Erase(ctx, conversation.LearnerID(learner), id); err != nil {
				return err
			}
		}
		_, err = s.exec(ctx, "UPDATE conversations SET owner = '' WHERE owner = ?", learner)
		return err
	})
	if err != nil {
		return fmt.Errorf("erase conversations: %w", err)
	}
	return nil
}
