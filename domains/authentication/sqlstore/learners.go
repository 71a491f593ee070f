package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

const learnerColumns = "id, email, full_name, password_hash, date_of_birth, role, pending_email, email_verified_at, deactivated_at, deactivated_by, consented_at, created_at, version"

// Register stores a learner and the first login in one transaction.
func (s *Store) Register(ctx context.Context, l *authentication.Learner, f *authentication.Family, token authentication.TokenHash, also func(context.Context) error) error {
	return failed("register", s.db.InTx(ctx, func(ctx context.Context) error {
		r := l.Record()
		_, err := s.db.Conn(ctx).ExecContext(ctx,
			"INSERT INTO learners ("+learnerColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			string(r.ID), r.Email, r.FullName, r.PasswordHash, r.DateOfBirth, string(r.Role), r.PendingEmail, nullable(r.EmailVerifiedAt),
			nullable(r.DeactivatedAt), r.DeactivatedBy, sqldb.Micros(r.ConsentedAt), sqldb.Micros(r.CreatedAt), r.Version)
		if sqldb.IsUnique(err) {
			return authentication.ErrEmailTaken
		}
		if err != nil {
			return err
		}
		if f != nil {
			if err := s.insertFamily(ctx, f, token); err != nil {
				return err
			}
		}
		return also(ctx)
	}))
}

// ByID reads an account.
func (s *Store) ByID(ctx context.Context, id authentication.LearnerID) (*authentication.Learner, error) {
	return s.learner(ctx, "id = ?", string(id))
}

// ByEmail reads the account of a lower-cased e-mail.
func (s *Store) ByEmail(ctx context.Context, email string) (*authentication.Learner, error) {
	return s.learner(ctx, "email = ?", email)
}

func (s *Store) learner(ctx context.Context, where string, value string) (*authentication.Learner, error) {
	l, err := scanLearner(s.db.Conn(ctx).QueryRowContext(ctx, "SELECT "+learnerColumns+" FROM learners WHERE "+where, value))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, authentication.ErrNoLearner
	}
	return l, failed("read learner", err)
}

func scanLearner(row interface{ Scan(...any) error }) (*authentication.Learner, error) {
	var (
		r                  authentication.LearnerRecord
		consented, created int64
		verified, off      sql.NullInt64
	)
	if err := row.Scan(&r.ID, &r.Email, &r.FullName, &r.PasswordHash, &r.DateOfBirth, &r.Role, &r.PendingEmail, &verified, &off, &r.DeactivatedBy,
		&consented, &created, &r.Version); err != nil {
		return nil, err
	}
	r.ConsentedAt, r.CreatedAt = micros(consented), micros(created)
	if verified.Valid {
		r.EmailVerifiedAt = micros(verified.Int64)
	}
	if off.Valid {
		r.DeactivatedAt = micros(off.Int64)
	}
	return authentication.RehydrateLearner(r), nil
}

// Update changes an account under its row lock.
func (s *Store) Update(ctx context.Context, id authentication.LearnerID, fn func(context.Context, *authentication.Learner, time.Time) error) error {
	return failed("update learner", s.db.InTx(ctx, func(ctx context.Context) error {
		l, err := s.learner(ctx, "id = ?"+s.db.ForUpdate(), string(id))
		if err != nil {
			return err
		}
		before := l.Record()
		var now int64
		if err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT "+s.db.Now()).Scan(&now); err != nil {
			return err
		}
		if err := fn(ctx, l, micros(now)); err != nil {
			return inner{err}
		}
		if l.Record() == before {
			return nil
		}
		return s.save(ctx, l)
	}))
}

func (s *Store) save(ctx context.Context, l *authentication.Learner) error {
	r := l.Record()
	res, err := s.db.Conn(ctx).ExecContext(ctx,
		`UPDATE learners SET email = ?, full_name = ?, password_hash = ?, date_of_birth = ?, role = ?, pending_email = ?, email_verified_at = ?,
		 deactivated_at = ?, deactivated_by = ?, version = ? WHERE id = ? AND version = ?`,
		r.Email, r.FullName, r.PasswordHash, r.DateOfBirth, string(r.Role), r.PendingEmail, nullable(r.EmailVerifiedAt),
		nullable(r.DeactivatedAt), r.DeactivatedBy, r.Version+1, string(r.ID), r.Version)
	if sqldb.IsUnique(err) {
		return authentication.ErrEmailTaken
	}
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("learner %s: version %d is not there", r.ID, r.Version), err)
	}
	return nil
}

// Learners lists accounts, newest first: ids are UUIDv7.
func (s *Store) Learners(ctx context.Context, email string, before authentication.LearnerID, limit int) (list []*authentication.Learner, err error) {
	q, args := "SELECT "+learnerColumns+" FROM learners WHERE (? = '' OR id < ?)", []any{string(before), string(before)}
	if email != "" {
		q += " AND substr(email, 1, ?) = ?" // unlike LIKE it needs no escaping
		args = append(args, utf8.RuneCountInString(email), email)
	}
	err = s.each(ctx, "list learners", func(rows *sql.Rows) error {
		l, err := scanLearner(rows)
		list = append(list, l)
		return err
	}, q+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	return list, err
}

// Remove deletes an account; what refers to it goes with it.
func (s *Store) Remove(ctx context.Context, id authentication.LearnerID) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM learners WHERE id = ?", string(id))
	return failed("remove learner", err)
}

// each calls fn for every row.
func (s *Store) each(ctx context.Context, op string, fn func(*sql.Rows) error, query string, args ...any) error {
	rows, err := s.db.Conn(ctx).QueryContext(ctx, query, args...)
	if err != nil {
		return failed(op, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return failed(op, err)
		}
	}
	return failed(op, rows.Err())
}

func nullable(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return sqldb.Micros(t)
}
