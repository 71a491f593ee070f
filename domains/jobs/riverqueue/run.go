package riverqueue

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// New makes a Queue of the kinds of jobs that exist. It runs nothing before Run.
func New(db *sqldb.DB, kinds []jobs.Kind, cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Queue, error) {
	q := &Queue{db: db, kinds: map[string]jobs.Kind{}, cfg: cfg, log: log, metrics: newMetrics(reg)}
	q.defaults()
	var longest time.Duration
	workers := river.NewWorkers()
	for _, k := range kinds {
		if k.Queue == "" {
			k.Queue = jobs.Default
		}
		if k.Priority == 0 {
			k.Priority = jobs.Normal
		}
		if k.Work == nil || k.Policy.Tries < 1 || k.Policy.Limit <= 0 {
			return nil, fmt.Errorf("jobs: the kind %q has no work or no policy", k.Name)
		}
		if _, twice := q.kinds[k.Name]; twice {
			return nil, fmt.Errorf("jobs: there are two kinds %q", k.Name)
		}
		q.kinds[k.Name] = k
		longest = max(longest, k.Policy.Limit+k.Policy.Grace+time.Second)
		river.AddWorkerArgs(workers, args{kind: k.Name}, river.Worker[args](&worker{q: q, kind: k}))
	}
	queues := map[string]river.QueueConfig{}
	for _, name := range jobs.Queues {
		n, ok := q.cfg.Workers[name]
		if !ok || n == 0 {
			n = 4
		}
		if n > 0 {
			queues[name] = river.QueueConfig{MaxWorkers: n}
		}
	}
	rc := &river.Config{
		ID: q.cfg.Node, Logger: slog.New(quiet{log.Handler()}), PollOnly: true, FetchPollInterval: q.cfg.Poll, FetchCooldown: min(q.cfg.Poll, river.FetchCooldownDefault),
		Queues: queues, Workers: workers, RetryPolicy: policies{q},
		JobTimeout: longest, RescueStuckJobsAfter: 2*longest + time.Minute,
		CompletedJobRetentionPeriod: q.cfg.KeepDone, CancelledJobRetentionPeriod: q.cfg.KeepDead, DiscardedJobRetentionPeriod: q.cfg.KeepDead,
	}
	if q.cfg.Now != nil {
		rc.Test.Time = clock(q.cfg.Now)
	}
	var err error
	if q.client, err = river.NewClient(db.RiverDriver(), rc); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return q, nil
}

func (q *Queue) defaults() {
	c := &q.cfg
	if c.Node == "" {
		c.Node = fmt.Sprintf("node-%016x", rand.Uint64())
	}
	if c.Poll <= 0 {
		c.Poll = time.Second
	}
	if c.Drain <= 0 {
		c.Drain = 10 * time.Second
	}
	if c.KeepDone <= 0 {
		c.KeepDone = 24 * time.Hour
	}
	if c.KeepDead <= 0 {
		c.KeepDead = 30 * 24 * time.Hour
	}
	if c.Luck == nil {
		c.Luck = rand.Float64
	}
}

func (q *Queue) now() time.Time {
	if q.cfg.Now != nil {
		return q.cfg.Now()
	}
	return time.Now()
}

// clock is a test's clock for river.
type clock func() time.Time

func (c clock) NowUTC() time.Time { return c().UTC() }
func (c clock) NowUTCOrNil() *time.Time {
	t := c().UTC()
	return &t
}

// policies tells river when to try again.
type policies struct{ q *Queue }

func (p policies) NextRetry(job *rivertype.JobRow) time.Time {
	k, ok := p.q.kinds[job.Kind]
	if !ok {
		k.Policy = jobs.Base
	}
	return p.q.now().Add(k.Policy.Wait(job.Attempt, p.q.cfg.Luck()))
}

// quiet lets errors of river through and sends the rest to debug: a job that
// failed is told by the worker, in our words.
type quiet struct{ slog.Handler }

func (h quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return h.Handler.Enabled(ctx, lower(l))
}

