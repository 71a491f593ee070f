package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// sweepRows bounds one statement of a sweep, so that no lock is long.
const sweepRows = 1000

// sweepRounds bounds one sweep.
const sweepRounds = 50

// noForeignToken is for logins that may be forgotten: another issuer's tokens
// live longer than ours, and one whose login is not known begins a new one.
const noForeignToken = "NOT EXISTS (SELECT 1 FROM foreign_tokens f WHERE f.family = refresh_families.id)"

// Sweep deletes what has no meaning any more. A family cannot be used after
// idle_until, which is never behind expires_at.
func (s *Store) Sweep(ctx context.Context, before authentication.SweepBefore) (out authentication.Swept, err error) {
	logins := sqldb.Micros(before.Logins)
	if out.Ends, err = s.sweep(ctx, "ended_logins", "family", "ended_at < ?", sqldb.Micros(before.Ends)); err != nil {
		return out, err
	}
	if out.Links, err = s.sweep(ctx, "mail_secrets", "hash", "expires_at <= ?", sqldb.Micros(before.Links)); err != nil {
		return out, err
	}
	for table, over := range map[string]string{"foreign_tokens": "expires_at", "identity_marks": "until"} {
		n, err := s.sweep(ctx, table, "hash", over+" <= ?", sqldb.Micros(before.Links))
		if out.Foreign += n; err != nil {
			return out, err
		}
	}
	if out.Logins, err = s.sweep(ctx, "refresh_families", "id", "idle_until < ? AND "+noForeignToken, logins); err != nil {
		return out, err
	}
	n, err := s.sweep(ctx, "refresh_families", "id", "revoked_at < ? AND "+noForeignToken, logins)
	out.Logins += n
	return out, err
}

func (s *Store) sweep(ctx context.Context, table, key, where string, arg any) (total int64, err error) {
	for range sweepRounds {
		res, err := s.db.Conn(ctx).ExecContext(ctx,
			"DELETE FROM "+table+" WHERE "+key+" IN (SELECT "+key+" FROM "+table+" WHERE "+where+" LIMIT ?)", arg, sweepRows)
		if err != nil {
			return total, failed("sweep "+table, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return total, failed("sweep "+table, err)
		}
		if total += n; n < sweepRows {
			break
		}
	}
	return total, nil
}

// Unconfirmed lists accounts that were never confirmed.
func (s *Store) Unconfirmed(ctx context.Context, before, now time.Time, limit int) (list []authentication.LearnerID, err error) {
	err = s.each(ctx, "list unconfirmed accounts", func(rows *sql.Rows) error {
		var id authentication.LearnerID
		err := rows.Scan(&id)
		list = append(list, id)
		return err
	}, `SELECT id FROM learners WHERE deactivated_by = ? AND created_at < ? AND NOT EXISTS (
		SELECT 1 FROM mail_secrets m WHERE m.learner_id = learners.id AND m.expires_at > ?) ORDER BY created_at LIMIT ?`,
		authentication.ByConfirmation, sqldb.Micros(before), sqldb.Micros(now), limit)
	return list, err
}
