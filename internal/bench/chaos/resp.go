package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// connect dials a server of the run.
func connect(addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

// redisDo sends one command on a connection of its own and returns the answer
// of a simple or bulk reply, of an array the first line.
func redisDo(addr string, args ...string) (string, error) {
	nc, err := connect(addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(nc, b.String()); err != nil {
		return "", err
	}
	rd := bufio.NewReader(nc)
	line, err := rd.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "-"):
		return "", fmt.Errorf("redis: %s", line[1:])
	case strings.HasPrefix(line, "$") && line != "$-1":
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 || n > 16<<20 {
			return "", fmt.Errorf("redis: odd answer %.40q", line)
		}
		body := make([]byte, n)
		_, err = io.ReadFull(rd, body)
		return string(body), err
	}
	return strings.TrimLeft(line, "+:"), nil
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
