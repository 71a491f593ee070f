package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
	"github.com/fluentpro/fluentpro/internal/upstream/usage"
)

func prompt(id, learner string) conversation.Prompt {
	return conversation.Prompt{Purpose: "partner", Conversation: conversation.ID(id), Learner: conversation.LearnerID(learner), MaxTokens: 100,
		Messages: []conversation.Message{{Role: "user", Content: "hello"}}}
}

func collect(t *testing.T, m conversation.Model, p conversation.Prompt) (string, error) {
	t.Helper()
	var b strings.Builder
	_, err := m.Generate(t.Context(), p, func(s string) error { b.WriteString(s); return nil })
	return b.String(), err
}

// broken is a server whose health a test sets.
type broken struct {
	down  atomic.Bool
	calls atomic.Int64
	h     *fake.Handler
}

func (b *broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.calls.Add(1)
	if b.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	b.h.ServeHTTP(w, r)
}

func newBroken(t *testing.T, name string) (*broken, *Client) {
	t.Helper()
	b := &broken{h: fake.New(fake.Options{})}
	srv := serve(t, b)
	c, err := New(Config{Name: name, BaseURL: srv + "/v1", Model: "checkable-3", MaxRetries: -1, Prices: map[string]Price{"checkable-3": {Prompt: 2, Output: 4}}})
	if err != nil {
		t.Fatal(err)
	}
	return b, c
}

func TestBreakerOpensProbesOnceAndCloses(t *testing.T) {
	t.Parallel()
	b, c := newBroken(t, "primary")
	reg := prometheus.NewRegistry()
	r := NewRouter(RouterConfig{Primary: c, BreakerFailures: 3, BreakerOpen: 50 * time.Millisecond, Registerer: reg})
	t.Cleanup(r.Close)
	b.down.Store(true)
	for range 3 {
		if _, err := collect(t, r, prompt("", "")); fault.CodeOf(err) != fault.UpstreamUnavailable {
			t.Fatal(err)
		}
	}
	if r.Check(t.Context()) == nil || r.State()["primary"] != "open" {
		t.Fatalf("not open after three failures: %v", r.State())
	}
	if n, err := testutil.GatherAndCount(reg, "fluentpro_upstream_breaker_open"); err != nil || n != 1 {
		t.Fatalf("%d gauges, %v", n, err)
	}
	before := b.calls.Load()
	_, err := collect(t, r, prompt("", ""))
	if f := fault.Of(err); f.Code != fault.UpstreamUnavailable || f.RetryAfterMS <= 0 || b.calls.Load() != before {
		t.Fatalf("an open breaker let a call pass: %v, advice %d", err, f.RetryAfterMS)
	}
	b.down.Store(false)
	eventually(t, func() bool {
		text, err := collect(t, r, prompt("", ""))
		return err == nil && text != ""
	})
	if n := b.calls.Load() - before; n != 1 || r.Check(t.Context()) != nil {
		t.Fatalf("%d calls, %v: one probe closes it", n, r.State())
	}
}

func TestRefusalsDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	rig := newRig(t, Config{Model: "fault-400"})
	r := NewRouter(RouterConfig{Primary: rig.Client, BreakerFailures: 2})
	for range 5 {
		if _, err := collect(t, r, prompt("", "")); fault.CodeOf(err) != fault.UpstreamRejected {
			t.Fatal(err)
		}
	}
	if r.Check(t.Context()) != nil {
		t.Fatal("a refusal counts as a failure")
	}
}

