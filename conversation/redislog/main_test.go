package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) { redis.SetLogger(silent{}); goleak.VerifyTestMain(m) }

// registry numbers incarnations as SQL does.
type registry struct {
	mu  sync.Mutex
	inc map[string]int64
}

func (r *registry) Incarnation(_ context.Context, identity string) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.inc[identity]; !ok {
		r.inc[identity] = int64(len(r.inc)) + 1
	}
	return r.inc[identity], nil
}

// env is one Redis with a Log on it.
type env struct {
	t    *testing.T
	mode string
	rdb  *redis.Client
	reg  *registry
	log  *redislog.Log
	srv  *testenv.RedisServer // nil on miniredis
}

func client(t testing.TB, addr string) *redis.Client {
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func newEnv(t *testing.T, addr, mode string, srv *testenv.RedisServer) *env {
	e := &env{t: t, mode: mode, rdb: client(t, addr), reg: &registry{inc: map[string]int64{}}, srv: srv}
	e.log = e.open(redislog.Options{})
	return e
}

// open returns a further Log on the same Redis, as another node has.
func (e *env) open(o redislog.Options) *redislog.Log {
	o.Mode, o.Timeout = e.mode, 5*time.Second
	return redislog.New(e.rdb, e.reg, o)
}

// everywhere runs a test on each kind of Redis and of identity.
func everywhere(t *testing.T, fn func(t *testing.T, e *env)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		fn(t, newEnv(t, testenv.Miniredis(t).Addr(), "m", nil))
	})
	for _, mode := range []string{"r", "m"} {
		t.Run("redis-"+mode, func(t *testing.T) {
			t.Parallel()
			srv := testenv.Redis(t)
			fn(t, newEnv(t, srv.Addr, mode, srv))
		})
	}
}

func (e *env) do(args ...any) {
	e.t.Helper()
	if err := e.rdb.Do(e.t.Context(), args...).Err(); err != nil {
		e.t.Fatalf("%v: %v", args, err)
	}
}

// keys lists a conversation's keys in every incarnation.
func (e *env) keys(id conversation.ID) []string {
	e.t.Helper()
	ks, err := e.rdb.Keys(e.t.Context(), "cv:*:"+string(id)+":*").Result()
	if err != nil {
		e.t.Fatal(err)
	}
	return ks
}

// drop deletes one kind of key: m, l, p, t or h.
func (e *env) drop(id conversation.ID, kind string) {
	e.t.Helper()
	for _, k := range e.keys(id) {
		if strings.HasSuffix(k, ":"+kind) {
			e.do("DEL", k)
			return
		}
	}
	e.t.Fatalf("no key %q of %s", kind, id)
}

// dump is everything Redis holds of a conversation.
func (e *env) dump(id conversation.ID) map[string]any {
	e.t.Helper()
	ctx := e.t.Context()
	out := map[string]any{}
	for _, k := range e.keys(id) {
		var v any
		var err error
		switch k[len(k)-1] {
		case 'm':
			v, err = e.rdb.HGetAll(ctx, k).Result()
		case 'l':
			v, err = e.rdb.XRange(ctx, k, "-", "+").Result()
		case 't':
			v, err = e.rdb.LRange(ctx, k, 0, -1).Result()
		default:
			v, err = e.rdb.Get(ctx, k).Result()
		}
		if err != nil {
			e.t.Fatal(err)
		}
		out[k] = v
	}
	return out
}

func same(t *testing.T, what string, before, after any) {
	t.Helper()
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("%s changed the log (-before +after):\n%s", what, d)
	}
}

// flush loses everything.
func (e *env) flush() { e.t.Helper(); e.do("FLUSHALL") }

// reborn makes the same data belong to another lifetime of Redis: a marker
// that SQL has not seen, or (by replication id) another process.
func (e *env) reborn() {
	e.t.Helper()
	if e.mode == "m" {
		ks, err := e.rdb.Keys(e.t.Context(), "cv:*:mark").Result()
		if err != nil || len(ks) == 0 {
			e.t.Fatalf("no marker (%v)", err)
		}
		for _, k := range ks {
			e.do("SET", k, "another "+string(conversation.NewID()))
		}
		return
	}
	// DEBUG would be off in production: a promotion makes a new replication id.
	e.do("REPLICAOF", "127.0.0.1", "1")
	e.do("REPLICAOF", "NO", "ONE")
}

