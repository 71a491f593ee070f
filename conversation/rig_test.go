package conversation_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/conversation/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) { redis.SetLogger(silent{}); goleak.VerifyTestMain(m) }

// model is a Model whose every piece the test releases: the answer to a
// prompt is "w0 w1 w2 …", and it goes on exactly after Kept.
type model struct {
	words int
	gate  chan struct{} // one receive per word; nil runs free

	mu    sync.Mutex
	calls []conversation.Prompt
	fails []error // popped per call after two words
}

func answer(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "w%d😀 ", i)
	}
	return b.String()
}

func (m *model) Generate(ctx context.Context, p conversation.Prompt, emit func(string) error) (conversation.Finish, error) {
	m.mu.Lock()
	m.calls = append(m.calls, p)
	var fail error
	if len(m.fails) > 0 {
		fail, m.fails = m.fails[0], m.fails[1:]
	}
	m.mu.Unlock()
	rest, ok := strings.CutPrefix(answer(m.words), p.Kept)
	if !ok {
		return conversation.Finish{}, fmt.Errorf("kept text %q is no prefix", p.Kept)
	}
	n := 0
	for rest != "" {
		if m.gate != nil {
			select {
			case <-m.gate:
			case <-ctx.Done():
				return conversation.Finish{}, context.Cause(ctx)
			}
		}
		if fail != nil && n == 2 {
			return conversation.Finish{}, fail
		}
		i := strings.IndexByte(rest, ' ') + 1
		if err := emit(rest[:i]); err != nil {
			return conversation.Finish{}, err
		}
		rest = rest[i:]
		n++
	}
	return conversation.Finish{Reason: "stop"}, ctx.Err()
}

func (m *model) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.calls)
}

type script struct{}

func (script) Prompt(_ context.Context, st conversation.State, run conversation.Run) (conversation.Prompt, error) {
	p := conversation.Prompt{Purpose: run.Purpose}
	for _, t := range st.Window(run) {
		p.Messages = append(p.Messages, conversation.Message{Role: string(t.Author), Content: t.Text})
	}
	return p, nil
}

// Shown holds back everything from the word w7 of a scenario.
func (script) Shown(run conversation.Run, text []byte) int {
	if i := strings.Index(string(text), "w7"); run.Purpose == "scenario" && i >= 0 {
		return i
	}
	return len(text)
}

func (script) Finish(_ context.Context, _ conversation.State, run conversation.Run, text string) ([]conversation.NewFact, error) {
	if run.Purpose != "scenario" {
		return nil, nil
	}
	return []conversation.NewFact{{Type: conversation.TypeScenarioReady, Data: fmt.Appendf(nil, `{"scenario":{"words":%d}}`, strings.Count(text, " "))}}, nil
}

// node is one process's worth of the core.
type node struct {
	store   *sqlstore.Store
	log     *redislog.Log
	keeper  *conversation.Keeper
	runner  *conversation.Runner
	claimer *conversation.Claimer
	members *conversation.Membership
	engine  *conversation.Engine
	locks   *redislog.Locks
	bell    *redislog.Bell

	loops, stopAll func()
	dead           func() // stops beating and claiming; runs stay as they are
}

type rigOptions struct {
	checkpoint bool
	solo       bool
	mode       string
	instance   string
	script     conversation.Script
	observe    func(conversation.ID, conversation.Epoch, conversation.Event)
	// lossy stands between the runner and its log.
	lossy func(conversation.Log) conversation.Log
	// keep stands between the keeper and its log.
	keep func(conversation.Log) conversation.Log
	// store stands between the core and SQL.
	store    func(conversation.Store) conversation.Store
	patience time.Duration
	// end is how long the end of a run is repeated.
	end time.Duration
	// waitLog is how long a takeover waits for the log.
	waitLog time.Duration
}

