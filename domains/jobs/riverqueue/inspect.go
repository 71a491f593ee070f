package riverqueue

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// river's words in ours. A retry that is due within seconds is "available"
// there, with tries; a job that failed for good is "cancelled".
const stateWords = "CASE WHEN state IN ('available', 'retryable') AND attempt > 0 THEN 'retrying' WHEN state = 'pending' THEN 'scheduled' " +
	"WHEN state = 'completed' THEN 'done' WHEN state IN ('discarded', 'cancelled') THEN 'dead' ELSE %s END"

func (q *Queue) stateWords() string {
	if q.db.Engine == "postgres" {
		return fmt.Sprintf(stateWords, "state::text") // an enum there
	}
	return fmt.Sprintf(stateWords, "state")
}

// Queues counts the jobs of each queue.
func (q *Queue) Queues(ctx context.Context) ([]jobs.QueueState, error) {
	out := make([]jobs.QueueState, len(jobs.Queues))
	at := map[string]*jobs.QueueState{}
	for i, name := range jobs.Queues {
		n := q.cfg.Workers[name]
		if n == 0 {
			n = 4
		}
		out[i] = jobs.QueueState{Queue: name, Workers: max(n, 0), Counts: map[jobs.State]int64{}}
		at[name] = &out[i]
	}
	rows, err := q.db.Conn(ctx).QueryContext(ctx, "SELECT queue, "+q.stateWords()+" AS s, count(*) FROM river_job GROUP BY queue, s")
	if err != nil {
		return nil, failed("count jobs", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var state jobs.State
		var n int64
		if err := rows.Scan(&name, &state, &n); err != nil {
			return nil, failed("count jobs", err)
		}
		if s, ok := at[name]; ok {
			s.Counts[state] += n
		}
	}
	if err := rows.Err(); err != nil {
		return nil, failed("count jobs", err)
	}
	_ = rows.Close() // the one connection of an in-memory database is needed below
	for i := range out {
		s := &out[i]
		if s.Counts[jobs.Available]+s.Counts[jobs.Retrying] == 0 {
			continue
		}
		oldest, err := q.list(ctx, river.NewJobListParams().Queues(s.Queue).States(rivertype.JobStateAvailable).
			OrderBy(river.JobListOrderByScheduledAt, river.SortOrderAsc).First(1))
		if err != nil {
			return nil, failed("find the oldest job", err)
		}
		if len(oldest) == 1 {
			s.Waiting = max(0, q.now().Sub(oldest[0].ScheduledAt).Seconds())
		}
	}
	return out, nil
}

func (q *Queue) list(ctx context.Context, p *river.JobListParams) (out []*rivertype.JobRow, err error) {
	err = q.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := q.client.JobListTx(ctx, tx, p)
		if err == nil {
			out = res.Jobs
		}
		return err
	})
	return out, err
}

// List is the newest jobs that the filter names.
func (q *Queue) List(ctx context.Context, f jobs.Filter) ([]jobs.Row, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	p := river.NewJobListParams().First(min(limit, jobs.MaxList)).OrderBy(river.JobListOrderByID, river.SortOrderDesc)
	if f.State != "" {
		p = p.Where(q.stateWords()+" = @word", river.NamedArgs{"word": string(f.State)})
	}
	if f.Queue != "" {
		p = p.Queues(f.Queue)
	}
	if f.Kind != "" {
		p = p.Kinds(f.Kind)
	}
	if f.Before > 0 {
		p = p.Where("id < @before", river.NamedArgs{"before": f.Before})
	}
	rows, err := q.list(ctx, p)
	if err != nil {
		return nil, failed("list jobs", err)
	}
	out := make([]jobs.Row, len(rows))
	for i, r := range rows {
		out[i] = row(r, false)
	}
	return out, nil
}

// Get is one job, whole.
func (q *Queue) Get(ctx context.Context, id int64) (jobs.Row, error) {
	return q.change(ctx, "read job", id, func(context.Context, *sql.Tx, *rivertype.JobRow) (*rivertype.JobRow, error) { return nil, nil })
}

// Retry has a job run now.
func (q *Queue) Retry(ctx context.Context, id int64) (jobs.Row, error) {
	return q.change(ctx, "retry job", id, func(ctx context.Context, tx *sql.Tx, r *rivertype.JobRow) (*rivertype.JobRow, error) {
		switch r.State {
		case rivertype.JobStateRunning:
			return nil, fault.New(fault.Conflict, "The job is running.")
		case rivertype.JobStateCompleted:
			return nil, fault.New(fault.Conflict, "The job is done.")
		}
		return q.client.JobRetryTx(ctx, tx, id)
	})
}

// Drop removes a job.
func (q *Queue) Drop(ctx context.Context, id int64) (jobs.Row, error) {
	return q.change(ctx, "drop job", id, func(ctx context.Context, tx *sql.Tx, r *rivertype.JobRow) (*rivertype.JobRow, error) {
		switch r.State {
		case rivertype.JobStateCompleted:
			return nil, fault.New(fault.Conflict, "The job is done.")
		case rivertype.JobStateRunning:
			return q.client.JobCancelTx(ctx, tx, id)
		}
		return q.client.JobDeleteTx(ctx, tx, id)
	})
}

// change reads a job and does something with it, in one transaction.
func (q *Queue) change(ctx context.Context, op string, id int64, fn func(context.Context, *sql.Tx, *rivertype.JobRow) (*rivertype.JobRow, error)) (out jobs.Row, err error) {
	err = q.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := q.client.JobGetTx(ctx, tx, id)
		if err != nil {
			return err
		}
		after, err := fn(ctx, tx, r)
		if err != nil {
			return err
		}
		if after != nil {
			r = after
		}
		out = row(r, true)
		return nil
	})
	return out, failed(op, err)
}

func row(r *rivertype.JobRow, whole bool) jobs.Row {
	var a args
	_ = json.Unmarshal(r.EncodedArgs, &a) // an operator may still see the rest
	out := jobs.Row{
		ID: r.ID, Kind: r.Kind, Queue: r.Queue, Priority: r.Priority, Tries: r.Attempt, MaxTries: r.MaxAttempts, Key: a.Key,
		Enqueued: r.CreatedAt, Due: r.ScheduledAt, Finished: r.FinalizedAt, Correlation: a.Correlation, State: word(r),
	}
	if n := len(r.AttemptedBy); n > 0 && r.State == rivertype.JobStateRunning {
		out.Node = r.AttemptedBy[n-1]
	}
	for _, e := range r.Errors {
		out.LastError = e.Error
		if whole {
			out.Errors = append(out.Errors, jobs.Failure{Try: e.Attempt, At: e.At, Error: e.Error})
		}
	}
	if whole {
		out.Args = a.Data
	}
	return out
}

// word is stateWords for a row that was read.
func word(r *rivertype.JobRow) jobs.State {
	switch r.State {
	case rivertype.JobStateAvailable, rivertype.JobStateRetryable:
		if r.Attempt > 0 {
			return jobs.Retrying
		}
		return jobs.Available
	case rivertype.JobStateRunning:
		return jobs.Running
	case rivertype.JobStateCompleted:
		return jobs.Done
	case rivertype.JobStateDiscarded, rivertype.JobStateCancelled:
		return jobs.Dead
	}
	return jobs.Scheduled
}