func TestFallbackIsStickyPerConversation(t *testing.T) {
	t.Parallel()
	one, c1 := newBroken(t, "primary")
	two, c2 := newBroken(t, "fallback")
	r := NewRouter(RouterConfig{Primary: c1, Fallback: c2, FallbackPurposes: []string{"partner"}, BreakerFailures: 100})
	t.Cleanup(r.Close)
	one.down.Store(true)
	if _, err := collect(t, r, prompt("talk", "")); err != nil || two.calls.Load() != 1 {
		t.Fatalf("%v, %d calls of the fallback", err, two.calls.Load())
	}
	one.down.Store(false)
	before := one.calls.Load()
	if _, err := collect(t, r, prompt("talk", "")); err != nil || two.calls.Load() != 2 || one.calls.Load() != before {
		t.Fatalf("the talk changed its partner's voice: %v", err)
	}
	if _, err := collect(t, r, prompt("other", "")); err != nil || two.calls.Load() != 2 {
		t.Fatalf("another talk does not begin with the primary: %v", err)
	}
	// When the fallback fails too, the talk goes back.
	two.down.Store(true)
	if _, err := collect(t, r, prompt("talk", "")); err != nil {
		t.Fatal(err)
	}
	two.down.Store(false)
	if _, err := collect(t, r, prompt("talk", "")); err != nil || two.calls.Load() != 3 {
		t.Fatalf("%v, %d calls", err, two.calls.Load())
	}
	// A purpose that is not the fallback's fails with the primary.
	one.down.Store(true)
	p := prompt("talk", "")
	p.Purpose = "scenario"
	if _, err := collect(t, r, p); fault.CodeOf(err) != fault.UpstreamUnavailable || two.calls.Load() != 3 {
		t.Fatalf("%v, %d calls", err, two.calls.Load())
	}
}

func TestNoFallbackBehindTheFirstTextOrAFilter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		model string
		code  fault.Code
	}{{"checkable-8+fault-cut-3", fault.UpstreamTruncated}, {"fault-filter-0", fault.UpstreamFiltered}} {
		rig := newRig(t, Config{Model: tc.model, MaxRetries: -1})
		two, c2 := newBroken(t, "fallback")
		r := NewRouter(RouterConfig{Primary: rig.Client, Fallback: c2})
		if _, err := collect(t, r, prompt("x", "")); fault.CodeOf(err) != tc.code || two.calls.Load() != 0 {
			t.Errorf("%s: %v, %d calls of the fallback", tc.model, err, two.calls.Load())
		}
		c2.Close()
	}
}

func TestTheQueueIsFairBetweenLearners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 100)
		if err := g.enter(t.Context(), "greedy"); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var served []string
		var wg sync.WaitGroup
		wait := func(who string) {
			wg.Go(func() {
				if err := g.enter(t.Context(), who); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				served = append(served, who)
				mu.Unlock()
				g.leave()
			})
			synctest.Wait()
		}
		for range 5 {
			wait("greedy")
		}
		wait("ann")
		wait("bob")
		wait("ann")
		g.leave()
		wg.Wait()
		if got := strings.Join(served, " "); got != "greedy ann bob greedy ann greedy greedy greedy" {
			t.Fatal(got)
		}
		if g.free != 1 || len(g.lines) != 0 || len(g.turns) != 0 || g.waiting != 0 {
			t.Fatalf("left behind: %+v", g)
		}
	})
}

func TestWaitingEndsWithTheCallerAndHasABound(t *testing.T) {
	t.Parallel()
	g := newGate(1, 2)
	_ = g.enter(t.Context(), "a")
	why := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 2)
	for _, who := range []string{"a", "b"} {
		go func() { done <- g.enter(ctx, who) }()
	}
	eventually(t, func() bool { return g.queued() == 2 })
	if err := g.enter(t.Context(), "c"); fault.CodeOf(err) != fault.Overloaded {
		t.Fatalf("over the bound: %v", err)
	}
	cancel(why)
	for range 2 {
		if err := <-done; !errors.Is(err, why) {
			t.Fatal(err)
		}
	}
	g.leave()
	if g.free != 1 || len(g.lines) != 0 || len(g.turns) != 0 || g.waiting != 0 {
		t.Fatalf("left behind: %+v", g)
	}
}

