package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// StartFamily stores a new login and takes the learner's expired ones away:
// nobody else would.
func (s *Store) StartFamily(ctx context.Context, f *authentication.Family, token authentication.TokenHash) error {
	return failed("start family", s.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.db.Conn(ctx).ExecContext(ctx,
			"DELETE FROM refresh_families WHERE learner_id = ? AND expires_at < "+s.db.Now()+" AND "+noForeignToken,
			string(f.Record().Learner)); err != nil {
			return err
		}
		return s.insertFamily(ctx, f, token)
	}))
}

func (s *Store) insertFamily(ctx context.Context, f *authentication.Family, token authentication.TokenHash) error {
	r := f.Record()
	if _, err := s.db.Conn(ctx).ExecContext(ctx,
		`INSERT INTO refresh_families (id, learner_id, device, generation, created_at, rotated_at, expires_at, idle_until, revoked_at, revoked_for, issuer)
		 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(r.ID), string(r.Learner), r.Device, r.Generation, sqldb.Micros(r.CreatedAt), sqldb.Micros(r.RotatedAt),
		sqldb.Micros(r.ExpiresAt), sqldb.Micros(r.IdleUntil), nullable(r.RevokedAt), r.RevokedFor, r.Issuer); err != nil {
		return err
	}
	if token == "" {
		return nil // a login of another issuer, whose tokens we have not seen
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

const familyColumns = "id, learner_id, device, generation, created_at, rotated_at, expires_at, idle_until, COALESCE(revoked_at, 0), revoked_for, issuer"

func scanFamily(row interface{ Scan(...any) error }) (*authentication.Family, error) {
	var (
		r                                      authentication.FamilyRecord
		created, rotated, expires, idle, ended int64
	)
	if err := row.Scan(&r.ID, &r.Learner, &r.Device, &r.Generation, &created, &rotated, &expires, &idle, &ended, &r.RevokedFor, &r.Issuer); err != nil {
		return nil, err
	}
	r.CreatedAt, r.RotatedAt, r.ExpiresAt, r.IdleUntil = micros(created), micros(rotated), micros(expires), micros(idle)
	if ended != 0 {
		r.RevokedAt = micros(ended)
	}
	return authentication.RehydrateFamily(r), nil
}

// lockFamily reads a family and then the database's clock: after the lock, so that
// it is never older than what another node just wrote.
func (s *Store) lockFamily(ctx context.Context, id string) (*authentication.Family, time.Time, error) {
	f, err := scanFamily(s.db.Conn(ctx).QueryRowContext(ctx,
		"SELECT "+familyColumns+" FROM refresh_families WHERE id = ?"+s.db.ForUpdate(), id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, time.Time{}, authentication.ErrNoToken
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	var now int64
	if err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT "+s.db.Now()).Scan(&now); err != nil {
		return nil, time.Time{}, err
	}
	return f, micros(now), nil
}

func (s *Store) saveFamily(ctx context.Context, f *authentication.Family) error {
	r := f.Record()
	if _, err := s.db.Conn(ctx).ExecContext(ctx,
		"UPDATE refresh_families SET generation = ?, rotated_at = ?, idle_until = ?, revoked_at = ?, revoked_for = ? WHERE id = ?",
		r.Generation, sqldb.Micros(r.RotatedAt), sqldb.Micros(r.IdleUntil), nullable(r.RevokedAt), r.RevokedFor, string(r.ID)); err != nil {
		return err
	}
	if r.RevokedAt.IsZero() {
		return nil
	}
	if _, err := s.db.Conn(ctx).ExecContext(ctx,
		"INSERT INTO ended_logins (family, learner_id, ended_at) VALUES (?, ?, ?) ON CONFLICT (family) DO NOTHING",
		string(r.ID), string(r.Learner), sqldb.Micros(r.RevokedAt)); err != nil {
		return err
	}
	return s.keepKeys(ctx, "id = ?", string(r.ID))
}

// Logins are the families that can still be used, newest first.
func (s *Store) Logins(ctx context.Context, learner authentication.LearnerID) (list []*authentication.Family, err error) {
	err = s.each(ctx, "list logins", func(rows *sql.Rows) error {
		f, err := scanFamily(rows)
		list = append(list, f)
		return err
	}, "SELECT "+familyColumns+" FROM refresh_families WHERE learner_id = ? AND revoked_at IS NULL AND expires_at > "+s.db.Now()+
		" AND idle_until > "+s.db.Now()+" ORDER BY created_at DESC, id DESC", string(learner))
	return list, err
}

// EndLogin ends one login; the first reason stays.
func (s *Store) EndLogin(ctx context.Context, learner authentication.LearnerID, id authentication.FamilyID, reason string) (bool, error) {
	ended, err := s.end(ctx, reason, "learner_id = ? AND id = ?", string(learner), string(id))
	return len(ended) > 0, err
}

// EndLogins ends all of a learner's logins but one.
func (s *Store) EndLogins(ctx context.Context, learner authentication.LearnerID, but authentication.FamilyID, reason string) ([]authentication.FamilyID, error) {
	if err := s.mark(ctx, learner); err != nil {
		return nil, err
	}
	return s.end(ctx, reason, "learner_id = ? AND id <> ?", string(learner), string(but))
}

// end ends logins and lists each for the nodes, in one transaction.
func (s *Store) end(ctx context.Context, reason, where string, args ...any) (ended []authentication.FamilyID, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		err := s.each(ctx, "end logins", func(rows *sql.Rows) error {
			var id authentication.FamilyID
			err := rows.Scan(&id)
			ended = append(ended, id)
			return err
		}, "UPDATE refresh_families SET revoked_at = "+s.db.Now()+", revoked_for = ? WHERE "+where+" AND revoked_at IS NULL RETURNING id",
			append([]any{reason}, args...)...)
		if err != nil || len(ended) == 0 {
			return err
		}
		_, err = s.db.Conn(ctx).ExecContext(ctx,
			"INSERT INTO ended_logins (family, learner_id, ended_at) SELECT id, learner_id, revoked_at FROM refresh_families WHERE "+where+
				" AND revoked_for = ? AND revoked_at IS NOT NULL ON CONFLICT (family) DO NOTHING", append(slices.Clone(args), reason)...)
		if err != nil {
			return err
		}
		return s.keepKeys(ctx, where, args...)
	})
	return ended, failed("end logins", err)
}

// Ended lists ended logins since a time.
func (s *Store) Ended(ctx context.Context, since time.Time) (list []authentication.Ended, now time.Time, err error) {
	var clock int64
	if err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT "+s.db.Now()).Scan(&clock); err != nil {
		return nil, now, failed("read clock", err)
	}
	from := int64(0)
	if !since.IsZero() {
		from = sqldb.Micros(since)
	}
	err = s.each(ctx, "list ended logins", func(rows *sql.Rows) error {
		var (
			x  authentication.Ended
			at int64
		)
		err := rows.Scan(&x.Family, &x.Learner, &at)
		x.At = micros(at)
		list = append(list, x)
		return err
	}, "SELECT family, learner_id, ended_at FROM ended_logins WHERE ended_at >= ?", from)
	return list, micros(clock), err
}