func (h quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	if strings.Contains(r.Message, "Job errored") {
		r.Level = slog.LevelDebug
		if !h.Handler.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}
func (h quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{h.Handler.WithAttrs(a)} }
func (h quiet) WithGroup(n string) slog.Handler      { return quiet{h.Handler.WithGroup(n)} }

func lower(l slog.Level) slog.Level {
	if l < slog.LevelError {
		return slog.LevelDebug
	}
	return l
}

// tick is how often a node looks for orphans, recurring kinds and figures.
const tick = 2 * time.Second

// Run works until ctx ends, then lets what runs finish within the drain time
// and cancels the rest, which other nodes or the next start do again.
func (q *Queue) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	q.upkeep(ctx) // before the first fetch: on SQLite whatever runs is an orphan
	if !q.begin(ctx, work) {
		return nil
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.C:
			q.upkeep(ctx)
		}
	}
	drain, stop := context.WithTimeout(work, q.cfg.Drain)
	defer stop()
	if q.client.Stop(drain) == nil {
		return nil
	}
	q.stopping.Store(true)
	last, done := context.WithTimeout(work, 5*time.Second)
	defer done()
	if err := q.client.StopAndCancel(last); err != nil {
		q.log.Warn("jobs are left behind; they run again when this node is known to be gone", "err", err)
	}
	return nil
}

// begin starts river, as often as it takes: a database that is busy or away
// for a moment must not cost a node its jobs. False says that ctx ended first.
func (q *Queue) begin(ctx, work context.Context) bool {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := q.client.Start(work)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		q.log.WarnContext(ctx, "jobs cannot start; trying again", "err", err)
		_ = q.client.Stop(work) // a start that failed still counts as one
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

func (q *Queue) upkeep(ctx context.Context) {
	for what, fn := range map[string]func(context.Context) error{"free orphans": q.free, "enqueue recurring jobs": q.recur, "count jobs": q.measure} {
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			q.log.WarnContext(ctx, "upkeep of jobs failed", "what", what, "err", err)
		}
	}
}

// free makes available what runs on nodes that are dead. A try that may have
// killed its node counts; the last one is left to river, which ends the job.
func (q *Queue) free(ctx context.Context) error {
	if q.cfg.Alive == nil {
		return nil
	}
	owner := "attempted_by[array_upper(attempted_by, 1)]"
	if q.db.Engine == sqldb.SQLite {
		owner = "json_extract(attempted_by, '$[#-1]')"
	}
	// What runs is read first: a node that joins after that owns none of it.
	running, err := q.orphans(ctx, owner)
	if err != nil || len(running) == 0 {
		return err
	}
	alive, err := q.cfg.Alive(ctx)
	if err != nil {
		return err
	}
	living := map[string]bool{q.cfg.Node: true}
	for _, id := range alive {
		living[id] = true
	}
	for id, node := range running {
		if living[node] {
			continue
		}
		res, err := q.db.Conn(ctx).ExecContext(ctx, "UPDATE river_job SET state = 'available' WHERE id = ? AND state = 'running' AND "+owner+" = ?", id, node)
		if err != nil {
			return failed("free job", err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 1 {
			q.metrics.freed.Inc()
			q.log.InfoContext(ctx, "a job of a dead node runs again", "job_id", id, "node", node)
		}
	}
	return nil
}

func (q *Queue) orphans(ctx context.Context, owner string) (map[int64]string, error) {
	rows, err := q.db.Conn(ctx).QueryContext(ctx, "SELECT id, "+owner+" FROM river_job WHERE state = 'running' AND attempt < max_attempts LIMIT 1000")
	if err != nil {
		return nil, failed("find orphans", err)
	}
	defer func() { _ = rows.Close() }()
	out := map[int64]string{}
	for rows.Next() {
		var id int64
		var node string
		if err := rows.Scan(&id, &node); err != nil {
			return nil, failed("find orphans", err)
		}
		out[id] = node
	}
	return out, failed("find orphans", rows.Err())
}

// recur enqueues what recurs; the key makes it one in each span.
func (q *Queue) recur(ctx context.Context) error {
	for _, k := range q.kinds {
		if k.Every <= 0 {
			continue
		}
		span := q.now().Truncate(k.Every).UTC().Format(time.RFC3339)
		if err := q.Enqueue(ctx, jobs.Order{Kind: k.Name, Args: struct{}{}, Key: span}); err != nil {
			return err
		}
	}
	return nil
}
