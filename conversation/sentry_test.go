package conversation_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/conversation"
)

// lines is what was logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.buf.Write(p) }

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

// value reads one metric.
func value(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// While Redis takes no writes a fact of another node cannot reach the log. A
// node that had nothing to write learns of it all the same, and asks SQL with
// every read until it is over; operators are told once each way.
func TestSentry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := conversation.NewID()
		s := &shelf{rec: conversation.Record{Header: conversation.Header{ID: id}}}
		k := s.keeper(nil)
		var said lines
		reg := prometheus.NewRegistry()
		sentry := conversation.NewSentry(logSide{s: s}, k, conversation.NewMetrics(reg), 0, slog.New(slog.NewTextHandler(&said, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = sentry.Run(ctx) }()
		defer func() { stop(); <-done }()
		synctest.Wait()
		if _, err := k.Active(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := sentry.Check(ctx); err != nil || value(t, reg, "fluentpro_redis_takes_writes") != 1 {
			t.Errorf("at rest: %v", err)
		}

		s.mu.Lock()
		s.full = true
		s.sql, s.rec.Facts = append(s.sql, conversation.Fact{N: 1}), 1 // by another node
		s.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for range 2 {
			if a, err := k.Active(ctx, id); !errors.Is(err, conversation.ErrLogDown) {
				t.Errorf("a read that lacks a fact: %+v, %v", a, err)
			}
		}
		if err := sentry.Check(ctx); !errors.Is(err, conversation.ErrLogDown) {
			t.Errorf("readiness: %v", err)
		}
		if value(t, reg, "fluentpro_redis_takes_writes") != 0 || value(t, reg, "fluentpro_redis_refused_tries_total") < 4 {
			t.Error("the metrics do not say so")
		}

		s.mu.Lock()
		s.full = false
		s.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		a, err := k.Active(ctx, id)
		if err != nil || a.Facts != 1 {
			t.Errorf("afterwards: %+v, %v", a, err)
		}
		s.mu.Lock()
		before := s.loads
		s.mu.Unlock()
		if _, err := k.Active(ctx, id); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.loads != before {
			t.Error("a warm read asks SQL, though all is well")
		}
		if said.count(`msg="Redis takes no writes`) != 1 || said.count("reason=OOM") != 1 || said.count("takes writes again") != 1 {
			t.Errorf("said %s", said.buf.String())
		}
	})
}

// One moment without an answer is not told; a Redis that is away is.
func TestSentryOfARedisThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		var said lines
		sentry := conversation.NewSentry(logSide{s: s}, s.keeper(nil), conversation.NewMetrics(nil), time.Second, slog.New(slog.NewTextHandler(&said, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = sentry.Run(ctx) }()
		defer func() { stop(); <-done }()
		set := func(down bool, d time.Duration) {
			s.mu.Lock()
			s.down = down
			s.mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
		}
		set(false, 500*time.Millisecond)
		set(true, time.Second)
		set(false, 3*time.Second)
		if n := said.count("writes"); n != 0 {
			t.Errorf("said %s", said.buf.String())
		}
		set(true, 5*time.Second)
		set(false, 5*time.Second)
		if said.count("reason=away") != 1 || said.count("takes writes again") != 1 {
			t.Errorf("said %s", said.buf.String())
		}
	})
}

// When a Redis that was away answers again, the first read of a conversation
// asks SQL and the next does not, though the sentry has not looked yet: all
// viewers read in that moment.
func TestReadsAfterAnOutageAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := conversation.NewID()
		s := &shelf{rec: conversation.Record{Header: conversation.Header{ID: id}}}
		k := s.keeper(nil)
		sentry := conversation.NewSentry(logSide{s: s}, k, conversation.NewMetrics(nil), time.Second, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = sentry.Run(ctx) }()
		defer func() { stop(); <-done }()
		read := func() (asked int) {
			t.Helper()
			s.mu.Lock()
			before := s.loads
			s.mu.Unlock()
			if _, err := k.Active(ctx, id); err != nil {
				t.Error(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.loads - before
		}
		synctest.Wait()
		read()
		s.mu.Lock()
		s.down = true
		s.mu.Unlock()
		time.Sleep(2500 * time.Millisecond)
		s.mu.Lock()
		s.down = false
		s.mu.Unlock()
		if n := read(); n != 1 {
			t.Errorf("the first read asked SQL %d times", n)
		}
		if n := read(); n != 0 {
			t.Errorf("the second read asked SQL %d times", n)
		}
	})
}

// Where no log could be made none is named: a name is a commit, and leaves the
// log that SQL named before.
func TestNoNameWithoutALog(t *testing.T) {
	id := conversation.NewID()
	s := &shelf{rec: conversation.Record{Header: conversation.Header{ID: id}}, full: true}
	k := s.keeper(nil)
	for range 5 {
		if _, err := k.Active(t.Context(), id); !errors.Is(err, conversation.ErrLogDown) {
			t.Errorf("got %v", err)
		}
	}
	if s.rec.Log.Counter != 0 {
		t.Errorf("SQL named %d logs", s.rec.Log.Counter)
	}
	s.full = false
	if a, err := k.Active(t.Context(), id); err != nil || a.Epoch.Counter != 1 {
		t.Errorf("afterwards: %+v, %v", a.Epoch, err)
	}
}
