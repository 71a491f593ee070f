package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/correlation"
)

// Handler does what a group does with an event. It runs in a transaction (its
// ctx carries it) that also notes that the event is handled: what it writes to
// SQL happens once, however often the event comes. It must do nothing that a
// rollback cannot take back; work of that kind is a job, enqueued here.
type Handler func(ctx context.Context, e Event) error

// Group is a named set of handlers. Every node runs every group, and each
// event goes to one node of a group, the events of an aggregate in order.
type Group struct {
	Name     string
	Handlers map[string]Handler
}

// On adds the handler of one type of payload.
func On[P Payload](g *Group, fn func(ctx context.Context, e Event, p P) error) {
	var zero P
	name, _ := zero.EventType()
	if g.Handlers == nil {
		g.Handlers = map[string]Handler{}
	}
	g.Handlers[name] = func(ctx context.Context, e Event) error {
		p, err := Decode[P](e)
		if errors.Is(err, ErrErased) {
			return nil // whom it was about is gone
		}
		if err != nil {
			return err
		}
		return fn(ctx, e, p)
	}
}

func (g *Group) types() []string { return slices.Sorted(maps.Keys(g.Handlers)) }

// WantsOf is what groups want.
func WantsOf(groups []*Group) Wants {
	w := Wants{}
	for _, g := range groups {
		w[g.Name] = g.types()
	}
	return w
}

// ConsumerConfig tunes Consumers; zero values mean the defaults in brackets.
type ConsumerConfig struct {
	// Name is this node's, unlike any other's.
	Name string
	// Retry says how often, and when, a failed event is tried again [10
	// tries, 5 s doubling to 5 min].
	Retry Retry
	// Idle is after how long a delivery that was not acknowledged is taken
	// over [30 s].
	Idle time.Duration
	// Stuck is after how long an open event is handled from SQL, whatever the
	// bus says [30 s].
	Stuck time.Duration
	// Wait is how long one look at the bus waits for something new [200 ms]:
	// short, so that a bus that hangs holds nobody for longer than half a second.
	Wait time.Duration
	// Sweep is the time between two looks at what was not finished, and the
	// pause after a failure [1 s].
	Sweep time.Duration
}

// Consumers run the groups of one node.
type Consumers struct {
	out     Outbox
	bus     Bus
	groups  []*Group
	cfg     ConsumerConfig
	metrics *Metrics
	log     *slog.Logger
}

// NewConsumers makes Consumers.
func NewConsumers(out Outbox, bus Bus, groups []*Group, cfg ConsumerConfig, metrics *Metrics, log *slog.Logger) *Consumers {
	if cfg.Retry.Tries <= 0 {
		cfg.Retry.Tries = 10
	}
	if cfg.Retry.First <= 0 {
		cfg.Retry.First = 5 * time.Second
	}
	if cfg.Retry.Longest < cfg.Retry.First {
		cfg.Retry.Longest = max(cfg.Retry.First, 5*time.Minute)
	}
	if cfg.Idle <= 0 {
		cfg.Idle = 30 * time.Second
	}
	if cfg.Stuck <= 0 {
		cfg.Stuck = 30 * time.Second
	}
	if cfg.Wait <= 0 {
		cfg.Wait = 200 * time.Millisecond
	}
	if cfg.Sweep <= 0 {
		cfg.Sweep = time.Second
	}
	return &Consumers{out: out, bus: bus, groups: groups, cfg: cfg, metrics: metrics, log: log}
}

// Run works until ctx ends. What is in hand then is taken back, and comes again
// here or on another node.
func (c *Consumers) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, g := range c.groups {
		wg.Go(func() { c.run(ctx, g) })
	}
	wg.Wait()
	return nil
}

// How many events one look at the bus takes, and one look at SQL.
const (
	batch  = 32
	sweeps = 200
)

func (c *Consumers) run(ctx context.Context, g *Group) {
	log := c.log.With("group", g.Name)
	var swept, tidied time.Time
	quiet := true
	for ctx.Err() == nil {
		ds, err := c.bus.Read(ctx, g.Name, c.cfg.Name, batch, c.cfg.Wait)
		if err == nil {
			err = c.take(ctx, g, ds, log)
		}
		if now := time.Now(); now.Sub(swept) >= c.cfg.Sweep {
			err = errors.Join(err, c.sweep(ctx, g, log))
			swept = now
			if now.Sub(tidied) > time.Hour && err == nil {
				err = c.bus.Tidy(ctx, g.Name, time.Hour)
				tidied = now
			}
		}
		if err != nil && ctx.Err() == nil {
			if quiet {
				log.WarnContext(ctx, "events are late", "err", err)
			}
			pause(ctx, nil, c.cfg.Sweep)
		}
		quiet = err == nil
	}
}

