package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

func identityHash(id authentication.ForeignIdentity) string {
	sum := sha256.Sum256([]byte(id.Issuer + "\x00" + id.Subject))
	return hex.EncodeToString(sum[:])
}

// ByIdentity reads the account of an identity.
func (s *Store) ByIdentity(ctx context.Context, id authentication.ForeignIdentity) (*authentication.Learner, error) {
	return s.learner(ctx, "id = (SELECT learner_id FROM identities WHERE hash = ?)", identityHash(id))
}

// AddIdentity makes a learner known by an identity.
func (s *Store) AddIdentity(ctx context.Context, learner authentication.LearnerID, id authentication.ForeignIdentity) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx,
		"INSERT INTO identities (hash, issuer, subject, learner_id, created_at) VALUES (?, ?, ?, ?, "+s.db.Now()+")",
		identityHash(id), id.Issuer, id.Subject, string(learner))
	if sqldb.IsUnique(err) {
		return authentication.ErrIdentityTaken
	}
	return failed("add identity", err)
}

// Identities are a learner's, oldest first.
func (s *Store) Identities(ctx context.Context, learner authentication.LearnerID) (list []authentication.ForeignIdentity, err error) {
	err = s.each(ctx, "list identities", func(rows *sql.Rows) error {
		var id authentication.ForeignIdentity
		err := rows.Scan(&id.Issuer, &id.Subject)
		list = append(list, id)
		return err
	}, "SELECT issuer, subject FROM identities WHERE learner_id = ? ORDER BY created_at, hash", string(learner))
	return list, err
}

// TokensFrom reads the mark of an identity.
func (s *Store) TokensFrom(ctx context.Context, id authentication.ForeignIdentity) (time.Time, error) {
	var from int64
	err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT tokens_from FROM identity_marks WHERE hash = ?", identityHash(id)).Scan(&from)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return micros(from), failed("read mark", err)
}

// mark notes for all identities of a learner that older tokens are refused.
func (s *Store) mark(ctx context.Context, learner authentication.LearnerID) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx,
		"INSERT INTO identity_marks (hash, tokens_from, until) SELECT hash, "+s.db.Now()+", "+s.db.Now()+" + ? FROM identities WHERE learner_id = ?"+
			" ON CONFLICT (hash) DO UPDATE SET tokens_from = excluded.tokens_from, until = excluded.until",
		authentication.MarkFor.Microseconds(), string(learner))
	return failed("mark identities", err)
}

// keepKeys remembers the keys of ended logins as long as any token of theirs
// may live: forgotten, it would begin a new one.
func (s *Store) keepKeys(ctx context.Context, families string, args ...any) error {
	_, err := s.db.Conn(ctx).ExecContext(ctx, "UPDATE foreign_tokens SET expires_at = "+s.db.Now()+" + ? WHERE family IN"+
		" (SELECT id FROM refresh_families WHERE "+families+" AND revoked_at IS NOT NULL)", append([]any{authentication.MarkFor.Microseconds()}, args...)...)
	return err
}

// AddForeignToken says which login a key belongs to, and forgets that login's
// keys whose tokens are over.
func (s *Store) AddForeignToken(ctx context.Context, key authentication.TokenHash, family authentication.FamilyID, until time.Time) error {
	return failed("add foreign token", s.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM foreign_tokens WHERE family = ? AND expires_at < "+s.db.Now(), string(family)); err != nil {
			return err
		}
		_, err := s.db.Conn(ctx).ExecContext(ctx, "INSERT INTO foreign_tokens (hash, family, expires_at) VALUES (?, ?, ?)"+
			" ON CONFLICT (hash) DO UPDATE SET family = excluded.family, expires_at = excluded.expires_at",
			string(key), string(family), sqldb.Micros(until))
		return err
	}))
}

// ForeignFamily reads the login of a key.
func (s *Store) ForeignFamily(ctx context.Context, key authentication.TokenHash) (*authentication.Family, error) {
	f, err := scanFamily(s.db.Conn(ctx).QueryRowContext(ctx,
		"SELECT "+familyColumns+" FROM refresh_families WHERE id = (SELECT family FROM foreign_tokens WHERE hash = ?)", string(key)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, authentication.ErrNoToken
	}
	return f, failed("read foreign login", err)
}
