// Package sqlstore keeps accounts, logins and signing keys in SQL: one text
// for both engines, the same contract test on each.
package sqlstore

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Store implements authentication.Store.
type Store struct {
	db *sqldb.DB
}

var _ authentication.Store = (*Store)(nil)

// New makes a Store over a migrated database.
func New(db *sqldb.DB) *Store { return &Store{db} }

// failed gives an SQL failure its code; what the domain said stays as it is.
func failed(op string, err error) error {
	var f *fault.Error
	switch {
	case err == nil, errors.As(err, &f),
		errors.Is(err, authentication.ErrNoLearner), errors.Is(err, authentication.ErrNoToken),
		errors.Is(err, authentication.ErrKeyExists):
		return err
	}
	return fault.Wrap(fmt.Errorf("%s: %w", op, err), fault.StorageUnavailable, "Storage does not answer; try again.")
}

// Register stores a learner and the first login in one transaction.
func (s *Store) Register(ctx context.Context, l *authentication.Learner, f *authentication.Family, token authentication.TokenHash) error {
	return failed("register", s.db.InTx(ctx, func(ctx context.Context) error {
		r := l.Record()
		_, err := s.db.Conn(ctx).ExecContext(ctx,
			"INSERT INTO learners (id, email, full_name, password_hash, date_of_birth, consented_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			string(r.ID), r.Email, r.FullName, r.PasswordHash, r.DateOfBirth, sqldb.Micros(r.ConsentedAt), sqldb.Micros(r.CreatedAt))
		if sqldb.IsUnique(err) {
			return authentication.ErrEmailTaken
		}
		if err != nil {
			return err
		}
		return s.insertFamily(ctx, f, token)
	}))
}

// ByID reads an account.
func (s *Store) ByID(ctx context.Context, id authentication.LearnerID) (*authentication.Learner, error) {
	return s.learner(ctx, "id", string(id))
}

// ByEmail reads the account of a lower-cased e-mail.
func (s *Store) ByEmail(ctx context.Context, email string) (*authentication.Learner, error) {
	return s.learner(ctx, "email", email)
}

func (s *Store) learner(ctx context.Context, column, value string) (*authentication.Learner, error) {
	var r authentication.LearnerRecord
	var consented, created int64
	err := s.db.Conn(ctx).QueryRowContext(ctx,
		"SELECT id, email, full_name, password_hash, date_of_birth, consented_at, created_at FROM learners WHERE "+column+" = ?", value).
		Scan(&r.ID, &r.Email, &r.FullName, &r.PasswordHash, &r.DateOfBirth, &consented, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, authentication.ErrNoLearner
	}
	if err != nil {
		return nil, failed("read learner", err)
	}
	r.ConsentedAt, r.CreatedAt = micros(consented), micros(created)
	return authentication.RehydrateLearner(r), nil
}

// SetPasswordHash replaces the hash, unless it has changed meanwhile.
func (s *Store) SetPasswordHash(ctx context.Context, id authentication.LearnerID, old, hash string) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx,
		"UPDATE learners SET password_hash = ? WHERE id = ? AND password_hash = ?", hash, string(id), old)
	return failed("set password hash", err)
}

// SigningKeys are all keys, oldest first.
func (s *Store) SigningKeys(ctx context.Context) (keys []authentication.SigningKey, err error) {
	rows, err := s.db.Conn(ctx).QueryContext(ctx, "SELECT n, kid, private, created_at FROM signing_keys ORDER BY n")
	if err != nil {
		return nil, failed("read signing keys", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var k authentication.SigningKey
		var seed string
		var created int64
		if err := rows.Scan(&k.N, &k.KID, &seed, &created); err != nil {
			return nil, failed("read signing keys", err)
		}
		b, err := base64.StdEncoding.DecodeString(seed)
		if err != nil || len(b) != ed25519.SeedSize {
			return nil, fmt.Errorf("read signing keys: key %d is damaged", k.N)
		}
		k.Private, k.CreatedAt = ed25519.NewKeyFromSeed(b), micros(created)
		keys = append(keys, k)
	}
	return keys, failed("read signing keys", rows.Err())
}

// AddSigningKey stores a key unless its number is taken.
func (s *Store) AddSigningKey(ctx context.Context, k authentication.SigningKey) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx,
		"INSERT INTO signing_keys (n, kid, private, created_at) VALUES (?, ?, ?, ?)",
		k.N, k.KID, base64.StdEncoding.EncodeToString(k.Private.Seed()), sqldb.Micros(k.CreatedAt))
	if sqldb.IsUnique(err) {
		return authentication.ErrKeyExists
	}
	return failed("store signing key", err)
}

func micros(us int64) time.Time { return time.UnixMicro(us) }
