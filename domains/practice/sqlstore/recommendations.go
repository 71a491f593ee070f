package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/domains/practice"
)

var _ practice.RecommendationStore = (*Store)(nil)

// Recommendations implements practice.RecommendationStore.
func (s *Store) Recommendations(ctx context.Context, learner string) (list practice.Recommendations, basis string, err error) {
	var doc string
	err = s.db.Conn(ctx).QueryRowContext(ctx, "SELECT basis, document FROM recommendations WHERE learner_id = ?", learner).Scan(&basis, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return practice.Recommendations{}, "", nil
	}
	if err != nil {
		return practice.Recommendations{}, "", storage("read recommendations", err)
	}
	if err := json.Unmarshal([]byte(doc), &list); err != nil {
		return practice.Recommendations{}, "", fmt.Errorf("read recommendations: %w", err)
	}
	return list, basis, nil
}

// PutRecommendations implements practice.RecommendationStore.
func (s *Store) PutRecommendations(ctx context.Context, learner, basis string, list practice.Recommendations) error {
	doc, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("store recommendations: %w", err)
	}
	if _, err := s.db.Conn(ctx).ExecContext(ctx, "INSERT INTO recommendations (learner_id, basis, document, made_at) VALUES (?, ?, ?, ?) "+
		"ON CONFLICT (learner_id) DO UPDATE SET basis = excluded.basis, document = excluded.document, made_at = excluded.made_at",
		learner, basis, string(doc), list.MadeAt); err != nil {
		return storage("store recommendations", err)
	}
	return nil
}
