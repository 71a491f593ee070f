package conversation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// attic is an Archive and a Custodian in memory.
type attic struct {
	Archive
	still   []Resting
	owned   []ID
	erased  map[ID]int64
	shred   map[ID]int64 // what Shred was asked
	down    bool         // Redis is away
	touched []ID         // Compact, in order
	damaged ID           // whose log is
}

func (a *attic) Erase(_ context.Context, _ LearnerID, id ID) (int64, error) {
	a.still = slices.DeleteFunc(a.still, func(c Resting) bool { return c.ID == id })
	a.owned = slices.DeleteFunc(a.owned, func(o ID) bool { return o == id })
	a.erased[id] = 7
	return 7, nil
}

func (a *attic) Of(_ context.Context, _ LearnerID, _ ID, limit int) ([]ID, error) {
	return slices.Clone(a.owned[:min(limit, len(a.owned))]), nil
}

func (a *attic) Still(_ context.Context, from, to int64, limit int) (out []Resting, err error) {
	for _, c := range a.still {
		if c.Changed >= from && c.Changed < to && len(out) < limit {
			out = append(out, c)
		}
	}
	return out, nil
}

func (a *attic) Unshredded(context.Context, int) (map[ID]int64, error) {
	return maps.Clone(a.erased), nil
}
func (a *attic) Shredded(_ context.Context, id ID) error { delete(a.erased, id); return nil }
func (a *attic) Census(context.Context) (Census, error)  { return Census{Idle: 3, Stuck: 1}, nil }

func (a *attic) Shred(_ context.Context, id ID, counter int64) error {
	if a.down {
		return ErrLogDown
	}
	a.shred[id] = counter
	return nil
}

func (a *attic) Compact(_ context.Context, id ID) (bool, error) {
	if a.down {
		return false, ErrLogDown
	}
	a.touched = append(a.touched, id)
	if id == a.damaged {
		return false, fmt.Errorf("compact: %w", &DamagedError{What: "a key of a foreign kind"})
	}
	return true, nil
}

func (a *attic) SetAside(context.Context, ID, Epoch) (string, error) { return "", errors.New("unused") }

// bolts are the locks of a test: those listed stand.
type bolts struct {
	Locks
	held map[ID]bool
}

func (b bolts) Holder(_ context.Context, id ID) (*LockHolder, error) {
	if b.held[id] {
		return &LockHolder{Value: "x"}, nil
	}
	return nil, nil
}

func newAttic() (*attic, *Janitor, *prometheus.Registry) {
	a := &attic{erased: map[ID]int64{}, shred: map[ID]int64{}}
	reg := prometheus.NewRegistry()
	j := NewJanitor(JanitorConfig{}, a, a, nil, bolts{held: map[ID]bool{"locked": true}}, NewMetrics(reg), slog.New(slog.DiscardHandler))
	return a, j, reg
}

func TestJanitorErasesAllOfALearner(t *testing.T) {
	a, j, _ := newAttic()
	for i := range janitorBatch + 3 {
		a.owned = append(a.owned, ID(fmt.Sprint(i)))
	}
	n, err := j.EraseAll(t.Context(), "ann")
	if err != nil || n != janitorBatch+3 || len(a.shred) != n || len(a.erased) != 0 {
		t.Errorf("%d erased, %d shredded, %d left: %v", n, len(a.shred), len(a.erased), err)
	}
}

// While Redis is away SQL has erased already; a later round finishes it.
func TestJanitorFinishesWhatRedisCouldNot(t *testing.T) {
	a, j, _ := newAttic()
	a.down = true
	if err := j.Erase(t.Context(), "ann", "c"); err != nil {
		t.Fatal(err)
	}
	if len(a.shred) != 0 || a.erased["c"] != 7 {
		t.Fatalf("shredded %v, left %v", a.shred, a.erased)
	}
	a.down = false
	if err := j.Round(t.Context()); err != nil || a.shred["c"] != 7 || len(a.erased) != 0 {
		t.Errorf("shredded %v, left %v: %v", a.shred, a.erased, err)
	}
}

// A damaged log is for whoever reads it next to set aside; others are not to
// wait for that, round after round.
func TestJanitorGoesOnPastADamagedLog(t *testing.T) {
	a, j, reg := newAttic()
	now := time.Now()
	a.damaged = "b"
	for i, id := range []ID{"a", "b", "c"} {
		a.still = append(a.still, Resting{ID: id, Changed: now.Add(-time.Hour).Add(time.Duration(i) * time.Second).UnixMicro()})
	}
	if err := j.Round(t.Context()); err != nil {
		t.Error(err)
	}
	if !slices.Equal(a.touched, []ID{"a", "b", "c"}) {
		t.Errorf("looked at %v", a.touched)
	}
	if n, err := testutil.GatherAndCount(reg, "fluentpro_log_compactions_total"); err != nil || n != 1 {
		t.Errorf("%d counters: %v", n, err)
	}
	if err := j.Round(t.Context()); err != nil || len(a.touched) != 3 {
		t.Errorf("looked at %v again: %v", a.touched[3:], err)
	}
}

// Every log at rest is compacted once, however many come to rest at a time,
// and again from where a failed round stopped.
func TestJanitorCompactsEachLogOnce(t *testing.T) {
	a, j, _ := newAttic()
	now := time.Now()
	j.now = func() time.Time { return now }
	at := now.Add(-time.Hour).UnixMicro()
	for i := range 2*janitorBatch + 50 {
		a.still = append(a.still, Resting{ID(fmt.Sprint(i)), at + int64(i)})
	}
	a.down = true
	if err := j.Round(t.Context()); !errors.Is(err, ErrLogDown) {
		t.Fatalf("a round without Redis: %v", err)
	}
	a.down = false
	for range 4 {
		if err := j.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[ID]int{}
	for _, id := range a.touched {
		counts[id]++
	}
	twice := 0
	for _, n := range counts {
		twice += n - 1
	}
	if len(counts) != len(a.still) || twice > 2 { // the last of a full batch comes again
		t.Errorf("%d of %d compacted, %d twice", len(counts), len(a.still), twice)
	}
}

func TestJanitorErasesWhatWasKeptLongEnough(t *testing.T) {
	a, j, _ := newAttic()
	day := 24 * time.Hour
	old, young := time.Now().Add(-3*day).UnixMicro(), time.Now().Add(-day).UnixMicro()
	a.still = []Resting{{"old", old}, {"young", young}}
	if err := j.Round(t.Context()); err != nil || len(a.shred) != 0 {
		t.Fatalf("without a limit %v was erased: %v", a.shred, err)
	}
	j.cfg.Keep = 2 * day
	if err := j.Round(t.Context()); err != nil || len(a.shred) != 1 || a.shred["old"] != 7 {
		t.Errorf("erased %v: %v", a.shred, err)
	}
}

func TestJanitorCounts(t *testing.T) {
	a, j, _ := newAttic()
	a.still = []Resting{{"locked", time.Now().Add(-30 * time.Second).UnixMicro()}, {"free", time.Now().Add(-30 * time.Second).UnixMicro()},
		{"locked", time.Now().UnixMicro()}} // released in a moment
	if err := j.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[prometheus.Collector]float64{j.metrics.Conversations.WithLabelValues("idle"): 3, j.metrics.Stuck: 1, j.metrics.OrphanLocks: 1} {
		if got := testutil.ToFloat64(name); got != want {
			t.Errorf("%v: got %v, want %v", name, got, want)
		}
	}
}