const fence = 5

func header(id conversation.ID) conversation.Header {
	return conversation.Header{ID: id, Kind: conversation.KindChat, Owner: "learner-1", Title: "Talk <&> 😀",
		State: conversation.StateActive, CreatedAt: 1780000000000, Meta: []byte(`{"secret":1}`)}
}

// create makes an empty log of a conversation with an opening turn.
func (e *env) create() (conversation.ID, conversation.Epoch) {
	e.t.Helper()
	id := conversation.NewID()
	ep, err := e.log.Create(e.t.Context(), id, 1, conversation.Seed{Fence: fence, Facts: 2, Header: header(id),
		Turns: []conversation.Turn{{N: 1, ID: "t1", Author: conversation.Partner, Text: "Hello.", Run: 1, Finish: "stop", At: 1}}})
	if err != nil {
		e.t.Fatal(err)
	}
	return id, ep
}

func run(no, attempt int64) conversation.Run {
	return conversation.Run{No: no, Purpose: "partner", Parent: 2, MessageID: "m" + strconv.FormatInt(no, 10), Attempt: attempt}
}

func begin(how conversation.BeginHow, attempt, fence int64) conversation.Begin {
	return conversation.Begin{Run: run(2, attempt), Fence: fence, How: how, Reason: "node_dead"}
}

func piece(attempt, fence, at int64, text string) conversation.Append {
	return conversation.Append{Run: run(2, attempt), Fence: fence, At: at, Len: conversation.UTF16Len(text), Text: text}
}

// writing is a log with a run that has "he😀" (4 units): fence 6, attempt 1.
func (e *env) writing() (conversation.ID, conversation.Epoch) {
	e.t.Helper()
	id, ep := e.create()
	if _, err := e.log.Begin(e.t.Context(), id, ep, begin(conversation.BeginRestart, 1, fence+1)); err != nil {
		e.t.Fatal(err)
	}
	if _, _, err := e.log.Append(e.t.Context(), id, ep, piece(1, fence+1, 0, "he😀")); err != nil {
		e.t.Fatal(err)
	}
	return id, ep
}

func completed(n int64) conversation.Fact {
	return conversation.Fact{N: n, Type: "partner.completed", Run: 2, Attempt: 1, Base: 1, Data: []byte(`{"text":"he😀"}`),
		Turn: &conversation.Turn{N: 3, ID: "m2", Author: conversation.Partner, Text: "he😀", Run: 2, Finish: "stop"}, Fence: fence + 1}
}

func accepted(n int64) conversation.Fact {
	return conversation.Fact{N: n, Type: conversation.TypeAccepted, Data: []byte(`{"n":2}`),
		Turn: &conversation.Turn{N: n, ID: fmt.Sprint("t", n), Author: conversation.Learner, Text: "hi"}}
}

// types lists the log's event types from the start.
func (e *env) types(id conversation.ID, ep conversation.Epoch) []string {
	e.t.Helper()
	p, err := e.log.Read(e.t.Context(), id, ep, 0, 1000)
	if err != nil {
		e.t.Fatal(err)
	}
	var out []string
	for _, ev := range p.Events {
		out = append(out, strings.TrimPrefix(ev.Type, "partner"))
	}
	return out
}

func (e *env) active(id conversation.ID) conversation.Active {
	e.t.Helper()
	a, err := e.log.Active(e.t.Context(), id)
	if err != nil {
		e.t.Fatal(err)
	}
	return a
}

// errIs fails the test unless err is want; nil wants no error.
func errIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func gapAt(t *testing.T, what string, err error, have int64) {
	t.Helper()
	var gap *conversation.GapError
	if !errors.As(err, &gap) || gap.Have != have {
		t.Errorf("%s: got %v, want a gap at %d", what, err, have)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
