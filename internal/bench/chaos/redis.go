package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// redisServer is one redis-server behind a proxy. Replicas and nodes know the
// proxy's address only, so every link can be stalled.
type redisServer struct {
	*process
	real  string // host:port of the process
	front *proxy
	dir   string
}

// newRedis starts a redis-server on a port of its own.
func newRedis(ctx context.Context, dir, name string, args ...string) (*redisServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, name)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	real := net.JoinHostPort("127.0.0.1", port)
	front, err := newProxy(real)
	if err != nil {
		return nil, err
	}
	_, announced, _ := net.SplitHostPort(front.addr)
	r := &redisServer{real: real, front: front, dir: data, process: &process{name: name, bin: "redis-server", dir: dir, args: append([]string{
		"--port", port, "--bind", "127.0.0.1", "--daemonize", "no", "--dir", data, "--save", "", "--maxmemory-policy", "noeviction",
		"--replica-announce-ip", "127.0.0.1", "--replica-announce-port", announced, "--repl-diskless-sync-delay", "0"}, args...)}}
	if err := r.up(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// up starts the process, if it is not running, and waits until it answers.
func (r *redisServer) up(ctx context.Context, extra ...string) error {
	args := r.args
	r.args = append(args[:len(args):len(args)], extra...)
	err := r.start()
	r.args = args
	if err != nil {
		return err
	}
	return until(ctx, 30*time.Second, func() error {
		if r.gone() {
			return fmt.Errorf("%s: %w", r.name, errEnded)
		}
		pong, err := redisDo(r.real, "PING")
		if err == nil && pong != "PONG" {
			err = errors.New(pong)
		}
		return err
	})
}

func (r *redisServer) close() {
	if r == nil {
		return
	}
	if cmd, _ := r.running(); cmd != nil {
		r.kill()
	}
	r.front.close()
}

// redisSet is the Redis of a stage: one server, or two and three Sentinels.
type redisSet struct {
	url       string
	servers   []*redisServer
	sentinels []*process
	addrs     []string // of the sentinels
	master    int
}

func (s *redisSet) current() *redisServer { return s.servers[s.master] }

func (s *redisSet) close() {
	for _, p := range s.sentinels {
		p.kill()
	}
	for _, r := range s.servers {
		r.close()
	}
}

// alone is one server without persistence, or with an append-only file.
func alone(ctx context.Context, dir string, aof bool) (*redisSet, error) {
	args := []string{"--appendonly", "no"}
	if aof {
		args = []string{"--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"}
	}
	r, err := newRedis(ctx, dir, "redis", args...)
	if err != nil {
		return nil, err
	}
	return &redisSet{url: "redis://" + r.front.addr + "/0", servers: []*redisServer{r}}, nil
}

// withSentinels is a primary, a replica, and three Sentinels that watch them.
func withSentinels(ctx context.Context, dir string) (_ *redisSet, err error) {
	s := &redisSet{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for i := range 2 {
		args := []string{"--appendonly", "no", "--repl-timeout", "10"}
		if i == 1 {
			args = append(args, "--replicaof", replicaOf(s.servers[0]))
		}
		r, err := newRedis(ctx, dir, fmt.Sprintf("redis-%d", i), args...)
		if err != nil {
			return nil, err
		}
		// Which one is primary changes: later starts say so themselves.
		if i == 1 {
			r.args = r.args[:len(r.args)-2]
		}
		s.servers = append(s.servers, r)
	}
	_, masterPort, _ := net.SplitHostPort(s.servers[0].front.addr)
	for i := range 3 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("sentinel-%d", i)
		conf := filepath.Join(dir, name+".conf")
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor main 127.0.0.1 %s 2\nsentinel down-after-milliseconds main 1500\n"+
			"sentinel failover-timeout main 3000\nsentinel parallel-syncs main 1\n", port, dir, masterPort)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		p := &process{name: name, bin: "redis-server", args: []string{conf, "--sentinel"}, dir: dir}
		if err := p.start(); err != nil {
			return nil, err
		}
		s.sentinels, s.addrs = append(s.sentinels, p), append(s.addrs, "127.0.0.1:"+port)
	}
	s.url = "redis://" + s.addrs[0] + "?master_name=main&addr=" + s.addrs[1] + "&addr=" + s.addrs[2]
	return s, until(ctx, 3*time.Minute, func() error { return s.settled() })
}

func replicaOf(r *redisServer) string {
	host, port, _ := net.SplitHostPort(r.front.addr)
	return host + " " + port
}

// settled says that every Sentinel names the same primary and knows a replica
// and the other Sentinels, and that the replica follows. On a starved machine
// Sentinels may have failed over once more by themselves; then that one is the
// primary from here on.
func (s *redisSet) settled() error {
	named := -1
	for _, a := range s.addrs {
		info, err := redisDo(a, "INFO", "sentinel")
		if err != nil {
			return err
		}
		one := -1
		for i, r := range s.servers {
			_, port, _ := net.SplitHostPort(r.front.addr)
			if strings.Contains(info, "status=ok,address=127.0.0.1:"+port+",slaves=1,sentinels=3") {
				one = i
			}
		}
		if one < 0 || named >= 0 && one != named {
			return fmt.Errorf("sentinel says %.200q", info[strings.Index(info, "master0"):])
		}
		named = one
	}
	if role, err := redisField(s.servers[named].real, "replication", "role"); err != nil || role != "master" {
		return errors.Join(err, errors.New("the primary that Sentinels name is a "+role))
	}
	link, err := redisField(s.servers[1-named].real, "replication", "master_link_status")
	if err == nil && link != "up" {
		err = errors.New("the replica's link is " + link)
	}
	if err == nil {
		s.master = named
	}
	return err
}

// promoted waits until the Sentinels agree on the other server and it takes
// writes.
func (s *redisSet) promoted(ctx context.Context) error {
	next := s.servers[1-s.master]
	_, port, _ := net.SplitHostPort(next.front.addr)
	err := until(ctx, 3*time.Minute, func() error {
		role, err := redisField(next.real, "replication", "role")
		if err != nil {
			return err
		}
		if role != "master" {
			return errors.New("the replica is still a " + role)
		}
		info, err := redisDo(s.addrs[0], "INFO", "sentinel")
		if err == nil && !strings.Contains(info, "address=127.0.0.1:"+port) {
			err = errors.New("the Sentinels still name the old primary")
		}
		return err
	})
	if err == nil {
		s.master = 1 - s.master
	}
	return err
}
