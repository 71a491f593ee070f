package riverqueue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/domains/jobs/riverqueue"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// Jobs about an erased learner go in every state but running, which is counted;
// those about others and about nobody stay.
func TestErasePersonal(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		type about struct {
			LearnerID string `json:"learner_id"`
		}
		hold, held := make(chan struct{}), make(chan struct{}, 1)
		r := open(t, db, riverqueue.Config{},
			kind("test.fine", jobs.Base, func(context.Context, jobs.Job) error { return nil }),
			kind("test.bad", jobs.Base, func(context.Context, jobs.Job) error { return jobs.Permanent(errors.New("no")) }),
			kind("test.again", jobs.Critical, func(context.Context, jobs.Job) error { return errors.New("later") }),
			kind("test.slow", jobs.Base, func(context.Context, jobs.Job) error { held <- struct{}{}; <-hold; return nil }))
		for _, who := range []string{"ann", "ben"} {
			for _, name := range []string{"test.fine", "test.bad", "test.again"} {
				r.enqueue(jobs.Order{Kind: name, Args: about{who}})
			}
			r.enqueue(jobs.Order{Kind: "test.fine", Args: about{who}, At: time.Now().Add(time.Hour)})
		}
		r.enqueue(jobs.Order{Kind: "test.slow", Args: about{"ann"}})
		r.enqueue(jobs.Order{Kind: "test.fine", Args: struct{}{}, At: time.Now().Add(time.Hour)})
		stop := r.start()
		<-held
		r.eventually("all tried", func() bool {
			return r.state(jobs.Done, 2)() && r.state(jobs.Dead, 2)() && r.state(jobs.Retrying, 2)()
		})
		if err := r.q.ErasePersonal(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		if err := r.q.ErasePersonal(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if n := len(r.list(jobs.Filter{})); n != 6 {
			t.Errorf("%d jobs are left, want four of ben's, nobody's and the running one", n)
		}
		running := r.list(jobs.Filter{State: jobs.Running})[0].ID
		for besides, want := range map[int64]int64{0: 1, running: 0} {
			if n, err := r.q.Running(t.Context(), "ann", besides); err != nil || n != want {
				t.Errorf("%d run, %v, want %d", n, err, want)
			}
		}
		close(hold)
		r.eventually("the slow one is done", r.state(jobs.Done, 2))
		if err := r.q.ErasePersonal(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		if n := len(r.list(jobs.Filter{})); n != 5 {
			t.Errorf("%d jobs are left, want 5", n)
		}
		stop()
	})
}