func newNode(t *testing.T, db *sqldb.DB, addr string, m conversation.Model, o rigOptions) *node {
	t.Helper()
	if o.mode == "" {
		o.mode = "r"
	}
	if o.script == nil {
		o.script = script{}
	}
	if o.instance == "" {
		o.instance = string(conversation.NewID())
	}
	lg := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		lg = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, ReadTimeout: 300 * time.Millisecond, DialTimeout: 300 * time.Millisecond, DialerRetries: 1})
	n := &node{store: sqlstore.New(db)}
	n.log = redislog.New(rdb, n.store, redislog.Options{Mode: o.mode})
	n.locks = redislog.NewLocks(rdb, 300*time.Millisecond)
	n.bell = redislog.NewBell(rdb, lg)
	var kept conversation.Log = n.log
	if o.keep != nil {
		kept = o.keep(kept)
	}
	n.keeper = conversation.NewKeeper(n.store, kept, o.observe)
	var err error
	n.members, err = conversation.Join(t.Context(), n.store, conversation.Node{ID: conversation.NewNodeID(), Instance: o.instance, BootID: "b", Addr: "127.0.0.1:1", Version: "test"},
		conversation.MembershipConfig{Solo: o.solo, Beat: 100 * time.Millisecond, Suspect: 300 * time.Millisecond, Stale: time.Second}, lg)
	if err != nil {
		t.Fatal(err)
	}
	metrics := conversation.NewMetrics(nil)
	var log conversation.Log = n.log
	if o.lossy != nil {
		log = o.lossy(log)
	}
	var store conversation.Store = n.store
	if o.store != nil {
		store = o.store(store)
	}
	n.runner = conversation.NewRunner(conversation.RunnerConfig{Lease: time.Second, Checkpoint: o.checkpoint, Patience: o.patience, EndPatience: o.end, WaitLog: o.waitLog}, conversation.RunnerDeps{
		Store: store, Log: log, Keeper: n.keeper, Model: m, Script: o.script, Members: n.members, Locks: n.locks, Metrics: metrics, Logger: lg})
	n.members.OnDead(n.runner.DropAll)
	n.members.OnLoss(n.keeper.Doubt)

	n.claimer = conversation.NewClaimer(store, n.runner, n.members, n.locks, time.Second, 50*time.Millisecond, metrics, lg)
	n.engine = conversation.NewEngine(n.store, n.log, n.keeper, n.runner, n.claimer, metrics, conversation.Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	life, die := context.WithCancel(ctx)
	var wg, lifeWG sync.WaitGroup
	for _, run := range []func(context.Context) error{n.members.Run, n.claimer.Run} {
		lifeWG.Go(func() { _ = run(life) })
	}
	for _, run := range []func(context.Context) error{n.runner.Run, n.bell.Run} {
		wg.Go(func() { _ = run(ctx) })
	}
	n.dead = func() { die(); lifeWG.Wait() }
	n.loops = sync.OnceFunc(func() { n.dead(); cancel(); wg.Wait() })
	n.stopAll = sync.OnceFunc(func() { n.loops(); _ = rdb.Close() })
	t.Cleanup(n.stopAll)
	return n
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	testenv.EventuallyTrue(t, 20*time.Second, what, cond)
}

const owner = conversation.LearnerID("learner-1")

func newChat(t *testing.T, n *node) conversation.ID {
	t.Helper()
	h, err := n.engine.Create(t.Context(), conversation.CreateInput{Owner: owner, Kind: conversation.KindChat, ClientID: string(conversation.NewID()), Title: "talk", Opening: "Hello."})
	if err != nil {
		t.Fatal(err)
	}
	return h.ID
}

func send(t *testing.T, n *node, id conversation.ID, client, text string) conversation.Accepted {
	t.Helper()
	acc, err := n.engine.Send(t.Context(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: client, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

func snapshot(t *testing.T, n *node, id conversation.ID) conversation.State {
	t.Helper()
	st, _, err := n.engine.Snapshot(t.Context(), owner, id)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func lastTurn(st conversation.State) conversation.Turn {
	if len(st.Turns) == 0 {
		return conversation.Turn{}
	}
	return st.Turns[len(st.Turns)-1]
}

// stopAllLoops ends everything that works by itself, so that a test can count
// what a call does.
func (n *node) stopAllLoops() { n.loops() }
