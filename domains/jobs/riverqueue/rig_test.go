package riverqueue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/domains/jobs/riverqueue"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is how long a busy machine may take; nothing waits for it to pass.
const patient = 60 * time.Second

// fakeClock is a clock that a test moves. It begins now, because river cleans
// up by the database's own clock.
type fakeClock struct{ us atomic.Int64 }

func newClock() *fakeClock {
	c := &fakeClock{}
	c.us.Store(time.Now().UnixMicro())
	return c
}
func (c *fakeClock) now() time.Time          { return time.UnixMicro(c.us.Load()).UTC() }
func (c *fakeClock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

type rig struct {
	t   *testing.T
	db  *sqldb.DB
	q   *riverqueue.Queue
	log *words
}

// words is what was logged.
type words struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.buf.Write(p) }

func (r *rig) said(what string) bool {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return bytes.Contains(r.log.buf.Bytes(), []byte(what))
}

func open(t *testing.T, db *sqldb.DB, cfg riverqueue.Config, kinds ...jobs.Kind) *rig {
	t.Helper()
	if cfg.Poll == 0 {
		cfg.Poll = 10 * time.Millisecond
	}
	if cfg.Drain == 0 {
		cfg.Drain = patient
	}
	log := &words{}
	q, err := riverqueue.New(db, kinds, cfg, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, db, q, log}
}

// start runs the queue until the returned stop, which waits for its end.
func (r *rig) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.q.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) enqueue(o jobs.Order) {
	r.t.Helper()
	if err := r.q.Enqueue(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) list(f jobs.Filter) []jobs.Row {
	r.t.Helper()
	rows, err := r.q.List(r.t.Context(), f)
	if err != nil {
		r.t.Fatal(err)
	}
	return rows
}

func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	testenv.EventuallyTrue(r.t, patient, what, cond)
}

func (r *rig) state(s jobs.State, n int) func() bool {
	return func() bool { return len(r.list(jobs.Filter{State: s})) == n }
}

// compact is JSON without the spaces that Postgres puts in.
func compact(t *testing.T, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func kind(name string, p jobs.Policy, work func(context.Context, jobs.Job) error) jobs.Kind {
	return jobs.Kind{Name: name, Policy: p, Work: work}
}
