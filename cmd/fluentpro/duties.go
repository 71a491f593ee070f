package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/events"
	eventsql "github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/domains/jobs/riverqueue"
	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/internal/mail"
	"github.com/fluentpro/fluentpro/internal/mail/once"
)

// duties is what follows from what happened: which event causes which job, and
// what each job does. The services are set once they are made, because they
// record the events.
type duties struct {
	trail *eventsql.Store
	queue jobs.Enqueuer
	jobs  *riverqueue.Queue
	mails *once.Sender
	keep  time.Duration
	swept *prometheus.CounterVec
	now   func() time.Time

	// shred takes what is left of an erased learner out of Redis.
	shred     func(ctx context.Context, learner string) error
	auth      *authentication.Service
	recommend *practice.Recommender
}

// aboutLearner are the arguments of jobs about one learner.
type aboutLearner struct {
	LearnerID string `json:"learner_id"`
}

var errNotWired = errors.New("this process does no such jobs")

// letter is a kind of job that has authentication write one mail.
func (d *duties) letter(name string, priority int, write func(*authentication.Service, context.Context, authentication.LearnerID) error) jobs.Kind {
	return jobs.Kind{Name: name, Queue: jobs.Mail, Priority: priority, Policy: jobs.Critical, Work: func(ctx context.Context, j jobs.Job) error {
		if d.auth == nil {
			return errNotWired
		}
		a, err := jobs.Decode[aboutLearner](j)
		if err != nil {
			return err
		}
		// The key of the job names the mail: one event, one mail of a kind.
		err = write(d.auth, context.WithValue(ctx, mailKey{}, name+" "+j.Key), authentication.LearnerID(a.LearnerID))
		if errors.Is(err, mail.ErrRefused) {
			return jobs.Permanent(err)
		}
		return err
	}}
}

type mailKey struct{}

// Send implements authentication.Mailer for the jobs above.
func (d *duties) Send(ctx context.Context, m authentication.Mail) error {
	key, ok := ctx.Value(mailKey{}).(string)
	if !ok {
		return errors.New("mails are sent by jobs")
	}
	// One job may write two mails; their subjects tell them apart.
	return d.mails.Send(ctx, mail.Message{To: m.To, Name: m.Name, Subject: m.Subject, Text: m.Text, Key: key + " " + m.Subject})
}

// kinds are all jobs there are.
func (d *duties) kinds() []jobs.Kind {
	return []jobs.Kind{
		d.letter("mail.welcome", jobs.Low, (*authentication.Service).MailWelcome),
		d.letter("mail.verification", jobs.Urgent, (*authentication.Service).MailVerification),
		d.letter("mail.password_reset", jobs.Urgent, (*authentication.Service).MailPasswordReset),
		d.letter("mail.password_changed", jobs.Normal, (*authentication.Service).MailPasswordChanged),
		d.letter("mail.sign_up_repeated", jobs.Normal, (*authentication.Service).MailSignUpRepeated),
		d.letter("mail.email_change", jobs.Urgent, (*authentication.Service).MailEmailChange),
		{Name: "practice.recommend", Queue: jobs.Default, Policy: jobs.Base, Work: d.suggest},
		{Name: "upkeep.erased", Queue: jobs.Upkeep, Policy: jobs.Critical, Work: d.erased},
		{Name: "upkeep.accounts", Queue: jobs.Upkeep, Priority: jobs.Low, Policy: jobs.Base, Every: time.Hour, Work: d.sweep},
		{Name: "upkeep.forget", Queue: jobs.Upkeep, Priority: jobs.Low, Policy: jobs.Quick, Every: time.Hour, Work: d.forget},
	}
}

