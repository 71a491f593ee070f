// Package sqlstore keeps events in SQL, one text for both engines: the audit
// trail, the outbox, and how far each group of consumers is.
//
// Every event is chained to the one before it of its aggregate, in the
// transaction that records it. The order of all events is given after the
// commit, by Seal, with a second chain: positions without gaps need one writer
// at a time, and business transactions should not wait for each other.
package sqlstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Options tune a Store; zero values mean the defaults in brackets.
type Options struct {
	// Now is the clock [time.Now].
	Now func() time.Time
	// Recorded is called after the commit of transactions that recorded
	// something, with the types [nobody]. It must be quick.
	Recorded func(types []string)
}

// Subscriber does something in the transaction that records an event; its
// error takes the whole transaction back.
type Subscriber func(ctx context.Context, e events.Event) error

// Store implements events.Recorder, events.Outbox and events.Trail. It is
// safe for concurrent use once every Subscribe was called.
type Store struct {
	db   *sqldb.DB
	opts Options
	subs map[string][]Subscriber
}

var (
	_ events.Recorder = (*Store)(nil)
	_ events.Outbox   = (*Store)(nil)
	_ events.Trail    = (*Store)(nil)
)

// New makes a Store over a migrated database.
func New(db *sqldb.DB, opts Options) *Store {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Recorded == nil {
		opts.Recorded = func([]string) {}
	}
	return &Store{db: db, opts: opts, subs: map[string][]Subscriber{}}
}

// Subscribe has fn called for each event of a type, in the transaction that
// records it. Call it before anything is recorded.
func (s *Store) Subscribe(eventType string, fn Subscriber) {
	s.subs[eventType] = append(s.subs[eventType], fn)
}

func failed(op string, err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) || errors.Is(err, events.ErrEvent) {
		return err
	}
	return fault.Wrap(fmt.Errorf("%s: %w", op, err), fault.StorageUnavailable, "Storage does not answer; try again.")
}

var errNoLetter = fault.New(fault.NotFound, "There is no such dead event of this group.")

var errSequence = fault.New(fault.Conflict, "Somebody changed this first; read it again.")

// Record stores events in the transaction of ctx, or in one of its own.
func (s *Store) Record(ctx context.Context, evs ...events.Event) error {
	evs = slices.Clone(evs)
	types := make([]string, len(evs))
	for i := range evs {
		if err := s.fill(ctx, &evs[i]); err != nil {
			return err
		}
		types[i] = evs[i].Type
	}
	return failed("record events", s.db.InTx(ctx, func(ctx context.Context) error {
		for i := range evs {
			if err := s.insert(ctx, &evs[i]); err != nil {
				return err
			}
			for _, fn := range s.subs[evs[i].Type] {
				if err := fn(ctx, evs[i]); err != nil {
					return fmt.Errorf("on %s: %w", evs[i].Type, err)
				}
			}
		}
		s.db.AfterCommit(ctx, func() { s.opts.Recorded(types) })
		return nil
	}))
}

// fill puts in what the caller left out.
func (s *Store) fill(ctx context.Context, e *events.Event) error {
	if e.ID == "" {
		e.ID = uuid.Must(uuid.NewV7()).String()
	}
	if e.Actor == "" {
		e.Actor = "system"
	}
	if e.At.IsZero() {
		e.At = s.opts.Now()
	}
	if e.Correlation == "" {
		e.Correlation = correlation.From(ctx)
	}
	if len(e.Data) == 0 {
		e.Data = json.RawMessage("{}")
	}
	e.At, e.Position = time.UnixMicro(sqldb.Micros(e.At)).UTC(), 0
	return e.Check()
}

func (s *Store) insert(ctx context.Context, e *events.Event) error {
	conn := s.db.Conn(ctx)
	// The row is locked until the commit, so appends to one aggregate queue.
	var seq int64
	var prev string
	if err := conn.QueryRowContext(ctx,
		"INSERT INTO event_heads (kind, aggregate, seq, hash) VALUES (?, ?, 1, '') "+
			"ON CONFLICT (kind, aggregate) DO UPDATE SET seq = event_heads.seq + 1 RETURNING seq, hash",
		e.Aggregate.Kind, e.Aggregate.ID).Scan(&seq, &prev); err != nil {
		return err
	}
	if e.Sequence != 0 && e.Sequence != seq {
		return errSequence
	}
	e.Sequence = seq
	r := row{Event: *e, salt: rand.Text(), prev: prev}
	r.dataHash = r.hashData()
	r.hash = r.chain()
	if _, err := conn.ExecContext(ctx,
		"INSERT INTO events (id, type, version, kind, aggregate, seq, actor, correlation, at, data, salt, data_hash, prev, hash) "+
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e.ID, e.Type, e.Version, e.Aggregate.Kind, e.Aggregate.ID, seq, e.Actor, e.Correlation, sqldb.Micros(e.At),
		string(e.Data), r.salt, r.dataHash, prev, r.hash); err != nil {
		if sqldb.IsUnique(err) {
			return errSequence
		}
		return err
	}
	if _, err := conn.ExecContext(ctx, "UPDATE event_heads SET hash = ? WHERE kind = ? AND aggregate = ?",
		r.hash, e.Aggregate.Kind, e.Aggregate.ID); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, "INSERT INTO event_outbox (event, type) VALUES (?, ?)", e.ID, e.Type)
	return err
}

// row is an event as stored.
type row struct {
	events.Event
	salt, dataHash, prev, hash string
	erased                     bool
}

// hashData covers the data and a salt that goes with it, so that what was
// erased cannot be guessed from the hash.
func (r *row) hashData() string { return digest(r.salt, string(r.Data)) }

// chain covers everything but the data itself.
func (r *row) chain() string {
	return digest(r.prev, r.ID, r.Type, strconv.Itoa(r.Version), r.Aggregate.Kind, r.Aggregate.ID,
		strconv.FormatInt(r.Sequence, 10), r.Actor, r.Correlation, strconv.FormatInt(sqldb.Micros(r.At), 10), r.dataHash)
}

// digest hashes parts so that no two lists of parts read alike.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
