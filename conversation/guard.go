package conversation

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// GuardedLog is a Log that recovers from damage: a log in which something
// stands that no script of ours wrote is set aside, reported, and reads as
// missing from then on, so that it is made anew from SQL and, for open text,
// from its living writer, like any log that Redis lost. Nothing is dropped in
// silence: what was found is kept for a week, its report for good.
type GuardedLog struct {
	Log
	custodian Custodian
	archive   Archive
	node      func() string
	metrics   *Metrics
	log       *slog.Logger
}

// Guard returns log with recovery from damage. node names this node.
func Guard(log Log, custodian Custodian, archive Archive, node func() string, metrics *Metrics, lg *slog.Logger) *GuardedLog {
	return &GuardedLog{log, custodian, archive, node, metrics, lg}
}

// mend turns damage into a loss, which everybody knows how to meet.
func (g *GuardedLog) mend(ctx context.Context, id ID, err error) error {
	if !errors.Is(err, ErrLogDamaged) {
		return err
	}
	var d *DamagedError
	var ep Epoch
	what := err.Error()
	if errors.As(err, &d) {
		ep, what = d.Epoch, d.What
	}
	place, aerr := g.custodian.SetAside(ctx, id, ep)
	if aerr != nil {
		return errors.Join(ErrLogDown, err, aerr)
	}
	if place == "" {
		return ErrLogMissing // another node was first; what stands there now is new
	}
	g.metrics.Damages.Inc()
	g.log.Error("log damaged; set aside and made anew", "conversation_id", id, "what", what, "place", place)
	report := Damage{ID: place, Conversation: id, Node: g.node(), What: what, Place: place, Found: time.Now().UnixMicro()}
	if err := g.archive.ReportDamage(ctx, report); err != nil {
		g.log.Error("report of damage not kept", "conversation_id", id, "place", place, "err", err)
	}
	return ErrLogMissing
}

// Active implements Log.
func (g *GuardedLog) Active(ctx context.Context, id ID) (Active, error) {
	a, err := g.Log.Active(ctx, id)
	return a, g.mend(ctx, id, err)
}

// Read implements Log.
func (g *GuardedLog) Read(ctx context.Context, id ID, ep Epoch, after int64, max int) (Page, error) {
	p, err := g.Log.Read(ctx, id, ep, after, max)
	return p, g.mend(ctx, id, err)
}

// Create implements Log. What stood there before it is no reason to refuse.
func (g *GuardedLog) Create(ctx context.Context, id ID, counter int64, seed Seed) (Epoch, error) {
	ep, err := g.Log.Create(ctx, id, counter, seed)
	if errors.Is(err, ErrLogDamaged) {
		if err := g.mend(ctx, id, err); !errors.Is(err, ErrLogMissing) {
			return ep, err
		}
		ep, err = g.Log.Create(ctx, id, counter, seed)
	}
	return ep, err
}

// Begin implements Log.
func (g *GuardedLog) Begin(ctx context.Context, id ID, ep Epoch, b Begin) (Began, error) {
	r, err := g.Log.Begin(ctx, id, ep, b)
	return r, g.mend(ctx, id, err)
}

// Append implements Log.
func (g *GuardedLog) Append(ctx context.Context, id ID, ep Epoch, a Append) (seq, ts int64, err error) {
	seq, ts, err = g.Log.Append(ctx, id, ep, a)
	return seq, ts, g.mend(ctx, id, err)
}

// PutFact implements Log.
func (g *GuardedLog) PutFact(ctx context.Context, id ID, ep Epoch, f Fact) (seq, ts int64, err error) {
	seq, ts, err = g.Log.PutFact(ctx, id, ep, f)
	return seq, ts, g.mend(ctx, id, err)
}

// Stop implements Log.
func (g *GuardedLog) Stop(ctx context.Context, id ID, ep Epoch, run int64) (Began, error) {
	b, err := g.Log.Stop(ctx, id, ep, run)
	return b, g.mend(ctx, id, err)
}
