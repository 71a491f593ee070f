// Package sqlstore keeps onboarding profiles in SQL, one document per learner:
// one text for both engines, the same contract test on each.
package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Store implements onboarding.Repository.
type Store struct {
	db     *sqldb.DB
	events events.Recorder
}

var _ onboarding.Repository = (*Store)(nil)

// New makes a Store over a migrated database.
func New(db *sqldb.DB) *Store { return &Store{db: db, events: events.Discard} }

// Recording makes a Store that records each change, in its transaction.
func (s *Store) Recording(to events.Recorder) *Store { return &Store{db: s.db, events: to} }

// attempts bounds how often Update begins again after a lost race. The row
// lock makes races all but impossible; the version is what makes them harmless.
const attempts = 5

var errRace = errors.New("the profile was changed meanwhile")

func failed(op string, err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.Wrap(fmt.Errorf("%s: %w", op, err), fault.StorageUnavailable, "Storage does not answer; try again.")
}

// Get reads a profile, a fresh one where there is none.
func (s *Store) Get(ctx context.Context, learner onboarding.LearnerID) (*onboarding.Profile, error) {
	p, err := s.read(ctx, learner, "")
	return p, failed("read profile", err)
}

// Update changes a profile under a row lock and checks the version besides.
func (s *Store) Update(ctx context.Context, learner onboarding.LearnerID, fn func(*onboarding.Profile) error) error {
	for range attempts {
		err := s.db.InTx(ctx, func(ctx context.Context) error { return s.update(ctx, learner, fn) })
		if !errors.Is(err, errRace) {
			return failed("update profile", err)
		}
	}
	return fault.Wrap(errRace, fault.Conflict, "Somebody changed this first; read it again.")
}

func (s *Store) update(ctx context.Context, learner onboarding.LearnerID, fn func(*onboarding.Profile) error) error {
	// The row comes first, so that there is something to lock for two first
	// answers at once; an error of fn takes it back.
	if _, err := s.db.Conn(ctx).ExecContext(ctx,
		"INSERT INTO onboarding_profiles (learner_id, version, complete, document, created_at, updated_at) VALUES (?, 0, 0, '{}', "+
			s.db.Now()+", "+s.db.Now()+") ON CONFLICT (learner_id) DO NOTHING", string(learner)); err != nil {
		return err
	}
	p, err := s.read(ctx, learner, s.db.ForUpdate())
	if err != nil {
		return err
	}
	version, wasComplete := p.Record().Version, p.IsComplete()
	before, err := json.Marshal(p.Record())
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := fn(p); err != nil {
		return err
	}
	doc, err := json.Marshal(p.Record())
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	complete := 0
	if p.IsComplete() {
		complete = 1
	}
	res, err := s.db.Conn(ctx).ExecContext(ctx,
		"UPDATE onboarding_profiles SET version = ?, complete = ?, document = ?, updated_at = "+s.db.Now()+" WHERE learner_id = ? AND version = ?",
		version+1, complete, string(doc), string(learner), version)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return errRace
	}
	return s.record(ctx, learner, before, doc, wasComplete, p.IsComplete())
}

func (s *Store) record(ctx context.Context, learner onboarding.LearnerID, before, after []byte, wasComplete, isComplete bool) error {
	changes, err := onboarding.Changes(before, after)
	if err != nil || changes == nil {
		return err
	}
	evs := []events.Event{events.New(string(learner), events.OnboardingChanged{LearnerID: string(learner), Changes: changes, Complete: isComplete})}
	if isComplete && !wasComplete {
		evs = append(evs, events.New(string(learner), events.OnboardingCompleted{LearnerID: string(learner)}))
	}
	return s.events.Record(ctx, evs...)
}

func (s *Store) read(ctx context.Context, learner onboarding.LearnerID, lock string) (*onboarding.Profile, error) {
	var rec onboarding.Record
	var doc string
	var updated int64
	err := s.db.Conn(ctx).QueryRowContext(ctx,
		"SELECT version, document, updated_at FROM onboarding_profiles WHERE learner_id = ?"+lock, string(learner)).
		Scan(&rec.Version, &doc, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return onboarding.NewProfile(learner), nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(doc), &rec); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	rec.Learner, rec.UpdatedAt = learner, time.UnixMicro(updated)
	return onboarding.Rehydrate(rec), nil
}