// sweep looks after what was delivered and not finished, and after what SQL
// knows to be open whatever the bus says.
func (c *Consumers) sweep(ctx context.Context, g *Group, log *slog.Logger) error {
	ds, busErr := c.bus.Reclaim(ctx, g.Name, c.cfg.Name, c.cfg.Idle, batch)
	if busErr == nil {
		c.metrics.reclaimed.WithLabelValues(g.Name).Add(float64(len(ds)))
		busErr = c.take(ctx, g, ds, log)
	}
	evs, err := c.out.Stuck(ctx, g.Name, g.types(), c.cfg.Retry, time.Now().Add(-c.cfg.Stuck), sweeps)
	if err != nil {
		return errors.Join(busErr, err)
	}
	for _, e := range evs {
		if _, err := c.handle(ctx, g, e, 1, log); err != nil {
			return errors.Join(busErr, err)
		}
	}
	return busErr
}

// take handles deliveries in order and acknowledges those that are settled.
func (c *Consumers) take(ctx context.Context, g *Group, ds []Delivery, log *slog.Logger) error {
	for _, d := range ds {
		if d.Event == nil {
			// Redis gave nonsense; SQL has the event itself.
			evs, err := c.out.Unsent(ctx, d.Position-1, 1)
			if err != nil {
				return err
			}
			if len(evs) == 1 && evs[0].Position == d.Position {
				d.Event = &evs[0]
			} else {
				log.WarnContext(ctx, "a delivery cannot be read and is settled", "position", d.Position)
			}
		}
		settled := true
		if d.Event != nil {
			var err error
			if settled, err = c.handle(ctx, g, *d.Event, looks, log); err != nil {
				return err
			}
		}
		if settled {
			if err := c.bus.Ack(ctx, g.Name, d.Tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// patience is how long an event waits for an earlier one that another node
// has in hand, before it goes back among the unacknowledged.
const (
	patience = 50 * time.Millisecond
	looks    = 10
)

// handle tells whether the bus need not deliver the event again: it is settled,
// or SQL knows when to try it again. An error says that SQL does not answer.
func (c *Consumers) handle(ctx context.Context, g *Group, e Event, looks int, log *slog.Logger) (settled bool, err error) {
	fn := g.Handlers[e.Type]
	if fn == nil {
		return true, nil
	}
	result := func(r string) { c.metrics.handled.WithLabelValues(g.Name, r).Inc() }
	ctx = correlation.With(ctx, e.Correlation)
	var inside error
	for look := range looks {
		if look > 0 {
			pause(ctx, nil, patience)
		}
		err = c.out.Deliver(ctx, g.Name, g.types(), e, c.cfg.Retry, func(ctx context.Context) error {
			inside = guarded(ctx, fn, e)
			return inside
		})
		if !errors.Is(err, ErrEarlier) {
			break
		}
	}
	switch {
	case err == nil:
		result("done")
		return true, nil
	case errors.Is(err, ErrSettled):
		result("again")
		return true, nil
	case errors.Is(err, ErrEarlier), errors.Is(err, ErrNotYet), ctx.Err() != nil:
		return false, nil //nolint:nilerr // not yet, or not by us: it stays for later
	case inside == nil:
		return false, err
	}
	outcome, err := c.out.Fail(ctx, g.Name, e, c.cfg.Retry, inside.Error())
	if err != nil {
		return false, err
	}
	result(string(outcome))
	log.WarnContext(ctx, "an event could not be handled", "event_id", e.ID, "type", e.Type, "correlation_id", e.Correlation, "outcome", outcome, "err", inside)
	if outcome != Dead {
		return true, nil
	}
	// SQL has the letter; the stream only spreads the word.
	if err := c.bus.Bury(ctx, Letter{Group: g.Name, Outcome: Dead, Reason: inside.Error(), At: time.Now(), Event: e}); err != nil {
		log.WarnContext(ctx, "a dead letter is in SQL only", "event_id", e.ID, "err", err)
	}
	return true, nil
}

// guarded turns a panic into an error: one bad event must not end the node.
func guarded(ctx context.Context, fn Handler, e Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return fn(ctx, e)
}
