package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Observed is the delay of tokens at many viewers of one conversation.
type Observed struct {
	Observers, Tokens     int
	P50, P99, Max         time.Duration
	Lost, Doubled, Broken int
}

// Observers has many WebSockets watch one reply at rate tokens a second.
func Observers(ctx context.Context, o *Options, observers int, rate float64) (*Observed, *Conditions, error) {
	with := *o
	with.Env = append(with.Env, fmt.Sprintf("FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=%d", observers+1))
	const tokens = 600
	st, err := with.stage(ctx, setting{learners: 1, conversations: 1, tokens: tokens, rate: rate})
	if err != nil {
		return nil, nil, err
	}
	defer st.close()
	l := &st.learners[0]
	out, err := st.observe(ctx, l, l.conversations[0], observers, tokens, rate)
	if err != nil {
		return nil, nil, err
	}
	return out, st.conditions(), nil
}

// observe has so many viewers of a conversation watch one reply to its end.
func (s *stage) observe(ctx context.Context, l *learner, conv string, observers, tokens int, rate float64) (*Observed, error) {
	var g gauge
	sockets := make([]*socket, 0, observers)
	defer func() {
		for _, so := range sockets {
			so.close()
		}
	}()
	for range observers {
		so, err := openSocket(ctx, s.node.base, &g, l, conv)
		if err != nil {
			return nil, err
		}
		sockets = append(sockets, so)
	}
	g.open.Store(true)
	for _, so := range sockets {
		so.stamps.reset()
	}
	if err := sockets[0].start(); err != nil {
		return nil, err
	}
	out := &Observed{Observers: observers}
	var all []time.Duration
	limit := time.NewTimer(time.Duration(float64(tokens)/rate*float64(time.Second)) + time.Minute)
	defer limit.Stop()
	for _, so := range sockets {
		select {
		case err := <-so.ended:
			if err != nil {
				return nil, err
			}
		case <-limit.C:
			return nil, errors.New("an observer never saw the end")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	for _, so := range sockets {
		so.close() // its reader has ended: what it measured is ours
		all = append(all, so.delays...)
		out.Lost += so.stamps.lost + tokens - so.stamps.next
		out.Doubled += so.stamps.doubled
		out.Broken += so.stamps.broken
	}
	slices.Sort(all)
	out.Tokens = len(all)
	out.P50, _ = Quantile(all, 0.5)
	out.P99, _ = Quantile(all, 0.99)
	out.Max, _ = Quantile(all, 1)
	return out, nil
}

// WriteObservers prints the delays.
func WriteObservers(w io.Writer, r *Observed, rate float64, c *Conditions) {
	_, _ = fmt.Fprintln(w, "| viewers of one reply | tokens/s | delay p50 | p99 | longest | tokens lost, doubled |")
	_, _ = fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- |")
	_, _ = fmt.Fprintf(w, "| %d | %g | %.2f ms | %.1f ms | %.1f ms | %d, %d |\n", r.Observers, rate, ms(r.P50), ms(r.P99), ms(r.Max), r.Lost, r.Doubled+r.Broken)
	writeConditions(w, c)
}
