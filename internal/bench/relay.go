package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// RelayOptions say how much load Relay makes.
type RelayOptions struct {
	// Learners stream at once, Rate tokens a second each.
	Learners int
	Rate     float64
	// Window is what is measured of each round, Rounds how often each path is.
	Window time.Duration
	Rounds int
	// Patience is how long a round waits for other work on the machine to pause.
	Patience time.Duration
	// Profile, when set, is where a CPU profile of the server's last round goes.
	Profile string
	// Nodes share the server's learners, Redis and Postgres [1].
	Nodes int
	// Direct leaves the direct path out when false.
	Direct bool
}

// ramp is the time in which a round's answers begin, settle what passes from
// then to the window.
const (
	ramp   = 2 * time.Second
	settle = time.Second
)

// Paths that Relay measures.
const (
	PathDirect = "direct"
	PathRelay  = "bare relay"
	PathServer = "server"
	PathOther  = "other build"
)

// Round is one window of one path.
type Round struct {
	Path string
	// P50 and P99 are the delay from the stand-in's stamp to the load client.
	P50, P99, Max time.Duration
	// Tokens arrived in Window; Lost, Doubled and Broken count over the round.
	Tokens                int64
	Window                time.Duration
	Lost, Doubled, Broken int
	// CPU is seconds by process: "process" is the path's own, "redis",
	// "postgres", "stand-in", "client", and "machine" for all there is.
	CPU map[string]float64
}

// PerMillion is CPU seconds of some processes per million tokens.
func (r *Round) PerMillion(parts ...string) float64 {
	s := 0.0
	for _, p := range parts {
		s += r.CPU[p]
	}
	return s / float64(max(r.Tokens, 1)) * 1e6
}

// Foreign is what else the machine did, in percent of one core: other work,
// and the kernel's that it charges to nobody.
func (r *Round) Foreign() float64 {
	s := r.CPU["machine"]
	for _, k := range []string{"process", "redis", "postgres", "stand-in", "client"} {
		s -= r.CPU[k]
	}
	return 100 * max(s, 0) / r.Window.Seconds()
}

// quiet waits until the machine does little, or patience is over.
func quiet(ctx context.Context, patience time.Duration) error {
	const look = 500 * time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); {
		before, err := busy()
		if err == nil {
			err = pause(ctx, look)
		}
		if err != nil {
			return err
		}
		if after, err := busy(); err != nil || (after-before)/look.Seconds() < 0.2*float64(runtime.NumCPU()) {
			return err
		}
	}
	return nil
}

// path is one way from the stand-in to the load client.
type path struct {
	name    string
	gauge   gauge
	streams []streamed
	nodes   []*child // none for the direct one
}

// relayRun is everything that Relay started.
type relayRun struct {
	o     *Options
	ro    RelayOptions
	redis *redisServer
	pg    *postgres
	model *child
	paths []*path
	kids  []*child
}

