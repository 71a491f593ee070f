package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Memory is what a node holds once its garbage is collected.
type Memory struct {
	RSS, Heap, Stack int64
	profile          string
}

// Idle is the memory of a node without and with idle connections.
type Idle struct {
	Transport     string
	Connections   int
	Before, After Memory
}

// perLearner is the server's own limit of connections of one learner.
const perLearner = 20

// What idle connections are: greeted is a WebSocket that watches nothing, the
// others are attached to a conversation of their own each.
const (
	idleGreeted = "WebSocket, watching nothing"
	idleWS      = "WebSocket"
	idleSSE     = "SSE"
)

// IdleMemory opens connections that do nothing, each kind on a fresh node.
func IdleMemory(ctx context.Context, o *Options, connections int) ([]Idle, *Conditions, error) {
	// The first node is killed: its connections count for some seconds more.
	with := *o
	with.Env = append(with.Env, fmt.Sprintf("FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=%d", 2*perLearner))
	o = &with
	redis, err := o.redis(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer redis.stop()
	pg, err := o.postgres(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer pg.close()
	learners, err := o.seed(ctx, redis.url, (connections+perLearner-1)/perLearner, perLearner)
	if err != nil {
		return nil, nil, err
	}
	var out []Idle
	for _, transport := range []string{idleGreeted, idleWS, idleSSE} {
		r, err := o.idle(ctx, redis.url, transport, learners, connections)
		if err != nil {
			return out, nil, fmt.Errorf("%s: %w", transport, err)
		}
		out = append(out, r)
	}
	return out, &Conditions{Redis: redis.version, Postgres: pg.version}, nil
}

func (o *Options) idle(ctx context.Context, redis, transport string, learners []learner, connections int) (Idle, error) {
	r := Idle{Transport: transport, Connections: connections}
	node, err := o.serve(ctx, "idle-"+strings.ReplaceAll(transport, " ", "-"), o.Binary, redis, "", "")
	if err != nil {
		return r, err
	}
	defer node.kill() // a drain of thousands is not what is measured
	// The first connections pay for pools and tables that all share; they stay
	// open and are in both figures.
	var v visitors
	defer v.close()
	const warm = 50
	if err := v.open(ctx, node.base, transport, learners, 0, warm); err != nil {
		return r, err
	}
	if r.Before, err = node.memory(ctx); err != nil {
		return r, err
	}
	begun := time.Now()
	if err := v.open(ctx, node.base, transport, learners, warm, connections); err != nil {
		return r, err
	}
	opened := time.Since(begun)
	if r.After, err = node.memory(ctx); err != nil {
		return r, err
	}
	if o.HeapProfile != "" {
		if err := os.WriteFile(o.HeapProfile+"."+strings.ReplaceAll(transport, " ", "-"), []byte(r.After.profile), 0o600); err != nil {
			return r, err
		}
	}
	r.Connections -= warm
	o.say("%s: %d connections opened in %.1f s; RSS %.1f -> %.1f MiB, heap %.1f -> %.1f, stacks %.1f -> %.1f; %d ended early", transport, connections, opened.Seconds(),
		mib(r.Before.RSS), mib(r.After.RSS), mib(r.Before.Heap), mib(r.After.Heap), mib(r.Before.Stack), mib(r.After.Stack), v.lost())
	if n := v.lost(); n > 0 {
		return r, fmt.Errorf("%d connections ended while they should have idled", n)
	}
	return r, nil
}

// visitors are idle connections, one goroutine each.
type visitors struct {
	wg sync.WaitGroup

	mu      sync.Mutex // guards what follows
	conns   []net.Conn
	ended   int
	closing bool
}

// open opens the connections numbered from to below to.
func (v *visitors) open(ctx context.Context, base, transport string, learners []learner, from, to int) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i := from; i < to; i++ {
		l := &learners[i/perLearner]
		conv := l.conversations[i%perLearner]
		g.Go(func() error {
			if transport == idleSSE {
				nc, err := dialSSE(gctx, base, conv, l.token)
				if err != nil {
					return err
				}
				return v.idle(nc, func() error {
					var b [256]byte // what comes is a snapshot and heartbeats
					for {
						if _, err := nc.Read(b[:]); err != nil {
							return err
						}
					}
				})
			}
			ws, err := dialWS(gctx, base+"/api/v2/ws", l.token, 256)
			if err != nil {
				return err
			}
			arrive := func() error { return subscribe(ws, conv) }
			if transport == idleGreeted {
				arrive = ws.greet
			}
			if err := arrive(); err != nil {
				ws.close()
				return err
			}
			return v.idle(ws.nc, func() error {
				for {
					msg, err := ws.read()
					if err == nil && bytes.HasPrefix(msg, pingMark) {
						err = ws.text(strings.Replace(string(msg), "ping", "pong", 1))
					}
					if err != nil {
						return err
					}
				}
			})
		})
	}
	return g.Wait()
}

// idle keeps a connection until close.
func (v *visitors) idle(nc net.Conn, read func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closing {
		return errors.Join(net.ErrClosed, nc.Close())
	}
	v.conns = append(v.conns, nc)
	v.wg.Go(func() {
		_ = read() // ends with the connection, which is counted
		v.mu.Lock()
		defer v.mu.Unlock()
		if !v.closing {
			v.ended++
		}
	})
	return nil
}

func (v *visitors) lost() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended
}

func (v *visitors) close() {
	v.mu.Lock()
	v.closing = true
	for _, nc := range v.conns {
		_ = nc.Close()
	}
	v.mu.Unlock()
	v.wg.Wait()
}

// memory has a node collect its garbage and waits until what the kernel counts
// no longer falls: the runtime gives memory back slowly.
func (c *child) memory(ctx context.Context) (Memory, error) {
	var m Memory
	low := int64(1 << 62)
	same := 0
	for range 40 {
		profile, err := c.get(ctx, "/debug/pprof/heap?gc=1")
		if err != nil {
			return m, err
		}
		m.profile = profile
		if err := pause(ctx, time.Second); err != nil {
			return m, err
		}
		rss, err := residentBytes(c.pid())
		if err != nil {
			return m, err
		}
		if same++; rss < low-low/100 {
			same = 0
		}
		low = min(low, rss)
		if same >= 5 {
			break
		}
	}
	body, err := c.get(ctx, "/metrics")
	if err != nil {
		return m, err
	}
	m.RSS = low
	m.Heap, m.Stack = metric(body, "go_memstats_heap_alloc_bytes"), metric(body, "go_memstats_stack_inuse_bytes")
	return m, nil
}

// get asks the operators' listener.
func (c *child) get(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.ops+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: status %d", path, resp.StatusCode)
	}
	return string(b), nil
}

// metric finds a sample without labels, 0 if there is none.
func metric(text, name string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, _ := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return int64(f)
		}
	}
	return 0
}
