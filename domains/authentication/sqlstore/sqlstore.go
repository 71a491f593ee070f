// Package sqlstore keeps accounts, logins and signing keys in SQL: one text
// for both engines, the same contract test on each.
package sqlstore

import (
	"context"
	"crypto/ed25519"
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

// inner is an error of the caller's own function: it goes back as it is.
type inner struct{ error }

// Unwrap returns the cause.
func (e inner) Unwrap() error { return e.error }

// failed gives an SQL failure its code; what the domain said stays as it is.
func failed(op string, err error) error {
	var in inner
	if errors.As(err, &in) {
		return in.error
	}
	var f *fault.Error
	switch {
	case err == nil, errors.As(err, &f),
		errors.Is(err, authentication.ErrNoLearner), errors.Is(err, authentication.ErrNoToken),
		errors.Is(err, authentication.ErrNoSecret), errors.Is(err, authentication.ErrIdentityTaken), errors.Is(err, authentication.ErrKeyExists):
		return err
	}
	return fault.Wrap(fmt.Errorf("%s: %w", op, err), fault.StorageUnavailable, "Storage does not answer; try again.")
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

// RemoveSigningKeys deletes older keys.
func (s *Store) RemoveSigningKeys(ctx context.Context, n int64) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM signing_keys WHERE n < ?", n)
	return failed("remove signing keys", err)
}

func micros(us int64) time.Time { return time.UnixMicro(us) }
