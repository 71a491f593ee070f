package bench

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/resp"
)

// redisConn asks Redis what the benchmarks want to know. It belongs to one
// goroutine. A password is not supported: the Redis is the benchmark's own.
type redisConn struct {
	nc net.Conn
	br *bufio.Reader
}

// replyWait bounds one question, also one that looks at a whole key.
const replyWait = 30 * time.Second

func (r *redisServer) dial(ctx context.Context) (*redisConn, error) {
	u, err := url.Parse(r.url)
	if err != nil {
		return nil, errors.New("the Redis URL cannot be parsed")
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	c := &redisConn{nc: nc, br: bufio.NewReader(nc)}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if _, err := c.ask("SELECT", db); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *redisConn) close() { _ = c.nc.Close() }

// ask sends one command. The answer is a string, an int64, nil or []any.
func (c *redisConn) ask(args ...string) (any, error) {
	_ = c.nc.SetDeadline(time.Now().Add(replyWait))
	if err := resp.Write(c.nc, args...); err != nil {
		return nil, err
	}
	return resp.Read(c.br)
}

// number asks for a number; a key that has gone counts nothing.
func (c *redisConn) number(args ...string) (int64, error) {
	v, err := c.ask(args...)
	switch v := v.(type) {
	case int64:
		return v, err
	case nil:
		return 0, err
	}
	return 0, resp.ErrReply
}

// usedMemory is what Redis has allocated.
func (c *redisConn) usedMemory() (int64, error) {
	v, err := c.ask("INFO", "memory")
	if err != nil {
		return 0, err
	}
	text, _ := v.(string)
	for line := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(line, "used_memory:"); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, resp.ErrReply
}

// keys walks through all keys; one may come twice, or not at all when it comes
// or goes meanwhile.
func (c *redisConn) keys() (map[string]bool, error) {
	out := map[string]bool{}
	for cursor := "0"; ; {
		v, err := c.ask("SCAN", cursor, "COUNT", "1000")
		if err != nil {
			return nil, err
		}
		page, _ := v.([]any)
		if len(page) != 2 {
			return nil, resp.ErrReply
		}
		list, _ := page[1].([]any)
		for _, k := range list {
			if s, ok := k.(string); ok {
				out[s] = true
			}
		}
		if cursor, _ = page[0].(string); cursor == "0" || cursor == "" {
			return out, nil
		}
	}
}
