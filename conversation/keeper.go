package conversation

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Keeper joins the authority and the live log: it says which log is the right
// one, makes one where none may be missing, and carries facts from SQL into
// it. Any node may do any of that at any time; the compare-and-set on the
// log's name and the numbers of the facts make it harmless.
type Keeper struct {
	store Store
	log   Log
	// observe gets every event this node has put into a log, before the bell
	// brings the same one; it must not block.
	observe func(ID, Epoch, Event)

	mu    sync.Mutex // guards what follows
	names map[ID]Epoch
	// blind is set while Redis takes no writes: no name is kept then.
	blind bool
}

// namesKept bounds what a node remembers of log names; forgetting costs one
// SQL read.
const namesKept = 100_000

// NewKeeper returns a Keeper; observe may be nil.
func NewKeeper(store Store, log Log, observe func(ID, Epoch, Event)) *Keeper {
	if observe == nil {
		observe = func(ID, Epoch, Event) {}
	}
	return &Keeper{store: store, log: log, observe: observe, names: map[ID]Epoch{}}
}

func (k *Keeper) name(id ID) Epoch {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.names[id]
}

func (k *Keeper) learn(id ID, ep Epoch) {
	if ep.Zero() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.blind {
		return
	}
	if len(k.names) >= namesKept {
		clear(k.names)
	}
	if k.names[id].Counter <= ep.Counter {
		k.names[id] = ep
	}
}

// forget has the next reader of a conversation ask SQL.
func (k *Keeper) forget(id ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.names, id)
}

// Doubt forgets every name: a log that this node knows may lack facts, because
// Redis was away when they were committed, or whoever committed them died
// before they were in the log. The next read of each conversation compares
// with SQL and brings what is missing.
func (k *Keeper) Doubt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.names)
}

// distrust has every read compare with SQL for as long as it is on: facts that
// other nodes commit do not reach the logs either, and nobody would say so.
func (k *Keeper) distrust(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if on || k.blind {
		clear(k.names)
	}
	k.blind = on
}

