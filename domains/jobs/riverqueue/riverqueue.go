// Package riverqueue keeps and works on jobs with river, in the SQL database
// of everything else, on both engines.
//
// river polls; nothing here needs LISTEN, so a transaction pooler may stand in
// between. Two things are done beside it: jobs of a node that is known to be
// dead are freed at once instead of after a time limit, and kinds that recur
// are enqueued by key instead of from the memory of a leader.
package riverqueue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Config tunes a Queue; zero values mean the defaults in brackets.
type Config struct {
	// Node names this process, unlike any other [random].
	Node string
	// Workers is how many jobs of each queue run at once here [4 each]. A
	// queue with a negative number is left to other nodes.
	Workers map[string]int
	// Poll is how often each queue is looked at [1 s].
	Poll time.Duration
	// Drain is how long a stop lets jobs finish before it cancels them [10 s].
	Drain time.Duration
	// KeepDone and KeepDead are how long settled jobs are kept [24 h, 30 days].
	KeepDone, KeepDead time.Duration
	// Alive names the nodes that live; jobs of others are freed. Nil leaves
	// that to the time limit.
	Alive func(ctx context.Context) ([]string, error)
	// Now is the clock, for tests [the database's and time.Now].
	Now func() time.Time
	// Luck spreads retries, in [0, 1) [random].
	Luck func() float64
}

// Queue implements jobs.Enqueuer and jobs.Inspector. It is safe for
// concurrent use.
type Queue struct {
	db       *sqldb.DB
	kinds    map[string]jobs.Kind
	cfg      Config
	client   *river.Client[*sql.Tx]
	metrics  *metrics
	log      *slog.Logger
	stopping atomic.Bool
	tries    sync.WaitGroup
}

var (
	_ jobs.Enqueuer  = (*Queue)(nil)
	_ jobs.Inspector = (*Queue)(nil)
)

// args is what a job's row holds. Only the key makes a job unique.
type args struct {
	kind        string
	Key         string          `json:"key,omitempty" river:"unique"`
	Correlation string          `json:"correlation_id,omitempty"`
	Data        json.RawMessage `json:"data"`
}

// Kind names the job for river.
func (a args) Kind() string { return a.kind }

// Enqueue stores a job in the transaction of ctx, or in one of its own.
func (q *Queue) Enqueue(ctx context.Context, o jobs.Order) error {
	k, ok := q.kinds[o.Kind]
	if !ok {
		return fmt.Errorf("enqueue: there is no kind %q", o.Kind)
	}
	data, err := json.Marshal(o.Args)
	if err != nil {
		return fmt.Errorf("enqueue %s: %w", o.Kind, err)
	}
	if len(data) > jobs.MaxArgs {
		return fmt.Errorf("enqueue %s: %d bytes of arguments, more than %d", o.Kind, len(data), jobs.MaxArgs)
	}
	a := args{kind: k.Name, Key: o.Key, Correlation: correlation.From(ctx), Data: data}
	opts := &river.InsertOpts{MaxAttempts: k.Policy.Tries, Priority: k.Priority, Queue: k.Queue, ScheduledAt: o.At}
	if o.Key != "" {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true}
	}
	return failed("enqueue "+o.Kind, q.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := q.client.InsertTx(ctx, tx, a, opts)
		if err == nil && !res.UniqueSkippedAsDuplicate {
			q.db.AfterCommit(ctx, func() { q.metrics.enqueued.WithLabelValues(k.Name).Inc() })
		}
		return err
	}))
}

// inTx gives river a transaction. On SQLite it must have one: the methods of
// the client that open their own wait for the connection that they hold.
func (q *Queue) inTx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	return q.db.InTx(ctx, func(ctx context.Context) error {
		tx, ok := q.db.Tx(ctx)
		if !ok {
			return errors.New("no transaction")
		}
		return fn(ctx, tx)
	})
}

func failed(op string, err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	if errors.Is(err, rivertype.ErrNotFound) {
		return errNoJob
	}
	return fault.Wrap(fmt.Errorf("%s: %w", op, err), fault.StorageUnavailable, "Storage does not answer; try again.")
}

var errNoJob = fault.New(fault.NotFound, "There is no such job.")
