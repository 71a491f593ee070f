package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// drain is how long a node may take to leave; it has half of that to send its
// viewers away, one after the other.
const drain = 20 * time.Second

// node is one server of the fleet. Its addresses stay when it is started anew.
type node struct {
	*process
	// real is where it listens; clients know the proxies only: viewers' are cut
	// on purpose in some scenarios, senders' are not.
	real, ops      string
	viewers, calls *proxy
	sql            *pgProxy
	web            *http.Client
}

func (n *node) close() {
	if cmd, _ := n.running(); cmd != nil {
		n.kill()
	}
	n.viewers.close()
	n.calls.close()
	if n.sql != nil {
		n.sql.close()
	}
}

// launch starts it without waiting.
func (n *node) launch() error { return n.start() }

// ready waits until it serves.
func (n *node) ready(ctx context.Context) error {
	err := until(ctx, 3*time.Minute, func() error {
		if n.gone() {
			return nil
		}
		return answers(ctx, n.web, n.real+"/readyz")
	})
	if err == nil && n.gone() {
		err = errEnded
	}
	if err != nil {
		return fmt.Errorf("%s does not serve (its log is in %s): %w", n.name, n.dir, err)
	}
	return nil
}

// up is launch and ready.
func (n *node) up(ctx context.Context) error {
	if err := n.launch(); err != nil {
		return err
	}
	return n.ready(ctx)
}

func (n *node) term() error { return n.signal(syscall.SIGTERM) }

// fleetOptions say what a scenario needs.
type fleetOptions struct {
	redis  func(ctx context.Context, dir string) (*redisSet, error)
	tokens int
	// cutCommits has accepting transactions cut at COMMIT, while armed;
	// cutViewers cuts viewers' connections after at most so many bytes.
	cutCommits bool
	cutViewers int
	// Made from these by the stage.
	decide func(node string) func() commitCut
	budget func() int64
	onCut  func(node string)
	env    []string
}

// newNode makes a node; it is not started.
func (r *rig) newNode(name string, redis *redisSet, model *standIn, o fleetOptions) (*node, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	ops, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &node{real: "http://127.0.0.1:" + port, ops: "http://127.0.0.1:" + ops, web: r.web}
	if n.viewers, err = newProxy("127.0.0.1:" + port); err != nil {
		return nil, err
	}
	if n.calls, err = newProxy("127.0.0.1:" + port); err != nil {
		n.viewers.close()
		return nil, err
	}
	if o.budget != nil {
		n.viewers.set(func() { n.viewers.budget, n.viewers.onCut = o.budget, func() { o.onCut(name) } })
	}
	sql := r.database.url
	if o.decide != nil {
		if n.sql, err = newPGProxy(r.database.addr, o.decide(name)); err != nil {
			n.viewers.close()
			n.calls.close()
			return nil, err
		}
		sql = strings.Replace(sql, r.database.addr, n.sql.addr, 1)
	}
	n.process = &process{name: name, bin: r.o.Binary, args: []string{"serve"}, dir: r.dir, env: append([]string{
		"FLUENTPRO_LISTEN=127.0.0.1:" + port, "FLUENTPRO_OPS_LISTEN=127.0.0.1:" + ops, "FLUENTPRO_DATA_DIR=" + r.dir,
		"FLUENTPRO_ADVERTISE_ADDR=127.0.0.1:" + port,
		"FLUENTPRO_DATABASE_URL=" + sql, "FLUENTPRO_REDIS_URL=" + redis.url, "FLUENTPRO_UPSTREAM_BASE_URL=" + model.url,
		"FLUENTPRO_UPSTREAM_MODEL=" + fmt.Sprintf("checkable-%d", o.tokens), "FLUENTPRO_UPSTREAM_CONTINUE=prefix", "FLUENTPRO_DRAIN=" + drain.String(),
		"FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=5000"}, o.env...)}
	return n, nil
}
