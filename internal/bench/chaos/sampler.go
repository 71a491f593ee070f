package chaos

import (
	"context"
	"hash/fnv"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// sampler looks at the goroutines of a node again and again and finds how long
// one waited inside one call of Redis: the same goroutine with the same
// arguments on its stack. It sees only what it looks at, so a wait is told up
// to two looks too short or long.
type sampler struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	longest time.Duration
	where   string
}

// look is how often a sampler looks.
const look = 100 * time.Millisecond

func sample(ctx context.Context, n *node) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampler{cancel: cancel}
	s.wg.Go(func() {
		since := map[uint64]time.Time{}
		for pause(ctx, look) == nil {
			dump, err := goroutines(ctx, n)
			if err != nil {
				continue // the next look
			}
			now := time.Now()
			next := map[uint64]time.Time{}
			for key, where := range waiting(dump) {
				first, ok := since[key]
				if !ok {
					first = now
				}
				next[key] = first
				if d := now.Sub(first); d > s.longest {
					s.longest, s.where = d, where
				}
			}
			since = next
		}
	})
	return s
}

// end stops looking and tells the longest wait and where it was.
func (s *sampler) end() (time.Duration, string) {
	s.cancel()
	s.wg.Wait()
	return s.longest, s.where
}

func goroutines(ctx context.Context, n *node) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.ops+"/debug/pprof/goroutine?debug=2", nil)
	if err != nil {
		return "", err
	}
	resp, err := n.web.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

var ours = regexp.MustCompile(`(?m)^github\.com/fluentpro/fluentpro/([^\s(]+(?:\(\*\w+\))?[^\s(]*)\(`)

// waiting finds the goroutines inside a call of go-redis, keyed by the stack
// with its arguments; the bell's reader waits for events, not for an answer.
func waiting(dump string) map[uint64]string {
	out := map[uint64]string{}
	for g := range strings.SplitSeq(dump, "\n\n") {
		if !strings.Contains(g, "go-redis/v9") || strings.Contains(g, "PubSub") || strings.Contains(g, "(*channel)") {
			continue
		}
		head, stack, ok := strings.Cut(g, "\n")
		if !ok {
			continue
		}
		h := fnv.New64a()
		id, _, _ := strings.Cut(head, "[") // without the state, which tells minutes
		_, _ = io.WriteString(h, id+stack)
		where := "?"
		if m := ours.FindStringSubmatch(stack); m != nil {
			where = m[1]
		}
		out[h.Sum64()] = where
	}
	return out
}
