package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// redisServer is the Redis of a run.
type redisServer struct {
	url     string
	pid     int
	version string
	own     *child // nil when it was there before
}

// redis starts a redis-server without persistence, or looks at the given one.
func (o *Options) redis(ctx context.Context) (*redisServer, error) {
	r := &redisServer{url: o.RedisURL}
	if r.url == "" {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		r.url = "redis://127.0.0.1:" + port + "/0"
		r.own, err = o.spawn("redis", "redis-server", nil, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
			"--daemonize", "no", "--dir", o.Dir)
		if err != nil {
			return nil, err
		}
	}
	var err error
	if uerr := until(ctx, 10*time.Second, 20*time.Millisecond, func() bool { err = r.info(ctx); return err == nil }); uerr != nil {
		r.stop()
		return nil, fmt.Errorf("redis does not answer: %w", err)
	}
	return r, nil
}

func (r *redisServer) stop() { r.own.stop() }

// info asks for process id and version; the whole client would be too much.
func (r *redisServer) info(ctx context.Context) error {
	u, err := url.Parse(r.url)
	if err != nil {
		return errors.New("the Redis URL cannot be parsed")
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(nc, "INFO server\r\n"); err != nil {
		return err
	}
	br := bufio.NewReader(nc)
	head, err := br.ReadString('\n')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || n > 1<<20 {
		return fmt.Errorf("redis answers %.40q", head)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(br, body); err != nil {
		return err
	}
	for line := range strings.Lines(string(body)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "process_id":
			r.pid, _ = strconv.Atoi(value) // 0 fails below
		case "redis_version":
			r.version = value
		}
	}
	if r.pid == 0 {
		return errors.New("redis does not tell its process id")
	}
	return nil
}
