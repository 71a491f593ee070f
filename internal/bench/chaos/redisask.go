package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/resp"
)

// connect dials a server of the run.
func connect(addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

// redisDo sends one command on a connection of its own; the answer is a text or
// a number.
func redisDo(addr string, args ...string) (string, error) {
	nc, err := connect(addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	if err := resp.Write(nc, args...); err != nil {
		return "", err
	}
	v, err := resp.Read(bufio.NewReader(nc))
	if err != nil {
		return "", err
	}
	return fmt.Sprint(v), nil
}

// redisField is one field of an INFO section.
func redisField(addr, section, field string) (string, error) {
	info, err := redisDo(addr, "INFO", section)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("redis: INFO %s has no %s", section, field)
}

// entriesWritten counts XADDs since the server started.
func entriesWritten(addr string) (int, error) {
	v, err := redisField(addr, "commandstats", "cmdstat_xadd")
	if err != nil {
		return 0, err
	}
	calls, _, _ := strings.Cut(strings.TrimPrefix(v, "calls="), ",")
	return strconv.Atoi(calls)
}
