package redisbus_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/events/redisbus"
	"github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// quiet keeps the library's own lines out of the tests' output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	goleak.VerifyTestMain(m)
}

// patient is how long a busy machine may take; nothing waits for it to pass.
const patient = 60 * time.Second

// rig is a database, a Redis, and nodes on both.
type rig struct {
	t     *testing.T
	db    *sqldb.DB
	store *sqlstore.Store
	rdb   *redis.Client
	wipe  func()
	// redis is nil where it is embedded.
	redis *testenv.RedisServer
}

// each runs fn on the embedded pair and on the real one.
func each(t *testing.T, fn func(t *testing.T, r *rig)) {
	t.Helper()
	t.Run("sqlite and embedded redis", func(t *testing.T) {
		t.Parallel()
		m := testenv.Miniredis(t)
		fn(t, newRig(t, sqldbtest.SQLite(t), m.Addr(), nil, m.FlushAll))
	})
	t.Run("postgres and redis", func(t *testing.T) {
		t.Parallel()
		db := sqldbtest.Postgres(t)
		s := testenv.Redis(t)
		fn(t, newRig(t, db, s.Addr, s, s.Flush))
	})
}

func newRig(t *testing.T, db *sqldb.DB, addr string, server *testenv.RedisServer, wipe func()) *rig {
	rdb := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true, DialTimeout: time.Second, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	return &rig{t: t, db: db, store: sqlstore.New(db, sqlstore.Options{}), rdb: rdb, redis: server, wipe: wipe}
}

var log = slog.New(slog.DiscardHandler)

func (r *rig) relay(groups ...*events.Group) *events.Relay {
	return events.NewRelay(r.store, redisbus.New(r.rdb), events.WantsOf(groups),
		events.RelayConfig{Every: 5 * time.Millisecond, Batch: 10, Keep: 5}, events.NewMetrics(prometheus.NewRegistry()), log)
}

func (r *rig) consumers(name string, groups ...*events.Group) *events.Consumers {
	return events.NewConsumers(r.store, redisbus.New(r.rdb), groups, events.ConsumerConfig{
		Name: name, Wait: 20 * time.Millisecond, Sweep: 20 * time.Millisecond, Idle: 100 * time.Millisecond, Stuck: 500 * time.Millisecond,
		Retry: events.Retry{Tries: 3, First: 10 * time.Millisecond, Longest: 20 * time.Millisecond},
	}, events.NewMetrics(prometheus.NewRegistry()), log)
}

// start runs parts until the returned stop, which waits for them.
func (r *rig) start(runs ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range runs {
		wg.Go(func() { _ = run(ctx) })
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	r.t.Cleanup(stop)
	return stop
}

// node is a relay and consumers.
func (r *rig) node(name string, groups ...*events.Group) (stop func()) {
	return r.start(r.relay(groups...).Run, r.consumers(name, groups...).Run)
}

func (r *rig) record(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		if err := r.store.Record(r.t.Context(), events.New(id, events.LearnerRegistered{LearnerID: id})); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) count(query string) (n int) {
	r.t.Helper()
	if err := r.db.Conn(r.t.Context()).QueryRowContext(r.t.Context(), "SELECT count(*) FROM "+query).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	testenv.EventuallyTrue(r.t, patient, what, cond)
}

// noting is a group that writes a row for each event, so a test sees effects
// as SQL has them.
func (r *rig) noting(name string) *events.Group {
	g := &events.Group{Name: name}
	events.On(g, func(ctx context.Context, e events.Event, _ events.LearnerRegistered) error {
		return r.note(ctx, name, e)
	})
	return g
}

func (r *rig) note(ctx context.Context, name string, e events.Event) error {
	_, err := r.db.Conn(ctx).ExecContext(ctx, "INSERT INTO mails (key, state, at) VALUES (?, ?, ?)", name+" "+e.ID, name, e.Position)
	return err
}

func (r *rig) noted(name string) int { return r.count("mails WHERE state = '" + name + "'") }

func newMetrics() *events.Metrics { return events.NewMetrics(prometheus.NewRegistry()) }

func sqliteDB(t *testing.T) *sqldb.DB { t.Helper(); return sqldbtest.SQLite(t) }
