// Package sqlstore is the authority over conversations: who owns what, which
// message was accepted, which node may write, how a run ended. It implements
// conversation.Store on Postgres and on SQLite with one SQL text. In every
// transaction the conversation's row is locked first, so there is one order
// of locks and facts are numbered without holes.
package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Store implements conversation.Store.
type Store struct {
	db  *sqldb.DB
	now func() time.Time
}

// New returns a Store on a migrated database.
func New(db *sqldb.DB) *Store { return &Store{db: db, now: time.Now} }

// row is a conversation under lock.
type row struct {
	id                  conversation.ID
	kind                conversation.Kind
	owner               conversation.LearnerID
	title, meta, state  string
	fence               int64
	log                 conversation.Epoch
	turns, runs, facts  int64
	head                int64 // -1: the newest run
	created             int64
	factsBefore, turnsB int64
}

const rowColumns = "id, kind, owner, title, meta, state, fence, log_epoch, coalesce(log_nonce, ''), turns, runs, facts, head, created_at"

// lock reads a conversation's row for change; "" as owner means any.
func (s *Store) lock(ctx context.Context, id conversation.ID, owner conversation.LearnerID) (*row, error) {
	return s.row(ctx, id, owner, s.db.ForUpdate())
}

func (s *Store) row(ctx context.Context, id conversation.ID, owner conversation.LearnerID, suffix string) (*row, error) {
	var r row
	err := s.db.Conn(ctx).QueryRowContext(ctx,
		"SELECT "+rowColumns+" FROM conversations WHERE id = ? AND (? = '' OR owner = ?) AND deleted_at IS NULL"+suffix, id, owner, owner).
		Scan(&r.id, &r.kind, &r.owner, &r.title, &r.meta, &r.state, &r.fence, &r.log.Counter, &r.log.Nonce, &r.turns, &r.runs, &r.facts, &r.head, &r.created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, conversation.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read conversation: %w", err)
	}
	r.factsBefore, r.turnsB = r.facts, r.turns
	return &r, nil
}

func (r *row) header() conversation.Header {
	return conversation.Header{ID: r.id, Kind: r.kind, Owner: r.owner, Title: r.title, State: r.state,
		CreatedAt: r.created / 1000, Meta: json.RawMessage(r.meta)}
}

// save writes the counters back.
func (s *Store) save(ctx context.Context, r *row) error {
	_, err := s.exec(ctx, "UPDATE conversations SET state = ?, fence = ?, turns = ?, runs = ?, facts = ?, head = ?, updated_at = ? WHERE id = ?",
		r.state, r.fence, r.turns, r.runs, r.facts, r.head, s.micros(), r.id)
	return err
}

func (s *Store) micros() int64 { return s.now().UnixMicro() }

func (s *Store) exec(ctx context.Context, q string, args ...any) (int64, error) {
	res, err := s.db.Conn(ctx).ExecContext(ctx, q, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (s *Store) conn(ctx context.Context) bun.IDB { return s.db.Conn(ctx) }

// each runs a query and calls scan per row.
func (s *Store) each(ctx context.Context, scan func(*sql.Rows) error, q string, args ...any) error {
	rows, err := s.conn(ctx).QueryContext(ctx, q, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// addTurn numbers and stores a turn.
func (s *Store) addTurn(ctx context.Context, r *row, t *conversation.Turn) error {
	r.turns++
	t.N = r.turns
	at := s.micros()
	t.At = at / 1000
	var client any
	if t.ClientID != "" {
		client = t.ClientID
	}
	_, err := s.exec(ctx, `INSERT INTO turns (conversation, n, id, author, client_id, run, text, text_sha, finish, created_at, parent, after_run)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.id, t.N, t.ID, t.Author, client, t.Run, t.Text, sha(t.Text), t.Finish, at, t.Parent, t.After)
	return err
}

// addFact numbers and stores a durable event.
func (s *Store) addFact(ctx context.Context, r *row, f *conversation.Fact) error {
	r.facts++
	f.N = r.facts
	at := s.micros()
	f.TS = at / 1000
	turn := int64(0)
	if f.Turn != nil {
		turn = f.Turn.N
	}
	_, err := s.exec(ctx, `INSERT INTO facts (conversation, n, type, run, attempt, base, data, turn, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.id, f.N, f.Type, f.Run, f.Attempt, f.Base, string(f.Data), turn, at)
	return err
}

// addRun stores a pending run; the branch that it belongs to is shown from now on.
func (s *Store) addRun(ctx context.Context, r *row, parent int64, correlation string) (conversation.Run, error) {
	why, ok := purpose(r.kind)
	if !ok {
		return conversation.Run{}, errNewerKind
	}
	r.runs++
	r.head = r.runs
	run := conversation.Run{Conversation: r.id, No: r.runs, Purpose: why, Parent: parent,
		MessageID: string(conversation.NewID()), Correlation: correlation}
	at := s.micros()
	_, err := s.exec(ctx, `INSERT INTO runs (conversation, run, purpose, parent, message_id, state, attempt, fence, owner, base,
		text, text_len, finish, cancel, handoffs, correlation, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', 0, '', 0, '', 0, 0, ?, ?, ?)`,
		r.id, run.No, run.Purpose, parent, run.MessageID, conversation.RunPending, correlation, at, at)
	return run, err
}

// errNewerKind refuses to write in a conversation that a newer version has
// made: a node of it can, and may be the next one that is asked.
var errNewerKind = fault.New(fault.StorageUnavailable, "This server cannot write here yet. Repeat with the same id.")

const purposeScenario, purposePartner = "scenario", "partner"

// purpose is what runs of this kind of conversation are for; ok is false for a
// kind that this version does not know.
func purpose(k conversation.Kind) (why string, ok bool) {
	switch k {
	case conversation.KindScenario:
		return purposeScenario, true
	case conversation.KindChat:
		return purposePartner, true
	}
	return "", false
}

func sha(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers always marshal
	}
	return b
}
