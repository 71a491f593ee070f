package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/conversation/sqlstore"
	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/oidc"
	"github.com/fluentpro/fluentpro/domains/authentication/redisguard"
	authsql "github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/domains/events/redisbus"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	onboardingsql "github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/domains/practice"
	practicesql "github.com/fluentpro/fluentpro/domains/practice/sqlstore"
	"github.com/fluentpro/fluentpro/internal/buildinfo"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
	"github.com/fluentpro/fluentpro/server"
	v1 "github.com/fluentpro/fluentpro/server/v1"
	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/sessions/redisstore"
	"github.com/fluentpro/fluentpro/streaming"
	"github.com/fluentpro/fluentpro/web"
)

// App is one process, wired: every part is made in newApp, in the order of
// what needs what, and started and stopped in run.
type App struct {
	cfg *configs.Config
	log *slog.Logger
	reg *prometheus.Registry

	db     *sqldb.DB
	redis  *redisClients
	model  *fake.Server // the scripted partner, nil with a real upstream
	client *openai.Router
	// embedder is the first upstream, outward what Azure and issuers are called over.
	embedder *openai.Client
	outward  *http.Transport
	calls    callRing

	listener, opsListener net.Listener
	http, ops             *http.Server

	members  *conversation.Membership
	keeper   *conversation.Keeper
	runner   *conversation.Runner
	claimer  *conversation.Claimer
	engine   *conversation.Engine
	bell     *redislog.Bell
	back     *backroom
	janitor  *conversation.Janitor
	sentry   *conversation.Sentry
	hub      *streaming.Hub
	sessions *sessions.Manager
	auth     *authentication.Service
	issuer   *oidc.Verifier // somebody else's tokens, nil for nobody's

	// front is what wireFront takes over from wireCore.
	front struct {
		store      *sqlstore.Store
		log        *redislog.Log
		locks      *redislog.Locks
		onboarding *onboarding.Service
		practice   *practice.Service
	}

	drain drainFlag
}