// TestGateUnderPressure lets callers come, wait and give up at random.
func TestGateUnderPressure(t *testing.T) {
	t.Parallel()
	g := newGate(3, 1000)
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
			defer cancel()
			if g.enter(ctx, fmt.Sprint(i%5)) != nil {
				return
			}
			for n := inside.Add(1); n > most.Load(); {
				most.Store(n)
			}
			inside.Add(-1)
			g.leave()
		})
	}
	wg.Wait()
	if most.Load() > 3 || g.free != 3 || g.waiting != 0 || len(g.turns) != 0 || len(g.lines) != 0 {
		t.Fatalf("%d inside at once, %+v", most.Load(), g)
	}
}

func TestBudgets(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	b, c := newBroken(t, "primary")
	now := time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC)
	ledger := usage.New(db)
	r := NewRouter(RouterConfig{Primary: c, Ledger: ledger, Limits: usage.Limits{Learner: usage.Amount{Tokens: 130}, Total: usage.Amount{Micros: 600}},
		Now: func() time.Time { return now }})
	t.Cleanup(r.Close)
	// A call reserves 6 + 100 tokens and costs about ten.
	for range 2 {
		if _, err := collect(t, r, prompt("x", "ann")); err != nil {
			t.Fatal(err)
		}
	}
	spent, calls, err := ledger.Spent(t.Context(), "2026-11-23", "ann")
	if err != nil || calls != 2 || spent.Tokens < 10 || spent.Tokens > 30 || spent.Micros == 0 {
		t.Fatalf("%+v after %d calls, %v", spent, calls, err)
	}
	exhausted := func(learner string) {
		t.Helper()
		for range 20 {
			before := b.calls.Load()
			_, err := collect(t, r, prompt("x", learner))
			if err == nil {
				continue
			}
			if f := fault.Of(err); f.Code != fault.QuotaExhausted || f.RetryAfterMS != 2*3600*1000 || b.calls.Load() != before {
				t.Fatalf("%v, advice %d ms", err, f.RetryAfterMS)
			}
			return
		}
		t.Fatal("never exhausted")
	}
	exhausted("ann")
	if _, err := collect(t, r, prompt("x", "bob")); err != nil {
		t.Fatalf("ann's budget is bob's: %v", err)
	}
	for _, who := range []string{"carl", "dora", "eve", "finn"} { // until the money of all is gone
		exhausted(who)
	}
	all, _, err := ledger.Spent(t.Context(), "2026-11-23", "")
	if err != nil || all.Micros > 600 {
		t.Fatalf("spent %+v, %v", all, err)
	}
	now = now.Add(3 * time.Hour)
	if _, err := collect(t, r, prompt("x", "ann")); err != nil {
		t.Fatalf("a new day: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(t, r, prompt("x", "ann")); fault.CodeOf(err) != fault.StorageUnavailable {
		t.Fatalf("without SQL: %v", err)
	}
}

func TestPatienceIsThatOfTheSlowestUpstream(t *testing.T) {
	t.Parallel()
	quick, err := New(Config{BaseURL: "http://127.0.0.1:1/v1", Model: "m"})
	slow, err2 := New(Config{BaseURL: "http://127.0.0.1:1/v1", Model: "m", Preset: "ollama"})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if a, b := NewRouter(RouterConfig{Primary: quick}).Patience(), NewRouter(RouterConfig{Primary: quick, Fallback: slow}).Patience(); a != 90*time.Second || b != 180*time.Second {
		t.Fatalf("%v, %v", a, b)
	}
}

func TestModerationJudgesTheWholeText(t *testing.T) {
	t.Parallel()
	rig := newRig(t, Config{Model: "checkable-3"})
	refused := fault.New(fault.UpstreamFiltered, "no")
	var seen []string
	r := NewRouter(RouterConfig{Primary: rig.Client, Moderate: func(_ context.Context, purpose, text string) error {
		seen = append(seen, purpose+" "+text)
		return refused
	}})
	text, err := collect(t, r, prompt("x", ""))
	if !errors.Is(err, refused) || !slices.Equal(seen, []string{"partner " + text}) || text == "" {
		t.Fatalf("%v %q", err, seen)
	}
}
