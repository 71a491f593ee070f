package bench

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// WriteRelay prints medians over rounds as Markdown.
func WriteRelay(w io.Writer, rounds []Round, ro RelayOptions, c *Conditions) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	by := map[string][]Round{}
	var names []string
	for _, r := range rounds {
		if by[r.Path] == nil {
			names = append(names, r.Path)
		}
		by[r.Path] = append(by[r.Path], r)
	}
	median := func(name string, f func(*Round) float64) float64 { return Median(each(by[name], f)) }
	p50 := func(r *Round) float64 { return ms(r.P50) }
	p99 := func(r *Round) float64 { return ms(r.P99) }
	own := func(r *Round) float64 { return r.PerMillion("process") }
	all := func(r *Round) float64 { return r.PerMillion("process", "redis", "postgres") }
	p("%d learners × %g tokens/s, window %s, median of %d rounds, in brackets the range over rounds.", ro.Learners, ro.Rate, ro.Window, ro.Rounds)
	p("")
	p("| path | delay p50 | delay p99 | added p50 | added p99 | CPU s per 10⁶ tokens, process | with Redis and Postgres | tokens/s | lost, doubled | other work, %% of a core |")
	p("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, n := range names {
		rs := by[n]
		lost, doubled := 0, 0
		for _, r := range rs {
			lost += r.Lost
			doubled += r.Doubled + r.Broken
		}
		added50, added99, cpu, cpuAll := "–", "–", "–", "–"
		if n != PathDirect {
			added50 = fmt.Sprintf("%.2f ms", median(n, p50)-median(PathDirect, p50))
			added99 = fmt.Sprintf("%.1f ms", median(n, p99)-median(PathDirect, p99))
			cpu = ranged(rs, own, "%.0f")
		}
		if n == PathServer || n == PathOther {
			cpuAll = ranged(rs, all, "%.0f")
		}
		p("| %s | %s ms | %s ms | %s | %s | %s | %s | %.0f | %d, %d | %s |", n, ranged(rs, p50, "%.2f"), ranged(rs, p99, "%.1f"), added50, added99,
			cpu, cpuAll, median(n, func(r *Round) float64 { return float64(r.Tokens) / r.Window.Seconds() }), lost, doubled, ranged(rs, (*Round).Foreign, "%.0f"))
	}
	p("")
	if relay := median(PathRelay, own); relay > 0 {
		p("Server alone ÷ bare relay: %.2f; server, Redis and Postgres ÷ bare relay: %.2f.", median(PathServer, own)/relay, median(PathServer, all)/relay)
		if len(by[PathOther]) > 0 {
			p("Server ÷ other build: %.2f alone, %.2f with Redis and Postgres; p50 %.2f, p99 %.2f.", median(PathServer, own)/median(PathOther, own),
				median(PathServer, all)/median(PathOther, all), median(PathServer, p50)/median(PathOther, p50), median(PathServer, p99)/median(PathOther, p99))
		}
	}
	p("At the server's rounds stand-in and load client took %.0f and %.0f s per 10⁶ tokens on the same cores.",
		median(PathServer, func(r *Round) float64 { return r.PerMillion("stand-in") }), median(PathServer, func(r *Round) float64 { return r.PerMillion("client") }))
	writeConditions(w, c)
}

func each(rs []Round, f func(*Round) float64) []float64 {
	out := make([]float64, len(rs))
	for i := range rs {
		out[i] = f(&rs[i])
	}
	return out
}

// ranged prints a median and, of several values, the range.
func ranged(rs []Round, f func(*Round) float64, format string) string {
	v := each(rs, f)
	s := fmt.Sprintf(format, Median(v))
	if len(v) > 1 {
		low, high := Spread(v)
		s += fmt.Sprintf(" ("+format+"–"+format+")", low, high)
	}
	return s
}

func writeConditions(w io.Writer, c *Conditions) {
	_, _ = fmt.Fprintln(w)
	for _, l := range c.lines() {
		_, _ = fmt.Fprintln(w, "-", l)
	}
}

// WriteIdle prints what an idle connection holds.
func WriteIdle(w io.Writer, rs []Idle, c *Conditions) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("| idle connections, attached to a conversation of its own each unless it says otherwise | RSS before | RSS with them | resident per connection | live heap per connection | stacks per connection |")
	p("| --- | --- | --- | --- | --- | --- |")
	for _, r := range rs {
		n := float64(r.Connections)
		p("| %d %s | %.1f MiB | %.1f MiB | %.1f KiB | %.1f KiB | %.1f KiB |", r.Connections, r.Transport, mib(r.Before.RSS), mib(r.After.RSS),
			float64(r.After.RSS-r.Before.RSS)/n/1024, float64(r.After.Heap-r.Before.Heap)/n/1024, float64(r.After.Stack-r.Before.Stack)/n/1024)
	}
	writeConditions(w, c)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// WriteKill prints how long viewers waited.
func WriteKill(w io.Writer, k *Kills, c *Conditions) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	d := slices.Sorted(slices.Values(k.Waits))
	q := func(f float64) time.Duration { v, _ := Quantile(d, f); return v }
	p("| kills of the writing node | kill -9 to first new character p50 | p99 | longest | characters lost | doubled | taken back | replies not completed |")
	p("| --- | --- | --- | --- | --- | --- | --- | --- |")
	p("| %d | %.2f s | %.2f s | %.2f s | %d | %d | %d | %d |", len(d), q(0.5).Seconds(), q(0.99).Seconds(), q(1).Seconds(), k.Lost, k.Doubled, k.TakenBack, k.Unfinished)
	if k.Elsewhere > 0 {
		p("")
		p("In %d more tries the watching node had claimed the reply first, so that the kill met an idle node.", k.Elsewhere)
	}
	writeConditions(w, c)
}
