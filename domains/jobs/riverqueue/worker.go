package riverqueue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/internal/correlation"
)

// worker does one kind of job.
type worker struct {
	river.WorkerDefaults[args]
	q    *Queue
	kind jobs.Kind
}

// Timeout is river's own limit, by which it also knows what is stuck; ours
// ends the try before.
func (w *worker) Timeout(*river.Job[args]) time.Duration {
	return w.kind.Policy.Limit + w.kind.Policy.Grace + time.Second
}

var errAbandoned = errors.New("did not end in time and was abandoned")

// Work is one try.
func (w *worker) Work(ctx context.Context, rj *river.Job[args]) error {
	j := jobs.Job{ID: rj.ID, Kind: rj.JobRow.Kind, Key: rj.Args.Key, Args: rj.Args.Data, Try: rj.Attempt, Enqueued: rj.CreatedAt}
	ctx = correlation.With(ctx, rj.Args.Correlation)
	start := time.Now()
	err := w.limited(ctx, j)
	w.q.metrics.seconds.WithLabelValues(j.Kind).Observe(time.Since(start).Seconds())
	result := "done"
	if err != nil {
		result = "failed"
		switch {
		case w.q.stopping.Load() && ctx.Err() != nil:
			// A stop is nobody's fault: the try does not count.
			w.q.metrics.tried.WithLabelValues(j.Kind, "interrupted").Inc()
			return river.JobSnooze(0)
		case jobs.IsPermanent(err), rj.Attempt >= rj.MaxAttempts:
			result = "dead"
		}
		w.q.log.WarnContext(ctx, "a job failed", "job_id", j.ID, "kind", j.Kind, "try", j.Try, "result", result,
			"correlation_id", rj.Args.Correlation, "err", err)
	}
	w.q.metrics.tried.WithLabelValues(j.Kind, result).Inc()
	if jobs.IsPermanent(err) {
		return river.JobCancel(err)
	}
	return err
}

// limited ends the context at the limit, and gives the place away when the
// work does not end soon after.
func (w *worker) limited(ctx context.Context, j jobs.Job) error {
	ctx, cancel := context.WithTimeout(ctx, w.kind.Policy.Limit)
	defer cancel()
	done := make(chan error, 1)
	w.q.tries.Go(func() { done <- w.guarded(ctx, j) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace := time.NewTimer(w.kind.Policy.Grace)
	defer grace.Stop()
	select {
	case err := <-done:
		return err
	case <-grace.C:
		return errAbandoned
	}
}

func (w *worker) guarded(ctx context.Context, j jobs.Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			w.q.log.ErrorContext(ctx, "a job panicked", "job_id", j.ID, "kind", j.Kind, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return w.kind.Work(ctx, j)
}
