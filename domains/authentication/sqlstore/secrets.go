package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// AddSecret stores a secret and takes the learner's older ones away.
func (s *Store) AddSecret(ctx context.Context, x authentication.Secret, keep int) error {
	return failed("store secret", s.db.InTx(ctx, func(ctx context.Context) error {
		// The lock makes room and count one step, and tells that the account
		// is there.
		if _, err := s.learner(ctx, "id = ?"+s.db.ForUpdate(), string(x.Learner)); err != nil {
			return err
		}
		if _, err := s.db.Conn(ctx).ExecContext(ctx,
			`DELETE FROM mail_secrets WHERE learner_id = ? AND purpose = ? AND hash NOT IN (
			   SELECT hash FROM mail_secrets WHERE learner_id = ? AND purpose = ? ORDER BY created_at DESC, hash LIMIT ?)`,
			string(x.Learner), string(x.Purpose), string(x.Learner), string(x.Purpose), keep-1); err != nil {
			return err
		}
		_, err := s.db.Conn(ctx).ExecContext(ctx,
			"INSERT INTO mail_secrets (hash, learner_id, purpose, email, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
			string(x.Hash), string(x.Learner), string(x.Purpose), x.Email, sqldb.Micros(x.CreatedAt), sqldb.Micros(x.ExpiresAt))
		return err
	}))
}

const secretColumns = "hash, learner_id, purpose, email, created_at, expires_at"

// FindSecret reads a secret that still works.
func (s *Store) FindSecret(ctx context.Context, hash authentication.TokenHash, p authentication.Purpose) (authentication.Secret, error) {
	x, err := scanSecret(s.db.Conn(ctx).QueryRowContext(ctx,
		"SELECT "+secretColumns+" FROM mail_secrets WHERE hash = ? AND purpose = ? AND expires_at > "+s.db.Now(), string(hash), string(p)))
	return x, failed("read secret", err)
}

// TakeSecret deletes a secret and returns it: the row's lock lets one of two
// callers have it.
func (s *Store) TakeSecret(ctx context.Context, hash authentication.TokenHash, p authentication.Purpose) (authentication.Secret, error) {
	x, err := scanSecret(s.db.Conn(ctx).QueryRowContext(ctx,
		"DELETE FROM mail_secrets WHERE hash = ? AND purpose = ? AND expires_at > "+s.db.Now()+" RETURNING "+secretColumns, string(hash), string(p)))
	return x, failed("take secret", err)
}

func scanSecret(row *sql.Row) (authentication.Secret, error) {
	var (
		x           authentication.Secret
		created, at int64
	)
	err := row.Scan(&x.Hash, &x.Learner, &x.Purpose, &x.Email, &created, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return x, authentication.ErrNoSecret
	}
	x.CreatedAt, x.ExpiresAt = micros(created), micros(at)
	return x, err
}

// DropSecrets takes links back.
func (s *Store) DropSecrets(ctx context.Context, learner authentication.LearnerID, p authentication.Purpose) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM mail_secrets WHERE learner_id = ? AND purpose = ?", string(learner), string(p))
	return failed("drop secrets", err)
}
