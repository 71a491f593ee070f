// Package sqlstore keeps scenarios in SQL.
package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Store implements practice.Repository.
type Store struct{ db *sqldb.DB }

// New makes a Store over a migrated database.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

var _ practice.Repository = (*Store)(nil)

// storage says that SQL did not answer as it should; nothing of its text goes
// to clients.
func storage(op string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return fault.Wrap(fmt.Errorf("%s: %w", op, err), fault.StorageUnavailable, "Storage does not answer; repeat with the same id.")
}

// Save implements practice.Repository. The unique request id decides between
// two writers; the loser reads what the winner stored.
func (s *Store) Save(ctx context.Context, d practice.Document) (practice.Document, error) {
	doc, err := json.Marshal(d)
	if err != nil {
		return practice.Document{}, fmt.Errorf("save scenario: %w", err)
	}
	if _, err := s.db.Conn(ctx).ExecContext(ctx,
		`INSERT INTO scenarios (id, owner, request_id, document, created_at) VALUES (?, ?, ?, ?, ?)
		 ON CONFLICT (request_id) DO NOTHING`,
		d.ID, d.Owner, d.RequestID, string(doc), d.CreatedAt); err != nil {
		return practice.Document{}, storage("save scenario", err)
	}
	return s.one(ctx, "save scenario",
		`SELECT owner, request_id, document FROM scenarios WHERE request_id = ? AND owner = ?`, d.RequestID, d.Owner)
}

// Get implements practice.Repository.
func (s *Store) Get(ctx context.Context, owner, id string) (practice.Document, error) {
	return s.one(ctx, "get scenario",
		`SELECT owner, request_id, document FROM scenarios WHERE id = ? AND owner = ?`, id, owner)
}

func (s *Store) one(ctx context.Context, op, query string, args ...any) (practice.Document, error) {
	d, err := scan(s.db.Conn(ctx).QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return practice.Document{}, practice.ErrNoScenario
	}
	if err != nil {
		return practice.Document{}, storage(op, err)
	}
	return d, nil
}

// List implements practice.Repository. An id that is not the owner's names no
// place, so nothing comes after it.
func (s *Store) List(ctx context.Context, owner, before string, limit int) (list []practice.Document, err error) {
	query, args := `SELECT owner, request_id, document FROM scenarios WHERE owner = ?`, []any{owner}
	if before != "" {
		query += ` AND (created_at, id) < (SELECT created_at, id FROM scenarios WHERE id = ? AND owner = ?)`
		args = append(args, before, owner)
	}
	rows, err := s.db.Conn(ctx).QueryContext(ctx, query+` ORDER BY created_at DESC, id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, storage("list scenarios", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		d, err := scan(rows)
		if err != nil {
			return nil, storage("list scenarios", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, storage("list scenarios", err)
	}
	return list, nil
}

// Next implements practice.Repository.
func (s *Store) Next(ctx context.Context, owner string) (n int64, err error) {
	err = s.db.Conn(ctx).QueryRowContext(ctx,
		`INSERT INTO scenario_counters (owner, n) VALUES (?, 1)
		 ON CONFLICT (owner) DO UPDATE SET n = scenario_counters.n + 1 RETURNING n`, owner).Scan(&n)
	if err != nil {
		return 0, storage("count scenario requests", err)
	}
	return n, nil
}

func scan(row interface{ Scan(...any) error }) (practice.Document, error) {
	var d practice.Document
	var owner, request, doc string
	if err := row.Scan(&owner, &request, &doc); err != nil {
		return d, err
	}
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return d, fmt.Errorf("stored scenario: %w", err)
	}
	d.Owner, d.RequestID = owner, request
	return d, nil
}