// newApp opens what the configuration names and wires the rooms. An error
// leaves nothing open.
func newApp(ctx context.Context, cfg *configs.Config, log *slog.Logger) (app *App, err error) {
	a := &App{cfg: cfg, log: log, reg: newRegistry()}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if err := a.openParts(ctx); err != nil {
		return nil, err
	}
	if err := a.wireCore(ctx); err != nil {
		return nil, err
	}
	if err := a.wireFront(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// openParts opens listeners first: a port that is taken should say so before
// anything is written.
func (a *App) openParts(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	if a.listener, err = lc.Listen(ctx, "tcp", a.cfg.Listen); err != nil {
		return fmt.Errorf("listen (FLUENTPRO_LISTEN): %w", err)
	}
	if a.cfg.Ops.Listen != configs.Off {
		if a.opsListener, err = lc.Listen(ctx, "tcp", a.cfg.Ops.Listen); err != nil {
			return fmt.Errorf("listen for operators (FLUENTPRO_OPS_LISTEN): %w", err)
		}
	}
	if a.db, err = sqldb.Open(ctx, a.cfg.SQL(), poolOptions(a.cfg)); err != nil {
		if a.cfg.EmbeddedDatabase() {
			return err // it names the file
		}
		return fmt.Errorf("database (FLUENTPRO_DATABASE_URL): %w", err)
	}
	a.reg.MustRegister(a.db.Collector(), a.db.Refusals())
	if err := migrateAtStart(ctx, a.cfg, a.db, a.log); err != nil {
		return err
	}
	if a.redis, err = openRedis(a.cfg.Redis.URL.Reveal()); err != nil {
		return err
	}
	if a.cfg.EmbeddedUpstream() {
		o := fake.Options{FirstTokenDelay: a.cfg.Upstream.Script.FirstToken}
		if tps := a.cfg.Upstream.Script.TokensPerSecond; tps > 0 {
			o.TokenDelay = time.Duration(float64(time.Second) / tps)
		}
		if a.model, err = fake.Listen(o); err != nil {
			return err
		}
	}
	return nil
}

// wireCore makes the conversation room.
func (a *App) wireCore(ctx context.Context) error {
	embedded := a.cfg.EmbeddedRedis()
	mode, err := a.incarnationMode(ctx)
	if err != nil {
		return err
	}
	if err := a.checkSettings(ctx); err != nil {
		return err
	}
	store := sqlstore.New(a.db)
	entries := 0
	if embedded {
		entries = 1000 // the embedded Redis copies a whole log to read a part
	}
	rlog := redislog.New(a.redis.calls, store, redislog.Options{Mode: mode, MaxEntries: entries})
	locks := redislog.NewLocks(a.redis.calls, 300*time.Millisecond)
	a.bell = redislog.NewBell(a.redis.bell, a.log)
	rlog.Spare(a.bell)
	metrics := conversation.NewMetrics(a.reg)
	live := conversation.Guard(rlog, rlog, store, func() string { return a.members.Self().ID }, metrics, a.log)
	a.keeper = conversation.NewKeeper(store, live, func(id conversation.ID, ep conversation.Epoch, ev conversation.Event) { a.hub.Offer(id, ep, ev) })
	a.hub = streaming.NewHub(streaming.Config{}, live, a.keeper, a.bell, store, a.log)

	a.members, err = conversation.Join(ctx, store, a.node(ctx), conversation.MembershipConfig{
		Solo: a.db.Engine == sqldb.SQLite, Beat: a.cfg.Heartbeat, Stale: a.cfg.Lease}, a.log)
	if err != nil {
		return err
	}
	node := a.members.Self().ID
	a.back, err = newBackroom(a.cfg, a.db, node, func(context.Context) ([]string, error) { return a.members.Alive(), nil }, a.reg, a.log)
	if err != nil {
		return err
	}
	a.back.travel(a.cfg, redisbus.New(a.redis.events), node, a.log)
	if a.client, err = a.newModel(); err != nil {
		return err
	}
	start := &starter{}
	a.outward = &http.Transport{Proxy: http.ProxyFromEnvironment}
	roles, err := matching{cfg: a.cfg, db: a.db, embedder: a.embedder, transport: a.outward, reg: a.reg, log: a.log}.matcher()
	if err != nil {
		return err
	}
	onboard := onboarding.New(onboardingsql.New(a.db).Recording(a.back.trail), roles, nil)
	scenarios := practicesql.New(a.db)
	practise := practice.New(profiles{onboard}, start, scenarios, nil)
	a.back.duties.recommend = practice.NewRecommender(profiles{onboard}, scenarios, nil)
	checkpoint := a.cfg.Checkpoint == "always" || a.cfg.Checkpoint == "auto" && embedded
	a.runner = conversation.NewRunner(conversation.RunnerConfig{Lease: a.cfg.Lease, Total: a.client.Patience(), Checkpoint: checkpoint}, conversation.RunnerDeps{
		Store: store, Log: live, Keeper: a.keeper, Model: a.client, Script: script{practise, onboard}, Members: a.members,
		Locks: locks, Metrics: metrics, Logger: a.log})
	a.members.OnDead(a.runner.DropAll)
	a.members.OnLoss(a.keeper.Doubt)
	a.claimer = conversation.NewClaimer(store, a.runner, a.members, locks, a.cfg.Lease, a.cfg.Heartbeat/2, metrics, a.log)
	queue := a.cfg.Limits.Queue
	if queue == 0 {
		queue = -1 // none may wait, said in the engine's words
	}
	a.engine = conversation.NewEngine(store, live, a.keeper, a.runner, a.claimer, metrics,
		conversation.Limits{MessageChars: a.cfg.Limits.MessageChars, Queue: queue})
	start.engine = a.engine
	a.janitor = conversation.NewJanitor(conversation.JanitorConfig{Keep: a.cfg.KeepConversations}, store, rlog, a.members, locks, metrics, a.log)
	a.sentry = conversation.NewSentry(rlog, a.keeper, metrics, 0, a.log)
	a.front.store, a.front.log, a.front.locks, a.front.onboarding, a.front.practice = store, rlog, locks, onboard, practise
	return nil
}

// wireFront makes sessions and the two listeners' handlers.
func (a *App) wireFront(ctx context.Context) error {
	accounts := accountsConfig(a.cfg, a.db, a.back, a.cfg.PageURL(a.listener.Addr().String()))
	accounts.Log, accounts.Closer, accounts.Mailer, accounts.Registerer = a.log, authentication.CloserFunc(a.loginEnded), a.back.duties, a.reg
	accounts.Attempts, accounts.Guarded = redisguard.New(a.redis.calls), guarded(a.reg)
	var err error
	if a.issuer, err = believe(&accounts, a.cfg, a.outward, a.reg, a.log); err != nil {
		return err
	}
	auth, err := authentication.New(ctx, authsql.New(a.db), accounts)
	if err != nil {
		return err
	}
	a.auth, a.back.duties.auth = auth, auth
	origins := a.cfg.Origins(a.listener.Addr().String())
	visits := redisstore.New(a.redis.calls, redisstore.Options{})
	a.back.duties.shred = a.shredder(visits)
	a.sessions, err = sessions.New(sessions.Config{
		Auth: socketVerifier{auth}, Commands: a.engine, Source: a.hub, Runs: a.front.store, Store: visits,
		Bus: redisstore.NewBus(a.redis.calls, a.redis.bell, a.log), Logins: socketVerifier{auth}, Metrics: newSessionMetrics(a.reg),
		Log: a.log, Node: a.members.Self().ID, Origins: origins, Problem: server.WriteProblem, Secure: server.IsHTTPS,
		Limits: sessions.Limits{Frame: a.cfg.Limits.FrameBytes, Message: a.cfg.Limits.MessageChars,
			Subscriptions: a.cfg.Limits.Subscriptions, ConnectionsPerUser: a.cfg.Limits.ConnectionsPerUser},
		Times: a.wireTimes(),
	})
	if err != nil {
		return err
	}
	httpMetrics, err := server.NewMetrics(a.reg)
	if err != nil {
		return err
	}
	checks := a.checks()
	old, err := v1.New(v1.Deps{Authentication: auth, Onboarding: a.front.onboarding, Interviews: interviews{a.engine, a.front.store},
		Healthy: server.Ready(checks), Version: buildinfo.Read().Version, Environment: a.cfg.Profile, External: a.cfg.Passwords() == configs.PasswordsAuth0})
	if err != nil {
		return err
	}
	s, err := server.New(server.Deps{
		Logger: a.log, Version: buildinfo.Read().Version, Origins: origins, TrustedProxies: a.cfg.TrustedProxies,
		Authenticator: verifier{auth}, Authentication: auth, Accounts: auth, Onboarding: a.front.onboarding, Practice: a.front.practice, Recommendations: a.back.duties.recommend, Conversations: a.engine, Erase: a.janitor.Erase, V1: old, Transcripts: a.front.store,
		WebSocket: a.sessions.ServeWS, Events: a.sessions.ServeSSE, Log: a.sessions.ServeLog, Replies: a.sessions.ServeReply, Tickets: a.sessions,
		Static: web.Handler(), Info: a.info(), Checks: checks, Metrics: httpMetrics,
	})
	if err != nil {
		return err
	}
	a.http = server.HTTPServer(s, a.log)
	if a.opsListener != nil {
		h := server.NewOps(server.OpsDeps{Logger: a.log, Inspector: a.inspector(visits), Calls: &a.calls, Damages: a.front.store.Damages, Checks: checks, Connections: a.sessions, Work: opsWork{a.back}, Findings: a,
			Gatherer: a.reg, Token: a.cfg.Ops.Token.Reveal()})
		a.ops = server.HTTPServer(h, a.log)
	}
	return nil
}

// run serves until ctx ends, then drains: close the door, let viewers and
// runs go, stop what feeds them, close the stores.
func (a *App) run(ctx context.Context) error {
	core, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCore()
	claims, stopClaims := context.WithCancel(core)
	defer stopClaims()
	runs, stopRuns := context.WithCancel(core)
	defer stopRuns()
	back, stopBack := context.WithCancel(core)
	defer stopBack()
	var coreWG, runWG, claimWG, backWG, httpWG sync.WaitGroup
	failed := make(chan error, 5) // one per listener and part of the background
	for _, fn := range []func(context.Context) error{a.members.Run, a.bell.Run, a.hub.Run, a.janitor.Run, a.sentry.Run} {
		coreWG.Go(func() { _ = fn(core) }) // these end only with their context
	}
	coreWG.Go(func() { a.auth.Run(core) })
	if a.issuer != nil {
		coreWG.Go(func() { a.issuer.Run(core) })
	}
	runWG.Go(func() { _ = a.runner.Run(runs) })
	claimWG.Go(func() { _ = a.claimer.Run(claims) })
	for _, fn := range a.back.parts() {
		backWG.Go(func() {
			if err := fn(back); err != nil {
				failed <- err
			}
		})
	}
	for s, l := range map[*http.Server]net.Listener{a.http: a.listener, a.ops: a.opsListener} {
		if s == nil {
			continue
		}
		httpWG.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve: %w", err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}

	a.drain.set()
	a.log.Info("draining", "runs", len(a.runner.Active()), "connections", a.sessions.Connections())
	limit, cancel := context.WithTimeout(core, a.cfg.Drain)
	defer cancel()
	_ = a.members.SetDraining(limit) // others would notice by the heartbeat
	stopClaims()
	stopBack()
	claimWG.Wait()
	var wg sync.WaitGroup
	wg.Go(backWG.Wait)
	wg.Go(func() { _ = a.sessions.Drain(limit) })
	wg.Go(func() {
		if !a.solo() { // alone, nobody could take over: the next start goes on
			a.runner.Drain(limit)
		}
		stopRuns()
		runWG.Wait()
	})
	wg.Wait()
	a.sessions.Close()
	down, done := context.WithTimeout(core, 3*time.Second)
	defer done()
	for _, s := range []*http.Server{a.http, a.ops} {
		if s != nil && s.Shutdown(down) != nil {
			_ = s.Close()
		}
	}
	httpWG.Wait()
	_ = a.members.Leave(down) // else others notice by the heartbeat
	stopCore()
	coreWG.Wait()
	a.close()
	return err
}

// close frees what newApp opened.
func (a *App) close() {
	for _, l := range []net.Listener{a.listener, a.opsListener} {
		if l != nil {
			_ = l.Close()
		}
	}
	if a.client != nil {
		a.client.Close()
	}
	if a.outward != nil {
		a.outward.CloseIdleConnections()
	}
	if a.model != nil {
		_ = a.model.Close()
	}
	if a.redis != nil {
		a.redis.Close()
	}
	if a.db != nil {
		_ = a.db.Close()
	}
}

func (a *App) solo() bool { return a.db.Engine == sqldb.SQLite }

// node is what others know of this process: where it is reached, and a name
// that stays the same for each start of this place.
func (a *App) node(ctx context.Context) conversation.Node {
	_, port, _ := net.SplitHostPort(a.listener.Addr().String())
	addr := a.cfg.AdvertiseAddr
	if addr == "" {
		host, _, err := net.SplitHostPort(a.db.LocalAddr(ctx))
		if err != nil {
			host = "127.0.0.1"
		}
		addr = net.JoinHostPort(host, port)
	}
	name, err := os.Hostname()
	if err != nil {
		name = addr
	}
	id := conversation.NewNodeID()
	return conversation.Node{ID: id, Instance: net.JoinHostPort(name, port), BootID: id, Addr: addr, Version: buildinfo.Read().Version}
}
