package sqlstore

import "context"

// exportPage is how many scenarios of an export are in memory at a time.
const exportPage = 100

// ExportPersonal adds the learner's scenarios as the learner may see them, newest
// first.
func (s *Store) ExportPersonal(ctx context.Context, learner string, add func(kind string, row any) error) error {
	for before := ""; ; {
		page, err := s.List(ctx, learner, before, exportPage)
		if err != nil {
			return err
		}
		for _, d := range page {
			if err := add("scenario", d.View()); err != nil {
				return err
			}
			before = d.ID
		}
		if len(page) < exportPage {
			break
		}
	}
	list, basis, err := s.Recommendations(ctx, learner)
	if err != nil || basis == "" {
		return err
	}
	return add("recommendations", list)
}

// ErasePersonal deletes the learner's scenarios and recommendations.
func (s *Store) ErasePersonal(ctx context.Context, learner string) error {
	for _, table := range []string{"scenarios", "scenario_counters"} {
		if _, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM "+table+" WHERE owner = ?", learner); err != nil {
			return storage("erase scenarios", err)
		}
	}
	if _, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM recommendations WHERE learner_id = ?", learner); err != nil {
		return storage("erase recommendations", err)
	}
	return nil
}
