package conversation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// shelf is the part of a Store and a Log that a Keeper uses, for one
// conversation, in memory.
type shelf struct {
	mu      sync.Mutex
	rec     conversation.Record
	sql     []conversation.Fact // what SQL holds
	loads   int
	log     *conversation.Active // nil: there is none
	created int
	down    bool
	full    bool // Redis is read, and takes no writes
	claims  int  // NameLog calls before which somebody else claims the run
}

type storeSide struct {
	conversation.Store
	s *shelf
}

type logSide struct {
	conversation.Log
	s *shelf
}

func (x storeSide) Load(context.Context, conversation.ID) (conversation.Record, error) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	return s.rec, nil
}

func (x storeSide) Facts(_ context.Context, _ conversation.ID, after int64, _ int) ([]conversation.Fact, error) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	return s.sql[after:], nil
}

func (x storeSide) NameLog(_ context.Context, _ conversation.ID, seen, fence int64) (int64, conversation.Seed, error) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims > 0 {
		s.claims--
		s.rec.Fence++
	}
	if s.rec.Log.Counter != seen || s.rec.Fence != fence {
		return 0, conversation.Seed{}, conversation.ErrLogRenamed
	}
	s.rec.Log = conversation.Epoch{Counter: seen + 1}
	return seen + 1, conversation.Seed{Fence: fence, Facts: int64(len(s.sql)), Header: s.rec.Header}, nil
}

func (x storeSide) RecordNonce(_ context.Context, _ conversation.ID, ep conversation.Epoch, fence int64) error {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rec.Log.Counter != ep.Counter || s.rec.Fence != fence {
		return conversation.ErrLogRenamed
	}
	s.rec.Log = ep
	return nil
}

func (x logSide) Writable(context.Context, conversation.ID) error { return x.Try(context.Background()) }

// Try is the Prober's.
func (x logSide) Try(context.Context) error {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return conversation.ErrLogDown
	case s.full:
		return fmt.Errorf("%w: %w", conversation.ErrLogDown, &conversation.RefusedError{Reason: "OOM"})
	}
	return nil
}

func (x logSide) Create(_ context.Context, _ conversation.ID, counter int64, seed conversation.Seed) (conversation.Epoch, error) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log != nil && s.log.Epoch.Counter >= counter {
		return conversation.Epoch{}, conversation.ErrLogExists
	}
	s.created++
	ep := conversation.Epoch{Counter: counter, Nonce: fmt.Sprint("n", s.created)}
	s.log = &conversation.Active{Epoch: ep, Facts: seed.Facts, Low: 1}
	return ep, nil
}

func (x logSide) Active(context.Context, conversation.ID) (conversation.Active, error) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return conversation.Active{}, conversation.ErrLogDown
	case s.log == nil:
		return conversation.Active{}, conversation.ErrLogMissing
	}
	return *s.log, nil
}

func (x logSide) PutFact(_ context.Context, _ conversation.ID, ep conversation.Epoch, f conversation.Fact) (int64, int64, error) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down, s.full:
		return 0, 0, conversation.ErrLogDown
	case s.log == nil:
		return 0, 0, conversation.ErrLogMissing
	case ep != s.log.Epoch:
		return 0, 0, conversation.ErrLogEpoch
	case f.N <= s.log.Facts:
		return 0, 0, nil
	case f.N > s.log.Facts+1:
		return 0, 0, &conversation.GapError{Have: s.log.Facts}
	}
	s.log.Facts++
	s.log.Top++
	return s.log.Top, 1, nil
}

func (s *shelf) keeper(observe func(conversation.ID, conversation.Epoch, conversation.Event)) *conversation.Keeper {
	return conversation.NewKeeper(storeSide{s: s}, logSide{s: s}, observe)
}

func facts(n int64) []conversation.Fact {
	var out []conversation.Fact
	for i := range n {
		out = append(out, conversation.Fact{N: i + 1, Type: fmt.Sprint("fact.", i+1)})
	}
	return out
}

func TestKeeperMakesTheLog(t *testing.T) {
	t.Parallel()
	s := &shelf{sql: facts(2)}
	k := s.keeper(nil)
	a, err := k.Active(t.Context(), "c")
	if err != nil || a.Epoch != (conversation.Epoch{Counter: 1, Nonce: "n1"}) || a.Facts != 2 || s.rec.Log != a.Epoch {
		t.Fatalf("got %+v (%v)", a, err)
	}
	loads := s.loads
	for range 3 {
		if _, err := k.Active(t.Context(), "c"); err != nil || s.loads != loads {
			t.Errorf("a warm read asked SQL %d times (%v)", s.loads-loads, err)
		}
	}
	// A log that SQL does not name is not believed, whoever made it.
	s.log = &conversation.Active{Epoch: conversation.Epoch{Counter: 1, Nonce: "ghost"}}
	if a, err = k.Active(t.Context(), "c"); err != nil || a.Epoch.Counter != 2 || s.rec.Log != a.Epoch {
		t.Errorf("in place of the ghost: %+v (%v)", a, err)
	}
	// Another node made a newer one.
	s.log = &conversation.Active{Epoch: conversation.Epoch{Counter: 5, Nonce: "x"}}
	s.rec.Log = s.log.Epoch
	if a, err = k.Active(t.Context(), "c"); err != nil || a.Epoch != s.rec.Log || s.created != 2 {
		t.Errorf("another node's log: %+v, %d created (%v)", a, s.created, err)
	}
}

func TestTenReadersMakeOneLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{sql: facts(1)}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if a, err := s.keeper(nil).Active(t.Context(), "c"); err != nil || a.Epoch.Zero() {
					t.Errorf("got %+v (%v)", a, err)
				}
			})
		}
		wg.Wait()
		if a, err := s.keeper(nil).Active(t.Context(), "c"); err != nil || a.Epoch != s.rec.Log {
			t.Errorf("at last %+v, SQL names %+v (%v)", a, s.rec.Log, err)
		}
	})
}

// TestOnlyTheOwnerMakesALogWhileARunRuns: it alone has the whole text.
func TestOnlyTheOwnerMakesALogWhileARunRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		s.rec.Running = &conversation.RunRow{}
		begun := time.Now()
		_, err := s.keeper(nil).Active(t.Context(), "c")
		if !errors.Is(err, conversation.ErrLogMissing) || s.created != 0 {
			t.Errorf("%d logs created (%v)", s.created, err)
		}
		if d := time.Since(begun); d < time.Second || d > 10*time.Second {
			t.Errorf("waited %v for the owner", d)
		}
		// The owner makes it while the reader waits.
		time.AfterFunc(300*time.Millisecond, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.log = &conversation.Active{Epoch: conversation.Epoch{Counter: 1, Nonce: "own"}}
			s.rec.Log = s.log.Epoch
		})
		a, err := s.keeper(nil).Active(t.Context(), "c")
		if err != nil || a.Epoch.Nonce != "own" {
			t.Errorf("got %+v (%v)", a, err)
		}
		// A reader that goes away does not wait.
		s.log = nil
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.keeper(nil).Active(ctx, "c"); !errors.Is(err, context.Canceled) {
			t.Errorf("after cancel: %v", err)
		}
	})
}

func TestKeeperAndAClaimInBetween(t *testing.T) {
	t.Parallel()
	s := &shelf{sql: facts(1), claims: 2}
	a, err := s.keeper(nil).Active(t.Context(), "c")
	if err != nil || a.Epoch != s.rec.Log || s.rec.Fence != 2 {
		t.Errorf("got %+v, SQL %+v (%v)", a, s.rec, err)
	}
}

func TestKeeperWithoutRedis(t *testing.T) {
	t.Parallel()
	s := &shelf{down: true}
	if _, err := s.keeper(nil).Active(t.Context(), "c"); !errors.Is(err, conversation.ErrLogDown) || s.loads != 0 {
		t.Errorf("%d loads (%v)", s.loads, err)
	}
}

func TestPublishAndCatchUp(t *testing.T) {
	t.Parallel()
	s := &shelf{sql: facts(1)}
	var seen []string
	k := s.keeper(func(_ conversation.ID, ep conversation.Epoch, ev conversation.Event) {
		seen = append(seen, fmt.Sprint(ep, " ", ev.Seq, " ", ev.Type))
	})
	// Nobody has read it: there is no log to put anything into.
	k.Publish(t.Context(), "c", facts(1))
	if len(seen) != 0 || s.created != 0 {
		t.Fatalf("seen %v", seen)
	}
	if _, err := k.Active(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	s.sql = facts(5)
	k.Publish(t.Context(), "c", s.sql[1:2])
	k.Publish(t.Context(), "c", s.sql[1:2]) // had it
	k.Publish(t.Context(), "c", s.sql[4:5]) // 3 and 4 were committed by others and not published
	want := "[1.n1 1 fact.2 1.n1 2 fact.3 1.n1 3 fact.4 1.n1 4 fact.5]"
	if got := fmt.Sprint(seen); got != want {
		t.Errorf("observed %s, want %s", got, want)
	}
	// A log that has them costs no SQL.
	loads := s.loads
	if err := k.CatchUp(t.Context(), "c", 5); err != nil || s.loads != loads {
		t.Errorf("%d questions to SQL (%v)", s.loads-loads, err)
	}
	s.sql = facts(7)
	if err := k.CatchUp(t.Context(), "c", 0); err != nil || s.log.Facts != 7 {
		t.Errorf("facts %d (%v)", s.log.Facts, err)
	}
	// A node that has never read the conversation publishes into the named log.
	s.sql = facts(8)
	s.keeper(nil).Publish(t.Context(), "c", s.sql[7:])
	if s.log.Facts != 8 {
		t.Errorf("facts %d", s.log.Facts)
	}
	s.log = nil
	if err := k.CatchUp(t.Context(), "c", 9); !errors.Is(err, conversation.ErrLogMissing) {
		t.Errorf("catch up without a log: %v", err)
	}
}
