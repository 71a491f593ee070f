package conversation

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// JanitorConfig says what is kept for how long; zero values mean the defaults
// in brackets.
type JanitorConfig struct {
	// Keep is how long a conversation is kept after its last change; 0 keeps it
	// until somebody erases it.
	Keep time.Duration
	// Rest is how long a log has been still when it is compacted [15m].
	Rest time.Duration
	// Every is the time between two rounds [1m].
	Every time.Duration
}

// janitorBatch bounds what one round does of each thing.
const janitorBatch = 200

// orphanAge is how long after a conversation's last change a lock counts as
// forgotten: releasing it takes a moment.
const orphanAge = 5 * time.Second

// Janitor erases conversations, on demand and when their time is over,
// compacts logs at rest, and counts. Each node has one; the rounds are made by
// the node whose id is the lowest, and made twice they do no harm.
type Janitor struct {
	cfg       JanitorConfig
	archive   Archive
	custodian Custodian
	members   interface {
		Self() Node
		Alive() []string
	}
	locks   Locks
	metrics *Metrics
	log     *slog.Logger
	now     func() time.Time
	// rested is up to where logs have been compacted, microseconds since 1970.
	rested int64
}

// NewJanitor returns a Janitor; Run must be running for the rounds.
func NewJanitor(cfg JanitorConfig, archive Archive, custodian Custodian, members *Membership, locks Locks, metrics *Metrics, log *slog.Logger) *Janitor {
	if cfg.Rest <= 0 {
		cfg.Rest = 15 * time.Minute
	}
	if cfg.Every <= 0 {
		cfg.Every = time.Minute
	}
	return &Janitor{cfg: cfg, archive: archive, custodian: custodian, members: members, locks: locks, metrics: metrics, log: log, now: time.Now}
}

// Erase deletes a conversation for good: in SQL before it returns, in Redis
// before it returns or, while Redis is away, in a later round. Whoever watches
// it is told that there is no such conversation. "" as owner means any.
func (j *Janitor) Erase(ctx context.Context, owner LearnerID, id ID) error {
	counter, err := j.archive.Erase(ctx, owner, id)
	if err != nil {
		return err
	}
	j.shred(ctx, id, counter)
	return nil
}

// EraseAll erases every conversation of an owner and returns how many.
func (j *Janitor) EraseAll(ctx context.Context, owner LearnerID) (int, error) {
	n := 0
	for {
		ids, err := j.archive.Of(ctx, owner, "", janitorBatch)
		if err != nil || len(ids) == 0 {
			return n, err
		}
		for _, id := range ids {
			if err := j.Erase(ctx, owner, id); err != nil && !errors.Is(err, ErrNotFound) {
				return n, err
			}
			n++
		}
	}
}

func (j *Janitor) shred(ctx context.Context, id ID, counter int64) {
	err := j.custodian.Shred(ctx, id, counter)
	if err == nil {
		err = j.archive.Shredded(ctx, id)
	}
	if err != nil {
		j.log.Warn("log of an erased conversation is still there; a later round tries again", "conversation_id", id, "err", err)
	}
}

// Run makes rounds until ctx ends.
func (j *Janitor) Run(ctx context.Context) error {
	t := time.NewTimer(j.cfg.Every / 4)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			t.Reset(j.cfg.Every)
		}
		if alive := j.members.Alive(); len(alive) > 0 && slices.Min(alive) != j.members.Self().ID {
			j.metrics.census(Census{}, false)
			continue
		}
		c, cancel := context.WithTimeout(ctx, j.cfg.Every)
		if err := j.Round(c); err != nil && ctx.Err() == nil {
			j.log.Warn("a round of the janitor failed; the next one goes on", "err", err)
		}
		cancel()
	}
}

// Round does once what Run does again and again.
func (j *Janitor) Round(ctx context.Context) error {
	return errors.Join(j.count(ctx), j.finish(ctx), j.rest(ctx), j.expire(ctx))
}

func (j *Janitor) count(ctx context.Context) error {
	c, err := j.archive.Census(ctx)
	if err != nil {
		return err
	}
	if c.OrphanLocks, err = j.orphans(ctx); err != nil {
		return err
	}
	j.metrics.census(c, true)
	return nil
}

// orphans counts locks that outlived their run: among conversations that
// changed within the last rounds and have no open run, a lock that still
// stands keeps the next message waiting until its term ends.
func (j *Janitor) orphans(ctx context.Context) (n int64, err error) {
	now := j.now()
	still, err := j.archive.Still(ctx, now.Add(-2*j.cfg.Every).UnixMicro(), now.Add(-orphanAge).UnixMicro(), janitorBatch)
	for _, c := range still {
		h, lerr := j.locks.Holder(ctx, c.ID)
		if lerr != nil {
			return n, lerr
		}
		if h != nil {
			n++
			j.log.Warn("a lock stands and no run is open", "conversation_id", c.ID, "holder", h.Node, "term", h.TTL)
		}
	}
	return n, err
}

// Finish takes the logs of what was erased out of Redis now, where a round
// would within a minute.
func (j *Janitor) Finish(ctx context.Context) error { return j.finish(ctx) }

// finish does what Redis could not when something was erased.
func (j *Janitor) finish(ctx context.Context) error {
	left, err := j.archive.Unshredded(ctx, janitorBatch)
	for id, counter := range left {
		j.shred(ctx, id, counter)
	}
	return err
}

// rest compacts the logs that have come to rest since the last round. After a
// restart it begins a day back, as far as logs can be there.
func (j *Janitor) rest(ctx context.Context) error {
	to := j.now().Add(-j.cfg.Rest).UnixMicro()
	from := max(j.rested, to-24*time.Hour.Microseconds())
	still, err := j.archive.Still(ctx, from, to, janitorBatch)
	if err != nil {
		return err
	}
	for _, c := range still {
		switch did, err := j.custodian.Compact(ctx, c.ID); {
		case errors.Is(err, ErrLogMissing):
		case errors.Is(err, ErrLogDamaged):
			// Whoever reads it next has it set aside and made anew. To stop here
			// would keep every later log from its rest for a day.
			j.log.Warn("log at rest is damaged", "conversation_id", c.ID, "err", err)
		case err != nil:
			return err // Redis is away; the next round begins here again
		case did:
			j.metrics.Compactions.Inc()
		}
	}
	if len(still) == janitorBatch {
		// The next round goes on at the last one's time: others may share it, and
		// done twice it does no harm.
		to = max(still[len(still)-1].Changed, from+1)
	}
	j.rested = to
	return nil
}

// expire erases what has been kept long enough.
func (j *Janitor) expire(ctx context.Context) error {
	if j.cfg.Keep <= 0 {
		return nil
	}
	still, err := j.archive.Still(ctx, 0, j.now().Add(-j.cfg.Keep).UnixMicro(), janitorBatch)
	if err != nil {
		return err
	}
	for _, c := range still {
		if err := j.Erase(ctx, "", c.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if len(still) > 0 {
		j.log.Info("conversations erased after their time", "count", len(still))
	}
	return nil
}
