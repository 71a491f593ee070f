// Package jobs is work that must be done and may wait: a mail, a list of
// suggestions, a clean-up. A job is enqueued in the SQL transaction that
// causes it, so it is there exactly if its cause is, and it is done at least
// once: after a crash it runs again. What a job does must therefore bear
// repetition.
//
//	available ──▶ running ──▶ done
//	   ▲             ├──▶ retrying ──(when its time has come)──▶ available
//	scheduled        └──▶ dead (its tries are used up) ──retry──▶ available
//
// The package knows no domain: cmd says which kinds there are and what each
// does.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The queues. Each node works on so many jobs of each at once as it is
// configured to.
const (
	// Default is for work inside the house.
	Default = "default"
	// Mail is for mails, which wait for somebody else's server.
	Mail = "mail"
	// Upkeep is for cleaning, which may wait.
	Upkeep = "upkeep"
)

// Queues are all queues.
var Queues = []string{Default, Mail, Upkeep}

// The priorities, within a queue.
const (
	Urgent = 1
	Normal = 2
	Low    = 3
)

// Kind is a sort of job.
type Kind struct {
	// Name is "<subject>.<verb>", as "mail.welcome", and stays for ever: jobs
	// in SQL name it.
	Name string
	// Queue is one of Queues, Priority one of the priorities [Default, Normal].
	Queue    string
	Priority int
	// Policy says how often and how long it is tried.
	Policy Policy
	// Every, if set, has one such job enqueued in each span of that length,
	// whatever the number of nodes.
	Every time.Duration
	// Work does it. It must end soon after ctx does. An error is tried again
	// by the policy, except what Permanent marks.
	Work func(ctx context.Context, j Job) error
}

// Job is one try of a job.
type Job struct {
	ID   int64
	Kind string
	// Key is what made it unique, "" if nothing did.
	Key string
	// Args are as they were enqueued, as JSON.
	Args json.RawMessage
	// Try counts from 1.
	Try int
	// Enqueued is when it was enqueued.
	Enqueued time.Time
}

// Order asks for a job.
type Order struct {
	Kind string
	// Args are encoded as JSON, at most 16 KiB. They hold ids, no personal data.
	Args any
	// Key, if set, makes the job unique among those of its kind that are not
	// dead or forgotten (a day after they are done).
	Key string
	// At is the earliest time to run [now].
	At time.Time
}

// Enqueuer takes orders.
type Enqueuer interface {
	// Enqueue stores a job in the transaction that ctx carries, or in one of
	// its own. A job that is there already, by its Key, is no error.
	Enqueue(ctx context.Context, o Order) error
}

// MaxArgs bounds the arguments of a job, in bytes.
const MaxArgs = 16 << 10

type permanent struct{ err error }

func (p permanent) Error() string { return p.err.Error() }
func (p permanent) Unwrap() error { return p.err }

// Permanent marks an error that no repetition will mend: the job is dead at
// once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent tells whether Permanent has marked err.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// Decode reads a job's arguments; what cannot be read is Permanent.
func Decode[T any](j Job) (T, error) {
	var v T
	if err := json.Unmarshal(j.Args, &v); err != nil {
		return v, Permanent(fmt.Errorf("arguments of %s: %w", j.Kind, err))
	}
	return v, nil
}
