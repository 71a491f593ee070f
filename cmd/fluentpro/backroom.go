package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/events/redisbus"
	eventsql "github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/domains/jobs/riverqueue"
	"github.com/fluentpro/fluentpro/internal/mail"
	"github.com/fluentpro/fluentpro/internal/mail/once"
	"github.com/fluentpro/fluentpro/internal/resilience"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// backroom is what happens after the answer: events, jobs and mails.
type backroom struct {
	trail     *eventsql.Store
	queue     *riverqueue.Queue
	mails     *once.Sender
	duties    *duties
	relay     *events.Relay
	consumers *events.Consumers
	groups    []*events.Group
	metrics   *events.Metrics
	bus       *redisbus.Bus
}

// newBackroom makes the parts that need SQL only, which is enough to record
// events and the jobs that they cause, for commands too. node and alive may be
// empty where nothing is run.
func newBackroom(cfg *configs.Config, db *sqldb.DB, node string, alive func(context.Context) ([]string, error), reg prometheus.Registerer, log *slog.Logger) (*backroom, error) {
	sender, err := newMailSender(cfg, reg, log)
	if err != nil {
		return nil, err
	}
	b := &backroom{mails: once.New(db, sender, nil)}
	metrics := events.NewMetrics(reg)
	b.trail = eventsql.New(db, eventsql.Options{Recorded: func(types []string) {
		metrics.Recorded(types)
		if b.relay != nil {
			b.relay.Wake()
		}
	}})
	b.duties = &duties{trail: b.trail, mails: b.mails, keep: cfg.Events.Keep, now: time.Now, swept: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fluentpro_accounts_swept_total", Help: "What the clean-up of accounts removed: logins, links, ends, accounts never confirmed."}, []string{"what"})}
	reg.MustRegister(b.duties.swept)
	few := func(n int) int {
		if n == 0 {
			return -1 // left to other nodes, in the queue's words
		}
		return n
	}
	b.queue, err = riverqueue.New(db, b.duties.kinds(), riverqueue.Config{
		Node: node, Alive: alive, Poll: cfg.Jobs.Poll, KeepDone: cfg.Jobs.KeepDone, KeepDead: cfg.Jobs.KeepDead,
		// What does not end in half the drain time is cancelled and done again.
		Drain:   max(cfg.Drain/2, time.Second),
		Workers: map[string]int{jobs.Default: few(cfg.Jobs.Default), jobs.Mail: few(cfg.Jobs.Mail), jobs.Upkeep: few(cfg.Jobs.Upkeep)},
	}, reg, log)
	if err != nil {
		return nil, err
	}
	b.duties.queue, b.duties.jobs = b.queue, b.queue
	b.duties.subscribe(b.trail)
	b.groups = b.duties.groups()
	b.metrics = metrics
	return b, nil
}

// travel makes the parts that need Redis.
func (b *backroom) travel(cfg *configs.Config, bus *redisbus.Bus, node string, log *slog.Logger) {
	b.bus = bus
	b.relay = events.NewRelay(b.trail, bus, events.WantsOf(b.groups), events.RelayConfig{}, b.metrics, log)
	b.consumers = events.NewConsumers(b.trail, bus, b.groups, events.ConsumerConfig{
		Name: node, Idle: cfg.Events.Idle, Stuck: cfg.Events.Idle,
		Retry: events.Retry{Tries: cfg.Events.Tries, First: cfg.Events.Retry, Longest: 5 * time.Minute},
	}, b.metrics, log)
}

// newMailSender is the configured way of mails.
func newMailSender(cfg *configs.Config, reg prometheus.Registerer, log *slog.Logger) (mail.Sender, error) {
	from, err := mail.ParseFrom(cfg.Mail.From)
	if err != nil {
		return nil, fmt.Errorf("sender of mails (FLUENTPRO_MAIL_FROM) %w", err)
	}
	if cfg.MailToFiles() {
		return mail.NewFiles(cfg.MailDir(), from, nil), nil
	}
	server, err := mail.ParseURL(cfg.SMTP.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("mail server (FLUENTPRO_SMTP_URL) %w", err)
	}
	// Jobs repeat what fails, at longer distances than a caller could wait;
	// here is the breaker and the time limit.
	guard := resilience.New(resilience.Config{Service: "smtp", Attempts: 1, Attempt: 30 * time.Second, Total: 30 * time.Second, Logger: log, Registerer: reg})
	return guardedMail{mail.NewSMTP(server, from, mail.SMTPOptions{}), guard}, nil
}

// guardedMail stops asking a server that is down.
type guardedMail struct {
	next  mail.Sender
	guard *resilience.Guard
}

func (g guardedMail) Send(ctx context.Context, m mail.Message) error {
	return g.guard.Once(ctx, func(ctx context.Context) error { return g.next.Send(ctx, m) })
}

// parts are what runs.
func (b *backroom) parts() []func(context.Context) error {
	return []func(context.Context) error{b.relay.Run, b.consumers.Run, b.queue.Run}
}
