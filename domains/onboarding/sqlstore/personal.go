package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
)

// ExportPersonal adds the learner's profile as it is stored, if there is one.
func (s *Store) ExportPersonal(ctx context.Context, learner string, add func(kind string, row any) error) error {
	var doc string
	err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT document FROM onboarding_profiles WHERE learner_id = ?", learner).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return failed("export profile", err)
	}
	return add("profile", json.RawMessage(doc))
}

// ErasePersonal deletes the learner's profile.
func (s *Store) ErasePersonal(ctx context.Context, learner string) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM onboarding_profiles WHERE learner_id = ?", learner)
	return failed("erase profile", err)
}
