package jobs

import (
	"context"
	"encoding/json"
	"time"
)

// State is where a job stands, in this package's words.
type State string

// The states.
const (
	Available State = "available"
	Scheduled State = "scheduled"
	Running   State = "running"
	Retrying  State = "retrying"
	Done      State = "done"
	Dead      State = "dead"
)

// States are all states.
var States = []State{Available, Scheduled, Running, Retrying, Done, Dead}

// Row is a job as operators see it.
type Row struct {
	ID       int64     `json:"id"`
	Kind     string    `json:"kind"`
	Queue    string    `json:"queue"`
	State    State     `json:"state"`
	Priority int       `json:"priority"`
	Tries    int       `json:"tries"`
	MaxTries int       `json:"max_tries"`
	Key      string    `json:"key,omitempty"`
	Enqueued time.Time `json:"enqueued_at"`
	// Due is when it may run, or when it ran last.
	Due         time.Time  `json:"due_at"`
	Finished    *time.Time `json:"finished_at,omitempty"`
	Node        string     `json:"node,omitempty"`
	Correlation string     `json:"correlation_id,omitempty"`
	LastError   string     `json:"last_error,omitempty"`
	// Args and Errors are told for one job only, not in lists.
	Args   json.RawMessage `json:"args,omitempty"`
	Errors []Failure       `json:"errors,omitempty"`
}

// Failure is one failed try.
type Failure struct {
	Try   int       `json:"try"`
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

// QueueState counts the jobs of a queue. Settled jobs are forgotten after a
// while.
type QueueState struct {
	Queue string `json:"queue"`
	// Workers is how many jobs of the queue this node works on at once.
	Workers int             `json:"workers"`
	Counts  map[State]int64 `json:"counts"`
	// Waiting is the age of the oldest job that could run, in seconds.
	Waiting float64 `json:"waiting_seconds"`
}

// Filter names jobs; empty fields do not narrow.
type Filter struct {
	State State
	Queue string
	Kind  string
	// Before pages: only jobs with a lower id.
	Before int64
	// Limit is 1 to MaxList [50].
	Limit int
}

// MaxList bounds how many jobs one List returns.
const MaxList = 500

// Inspector is what operators do with jobs.
type Inspector interface {
	// Queues counts the jobs of each queue.
	Queues(ctx context.Context) ([]QueueState, error)
	// List is the newest jobs that the filter names.
	List(ctx context.Context, f Filter) ([]Row, error)
	// Get is one job with its arguments and errors; not_found when it is gone.
	Get(ctx context.Context, id int64) (Row, error)
	// Retry has a job run now that waits or is dead. conflict when it runs or is
	// done.
	Retry(ctx context.Context, id int64) (Row, error)
	// Drop removes a job, and returns it as it was. One that runs ends its try
	// and is not tried again. conflict when it is done.
	Drop(ctx context.Context, id int64) (Row, error)
}