// Relay measures all paths round by round in turn, so that what disturbs the
// machine disturbs them alike.
func Relay(ctx context.Context, o *Options, ro RelayOptions) ([]Round, *Conditions, error) {
	run := &relayRun{o: o, ro: ro}
	defer run.close()
	if err := run.open(ctx); err != nil {
		return nil, nil, err
	}
	var out []Round
	for n := range ro.Rounds {
		for i := range run.paths {
			p := run.paths[(i+n)%len(run.paths)]
			if err := quiet(ctx, ro.Patience); err != nil {
				return out, nil, err
			}
			r, err := run.round(ctx, p, ro.Profile != "" && n == ro.Rounds-1 && p.name == PathServer)
			if err != nil {
				return out, nil, fmt.Errorf("%s: %w", p.name, err)
			}
			o.say("round %d %-11s p50 %6.2f ms  p99 %7.2f ms  %6d tokens  cpu %5.1f s/M (+redis %5.1f +postgres %5.1f, stand-in %5.1f, client %5.1f)  foreign %3.0f %%  lost %d doubled %d broken %d",
				n+1, p.name, ms(r.P50), ms(r.P99), r.Tokens, r.PerMillion("process"), r.PerMillion("redis"), r.PerMillion("postgres"),
				r.PerMillion("stand-in"), r.PerMillion("client"), r.Foreign(), r.Lost, r.Doubled, r.Broken)
			out = append(out, r)
		}
	}
	return out, &Conditions{Redis: run.redis.version, Postgres: run.pg.version}, nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func (run *relayRun) open(ctx context.Context) error {
	o, ro := run.o, run.ro
	var err error
	if run.redis, err = o.redis(ctx); err != nil {
		return err
	}
	// An answer lasts from the last start to the end of the window, and a bit.
	tokens := int((ramp + settle + ro.Window + settle/2).Seconds() * ro.Rate)
	model := "stamped-" + strconv.Itoa(tokens)
	if run.model, err = o.standIn(ctx, model, 300*time.Millisecond, ro.Rate); err != nil {
		return err
	}
	builds := []string{o.Binary}
	if o.Other != "" {
		builds = append(builds, o.Other)
	}
	learners, err := o.seed(ctx, run.redis.url, ro.Learners, len(builds))
	if err != nil {
		return err
	}
	if run.pg, err = o.postgres(ctx); err != nil {
		return err
	}
	relay, err := o.bareRelay(ctx, run.model.base, model)
	if err != nil {
		return err
	}
	run.kids = append(run.kids, relay)
	dp, rp := &path{name: PathDirect}, &path{name: PathRelay, nodes: []*child{relay}}
	run.paths = []*path{rp}
	servers := make([]*path, len(builds))
	for i, bin := range builds {
		servers[i] = &path{name: []string{PathServer, PathOther}[i]}
		for n := range max(ro.Nodes, 1) {
			node, err := o.serve(ctx, fmt.Sprintf("server-%d-%d", i+1, n+1), bin, run.redis.url, run.model.base, model)
			if err != nil {
				return err
			}
			run.kids = append(run.kids, node)
			servers[i].nodes = append(servers[i].nodes, node)
		}
		run.paths = append(run.paths, servers[i])
	}
	if ro.Direct {
		run.paths = append([]*path{dp}, run.paths...)
	}
	for i := range ro.Learners {
		if ro.Direct {
			dp.streams = append(dp.streams, openDirect(run.model.base, model, &dp.gauge))
		}
		s, err := openSocket(ctx, relay.base, &rp.gauge, nil, "")
		if err != nil {
			return err
		}
		rp.streams = append(rp.streams, s)
		for k, p := range servers {
			s, err := openSocket(ctx, p.nodes[i%len(p.nodes)].base, &p.gauge, &learners[i], learners[i].conversations[k])
			if err != nil {
				return err
			}
			p.streams = append(p.streams, s)
		}
	}
	return nil
}

func (run *relayRun) close() {
	for _, p := range run.paths {
		for _, s := range p.streams {
			s.close()
		}
	}
	for _, c := range run.kids {
		c.stop()
	}
	run.model.stop()
	if run.pg != nil {
		run.pg.close()
	}
	if run.redis != nil {
		run.redis.stop()
	}
}

// round has every learner of a path ask for one answer, spread over the ramp,
// and measures while all stream.
func (run *relayRun) round(ctx context.Context, p *path, profile bool) (Round, error) {
	r := Round{Path: p.name}
	for _, s := range p.streams {
		s.seen().delays = s.seen().delays[:0]
	}
	g, gctx := errgroup.WithContext(ctx)
	for i, s := range p.streams {
		g.Go(func() error {
			if err := pause(gctx, ramp*time.Duration(i)/time.Duration(len(p.streams))); err != nil {
				return err
			}
			if err := s.start(); err != nil {
				return err
			}
			limit := time.NewTimer(ramp + settle + run.ro.Window + 30*time.Second)
			defer limit.Stop()
			select {
			case err := <-s.done():
				return err
			case <-limit.C:
				return errors.New("an answer does not end")
			case <-gctx.Done():
				return context.Cause(gctx)
			}
		})
	}
	// The window is measured beside the streams; what fails there shows in g.
	var wg sync.WaitGroup
	var werr error
	wg.Go(func() { werr = run.window(gctx, p, &r, profile) })
	err := g.Wait()
	wg.Wait()
	if err == nil {
		err = werr
	}
	if err != nil {
		return r, err
	}
	var all []time.Duration
	for _, s := range p.streams {
		seen := s.seen()
		all = append(all, seen.delays...)
		r.Lost += seen.stamps.lost
		r.Doubled += seen.stamps.doubled
		r.Broken += seen.stamps.broken
	}
	slices.Sort(all)
	r.P50, _ = Quantile(all, 0.5)
	r.P99, _ = Quantile(all, 0.99)
	r.Max, _ = Quantile(all, 1)
	return r, nil
}

func (run *relayRun) window(ctx context.Context, p *path, r *Round, profile bool) error {
	if err := pause(ctx, ramp+settle); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var perr error
	if profile {
		wg.Go(func() { perr = fetchProfile(ctx, p.nodes[0].ops, run.ro.Window, run.ro.Profile) })
	}
	before, pgBefore, err := run.cpu(ctx, p)
	if err != nil {
		return err
	}
	tokens, begun := p.gauge.tokens.Load(), time.Now()
	p.gauge.open.Store(true)
	err = pause(ctx, run.ro.Window)
	p.gauge.open.Store(false)
	r.Window = time.Since(begun)
	r.Tokens = p.gauge.tokens.Load() - tokens
	if err != nil {
		return err
	}
	after, pgAfter, err := run.cpu(ctx, p)
	if err != nil {
		return err
	}
	r.CPU = map[string]float64{}
	for k, v := range after {
		r.CPU[k] = v - before[k]
	}
	for pid, s := range pgAfter {
		r.CPU["postgres"] += s - pgBefore[pid]
	}
	wg.Wait()
	return perr
}

// cpu reads the clocks of all processes.
func (run *relayRun) cpu(ctx context.Context, p *path) (map[string]float64, map[int]float64, error) {
	pids := map[string]int{"redis": run.redis.pid, "stand-in": run.model.pid(), "client": os.Getpid()}
	out := map[string]float64{}
	var errs error
	for name, pid := range pids {
		s, err := cpuSeconds(pid)
		out[name], errs = s, errors.Join(errs, err)
	}
	for _, n := range p.nodes {
		s, err := cpuSeconds(n.pid())
		out["process"] += s
		errs = errors.Join(errs, err)
	}
	all, err := busy()
	out["machine"] = all
	pg, perr := run.pg.cpu(ctx)
	return out, pg, errors.Join(errs, err, perr)
}

// fetchProfile asks a node for a CPU profile.
func fetchProfile(ctx context.Context, ops string, d time.Duration, file string) error {
	url := ops + "/debug/pprof/profile?seconds=" + strconv.Itoa(max(1, int(d.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
