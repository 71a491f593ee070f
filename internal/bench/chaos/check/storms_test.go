package check

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// drained is a good history in which a node with forty viewers drained for ten
// seconds; leave says after how many milliseconds viewer i went.
func drained(leave func(i int) int64) []history.Record {
	const n = 40
	h := good()
	h[0].Rules.SpreadMS = 10_000
	var more []history.Record
	add := func(at int64, r history.Record) {
		r.T, r.Conv = at, "other"
		more = append(more, r)
	}
	begun := 100 * second
	for i := range n {
		add(begun-second, history.Record{K: history.Open, P: fmt.Sprintf("d%d", i), N: "n3", Over: "sse"})
		left := begun + leave(i)*1e6
		add(left, history.Record{K: history.Close, P: fmt.Sprintf("d%d", i), N: "n3", Over: "sse", Code: "closed"})
		add(left+1e6, history.Record{K: history.Open, P: fmt.Sprintf("d%d", i), N: "n2", Over: "ws"})
	}
	// Neither of these is one of them: a poll, and a viewer of another node.
	for i := range 2 * n {
		p, node, over := fmt.Sprintf("p%d", i), "n3", "poll"
		if i%2 == 1 {
			node, over = "n2", "ws"
		}
		add(begun-second, history.Record{K: history.Open, P: p, N: node, Over: over})
		add(begun+1, history.Record{K: history.Close, P: p, N: node, Over: over})
		add(begun+2, history.Record{K: history.Open, P: p, N: "n1", Over: "ws"})
	}
	add(begun, history.Record{K: history.Fault, F: "term", N: "n3", Phase: "begin"})
	add(begun+11*second, history.Record{K: history.Fault, F: "term", N: "n3", Phase: "end"})
	slices.SortStableFunc(more, func(a, b history.Record) int { return int(a.T - b.T) })
	return number(append(h, more...))
}

func TestADrainMayBeAsFastAsItsSpread(t *testing.T) {
	t.Parallel()
	res := Check(drained(func(i int) int64 { return int64(i) * 250 }))
	for _, v := range res.Violations {
		t.Error(v)
	}
	if f := res.Figures; f.DrainPeak != 4 || f.DrainViewers != 40 || f.MostTries != 1 {
		t.Errorf("figures %d of %d, %d tries", f.DrainPeak, f.DrainViewers, f.MostTries)
	}
}

func TestStormsAreCaught(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, rule string
		h          func() []history.Record
	}{
		{"a third of a node's viewers at once", "V30", func() []history.Record {
			return drained(func(i int) int64 { return int64(max(0, i-14)) * 350 })
		}},
		{"nearly all at once on a busy machine", "V30", func() []history.Record {
			h := drained(func(i int) int64 { return int64(i) * 20 })
			h[0].Rules.Busy = true
			return h
		}},
		{"nobody to send away", "M3", func() []history.Record {
			h := good()
			h[0].Rules.SpreadMS = 10_000
			return h
		}},
		{"a viewer that does not wait", "V31", func() []history.Record {
			h := good()
			last := h[len(h)-1].T
			for i := range int64(mostTries + 1) {
				h = append(h, history.Record{T: last + i*1e6, K: history.Close, P: "eager", N: "n1", Code: "broken"})
			}
			return number(h)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res := Check(tc.h())
			if len(res.Violations) != 1 || res.Violations[0].Rule != tc.rule {
				t.Errorf("want %s alone: %v", tc.rule, res.Violations)
			}
		})
	}
}