// subscribe says what is enqueued in the transaction that records an event.
func (d *duties) subscribe(trail *eventsql.Store) {
	on := func(p events.Payload, kinds ...string) {
		name, _ := p.EventType()
		trail.Subscribe(name, func(ctx context.Context, e events.Event) error {
			for _, kind := range kinds {
				if err := d.queue.Enqueue(ctx, jobs.Order{Kind: kind, Args: aboutLearner{e.Aggregate.ID}, Key: e.ID}); err != nil {
					return fmt.Errorf("enqueue %s: %w", kind, err)
				}
			}
			return nil
		})
	}
	on(events.LearnerRegistered{}, "mail.welcome")
	on(events.EmailVerificationRequested{}, "mail.verification")
	on(events.PasswordResetRequested{}, "mail.password_reset")
	on(events.PasswordChanged{}, "mail.password_changed")
	on(events.SignUpRepeated{}, "mail.sign_up_repeated")
	on(events.EmailChangeRequested{}, "mail.email_change")
	erased, _ := events.LearnerErased{}.EventType()
	trail.Subscribe(erased, func(ctx context.Context, e events.Event) error {
		// Connections are still closing, and leave what they had.
		return d.queue.Enqueue(ctx, jobs.Order{Kind: "upkeep.erased", Args: aboutLearner{e.Aggregate.ID}, Key: e.ID, At: d.now().Add(erasedAfter)})
	})
}

// groups are who listens to the stream. What they enqueue is enqueued once for
// each event, however often it comes.
func (d *duties) groups() []*events.Group {
	g := &events.Group{Name: "recommendations"}
	suggest := func(ctx context.Context, e events.Event) error {
		return d.queue.Enqueue(ctx, jobs.Order{Kind: "practice.recommend", Args: aboutLearner{e.Aggregate.ID}, Key: e.ID})
	}
	events.On(g, func(ctx context.Context, e events.Event, p events.OnboardingChanged) error {
		if !p.Complete {
			return nil // there is nothing to suggest yet
		}
		return suggest(ctx, e)
	})
	return []*events.Group{g}
}

// suggest makes a learner's recommendations anew if their choices changed.
func (d *duties) suggest(ctx context.Context, j jobs.Job) error {
	if d.recommend == nil {
		return errNotWired
	}
	a, err := jobs.Decode[aboutLearner](j)
	if err != nil {
		return err
	}
	return d.recommend.Refresh(ctx, a.LearnerID)
}

// erasedAfter is how long after the erasure of an account the rest is taken
// out of Redis.
const erasedAfter = 3 * time.Second

// erased removes what the transaction that erased a learner could not: what
// Redis has, and jobs that ran just then.
func (d *duties) erased(ctx context.Context, j jobs.Job) error {
	if d.shred == nil {
		return errNotWired
	}
	a, err := jobs.Decode[aboutLearner](j)
	if err != nil {
		return err
	}
	if err := d.shred(ctx, a.LearnerID); err != nil {
		return err
	}
	if n, err := d.jobs.Running(ctx, a.LearnerID, j.ID); err != nil {
		return err
	} else if n > 0 {
		return fmt.Errorf("%d jobs about the erased learner run still", n)
	}
	return d.jobs.ErasePersonal(ctx, a.LearnerID)
}

// sweep removes logins, links and accounts whose time is over.
func (d *duties) sweep(ctx context.Context, _ jobs.Job) error {
	if d.auth == nil {
		return errNotWired
	}
	n, err := d.auth.Sweep(ctx)
	for what, count := range map[string]int64{"ends": n.Ends, "links": n.Links, "logins": n.Logins, "foreign": n.Foreign, "accounts": n.Accounts} {
		d.swept.WithLabelValues(what).Add(float64(count))
	}
	return err
}

// forget removes what was only remembered to do nothing twice.
func (d *duties) forget(ctx context.Context, _ jobs.Job) error {
	before := d.now().Add(-d.keep)
	_, err := d.trail.Forget(ctx, before)
	if err != nil {
		return err
	}
	_, err = d.mails.Forget(ctx, before)
	return err
}
