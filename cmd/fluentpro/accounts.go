package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation"
	convsql "github.com/fluentpro/fluentpro/conversation/sqlstore"
	"github.com/fluentpro/fluentpro/domains/authentication"
	authsql "github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/domains/events"
	onboardingsql "github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	practicesql "github.com/fluentpro/fluentpro/domains/practice/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/upstream/usage"
	"github.com/fluentpro/fluentpro/sessions/redisstore"
)

// accountsConfig is how accounts work here, for the server and for the
// commands alike. public is the address of the page.
func accountsConfig(cfg *configs.Config, db *sqldb.DB, back *backroom, public string) authentication.Config {
	return authentication.Config{
		Events: back.trail, PublicURL: public, Holders: personalData(db, back),
		ConfirmSignUp: cfg.ConfirmSignUp(), KeyRotation: cfg.Accounts.KeyRotation,
		KeepLogins: cfg.Accounts.KeepLogins, KeepUnconfirmed: cfg.Accounts.KeepUnconfirmed,
	}
}

// personalData is everybody who keeps something about a learner, in the order
// of an export. Whoever adds a table with a learner in it adds a holder here;
// TestErasedLearnerIsNowhere looks into every table. What is in Redis goes with
// the job upkeep.erased.
func personalData(db *sqldb.DB, back *backroom) []authentication.NamedHolder {
	return []authentication.NamedHolder{
		{Name: "onboarding", Holder: onboardingsql.New(db)},
		{Name: "practice", Holder: practicesql.New(db)},
		{Name: "conversations", Holder: convsql.New(db)},
		{Name: "usage", Holder: usage.New(db)},
		{Name: "events", Holder: trailHolder{back.trail}},
		{Name: "jobs", Holder: back.queue},
	}
}

// trailHolder exports and erases what the audit trail says of a learner. The
// trail keeps that something happened, and when; what it was goes.
type trailHolder struct{ trail events.Trail }

// personalEvent is an event in an export.
type personalEvent struct {
	Type string    `json:"type"`
	At   time.Time `json:"at"`
	Data any       `json:"data"`
}

// ExportPersonal implements authentication.Holder.
func (h trailHolder) ExportPersonal(ctx context.Context, learner string, add func(kind string, row any) error) error {
	for _, kind := range personalAggregates {
		for after := int64(0); ; {
			list, err := h.trail.Read(ctx, events.Query{Aggregate: events.Aggregate{Kind: kind, ID: learner}, AfterSequence: after})
			if err != nil {
				return err
			}
			for _, e := range list {
				if err := add("event", personalEvent{e.Type, e.At, e.Data}); err != nil {
					return err
				}
				after = e.Sequence
			}
			if len(list) < events.MaxRead {
				break
			}
		}
	}
	return nil
}

// ErasePersonal implements authentication.Holder.
func (h trailHolder) ErasePersonal(ctx context.Context, learner string) error {
	for _, kind := range personalAggregates {
		if err := h.trail.Erase(ctx, events.Aggregate{Kind: kind, ID: learner}); err != nil {
			return err
		}
	}
	return nil
}

// personalAggregates are the kinds of aggregates whose id is a learner's.
var personalAggregates = []string{"learner", "onboarding"}

// shredder takes what is left of an erased learner out of Redis; visits is
// where the sessions are.
func (a *App) shredder(visits *redisstore.Store) func(context.Context, string) error {
	return func(ctx context.Context, learner string) error {
		of := make([]events.Aggregate, len(personalAggregates))
		for i, kind := range personalAggregates {
			of[i] = events.Aggregate{Kind: kind, ID: learner}
		}
		return errors.Join(visits.Forget(ctx, conversation.LearnerID(learner)), a.back.bus.Forget(ctx, of...), a.janitor.Finish(ctx))
	}
}

// guarded counts what the guards of sign-in, sign-up and mails do.
func guarded(reg prometheus.Registerer) func(rule, what string) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_attempts_guarded_total",
		Help: "Attempts by rule (login, mail, sign_up) that were told to wait (refused), or judged without the count of all nodes (alone)."}, []string{"rule", "what"})
	reg.MustRegister(c)
	return func(rule, what string) { c.WithLabelValues(rule, what).Inc() }
}

// openAccounts is the use cases of accounts without a server around them.
// Nodes learn from SQL what a command changed, within seconds.
func openAccounts(ctx context.Context, c *call) (*authentication.Service, func(), int) {
	cfg, ok := c.config()
	if !ok {
		return nil, nil, exitUsage
	}
	db, err := sqldb.Open(ctx, cfg.SQL(), sqldb.Options{MaxConns: 2})
	if err != nil {
		return nil, nil, c.fail(exitUnavailable, "%v", err)
	}
	closeDB := func() { _ = db.Close() }
	if have, want, err := db.SchemaVersion(ctx); err != nil || have != want {
		closeDB()
		if err != nil {
			return nil, nil, c.fail(exitUnavailable, "read the schema version: %v", err)
		}
		return nil, nil, c.fail(exitConflict, "the database has schema %d, this binary %d; see fluentpro migrate", have, want)
	}
	// What a command records causes the same jobs as elsewhere; a node does them.
	back, err := newBackroom(cfg, db, "", nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		closeDB()
		return nil, nil, c.fail(exitUsage, "%v", err)
	}
	accounts := accountsConfig(cfg, db, back, cfg.PageURL(cfg.Listen))
	if _, err := believe(&accounts, cfg, nil, nil, slog.Default()); err != nil {
		closeDB()
		return nil, nil, c.fail(exitUsage, "%v", err)
	}
	s, err := authentication.New(ctx, authsql.New(db), accounts)
	if err != nil {
		closeDB()
		return nil, nil, c.fail(exitUnavailable, "%v", err)
	}
	return s, closeDB, exitOK
}