// Active returns the conversation's live state from the log that SQL names,
// making that log if there is none. A warm read asks only Redis. ErrLogDown
// says that Redis does not answer; ErrLogMissing that a writer is about to
// make the log and has not yet.
func (k *Keeper) Active(ctx context.Context, id ID) (Active, error) {
	wait := 20 * time.Millisecond
	for tries := 0; ; tries++ {
		a, err := k.log.Active(ctx, id)
		if err == nil && a.Epoch == k.name(id) {
			return a, nil
		}
		if errors.Is(err, ErrLogDown) {
			k.Doubt()
		}
		if err != nil && !errors.Is(err, ErrLogMissing) {
			return a, err
		}
		rec, lerr := k.store.Load(ctx, id)
		if lerr != nil {
			return a, lerr
		}
		if err == nil && a.Epoch == rec.Log {
			if a.Facts < rec.Facts && tries < 8 {
				// Somebody put the newest facts into a log that is no more.
				if err := k.CatchUp(ctx, id, rec.Facts); err != nil && !errors.Is(err, ErrLogMissing) {
					return a, err
				}
				continue
			}
			k.learn(id, rec.Log)
			return a, nil
		}
		// While a run is running only its owner creates logs: it alone has the
		// whole text. Give it time, but not for ever.
		if rec.Running == nil {
			if _, err := k.make(ctx, id, rec.Log.Counter, rec.Fence); err != nil && !errors.Is(err, ErrLogRenamed) && !errors.Is(err, ErrLogExists) {
				return a, err
			}
			if tries < 8 {
				continue
			}
		}
		if tries > 24 {
			return a, ErrLogMissing
		}
		select {
		case <-ctx.Done():
			return a, context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = min(wait*2, 200*time.Millisecond)
	}
}

// ActiveFrom is Active for a viewer that has been in a log with this counter:
// an older one is not shown while SQL knows that there was a newer, because a
// primary that was replaced still answers here.
func (k *Keeper) ActiveFrom(ctx context.Context, id ID, counter int64) (Active, error) {
	a, err := k.Active(ctx, id)
	if err != nil || a.Epoch.Counter >= counter {
		return a, err
	}
	rec, err := k.store.Load(ctx, id)
	if err != nil {
		return a, err
	}
	if rec.Log.Counter >= counter {
		return a, ErrLogMissing
	}
	return a, nil // such a log never was
}

// make names a new log in SQL, creates it and records its nonce.
func (k *Keeper) make(ctx context.Context, id ID, seen, fence int64) (Epoch, error) {
	// A name costs a commit, and leaves the log that is there: ask first whether
	// Redis would take another at all.
	if err := k.log.Writable(ctx, id); err != nil {
		return Epoch{}, err
	}
	counter, seed, err := k.store.NameLog(ctx, id, seen, fence)
	if err != nil {
		return Epoch{}, err
	}
	ep, err := k.log.Create(ctx, id, counter, seed)
	if err != nil {
		return Epoch{}, err
	}
	if err := k.store.RecordNonce(ctx, id, ep, fence); err != nil {
		return Epoch{}, err
	}
	// What was committed since the seed was read went into the log before, and
	// viewers may have it from there.
	if facts, err := k.store.Facts(ctx, id, seed.Facts, 500); err == nil {
		_ = k.put(ctx, id, ep, facts) // else the relay does it
	}
	k.learn(id, ep)
	return ep, nil
}

// Renew leaves the log ep, which was found to have lost its end, and makes a
// new one from SQL. Where a run is being written its writer does so itself,
// with the whole text, when its next append meets the loss.
func (k *Keeper) Renew(ctx context.Context, id ID, ep Epoch) error {
	rec, err := k.store.Load(ctx, id)
	if err != nil || rec.Log != ep || rec.Running != nil {
		return err
	}
	_, err = k.make(ctx, id, ep.Counter, rec.Fence)
	if errors.Is(err, ErrLogRenamed) || errors.Is(err, ErrLogExists) {
		return nil // somebody else did
	}
	return err
}

// Publish puts committed facts into the log, best effort: what fails is found
// again by the relay, the next claim or the next snapshot.
func (k *Keeper) Publish(ctx context.Context, id ID, facts []Fact) {
	ep := k.name(id)
	if ep.Zero() {
		rec, err := k.store.Load(ctx, id)
		if err != nil || rec.Log.Zero() {
			return // nobody has read this conversation yet: its log will be made whole
		}
		k.learn(id, rec.Log)
		ep = rec.Log
	}
	err := k.put(ctx, id, ep, facts)
	if errors.Is(err, ErrLogEpoch) {
		// Another node has made a new log: the facts belong there.
		rec, lerr := k.store.Load(ctx, id)
		if lerr != nil || rec.Log.Zero() || rec.Log == ep {
			return
		}
		k.learn(id, rec.Log)
		err = k.put(ctx, id, rec.Log, facts)
	}
	if gap := (*GapError)(nil); errors.As(err, &gap) {
		err = k.CatchUp(ctx, id, 0)
	}
	if err != nil {
		k.forget(id)
	}
}

func (k *Keeper) put(ctx context.Context, id ID, ep Epoch, facts []Fact) error {
	for i := range facts {
		f := &facts[i]
		seq, ts, err := k.log.PutFact(ctx, id, ep, *f)
		if err != nil {
			return err
		}
		if seq > 0 {
			k.observe(id, ep, Event{Seq: seq, Type: f.Type, Run: f.Run, Attempt: f.Attempt, Base: f.Base, Fact: f.N, TS: ts, Data: f.Data})
		}
	}
	return nil
}

// CatchUp brings the facts that the log lacks; atLeast, when not 0, is the
// number that is known to exist, so that a log which has it costs no SQL.
func (k *Keeper) CatchUp(ctx context.Context, id ID, atLeast int64) error {
	for range 3 {
		a, err := k.log.Active(ctx, id)
		if err != nil {
			return err
		}
		if atLeast != 0 && a.Facts >= atLeast {
			return nil
		}
		facts, err := k.store.Facts(ctx, id, a.Facts, 500)
		if err != nil || len(facts) == 0 {
			return err
		}
		err = k.put(ctx, id, a.Epoch, facts)
		var gap *GapError
		if !errors.As(err, &gap) {
			return err
		}
	}
	return nil
}
