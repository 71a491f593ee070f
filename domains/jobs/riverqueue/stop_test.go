package riverqueue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/domains/jobs/riverqueue"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

func TestDrainLetsJobsFinish(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		begun, release := make(chan struct{}), make(chan struct{})
		r := open(t, db, riverqueue.Config{Workers: map[string]int{jobs.Default: 1}}, kind("test.work", jobs.Base, func(context.Context, jobs.Job) error {
			close(begun)
			<-release
			return nil
		}))
		r.enqueue(jobs.Order{Kind: "test.work", Args: 1})
		stop := r.start()
		<-begun
		r.enqueue(jobs.Order{Kind: "test.work", Args: 2})
		// Before the stop is known the queue may rightly take the next job.
		go func() {
			defer close(release)
			testenv.Eventually(t, time.Minute, stopping)
		}()
		stop()
		if d, a := len(r.list(jobs.Filter{State: jobs.Done})), len(r.list(jobs.Filter{State: jobs.Available})); d != 1 || a != 1 {
			t.Fatalf("%d done and %d available, want the running one finished and the other untouched", d, a)
		}
	})
}

// stopping reports that a queue waits for its jobs to end.
func stopping() error {
	b := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(g, "riverqueue.(*Queue).Run") && strings.Contains(g, ").Stop(") && !strings.Contains(head, "[run") {
			return nil
		}
	}
	return errors.New("no queue is stopping")
}

func TestStopCancelsWhatWillNotFinish(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		begun := make(chan struct{}, 10)
		var again atomic.Bool
		work := kind("test.work", jobs.Base, func(ctx context.Context, _ jobs.Job) error {
			if again.Load() {
				return nil
			}
			begun <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		r := open(t, db, riverqueue.Config{Drain: 20 * time.Millisecond}, work)
		r.enqueue(jobs.Order{Kind: "test.work", Args: 1})
		stop := r.start()
		<-begun
		stop()
		row := r.list(jobs.Filter{})[0]
		if row.State == jobs.Running || row.Tries != 0 || row.LastError != "" {
			t.Fatalf("got %+v, want it free, and no try counted", row)
		}
		again.Store(true)
		open(t, db, riverqueue.Config{}, work).start()
		r.eventually("another node does it", r.state(jobs.Done, 1))
	})
}

// TestStartWaitsForTheDatabase: what a start needs is not there at first.
func TestStartWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		work := kind("test.work", jobs.Base, func(context.Context, jobs.Job) error { return nil })
		r := open(t, db, riverqueue.Config{}, work)
		r.enqueue(jobs.Order{Kind: "test.work", Args: 1})
		rename := func(from, to string) error {
			_, err := db.Conn(t.Context()).ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to)
			return err
		}
		if err := rename("river_queue", "river_away"); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.eventually("a start has failed", func() bool { return r.said("jobs cannot start") })
		testenv.Eventually(t, patient, func() error { return rename("river_away", "river_queue") })
		r.eventually("the job is done", r.state(jobs.Done, 1))
	})
}

// TestCrashedWorkersJobRunsAgain leaves a job as a killed process leaves it:
// running, and nobody there.
func TestCrashedWorkersJobRunsAgain(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var tries atomic.Int64
		work := kind("test.work", jobs.Base, func(_ context.Context, j jobs.Job) error { tries.Store(int64(j.Try)); return nil })
		alive := func(context.Context) ([]string, error) { return []string{"living"}, nil }
		r := open(t, db, riverqueue.Config{Node: "living", Alive: alive}, work)
		r.enqueue(jobs.Order{Kind: "test.work", Args: 1})
		r.enqueue(jobs.Order{Kind: "test.work", Args: 2})
		by := map[sqldb.Engine]string{sqldb.Postgres: "ARRAY['%s']", sqldb.SQLite: `'["%s"]'`}[db.Engine]
		for i, node := range []string{"dead", "living"} {
			if _, err := db.Conn(t.Context()).ExecContext(t.Context(), "UPDATE river_job SET state = 'running', attempt = 1, attempted_at = created_at, attempted_by = "+
				fmt.Sprintf(by, node)+" WHERE id = ?", i+1); err != nil {
				t.Fatal(err)
			}
		}
		r.start()
		r.eventually("the dead node's job is done", r.state(jobs.Done, 1))
		if tries.Load() != 2 {
			t.Fatalf("done at try %d, want the second", tries.Load())
		}
		if rows := r.list(jobs.Filter{State: jobs.Running}); len(rows) != 1 || rows[0].Node != "living" || rows[0].ID != 2 {
			t.Fatalf("got %+v, want a living node's job left alone", rows)
		}
	})
}
