package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

var slowing = scenario{
	name: "slow", short: "viewers that read 1 KB/s, and viewers that read nothing", unit: "slow and dead viewers", count: 100, brief: 10,
	rules: func(n int) history.Rules { return history.Rules{Fault: "slow", MinFaults: n} },
	fleet: func(int) fleetOptions { return fleetOptions{redis: plain, tokens: 300} },
	play: func(ctx context.Context, st *stage, count int) error {
		st.model.speak(50*time.Millisecond, 10*time.Millisecond)
		if err := st.gather(ctx, 12, 2); err != nil {
			return err
		}
		length := 25 * time.Second
		if st.o.Brief {
			length = 6 * time.Second
		}
		end := st.load(ctx, st.convs)
		defer end()
		// Everything slow hangs on one node, so that its memory tells.
		n := st.nodes[0]
		if err := pause(ctx, length); err != nil {
			return err
		}
		st.mark("calm")
		before, err := n.heap(ctx)
		if err != nil {
			return err
		}
		slow, cancel := context.WithCancel(ctx)
		defer cancel()
		opened := 0
		for i := range count {
			c := st.convs[i%len(st.convs)]
			if err := st.creep(slow, c, n, i%2 == 0); err != nil {
				return err
			}
			opened++
			st.at("slow", n.name, "")
		}
		if err := pause(ctx, length); err != nil {
			return err
		}
		after, err := n.heap(ctx)
		if err != nil {
			return err
		}
		st.mark("slow")
		cancel()
		st.note("live heap and stacks per such viewer %.0f KiB", float64(after-before)/float64(opened)/1024)
		end()
		return nil
	},
}

// mark splits the history, so that delays before and after can be compared.
func (st *stage) mark(what string) {
	st.rec.Add(history.Record{K: history.Fault, F: "mark", Phase: what})
}

// creep opens an event stream that is read at 1 KB/s, or not at all. Its
// receive buffer is small, as over a thin line.
func (st *stage) creep(ctx context.Context, c *conv, n *node, reads bool) error {
	d := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
		var serr error
		err := raw.Control(func(fd uintptr) { serr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return errors.Join(err, serr)
	}}
	host := strings.TrimPrefix(n.real, "http://")
	nc, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	_, err = io.WriteString(nc, "GET /api/v2/conversations/"+c.id+"/events HTTP/1.1\r\nHost: "+host+
		"\r\nAccept: text/event-stream\r\nX-Conv-Client: chaos\r\nAuthorization: Bearer "+c.learner.token()+"\r\n\r\n")
	if err != nil {
		_ = nc.Close()
		return err
	}
	st.wg.Go(func() {
		defer func() { _ = nc.Close() }()
		buf := make([]byte, 256)
		for pause(ctx, 250*time.Millisecond) == nil {
			if !reads {
				continue
			}
			if _, err := nc.Read(buf); err != nil {
				return // the server has sent it away, as it may
			}
		}
	})
	return nil
}

// heap is the memory of a node that is in use, heap and stacks, after a
// collection.
func (n *node) heap(ctx context.Context) (int64, error) {
	var best int64
	for range 3 { // what is made and thrown away is not meant
		if err := answers(ctx, n.web, n.ops+"/debug/pprof/heap?gc=1"); err != nil {
			return 0, err
		}
		text, err := fetch(ctx, n.web, n.ops+"/metrics")
		if err != nil {
			return 0, err
		}
		m := metric(text, "go_memstats_heap_inuse_bytes") + metric(text, "go_memstats_stack_inuse_bytes")
		if best == 0 || m < best {
			best = m
		}
	}
	return best, nil
}

func fetch(ctx context.Context, c *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d", url, resp.StatusCode)
	}
	return string(b), err
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
