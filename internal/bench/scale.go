package bench

import (
	"context"
	"fmt"
	"io"
)

// Scale runs Relay's bare relay and server at each number of learners, so that
// it shows where either stops keeping up and whether a token costs the same
// under more load. Learners, and Direct of ro are set for it.
func Scale(ctx context.Context, o *Options, ro RelayOptions, learners []int) (map[int][]Round, *Conditions, error) {
	out := map[int][]Round{}
	var cond *Conditions
	for _, n := range learners {
		ro.Learners, ro.Direct = n, false
		o.say("%d learners", n)
		rounds, c, err := Relay(ctx, o, ro)
		if err != nil {
			return out, cond, fmt.Errorf("%d learners: %w", n, err)
		}
		out[n], cond = rounds, c
	}
	return out, cond, nil
}

// WriteScale prints a row per number of learners and path.
func WriteScale(w io.Writer, all map[int][]Round, learners []int, ro RelayOptions, c *Conditions) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("%g tokens/s each, window %s, median of %d rounds; the server on %d nodes.", ro.Rate, ro.Window, ro.Rounds, max(ro.Nodes, 1))
	p("")
	p("| learners | path | delay p50 | delay p99 | CPU s per 10⁶ tokens, with Redis and Postgres | tokens/s | lost, doubled | other work, %% of a core |")
	p("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, n := range learners {
		for _, name := range []string{PathRelay, PathServer, PathOther} {
			var rs []Round
			lost, doubled := 0, 0
			for _, r := range all[n] {
				if r.Path == name {
					rs = append(rs, r)
					lost += r.Lost
					doubled += r.Doubled + r.Broken
				}
			}
			if len(rs) == 0 {
				continue
			}
			p("| %d | %s | %s ms | %s ms | %s | %s | %d, %d | %s |", n, name,
				ranged(rs, func(r *Round) float64 { return ms(r.P50) }, "%.2f"), ranged(rs, func(r *Round) float64 { return ms(r.P99) }, "%.1f"),
				ranged(rs, func(r *Round) float64 {
					if r.Path == PathRelay {
						return r.PerMillion("process")
					}
					return r.PerMillion("process", "redis", "postgres")
				}, "%.0f"),
				ranged(rs, func(r *Round) float64 { return float64(r.Tokens) / r.Window.Seconds() }, "%.0f"), lost, doubled, ranged(rs, (*Round).Foreign, "%.0f"))
		}
	}
	writeConditions(w, c)
}
