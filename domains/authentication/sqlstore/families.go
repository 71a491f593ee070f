package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// StartFamily stores a new login and takes the learner's expired ones away:
// nobody else would.
func (s *Store) StartFamily(ctx context.Context, f *authentication.Family, token authentication.TokenHash) error {
	return failed("start family", s.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.db.Conn(ctx).ExecContext(ctx,
			"DELETE FROM refresh_families WHERE learner_id = ? AND expires_at < "+s.db.Now(),
			string(f.Record().Learner)); err != nil {
			return err
		}
		return s.insertFamily(ctx, f, token)
	}))
}

func (s *Store) insertFamily(ctx context.Context, f *authentication.Family, token authentication.TokenHash) error {
	r := f.Record()
	if _, err := s.db.Conn(ctx).ExecContext(ctx,
		`INSERT INTO refresh_families (id, learner_id, generation, created_at, rotated_at, expires_at, idle_until, revoked_at, revoked_for)
		 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(r.ID), string(r.Learner), r.Generation, sqldb.Micros(r.CreatedAt), sqldb.Micros(r.RotatedAt),
		sqldb.Micros(r.ExpiresAt), sqldb.Micros(r.IdleUntil), revoked(r.RevokedAt), r.RevokedFor); err != nil {
		return err
	}
	return s.insertToken(ctx, r, token)
}

func (s *Store) insertToken(ctx context.Context, r authentication.FamilyRecord, token authentication.TokenHash) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx,
		"INSERT INTO refresh_tokens (hash, family, generation, created_at) VALUES (?, ?, ?, "+s.db.Now()+")",
		string(token), string(r.ID), r.Generation)
	return err
}

// UseToken runs fn on the token's family under a row lock.
func (s *Store) UseToken(ctx context.Context, token authentication.TokenHash, fn func(*authentication.Family, int64, time.Time) *authentication.TokenHash) error {
	return failed("use refresh token", s.db.InTx(ctx, func(ctx context.Context) error {
		var (
			id         string
			generation int64
		)
		err := s.db.Conn(ctx).QueryRowContext(ctx,
			"SELECT family, generation FROM refresh_tokens WHERE hash = ?", string(token)).Scan(&id, &generation)
		if errors.Is(err, sql.ErrNoRows) {
			return authentication.ErrNoToken
		}
		if err != nil {
			return err
		}
		f, now, err := s.lockFamily(ctx, id)
		if err != nil {
			return err
		}
		next := fn(f, generation, now)
		if err := s.saveFamily(ctx, f); err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		return s.insertToken(ctx, f.Record(), *next)
	}))
}

// lockFamily reads a family and then the database's clock: after the lock, so that
// it is never older than what another node just wrote.
func (s *Store) lockFamily(ctx context.Context, id string) (*authentication.Family, time.Time, error) {
	var (
		r                                           authentication.FamilyRecord
		created, rotated, expires, idle, now, ended int64
	)
	err := s.db.Conn(ctx).QueryRowContext(ctx,
		`SELECT id, learner_id, generation, created_at, rotated_at, expires_at, idle_until, COALESCE(revoked_at, 0), revoked_for
		 FROM refresh_families WHERE id = ?`+s.db.ForUpdate(), id).
		Scan(&r.ID, &r.Learner, &r.Generation, &created, &rotated, &expires, &idle, &ended, &r.RevokedFor)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, time.Time{}, authentication.ErrNoToken
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	if err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT "+s.db.Now()).Scan(&now); err != nil {
		return nil, time.Time{}, err
	}
	r.CreatedAt, r.RotatedAt, r.ExpiresAt, r.IdleUntil = micros(created), micros(rotated), micros(expires), micros(idle)
	if ended != 0 {
		r.RevokedAt = micros(ended)
	}
	return authentication.RehydrateFamily(r), micros(now), nil
}

func (s *Store) saveFamily(ctx context.Context, f *authentication.Family) error {
	r := f.Record()
	_, err := s.db.Conn(ctx).ExecContext(ctx,
		"UPDATE refresh_families SET generation = ?, rotated_at = ?, idle_until = ?, revoked_at = ?, revoked_for = ? WHERE id = ?",
		r.Generation, sqldb.Micros(r.RotatedAt), sqldb.Micros(r.IdleUntil), revoked(r.RevokedAt), r.RevokedFor, string(r.ID))
	return err
}

// RevokeFamily ends a login; the first reason stays.
func (s *Store) RevokeFamily(ctx context.Context, id authentication.FamilyID, reason string) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx,
		"UPDATE refresh_families SET revoked_at = "+s.db.Now()+", revoked_for = ? WHERE id = ? AND revoked_at IS NULL",
		reason, string(id))
	return failed("revoke family", err)
}

func revoked(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return sqldb.Micros(t)
}
